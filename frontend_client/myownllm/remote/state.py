"""What is known of the remote screen now, for whoever shows it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mesh_common.values import Value

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject


class Guest(Value, frozen=True):
    """A browser that was paired."""

    id: str
    address: str = ""
    """where it was seen last since the app began; empty: not yet"""
    is_here: bool = False
    """it has been heard of in the last seconds"""


class RemoteState(Value, frozen=True):
    """`reason` is why a remote screen that is wanted does not run."""

    enabled: bool = False
    port: int = 0
    running: bool = False
    reason: str = ""
    addresses: tuple[str, ...] = ()
    """URLs that devices of the local network open, the likeliest first"""
    guests: tuple[Guest, ...] = ()
    code_until_ms: int | None = None
    """until when a pairing code stands; the code itself is told to who asks"""
    code_voided: bool = False
    """the last code ended by too many wrong attempts"""

    def to_json(self) -> JsonObject:
        told: dict[str, Any] = msgspec.to_builtins(self)
        return {**told, "addresses": [*self.addresses], "guests": [*told["guests"]]}
