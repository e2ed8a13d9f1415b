"""The cases of `vectors/control-socket.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[2] / "vectors" / "control-socket.json"
VECTORS: dict[str, Any] = json.loads(_FILE.read_text())
OPS: list[dict[str, Any]] = VECTORS["ops"]


def op_cases(served: set[str]) -> list[dict[str, Any]]:
    """The entries of the ops that this release serves."""
    return [case for case in OPS if case["op"] in served]


def encoded(request: object) -> bytes:
    """A request as a line without its end."""
    return json.dumps(request, ensure_ascii=False).encode()
