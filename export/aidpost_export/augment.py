"""Random changes of training images, on a whole batch at once. All randomness comes from torch's generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from aidpost_export.recipe import Augmentation


def augment(pixels: Tensor, amounts: Augmentation) -> Tensor:
    """Change each image of a batch by its own random amounts; grey levels stay in [0, 255].  # (N, C, H, W)"""
    count = len(pixels)
    grid = F.affine_grid(_placement(count, amounts), list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels.float() / 255, grid, align_corners=False, padding_mode="border")
    gamma = torch.exp(_either_way(count, amounts.gamma))
    contrast, brightness = 1 + _either_way(count, amounts.contrast), _either_way(count, amounts.brightness)
    shape = (count, 1, 1, 1)
    toned = moved.clamp(0, 1) ** gamma.view(shape)
    toned = (toned - 0.5) * contrast.view(shape) + 0.5 + brightness.view(shape)
    return toned.clamp(0, 1) * 255


def _either_way(count: int, amount: float) -> Tensor:
    return (torch.rand(count) * 2 - 1) * amount


def _placement(count: int, amounts: Augmentation) -> Tensor:
    """Affine matrices: flip, turn, scale and shift.  # (N, 2, 3)"""
    angle = _either_way(count, math.radians(amounts.rotate))
    scale = 1 + _either_way(count, amounts.scale)
    mirror = torch.ones(count)
    if amounts.flip != "none":
        mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    if amounts.flip == "dihedral":
        angle = angle + torch.randint(0, 4, (count,)) * (math.pi / 2)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = cosine * mirror, -sine
    matrix[:, 1, 0], matrix[:, 1, 1] = sine * mirror, cosine
    matrix[:, :, 2] = (torch.rand(count, 2) * 2 - 1) * 2 * amounts.shift  # the grid runs from -1 to 1
    return matrix
