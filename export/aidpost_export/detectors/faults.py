"""The faults: one score each, by logistic regression on the embedding, folded to one affine map.

Axes: N embeddings, D their length, Q faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

Values = NDArray[np.float64]

STRENGTH = 1e-2
"""Inverse strength of the L2 penalty on standardised embeddings: embeddings are longer than there are scans."""
OTHERS = 0.3
"""Weight of a scan with another fault against that of a good one, so that a score tells the faults apart as well."""
LEAST_SPREAD = 0.02
"""Smallest unit of an embedding's part, as a fraction of its spread over good and spoilt scans together."""
GOOD = ""
"""What stands in the place of a fault for a good scan."""


@dataclass(frozen=True)
class FaultScores:
    """Scores of the faults: larger is worse."""

    weight: Values  # (D, Q)
    bias: Values  # (Q,)

    def scores(self, embedding: NDArray[np.floating]) -> Values:
        """Score embeddings.  # (N, D) → (N, Q) log odds"""
        found: Values = embedding.astype(np.float64) @ self.weight + self.bias
        return found


def fit_faults(embedding: NDArray[np.floating], fault: NDArray[np.str_], faults: Sequence[str]) -> FaultScores:
    """Fit one score for each fault against the good scans and those with another.  # (N, D), (N,)"""
    values = embedding.astype(np.float64)
    good = values[fault == GOOD]
    centre, spread = good.mean(axis=0), np.maximum(good.std(axis=0), LEAST_SPREAD * values.std(axis=0))
    spread[spread == 0] = 1
    standard = (values - centre) / spread
    weight, bias = np.empty((values.shape[1], len(faults))), np.empty(len(faults))
    for q, name in enumerate(faults):
        importance = np.where((fault == GOOD) | (fault == name), 1.0, OTHERS)
        model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(standard, fault == name, sample_weight=importance)
        weight[:, q] = model.coef_[0] / spread
        bias[q] = model.intercept_[0] - centre @ weight[:, q]
    return FaultScores(weight, bias)
