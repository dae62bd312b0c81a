"""The head: logistic regression on cached embeddings, where fine-tuning starts and what it is settled with.

With a few hundred cases the strength of its regularisation decides more than anything that follows. It is chosen by
cross-validation over patients, and among strengths that cannot be told apart the strongest is taken (the
one-standard-error rule; Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", section 7.10): a
weaker one fits what is peculiar to these cases and travels worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from aidpost_export.losses import case_losses
from aidpost_export.recipe import Activation

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1)
"""Inverse strengths of the L2 penalty that are tried, strongest first, on standardised embeddings."""
FOLDS = 5


@dataclass(frozen=True)
class Head:
    """A linear layer."""

    weight: NDArray[np.float64]  # (K, D)
    bias: NDArray[np.float64]  # (K,)

    def logits(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Apply the head.  # (N, D) → (N, K)"""
        product: NDArray[np.float64] = embeddings.astype(np.float64) @ self.weight.T + self.bias
        return product


def choose_strength(
    embeddings: NDArray[np.float32],  # (N, D)
    targets: NDArray[np.float32],  # (N, K)
    patients: Sequence[str],
    activation: Activation,
) -> float:
    """The strongest penalty whose loss on patients left out is within one standard error of the best."""
    folds = GroupKFold(min(FOLDS, len(set(patients))))
    losses = np.empty((len(STRENGTHS), len(embeddings)))
    for learn, judge in folds.split(embeddings, groups=patients):
        for row, strength in enumerate(STRENGTHS):
            head = fit_head(embeddings[learn], targets[learn], strength, activation)
            losses[row, judge] = case_losses(head.logits(embeddings[judge]), targets[judge], activation)
    means = losses.mean(1)
    best = int(means.argmin())
    bound = means[best] + losses[best].std() / math.sqrt(len(embeddings))
    return STRENGTHS[int(np.flatnonzero(means <= bound)[0])]


def fit_head(
    embeddings: NDArray[np.float32],  # (N, D)
    targets: NDArray[np.float32],  # (N, K)
    strength: float,
    activation: Activation,
) -> Head:
    """Fit the head with one of the strengths."""
    center, spread = embeddings.mean(0, dtype=np.float64), embeddings.std(0, dtype=np.float64) + 1e-3
    scaled = (embeddings - center) / spread
    if activation == "softmax":
        coefficients, intercepts = _multinomial(scaled, targets, strength)
    else:
        rows = [_binary(scaled, column, strength) for column in targets.T]
        coefficients, intercepts = np.stack([row[0] for row in rows]), np.array([row[1] for row in rows])
    weight = coefficients / spread
    return Head(weight, intercepts - weight @ center)


def _binary(
    scaled: NDArray[np.float64], target: NDArray[np.float32], strength: float
) -> tuple[NDArray[np.float64], float]:
    positives = int((target > 0.5).sum())
    if positives in (0, len(target)):  # a rare finding can be missing from a fold: then its frequency is all there is
        return np.zeros(scaled.shape[1]), math.log((positives + 0.5) / (len(target) - positives + 0.5))
    model = LogisticRegression(C=strength, max_iter=1000).fit(scaled, target > 0.5)
    return model.coef_[0], float(model.intercept_[0])


def _multinomial(
    scaled: NDArray[np.float64], targets: NDArray[np.float32], strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    findings = targets.shape[1]
    model = LogisticRegression(C=strength, max_iter=1000).fit(scaled, targets.argmax(1))
    if len(model.classes_) == 2:  # scikit-learn then gives one row, for the second class
        rows, offsets = np.stack([-model.coef_[0], model.coef_[0]]) / 2, np.array([-1, 1]) * model.intercept_[0] / 2
    else:
        rows, offsets = model.coef_, model.intercept_
    coefficients = np.zeros((findings, scaled.shape[1]))
    intercepts = np.full(findings, offsets.min() - math.log(len(targets) + 1.0))  # a class missing from a fold
    coefficients[model.classes_], intercepts[model.classes_] = rows, offsets
    return coefficients, intercepts
