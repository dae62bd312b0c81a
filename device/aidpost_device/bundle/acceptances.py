"""What a bundle was packed in spite of, in a line."""

from __future__ import annotations

from aidpost_device.bundle.manifest import Manifest


def acceptances_line(manifest: Manifest) -> str:
    """Say how many gates a person overruled and how much could not be judged; empty where neither happened."""
    accepted = sum(bool(one.reason) for one in manifest.acceptances)
    gates = f"packed in spite of {accepted} {'gate' if accepted == 1 else 'gates'}, accepted by a person"
    return "; ".join(filter(None, (gates if accepted else "", unjudged_line(manifest))))


def unjudged_line(manifest: Manifest) -> str:
    """Say how much could not be judged; empty where everything could."""
    unknown = sum(not one.reason for one in manifest.acceptances)
    return f"{unknown} {'thing' if unknown == 1 else 'things'} not judged for lack of cases" if unknown else ""
