"""Names of the rendezvous: the room of a network, and the settings that lead there (spec 03 §2–3)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_APP_ID = "myownmesh-cloud-mesh-v1"
APP_ID_VARIABLE = "MYOWNMESH_TRYSTERO_APP_ID"


class SignalingSettings(Protocol):
    """The members of `networks[].signaling` that the Nostr client reads (spec 03 §3)."""

    @property
    def servers(self) -> Sequence[str]: ...
    @property
    def redundancy(self) -> int: ...
    @property
    def denylist(self) -> Sequence[str]: ...
    @property
    def public_fallback(self) -> bool: ...
    @property
    def listen_only(self) -> bool: ...


def app_id_of(environment: Mapping[str, str]) -> str:
    """The application id in force; an empty override is taken literally."""
    return environment.get(APP_ID_VARIABLE, DEFAULT_APP_ID)


def room_handle(app_id: str, network_id: str) -> str:
    """64 hex digits that every member of the network computes alike. `network_id` is already normalised."""
    return hashlib.sha256(f"{app_id}:{network_id}".encode()).hexdigest()


def remote_driver(strategy: str) -> str | None:
    """The remote driver that a strategy names: "nostr" or None. Unknown text never selects the public relays."""
    return "nostr" if strategy in ("", "nostr") else None
