"""How alike two maps are: by the order of their cells, because only the order says where to look.

Two checks rest on it. With random weights at its end the network knows nothing, so its map must be another one (Adebayo
et al., "Sanity Checks for Saliency Maps", NeurIPS 2018). With 8 bits it knows the same, so its map must be the same.
Axes: N maps of h, w.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aidpost_device.bundle.manifest import Zone
from aidpost_device.region import name_region
from aidpost_export.explanations.record import Randomised
from aidpost_export.network import ScreeningNetwork

DRAWS = 3
"""Networks with random weights."""
_MOST = 12
"""Cases that they are run on."""


def rank_correlations(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spearman's rank correlation of each pair of maps; 0 where one of them is flat.  # (N, h, w) twice → (N,)"""
    a, b = _ranks(first), _ranks(second)
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: NDArray[np.float64] = np.divide((a * b).sum(1), size, out=np.zeros(len(a)), where=size > 0)
    return found


def _ranks(maps: NDArray[np.floating]) -> NDArray[np.float64]:  # (N, h, w) → (N, h * w), mean 0
    """Ranks of the cells; equal cells share the mean of theirs."""
    ranked = np.empty((len(maps), maps[0].size))
    for row, cells in zip(ranked, maps.reshape(len(maps), -1), strict=True):
        _, group, count = np.unique(cells, return_inverse=True, return_counts=True)
        row[:] = (np.cumsum(count) - (count + 1) / 2)[group]
    centred: NDArray[np.float64] = ranked - ranked.mean(1, keepdims=True)
    return centred


def same_zones(
    first: NDArray[np.floating],  # (N, h, w)
    second: NDArray[np.floating],  # (N, h, w)
    zones: Sequence[Zone],
    pixels: NDArray[np.uint8],  # (N, H, W, C)
) -> float | None:
    """Share of the cases in which both maps name the same zone, or both none; None without zones."""
    if not zones:
        return None
    pairs = zip(first, second, pixels, strict=True)
    return float(np.mean([name_region(a, zones, scan) == name_region(b, zones, scan) for a, b, scan in pairs]))


@torch.no_grad()
def randomise(
    network: ScreeningNetwork,
    maps: NDArray[np.floating],  # (N, h, w)
    findings: Sequence[int],  # N
    pixels: NDArray[np.uint8],  # (N, H, W, C)
) -> Randomised:
    """Draw the weights of the head and of the last half of the stages anew, and compare the maps with the network's."""
    count = min(_MOST, len(maps))
    kept = len(network.stages) // 2
    planes = torch.from_numpy(np.ascontiguousarray(pixels[:count].transpose(0, 3, 1, 2)))
    features = torch.cat([_begin(network, part, kept) for part in torch.split(planes, 4)])
    which = (np.arange(count), np.asarray(findings[:count]))
    found = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        drawn = copy.deepcopy(nn.ModuleList([*network.stages[kept:], network.head]))
        for module in drawn.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        stages, head = drawn.eval()[:-1], cast(nn.Linear, drawn[-1])
        heat = torch.cat([_finish(stages, head, part) for part in torch.split(features, 4)])  # (N, K, h, w)
        found.append(np.abs(rank_correlations(maps[:count], heat.numpy()[which])).mean())
    return Randomised(cases=count, stages=len(network.stages) - kept, correlation=float(np.mean(found)))


def _begin(network: ScreeningNetwork, planes: torch.Tensor, stages: int) -> torch.Tensor:
    x = network.normalise(planes)
    for stage in network.stages[:stages]:
        x = stage(x)
    return x


def _finish(stages: Iterable[nn.Module], head: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    for stage in stages:
        x = stage(x)
    return nn.functional.conv2d(x, head.weight[:, :, None, None])
