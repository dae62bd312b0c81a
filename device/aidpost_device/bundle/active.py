"""The graph in use: the active bundle of a name, the variant that this box runs, and one of its findings."""

from __future__ import annotations

from dataclasses import dataclass

from aidpost_device.bundle.install import active_bundle, active_variant
from aidpost_device.bundle.manifest import Finding, Manifest
from aidpost_device.bundle.variant import FindingNumbers, Variant
from aidpost_device.errors import SettingError
from aidpost_device.home import Home


@dataclass(frozen=True)
class ActiveFinding:
    """One finding of the graph that this box runs."""

    manifest: Manifest
    bundle_sha256: str
    variant: Variant
    finding: Finding

    @property
    def numbers(self) -> FindingNumbers:
        """The bundle's own numbers for it."""
        return self.variant.findings[self.finding.label]

    @property
    def graph(self) -> str:
        """Which graph it is, for people."""
        return f"{self.manifest.name} {self.manifest.version}, variant {self.variant.name}"


def active_finding(home: Home, name: str | None, label: str | None) -> ActiveFinding:
    """Open the active bundle and pick a finding, by default the only one that refers.

    Raises `NoBundleError`, a `BundleError`, or `SettingError` where the finding is not clear.
    """
    bundle = active_bundle(home, name)
    manifest, wanted = bundle.manifest, active_variant(home, bundle.manifest.name)
    return ActiveFinding(manifest, bundle.sha256, manifest.variant(wanted), pick_finding(manifest.findings, label))


def pick_finding(findings: tuple[Finding, ...], label: str | None) -> Finding:
    """Pick a finding by its label, else the only one that refers. Raises `SettingError` naming the labels."""
    labels = ", ".join(finding.label for finding in findings)
    if label is None:
        referring = [finding for finding in findings if finding.refers]
        if len(referring) == 1:
            return referring[0]
        raise SettingError(f"{len(referring)} findings refer: {labels}.", "Say which one is meant with --finding.")
    for finding in findings:
        if finding.label == label:
            return finding
    raise SettingError(f"There is no finding {label!r}.", f"The findings are: {labels}.")
