"""A bill of materials in CycloneDX 1.5 JSON, from the metadata of what was really packed."""

from __future__ import annotations

import json
import platform
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution


def bill_of_materials(version: str, digest: str, distributions: list[Distribution], timestamp: str) -> bytes:
    """Deterministic: the serial number follows from the artefact's digest."""
    python = platform.python_version()
    components = [
        {
            "type": "platform",
            "name": "CPython",
            "version": python,
            "licenses": [{"license": {"id": "PSF-2.0"}}],
            "purl": f"pkg:generic/cpython@{python}",
        },
        *(_component(dist) for dist in distributions),
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": timestamp,
            "component": {
                "type": "application",
                "name": "myownmesh",
                "version": version,
                "hashes": [{"alg": "SHA-256", "content": digest}],
            },
        },
        "components": components,
    }
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def _component(dist: Distribution) -> dict[str, object]:
    name = dist.name.lower().replace("_", "-")
    meta = dist.metadata
    said = next((meta[key] for key in ("License-Expression", "License") if key in meta), "")
    component: dict[str, object] = {
        "type": "library",
        "name": dist.name,
        "version": dist.version,
        "purl": f"pkg:pypi/{name}@{dist.version}",
    }
    if said and "\n" not in said:
        component["licenses"] = [{"license": {"name": said[:100]}}]
    return component
