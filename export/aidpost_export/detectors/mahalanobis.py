"""The distance: how far an embedding lies from the nearest kind of scan that the detectors were shown.

Class-conditional Mahalanobis distance (Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution
Samples and Adversarial Attacks", NeurIPS 2018). All classes share one covariance, that of probabilistic principal
component analysis (Tipping and Bishop, J. R. Stat. Soc. B 1999): r directions with variances of their own, and one
variance for all the others, so that a few hundred scans are enough:

    d(z) = min over c of sqrt( sum over i of (w_i . (z - c))^2 / v_i  +  |z - c - W W'(z - c)|^2 / s )

Axes: N embeddings, D their length, C classes, r directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RANK = 32
"""Directions that have a variance of their own, at most."""
CASES_EACH = 8
"""Embeddings that each of them needs."""
FLOOR = 1e-6
"""Smallest variance, as a fraction of the mean one: an output that never moved says little when it does."""

TINY = 1e-12
"""Smallest variance of all: embeddings that are all alike have none."""


@dataclass(frozen=True)
class Mahalanobis:
    """A fitted distance. It holds means over many scans and directions, and no scan."""

    basis: Values
    """Orthonormal directions.  # (D, r)"""
    precision: Values
    """One over the standard deviation along each.  # (r,)"""
    rest: float
    """One over the standard deviation across the others."""
    centres: Values
    """Whitened class means.  # (C, r + D)"""

    def whiten(self, embedding: Values) -> Values:
        """Bring embeddings to where the covariance is one.  # (N, D) → (N, r + D)"""
        along = embedding @ self.basis
        across = embedding - along @ self.basis.T
        return np.concatenate([along * self.precision, across * self.rest], axis=1)

    def distances(self, embedding: NDArray[np.floating]) -> Values:
        """Measure the distance to the nearest class.  # (N, D) → (N,)"""
        white = self.whiten(embedding.astype(np.float64))
        squares = [((white - centre) ** 2).sum(axis=1) for centre in self.centres]
        nearest: Values = np.sqrt(np.min(squares, axis=0))
        return nearest


def fit_mahalanobis(embedding: NDArray[np.floating], classes: NDArray[np.int_]) -> Mahalanobis:
    """Fit means and covariance.  # (N, D), (N,) → a distance to the nearest of the classes"""
    values = embedding.astype(np.float64)
    found, position = np.unique(classes, return_inverse=True)
    means = np.stack([values[classes == one].mean(axis=0) for one in found])  # (C, D)
    left = values - means[position]
    count, length = left.shape
    rank = max(1, min(RANK, length // 2, count // CASES_EACH))
    variances, directions = np.linalg.eigh(left.T @ left / count)  # ascending
    least = max(FLOOR * float(variances.mean()), TINY)
    basis = directions[:, -rank:]
    along = np.maximum(variances[-rank:], least)
    across = max(float(variances[:-rank].mean()), least)
    blank = Mahalanobis(basis, along**-0.5, across**-0.5, np.zeros((0, rank + length)))
    return Mahalanobis(basis, blank.precision, blank.rest, blank.whiten(means))
