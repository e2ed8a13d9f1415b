"""Categories and wording of diagnostics (spec 04 §9.3)."""

from __future__ import annotations

from typing import Literal

from myownmesh.protocol.ids import short_id

__all__ = ["Category", "reason_word", "short_id"]

Category = Literal[
    "auth",
    "clock",
    "engine",
    "governance",
    "handshake",
    "heartbeat",
    "ice",
    "invite",
    "media",
    "network",
    "peer",
    "phase",
    "roster",
    "signaling",
    "topology",
    "transport",
]


def reason_word(kind: str) -> str:
    """A drop reason as people and waiting callers read it: `ice_failed` → `IceFailed`."""
    return "".join(part.capitalize() for part in kind.split("_"))
