"""The screening network: uint8 pixels in; logits, class-activation map and embedding out.

The head is global average pooling and one linear layer, so the map is exact: its mean over the image plus the bias
is the logit (Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from msgspec import Struct
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForImageClassification, PretrainedConfig

from aidpost_device.durable import write_durably
from aidpost_export.errors import BaseError

SUPPORTED = ("mobilenet_v2", "resnet")
"""Hugging Face model types whose head is pooling and a linear layer, so that the map is exact."""

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "mobilenet-v2": {"model_type": "mobilenet_v2", "depth_multiplier": 1.0},
    "mobilenet-v2-0.5": {"model_type": "mobilenet_v2", "depth_multiplier": 0.5},
    "resnet-18": {
        "model_type": "resnet",
        "layer_type": "basic",
        "depths": [2, 2, 2, 2],
        "hidden_sizes": [64, 128, 256, 512],
        "embedding_size": 64,
    },
    "resnet-10-narrow": {
        "model_type": "resnet",
        "layer_type": "basic",
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [24, 48, 96, 192],
        "embedding_size": 24,
    },
}
"""Backbones that can be trained from random weights (Sandler et al., CVPR 2018; He et al., CVPR 2016)."""


class Outputs(NamedTuple):
    """What the network gives for N images and K findings."""

    logits: Tensor  # (N, K)
    map: Tensor  # (N, K, h, w)
    embedding: Tensor  # (N, D)


class NetworkRecord(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to build a network's modules again; the weights lie in `model.safetensors`."""

    architecture: dict[str, Any]
    """The Hugging Face configuration, `model_type` included."""
    mean: tuple[float, ...]
    """Per RGB channel, in [0, 1]."""
    std: tuple[float, ...]
    """Per RGB channel, in (0, 1]."""
    findings: int
    """K."""


class ScreeningNetwork(nn.Module):
    """A backbone of ordered stages, pooling and a linear head."""

    mean: Tensor
    std: Tensor

    def __init__(self, record: NetworkRecord) -> None:
        super().__init__()
        self.record = record
        self.stages, width = _build_stages(record.architecture)
        self.head = nn.Linear(width, record.findings)
        self.register_buffer("mean", torch.tensor(record.mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(record.std).view(1, 3, 1, 1) * 255, persistent=False)

    @property
    def width(self) -> int:
        """Length of the embedding, D."""
        return self.head.in_features

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn grey levels in [0, 255], (N, 1 or 3, H, W), into the backbone's input.  # (N, 3, H, W) float32"""
        normalised: Tensor = (pixels.float().expand(-1, 3, -1, -1) - self.mean) / self.std
        return normalised

    def features(self, pixels: Tensor) -> Tensor:
        """Run the backbone.  # (N, D, h, w)"""
        x = self.normalise(pixels)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, pixels: Tensor) -> Outputs:
        """Run the network on grey levels (N, 1 or 3, H, W)."""
        features = self.features(pixels)
        weights = self.head.weight[:, :, None, None]  # (K, D, 1, 1)
        cam = F.conv2d(features, weights)  # (N, K, h, w)
        return Outputs(cam.mean((2, 3)) + self.head.bias, cam, features.mean((2, 3)))

    def save(self, folder: Path) -> None:
        """Write `network.json` and `model.safetensors`, durably."""
        weights = {name: value.contiguous() for name, value in self.state_dict().items()}
        write_durably(folder / "model.safetensors", save(weights))
        write_durably(folder / "network.json", msgspec.json.format(msgspec.json.encode(self.record), indent=1))


def load_network(folder: Path) -> ScreeningNetwork:
    """Load a network that `ScreeningNetwork.save` wrote, in evaluation mode."""
    try:
        record = msgspec.json.decode((folder / "network.json").read_bytes(), type=NetworkRecord)
        network = ScreeningNetwork(record)
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, msgspec.DecodeError, RuntimeError) as error:
        raise BaseError(
            f"{folder} holds no usable network: {error}.", "Name a finished run or a base folder."
        ) from error
    return network.eval()


def load_base(folder: Path, findings: int) -> ScreeningNetwork:
    """Load a pretrained base, a Hugging Face folder or an earlier run, with a new head for K findings.

    Raises `BaseError` when the folder lacks something or its head would not give an exact map.
    """
    if (folder / "network.json").is_file():
        earlier = load_network(folder)
        record = msgspec.structs.replace(earlier.record, findings=findings)
        network = ScreeningNetwork(record)
        network.stages.load_state_dict(earlier.stages.state_dict())
        return network.eval()
    config = _read_config(folder)
    mean, std = _read_normalisation(folder)
    if not (folder / "model.safetensors").is_file():  # the record of a run has the digest of this file and of no other
        raise BaseError(
            f"The base {folder} has no model.safetensors.",
            "Copy that file too; weights in another form or in several files have to be saved as this one first.",
        )
    network = ScreeningNetwork(NetworkRecord(architecture=_architecture(config), mean=mean, std=std, findings=findings))
    try:
        pretrained = AutoModelForImageClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise BaseError(f"The base {folder} cannot be loaded: {error}.", "Copy the whole folder again.") from error
    network.stages.load_state_dict(_stages(pretrained).state_dict())
    return network.eval()


def random_network(like: NetworkRecord, findings: int) -> ScreeningNetwork:
    """Build a network of the same architecture with random weights (of torch's current seed)."""
    return ScreeningNetwork(msgspec.structs.replace(like, findings=findings))


def named_record(architecture: str, findings: int) -> NetworkRecord:
    """One of the architectures that can be trained from random weights. Raises `BaseError` for another name."""
    if architecture not in ARCHITECTURES:
        raise BaseError(f"There is no architecture {architecture!r}.", "Use one of: " + ", ".join(ARCHITECTURES) + ".")
    half = (0.5, 0.5, 0.5)
    return NetworkRecord(
        architecture=_architecture(AutoConfig.for_model(**ARCHITECTURES[architecture])),
        mean=half,
        std=half,
        findings=findings,
    )


def _architecture(config: PretrainedConfig) -> dict[str, Any]:
    """The configuration without the names of its old classes, which the new task does not have."""
    kept: dict[str, Any] = config.to_dict()
    for key in (
        "id2label",
        "label2id",
        "architectures",
        "dtype",
        "torch_dtype",
        "transformers_version",
        "_name_or_path",
    ):
        kept.pop(key, None)
    return kept


def _read_config(folder: Path) -> PretrainedConfig:
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise BaseError(
            f"{folder} is no base: {error}.",
            "A base is a Hugging Face folder with config.json, preprocessor_config.json and model.safetensors.",
        ) from error
    if config.model_type not in SUPPORTED:
        raise BaseError(
            f"The base {folder} is a {config.model_type!r}, whose head gives no exact class-activation map.",
            "Use a base of one of these kinds: " + ", ".join(SUPPORTED) + ".",
        )
    return config


def _read_normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    path = folder / "preprocessor_config.json"
    try:
        settings = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        mean, std = tuple(map(float, settings["image_mean"])), tuple(map(float, settings["image_std"]))
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise BaseError(
            f"{path} does not say how the base's pixels were normalised: {error}.",
            "Copy preprocessor_config.json with image_mean and image_std from where the base came.",
        ) from error
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise BaseError(f"{path}: image_mean and image_std need three numbers, std above 0.", "Correct the file.")
    return mean, std


def _build_stages(architecture: dict[str, Any]) -> tuple[nn.ModuleList, int]:
    """Build the backbone's stages with random weights and say how wide the last one is."""
    kind = architecture.get("model_type")
    if kind not in SUPPORTED:
        raise BaseError(f"A network of kind {kind!r} is not supported.", "Use one of: " + ", ".join(SUPPORTED) + ".")
    config = AutoConfig.for_model(**architecture)
    model = AutoModelForImageClassification.from_config(config)  # type: ignore[no-untyped-call]
    classifier = model.classifier if kind == "mobilenet_v2" else model.classifier[-1]
    return _stages(model), int(classifier.in_features)


def _stages(model: nn.Module) -> nn.ModuleList:
    """The backbone of a Hugging Face classifier as an ordered list, input first."""
    if hasattr(model, "mobilenet_v2"):
        backbone: Any = model.mobilenet_v2
        return nn.ModuleList([backbone.conv_stem, *backbone.layer, backbone.conv_1x1])
    resnet: Any = model.resnet
    return nn.ModuleList([resnet.embedder, *(layer for stage in resnet.encoder.stages for layer in stage.layers)])
