"""Deletion and insertion: does the probability hang on what the map shows? (Petsiuk, Das and Saenko, RISE, BMVC 2018)

Cells are not blurred or greyed, as in the paper, but exchanged for those of a healthy case of the training rows. A film
without detail is no film without the disease: networks exist that call every blurred, grey or black picture positive,
and then taking cells away proves nothing. A healthy case holds no evidence by what the network itself says of it. The
seams are soft, because sharp edges disturb a network more than what lies between them.
Axes: B images, H, W, C; h, w of the map; F shares of the cells; N cases; O orders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aidpost_export.cases import Cases
from aidpost_export.explanations.chosen import Subject
from aidpost_export.explanations.random_maps import Map, rolled, with_random_phases
from aidpost_export.explanations.record import Curve, Faithfulness
from aidpost_export.progress import Bar
from aidpost_export.resampling import Bootstrap
from aidpost_export.statistics import Interval

SHARES = tuple(step / 6 for step in range(7))
"""Shares of the cells that are exchanged."""
RANDOM = 4
"""Random maps for each case: half with random phases, half of other cases."""

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Gives the probabilities of images: (B, H, W, C) → (B, K)."""


def measure(
    subjects: Sequence[Subject],
    maps: Sequence[Map],  # N of (h, w)
    cases: Cases,
    pixels: NDArray[np.uint8],  # (all cases, H, W, C)
    predict: Predict,
    bar: Bar,
) -> Faithfulness:
    """Measure at least two cases."""
    random = np.random.default_rng(0)
    curves = []  # N of (2, O, F)
    for number, (subject, own) in enumerate(zip(subjects, maps, strict=True)):
        others = [maps[i] for i in random.permutation(len(maps)) if i != number]
        orders = [own, others[0]]
        orders += [with_random_phases(own, random) for _ in range(RANDOM // 2)]
        orders += [rolled(others[i % len(others)], random) for i in range(RANDOM // 2)]
        scan, healthy = np.array(pixels[subject.row]), np.array(pixels[subject.healthy])
        curves.append(_curves(orders, scan, healthy, subject.finding, predict))
        bar.advance()
    return summarise(np.stack(curves), subjects, cases)


def summarise(curves: NDArray[np.float64], subjects: Sequence[Subject], cases: Cases) -> Faithfulness:
    """Put the curves together: (N, 2, O, F), deletion then insertion; orders: the map, another's, the random ones."""
    deletion, insertion = curves[:, 0], curves[:, 1]  # (N, O, F)
    patients = [cases.patients[subject.row] for subject in subjects]
    lost, won = area(deletion), area(insertion)  # (N, O)
    deletion_gain, insertion_gain = lost[:, 2:].mean(1) - lost[:, 0], won[:, 0] - won[:, 2:].mean(1)
    labels = [cases.labels[subject.finding] for subject in subjects]
    return Faithfulness(
        cases=len(subjects),
        patients=len(set(patients)),
        findings={label: labels.count(label) for label in dict.fromkeys(labels)},
        deletion=_mean_curve(deletion),
        insertion=_mean_curve(insertion),
        deletion_gain=mean_interval(deletion_gain, patients),
        insertion_gain=mean_interval(insertion_gain, patients),
        other_gain=mean_interval((lost[:, 1] - lost[:, 0] + won[:, 0] - won[:, 1]) / 2, patients),
    )


def area(curves: NDArray[np.float64]) -> NDArray[np.float64]:  # (..., F) → (...)
    """Area under probability curves over the shares, in [0, 1]."""
    found: NDArray[np.float64] = (curves[..., 1:] + curves[..., :-1]) @ np.diff(SHARES) / 2
    return found


def mean_interval(values: NDArray[np.float64], patients: Sequence[str]) -> Interval:  # (N,)
    """Mean with its 95 % interval by patients."""
    resamples = Bootstrap(patients, np.zeros(len(values)))
    edges = resamples.intervals(lambda weights: (weights @ values / weights.sum(1))[:, None])[:, 0]
    value = float(values.mean())
    return Interval(value=value, low=min(value, float(edges[0])), high=max(value, float(edges[1])))


def seams(order: Map, size: tuple[int, int]) -> NDArray[np.float32]:  # (F - 2, H, W) in [0, 1]
    """How far each pixel belongs to the first cells of an order, at each share but none and all."""
    place = np.empty(order.size, np.intp)
    place[np.argsort(-order.ravel(), kind="stable")] = np.arange(order.size)
    parts = []
    for share in SHARES[1:-1]:
        first = (place < round(share * order.size)).reshape(order.shape).astype(np.float32)
        parts.append(np.asarray(Image.fromarray(first).resize(size[::-1], Image.Resampling.BILINEAR)))
    return np.stack(parts)


def _curves(
    orders: Sequence[Map],
    scan: NDArray[np.uint8],  # (H, W, C)
    healthy: NDArray[np.uint8],  # (H, W, C)
    finding: int,
    predict: Predict,
) -> NDArray[np.float64]:  # (2, O, F)
    first, last = predict(np.stack([scan, healthy]))[:, finding]
    found = np.empty((2, len(orders), len(SHARES)))
    found[0, :, 0] = found[1, :, -1] = first
    found[0, :, -1] = found[1, :, 0] = last
    for o, order in enumerate(orders):
        part = seams(order, scan.shape[:2])[..., None]
        deleted, inserted = _blend(scan, healthy, part), _blend(healthy, scan, part)
        found[:, o, 1:-1] = predict(np.concatenate([deleted, inserted]))[:, finding].reshape(2, -1)
    return found


def _blend(under: NDArray[np.uint8], over: NDArray[np.uint8], part: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay one image over another where `part`, (F - 2, H, W, 1), says so."""
    mixed = under + part * (over.astype(np.float32) - under)
    return np.rint(mixed).astype(np.uint8)


def _mean_curve(curves: NDArray[np.float64]) -> Curve:  # (N, O, F)
    own, random = curves[:, 0].mean(0), curves[:, 2:].mean((0, 1))
    return Curve(shares=SHARES, own=tuple(map(float, own)), random=tuple(map(float, random)))
