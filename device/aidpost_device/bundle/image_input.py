"""What a bundle reads: images, or else it is refused."""

from __future__ import annotations

from aidpost_device.bundle.manifest import ImageInput, Manifest
from aidpost_device.errors import BundleError


def image_input(manifest: Manifest) -> ImageInput:
    """Give the manifest's image input. Raises `BundleError` for tables, which this program does not read."""
    if not isinstance(manifest.input, ImageInput):
        raise BundleError(
            f"The bundle {manifest.name} reads tables of records, not scans.", "Choose a bundle for scans."
        )
    return manifest.input
