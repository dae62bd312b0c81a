"""Every error of the workstation, on one page."""

from aidpost_device.errors import AidpostError


class ExportError(AidpostError):
    """Base of the workstation's errors."""


class RecipeError(ExportError):
    """A recipe is missing, does not parse or contradicts itself."""


class DatasetError(ExportError):
    """The dataset cannot be trained on as it stands. The message names the rows."""


class BaseError(ExportError):
    """The pretrained base is missing, incomplete or of a kind that has no exact class-activation map."""


class RunError(ExportError):
    """A run folder lacks what this step needs, or belongs to other inputs."""


class ParityError(ExportError):
    """The exported graph does not compute what the trained network computes. Nothing is packed."""


class PackError(ExportError):
    """The bundle cannot be packed."""


class GateError(PackError):
    """Some people would be served worse than the recipe allows, and nobody accepted it with a reason."""
