"""Which members of a stored record an update leaves alone (spec 05 W23, 07 C7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from myownmesh.store.network_config import NetworkConfig

KEPT = ("kind", "pinned_peers", "roster_path")
"""Taken from the stored record when the request leaves them out. Never `label`, `auto_approve` or the ICE lists: the
stock GUI clears those by leaving them out (07 §4.4)."""

KEPT_SIGNALING = ("strategy", "mdns", "redundancy", "denylist", "public_fallback", "listen_only", "sealed")
"""All of `signaling` but `servers`, for the same reason."""


def kept_from(stored: NetworkConfig, record: NetworkConfig, given: frozenset[str]) -> NetworkConfig:
    """`record` with what the request did not mention taken from `stored`, members that we do not know included."""
    signaling = {name: getattr(stored.signaling, name) for name in KEPT_SIGNALING if f"signaling.{name}" not in given}
    return replace(
        record,
        **{name: getattr(stored, name) for name in KEPT if name not in given},
        signaling=replace(
            record.signaling, **signaling, unknown={**stored.signaling.unknown, **record.signaling.unknown}
        ),
        unknown={**stored.unknown, **record.unknown},
    )
