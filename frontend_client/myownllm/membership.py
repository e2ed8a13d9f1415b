"""Which networks the daemon must leave and join so that exactly the active one is joined (spec 08 §5.4, §8). Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal

from mesh_common.values import Value
from myownllm.catalog.network import USUAL_SIGNALING
from myownllm.coerce import as_object, strings
from myownllm.ids import comparable_network_id

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from myownllm.catalog.network import SavedNetwork
    from myownllm.coerce import Json, JsonObject

DaemonMode = Literal["shared", "own_llm"]
MAPPED_MEMBERS: Final = (
    "label", "kind", "topology", "signaling", "stun_servers", "turn_servers", "auto_approve",
)  # fmt: skip


class Leave(Value, frozen=True):
    """`network_remove` of a wire id."""

    network_id: str


class Join(Value, frozen=True):
    """`network_add` of a saved record."""

    config_id: str


def plan(
    joined: Sequence[str] | None,
    active: SavedNetwork | None,
    mode: DaemonMode,
    added_by_us: Collection[str] = (),
    *,
    strict: bool = False,
) -> list[Leave | Join]:
    """The operations, in order: leave everything else that is ours to leave, then join the active network.

    `joined` is None when it could not be read: then nothing is done, because an unread set is not an empty one.
    On a daemon that is shared with another app only networks that this app added may be left, unless `strict`.
    """
    if joined is None:
        return []
    wanted = None if active is None else active.wire_id
    ours = {comparable_network_id(n) for n in added_by_us}
    operations: list[Leave | Join] = [
        Leave(n)
        for n in joined
        if comparable_network_id(n) != wanted and (mode == "own_llm" or strict or comparable_network_id(n) in ours)
    ]
    if active is not None and wanted not in {comparable_network_id(n) for n in joined}:
        operations.append(Join(active.id))
    return operations


def is_joined(joined: Sequence[str], network_id: str) -> bool:
    wanted = comparable_network_id(network_id)
    return any(comparable_network_id(n) == wanted for n in joined)


def drifted(stored: JsonObject, wanted: JsonObject, *, keeps_all: bool = False) -> tuple[str, ...]:
    """Members of a mapped record (FE-6.9) that differ from the daemon's stored one; its own defaults count as equal.

    `keeps_all` says that the daemon keeps whatever it is told, as ours does: what its record lacks is as usual there.
    """
    drift = [m for m in MAPPED_MEMBERS if _canonical(m, stored.get(m)) != _canonical(m, wanted.get(m))]
    # What only newer daemons know is no drift on one that keeps nothing of it: it would be told of it forever.
    kept, named = as_object(stored.get("signaling")), as_object(wanted.get("signaling"))
    if keeps_all:
        kept = {**USUAL_SIGNALING, **kept}
    if "signaling" not in drift and any(kept.get(k, v) != v for k, v in named.items() if k not in _COMPARED):
        drift.append("signaling")
    return tuple(drift)


_COMPARED: Final = ("strategy", "servers")
"""Of `signaling`, by `_canonical`."""
_GENTLE: Final = frozenset({"label", "topology", "auto_approve"})
"""Members that every daemon changes without taking a link down."""


def is_disruptive(drift: Collection[str]) -> bool:
    """May bringing these members in cut off what runs on the network (spec 08 §8)?"""
    return not _GENTLE.issuperset(drift)


def overlay(stored: JsonObject, wanted: JsonObject) -> JsonObject:
    """The record for `network_update`: the daemon's own members survive, its record id is kept, ours win."""
    merged = {**stored, **wanted, "id": stored.get("id", wanted["id"])}
    merged["signaling"] = {**as_object(stored.get("signaling")), **wanted["signaling"]}
    return merged


def _canonical(member: str, value: Json) -> str:
    match member:
        case "label":
            value = value or ""
        case "kind":
            value = value or "open"
        case "auto_approve":
            value = value is True
        case "topology":
            shape = {k: v for k, v in as_object(value).items() if v is not None}
            value = shape or {"kind": "ring"}
        case "signaling":
            signaling = as_object(value)
            value = [signaling.get("strategy") or "nostr", *strings(signaling.get("servers"))]
        case _:  # ICE servers: one flat list, or one row per server
            rows = [as_object(v) for v in value] if isinstance(value, list) else []
            value = [
                [url, row.get("username") or None, row.get("credential") or None]
                for row in rows
                for url in strings(row.get("urls"))
            ]
    return json.dumps(value, sort_keys=True)
