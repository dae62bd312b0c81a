"""The bill of materials of a model: CycloneDX 1.6 with a model card (https://cyclonedx.org/docs/1.6/json/).

Written as plain JSON: nothing in it but what the run recorded, in an order that never changes.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from aidpost_device.bundle.manifest import Manifest
from aidpost_export.figures import Evaluation
from aidpost_export.run import RunRecord

_NAMESPACE = uuid.UUID("5a0c2d5e-6f0b-5d0e-9a64-0d7c1a3f7e10")


def write_mlbom(manifest: Manifest, record: RunRecord, evaluation: Evaluation) -> bytes:
    """Describe the model, its base, its data and the programs that made it."""
    reference = f"{manifest.name}@{manifest.version}+{manifest.build}"
    serial = uuid.uuid5(_NAMESPACE, f"{reference} {record.dataset_sha256} {record.recipe_sha256} {record.base_sha256}")
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": f"{record.created}T00:00:00Z",
            "tools": {
                "components": [
                    {"type": "application", "name": name, "version": version}
                    for name, version in sorted(record.versions.items())
                ]
            },
            "component": _model(manifest, evaluation, reference),
        },
        "components": [_base(record), _dataset(manifest, record)],
        "dependencies": [
            {"ref": reference, "dependsOn": ["base", "dataset"]},
            {"ref": "base", "dependsOn": []},
            {"ref": "dataset", "dependsOn": []},
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _model(manifest: Manifest, evaluation: Evaluation, reference: str) -> dict[str, Any]:
    metrics = [
        {
            "type": "AUROC",
            "value": f"{figures.auroc.value:.6f}",
            "slice": f"validation, {figures.label}",
            "confidenceInterval": {
                "lowerBound": f"{figures.auroc.low:.6f}",
                "upperBound": f"{figures.auroc.high:.6f}",
            },
        }
        for figures in evaluation.findings
        if figures.auroc is not None
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.title["en"],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": "classification",
                "inputs": [{"format": "prepared image, uint8"}],
                "outputs": [{"format": "calibrated probability, class-activation map, embedding"}],
                "datasets": [{"ref": "dataset"}],
            },
            "quantitativeAnalysis": {"performanceMetrics": metrics},
            "considerations": {
                "useCases": ["screening: the model assists, a person decides"],
                "technicalLimitations": [caution.text for caution in evaluation.cautions],
            },
        },
    }


def _base(record: RunRecord) -> dict[str, Any]:
    component: dict[str, Any] = {"type": "machine-learning-model", "bom-ref": "base", "name": record.base}
    if record.base_sha256:
        component["hashes"] = [{"alg": "SHA-256", "content": record.base_sha256}]
    if record.base_licence:
        component["licenses"] = [{"license": {"name": record.base_licence}}]
    return component


def _dataset(manifest: Manifest, record: RunRecord) -> dict[str, Any]:
    counts = msgspec.structs.asdict(manifest.provenance.counts)
    return {
        "type": "data",
        "bom-ref": "dataset",
        "name": record.dataset,
        "hashes": [{"alg": "SHA-256", "content": record.dataset_sha256}],
        "data": [
            {
                "type": "dataset",
                "name": record.dataset,
                "sensitiveData": [] if record.synthetic else ["health data; it stays at the workstation"],
                "description": ("generated images; " if record.synthetic else "local scans; ")
                + ", ".join(f"{role} {count}" for role, count in counts.items()),
            }
        ],
    }
