"""The loss that training lowers and that early stopping watches: cross-entropy, nats."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from aidpost_export.calibrate import fit_temperature
from aidpost_export.recipe import Activation


def training_loss(logits: Tensor, targets: Tensor, activation: Activation, smoothing: float) -> Tensor:
    """Cross-entropy with label smoothing, averaged over the batch.  # both (N, K)"""
    if activation == "softmax":
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)
    return F.binary_cross_entropy_with_logits(logits, targets * (1 - smoothing) + smoothing / 2)


def case_losses(
    logits: NDArray[np.floating], targets: NDArray[np.float32], activation: Activation
) -> NDArray[np.float64]:
    """Cross-entropy of each case, the mean over its findings.  # both (N, K) → (N,)"""
    z, y = torch.from_numpy(logits).double(), torch.from_numpy(targets).double()
    if activation == "softmax":
        losses = F.cross_entropy(z, y, reduction="none")
    else:
        losses = F.binary_cross_entropy_with_logits(z, y, reduction="none").mean(1)
    array: NDArray[np.float64] = losses.numpy()
    return array


def tuning_losses(
    logits: NDArray[np.floating], targets: NDArray[np.float32], activation: Activation
) -> NDArray[np.float64]:
    """Cross-entropy of each case at the temperature that suits these logits best.  # both (N, K) → (N,)

    The temperature is fitted afterwards anyway: a network is not worse for being too sure of what it ranks right.
    """
    return case_losses(logits / fit_temperature(logits, targets, activation), targets, activation)
