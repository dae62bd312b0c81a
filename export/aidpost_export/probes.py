"""Shortcut probes: how far one comes without looking for disease.

Portable machines for the sicker, one hospital darker than the other: a network learns such things when they help.
Where a probe does nearly as well as the model, the model's figure may not hold elsewhere (Zech et al., PLoS Med 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from aidpost_export.cases import Cases
from aidpost_export.figures import Probe
from aidpost_export.groups import group_values
from aidpost_export.resampling import auroc_interval

INTENSITY = ("mean", "spread", "5th percentile", "95th percentile")
"""Statistics of the grey levels of a whole prepared image."""


def metadata_features(cases: Cases, columns: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Encode what is known beside the pixels, one column per value.  # (N, values) in {0, 1}

    Columns that say the same of every case are left out.
    """
    used, encoded = [], []
    for column in columns:
        values = np.array(group_values(column, cases.columns.get(column, ())))
        levels = np.unique(values)
        if len(levels) > 1:
            used.append(column)
            encoded.append(values[:, None] == levels)
    table = np.concatenate(encoded, axis=1) if encoded else np.zeros((len(cases), 0))
    return tuple(used), table.astype(np.float64)


def intensity_features(pixels: NDArray[np.uint8], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Summarise the grey levels of some images.  # (N, H, W, C) uint8, (M,) → (M, 4) in [0, 255]"""
    levels = np.arange(256)
    found = np.empty((rows.size, len(INTENSITY)))
    for i, row in enumerate(rows):
        image = np.asarray(pixels[row])
        share = np.bincount(image.ravel(), minlength=256) / image.size
        mean = float(share @ levels)
        low, high = np.searchsorted(np.cumsum(share), (0.05, 0.95))
        found[i] = mean, np.sqrt(share @ (levels - mean) ** 2), low, high
    return found


def probe_scores(
    fit: NDArray[np.float64], target: NDArray[np.float32], read: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit a logistic regression on training cases and score others.  # (F, S), (F,) in {0, 1}, (R, S) → (R,)"""
    centre, spread = fit.mean(axis=0), fit.std(axis=0)
    spread[spread == 0] = 1
    model = LogisticRegression(max_iter=1000).fit((fit - centre) / spread, target > 0)
    scores: NDArray[np.float64] = model.decision_function((read - centre) / spread)
    return scores


def shortcut_probes(
    cases: Cases,
    pixels: NDArray[np.uint8],
    columns: Sequence[str],
    validation: NDArray[np.intp],  # (V,)
    inside: NDArray[np.bool_],  # (V, K)
) -> tuple[tuple[Probe, ...], ...]:
    """Probe each finding: fitted on the training cases, measured on its validation cases, `inside`.  # K tuples"""
    training = cases.where("fit", "tuning")
    rows = np.concatenate([training, validation])
    patients = np.array(cases.patients)[validation]
    used, known = metadata_features(cases, columns)
    sources: list[tuple[Literal["metadata", "intensity"], tuple[str, ...], NDArray[np.float64]]] = []
    if used:
        sources.append(("metadata", used, known[rows]))
    sources.append(("intensity", INTENSITY, intensity_features(pixels, rows)))
    found = []
    for k in range(len(cases.labels)):
        target = cases.targets[:, k]
        probes = []
        for kind, uses, features in sources:
            if len(np.unique(target[training])) < 2:
                continue
            scores = probe_scores(features[: training.size], target[training], features[training.size :])
            counted = inside[:, k]
            area = auroc_interval(scores[counted], target[validation][counted], patients[counted])
            if area is not None:
                probes.append(Probe(kind=kind, uses=uses, auroc=area))
        found.append(tuple(probes))
    return tuple(found)
