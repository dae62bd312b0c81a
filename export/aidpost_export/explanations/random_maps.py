"""Random maps as smooth as a real one: what a map must beat before it is called an explanation.

A map of single random cells would be an easy opponent, because cells that lie apart disturb the network more than
cells that lie together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float64]  # (h, w)


def with_random_phases(own: Map, random: np.random.Generator) -> Map:
    """A map with the same power at each frequency, laid anywhere (Theiler et al., Physica D 1992)."""
    spectrum = np.fft.fft2(own - own.mean())
    noise = np.fft.fft2(random.normal(size=own.shape))  # of a real image, so that the result is real
    drawn: Map = np.fft.ifft2(np.abs(spectrum) * np.exp(1j * np.angle(noise))).real
    return drawn


def rolled(other: Map, random: np.random.Generator) -> Map:
    """The map of another case, moved round its edges to anywhere."""
    down, across = (int(random.integers(side)) for side in other.shape)
    return np.roll(other, (down, across), (0, 1))
