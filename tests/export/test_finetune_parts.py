"""The parts of adaptation: frozen stages, the head, augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aidpost_export.augment import augment
from aidpost_export.frozen import EagerStages, FrozenStages
from aidpost_export.head import STRENGTHS, choose_strength, fit_head
from aidpost_export.network import named_record, random_network
from aidpost_export.recipe import Activation, Augmentation

NOTHING = Augmentation(rotate=0, scale=0, shift=0, gamma=0, contrast=0, brightness=0)


@pytest.mark.parametrize("architecture", ["mobilenet-v2-0.5", "resnet-18"])
def test_the_runtime_computes_what_torch_computes(architecture: str) -> None:
    torch.manual_seed(0)
    network = random_network(named_record(architecture, 1), 1).eval()
    depth = len(network.stages) // 2
    pixels = torch.randint(0, 256, (5, 1, 96, 96), dtype=torch.uint8)
    eager = EagerStages(network, depth, "cpu")(pixels)
    runtime = FrozenStages(network, depth, size=96, channels=1, threads=1)(pixels)
    assert runtime.shape == eager.shape
    assert float((runtime - eager).abs().max()) <= 1e-4 * float(eager.max() - eager.min())


def test_no_augmentation_leaves_the_pixels() -> None:
    pixels = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)
    assert torch.allclose(augment(pixels, NOTHING), pixels.float(), atol=0.01)


@given(
    rotate=st.floats(0, 180),
    scale=st.floats(0, 0.9),
    gamma=st.floats(0, 1.9),
    flip=st.sampled_from(["none", "horizontal", "dihedral"]),
)
@settings(max_examples=30, deadline=None)
def test_augmented_pixels_stay_grey_levels(rotate: float, scale: float, gamma: float, flip: str) -> None:
    amounts = Augmentation(rotate=rotate, scale=scale, gamma=gamma, flip=flip)  # type: ignore[arg-type]
    changed = augment(torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8), amounts)
    assert changed.shape == (3, 3, 16, 16)
    assert bool(((changed >= 0) & (changed <= 255)).all())


def test_a_dihedral_flip_gives_all_eight_pictures() -> None:
    torch.manual_seed(0)
    picture = torch.arange(16.0).view(1, 1, 4, 4).expand(400, 1, 4, 4)
    amounts = Augmentation(rotate=0, scale=0, shift=0, gamma=0, contrast=0, brightness=0, flip="dihedral")
    seen = {tuple(np.round(image.flatten().numpy(), 1)) for image in augment(picture, amounts)}
    assert len(seen) == 8


@pytest.mark.parametrize(("activation", "findings"), [("sigmoid", 1), ("sigmoid", 3), ("softmax", 2), ("softmax", 4)])
def test_the_head_separates_what_can_be_separated(activation: Activation, findings: int) -> None:
    random = np.random.default_rng(0)
    kinds = random.integers(0, max(findings, 2), 400)
    targets = np.stack([kinds == kind for kind in range(findings)], 1).astype(np.float32)
    embeddings = random.normal(0, 1, (400, 12)).astype(np.float32)
    embeddings[np.arange(400), kinds] += 4
    patients = [f"p{number // 2}" for number in range(300)]
    strength = choose_strength(embeddings[:300], targets[:300], patients, activation)
    head = fit_head(embeddings[:300], targets[:300], strength, activation)
    logits = head.logits(embeddings[300:])
    if activation == "softmax":
        assert (logits.argmax(1) == kinds[300:]).mean() > 0.9
    else:
        assert ((logits > 0) == (targets[300:] > 0.5)).mean() > 0.9


def test_without_anything_to_learn_the_strongest_penalty_is_chosen() -> None:
    random = np.random.default_rng(0)
    embeddings, targets = random.normal(0, 1, (120, 40)).astype(np.float32), random.integers(0, 2, (120, 1))
    patients = [f"p{number}" for number in range(120)]
    assert choose_strength(embeddings, targets.astype(np.float32), patients, "sigmoid") == STRENGTHS[0]


@pytest.mark.parametrize("positives", [0, 5])
def test_a_finding_that_a_fold_lacks_gets_its_frequency(positives: int) -> None:
    targets = np.zeros((5, 1), np.float32)
    targets[:positives] = 1
    logits = fit_head(np.eye(5, dtype=np.float32), targets, 0.1, "sigmoid").logits(np.eye(5, dtype=np.float32))
    assert np.allclose(logits, np.log((positives + 0.5) / (5.5 - positives)))
