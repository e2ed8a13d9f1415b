"""Payloads of the gossip channels: written so that each fits a frame, read as something that a peer made. Pure.

| channel                | payload                                                     |
|------------------------|-------------------------------------------------------------|
| `catalog/announce`     | `{"entries": […], "ts", "truncated"?: true, "fresh"?: true}` |
| `permissions/snapshot` | `{"tools": {"shell", "write_file"}, "ts"}`                  |
| `prompts/snapshot`     | `{"prompts": […], "ts", "tombstones"?: […]}`                |

`fresh` is ours: the sender has just started and knows of nobody's conversations, so whoever knows it answers with its
own. An app that starts on a daemon whose links are up is no new peer to anybody, and would wait for the next minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from myownllm.coerce import as_object, stamp
from myownllm.conversations.names import clean_folder, is_conversation_id
from myownllm.payloads import PayloadError, structure
from myownllm.peers import CatalogEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from myownllm.coerce import Json, JsonObject
    from myownllm.policy import Policy
    from myownllm.prompts import Prompts

CATALOG: Final = "catalog/announce"
PERMISSIONS: Final = "permissions/snapshot"
PROMPTS: Final = "prompts/snapshot"
CEILING_BYTES: Final = 64_000
"""Of one payload as compact JSON (spec 08 §14)."""
_ROOM_BYTES: Final = CEILING_BYTES - 64
"""For the records of a snapshot, beside its other members."""
ENTRIES_MAX: Final = 5000
"""Of one peer's catalog (FE-9.36)."""
TITLE_MAX_CHARS: Final = 200
CLOCK_JUMP_MS: Final = 600_000
"""A catalog older than the one before by less is a late copy; by more, the sender's clock was set (FE-12.38)."""


def size(payload: Json) -> int:
    """Bytes of a payload as compact JSON."""
    return len(msgspec.json.encode(payload))


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def catalog_payload(entries: Iterable[CatalogEntry], ts: int, *, fresh: bool = False) -> JsonObject:
    told: JsonObject = {"entries": [e.to_json() for e in entries], "ts": ts}
    return {**told, "fresh": True} if fresh else told


def newest_that_fit(entries: Sequence[CatalogEntry], ts: int, *, fresh: bool = False) -> JsonObject:
    """A catalog payload below the ceiling: whole, or the newest entries and `truncated` (FE-9.50)."""
    whole = catalog_payload(entries, ts, fresh=fresh)
    if size(whole) <= CEILING_BYTES:
        return whole
    left = CEILING_BYTES - size({**whole, "entries": [], "truncated": True})
    kept = []
    for entry in sorted(entries, key=lambda e: e.updated_at, reverse=True):
        left -= size(entry.to_json()) + 1
        if left < 0:
            break
        kept.append(entry)
    return {**catalog_payload(kept, ts, fresh=fresh), "truncated": True}


def permissions_payload(policy: Policy, ts: int) -> JsonObject:
    return {"tools": policy.to_json(), "ts": ts}


def prompts_payloads(prompts: Prompts, ts: int) -> tuple[list[JsonObject], list[JsonObject]]:
    """Snapshots below the ceiling, and those of single prompts that are not: merging is by id, so any split will do.

    Without prompts there is one empty snapshot.
    """
    units = [("prompts", p.to_wire()) for p in prompts.records]
    units += [("tombstones", t.to_json()) for t in prompts.tombstones]
    parts, oversize, room = [_snapshot(ts)], [], _ROOM_BYTES
    for member, record in units:
        taken = size(record) + 1
        if taken > _ROOM_BYTES:
            oversize.append({**_snapshot(ts), member: [record]})
            continue
        if taken > room:
            parts.append(_snapshot(ts))
            room = _ROOM_BYTES
        parts[-1].setdefault(member, []).append(record)
        room -= taken
    return ([] if room == _ROOM_BYTES and oversize else parts), oversize


def _snapshot(ts: int) -> JsonObject:
    return {"prompts": [], "ts": ts}


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class Announcement:
    """A peer's catalog."""

    entries: tuple[CatalogEntry, ...]
    ts: int
    is_fresh: bool = False


def read_catalog(payload: Json) -> Announcement | None:
    """A peer's catalog, its malformed entries left out; None when the payload is none."""
    raw = as_object(payload)
    listed = raw.get("entries")
    if not isinstance(listed, list):
        return None
    entries: dict[str, CatalogEntry] = {}
    for item in listed[:ENTRIES_MAX]:
        entry = _entry(item)
        if entry is not None:
            entries[entry.guid] = entry
    return Announcement(tuple(entries.values()), stamp(raw.get("ts")), raw.get("fresh") is True)


def _entry(item: Json) -> CatalogEntry | None:
    try:
        entry = structure(CatalogEntry, item)
    except PayloadError:
        return None
    if not is_conversation_id(entry.guid):
        return None
    return attrs.evolve(entry, title=entry.title[:TITLE_MAX_CHARS], path=clean_folder(entry.path))


def is_late_copy(before_ts: int, ts: int) -> bool:
    """Is a catalog older than the one before, and not because its sender's clock was set back?"""
    return 0 < before_ts - ts < CLOCK_JUMP_MS


def read_permissions(payload: Json) -> JsonObject | None:
    """The gates in a policy snapshot; None when the payload is none."""
    tools = as_object(payload).get("tools")
    return tools if isinstance(tools, dict) else None


def read_prompts(payload: Json) -> tuple[list[Any], Json] | None:
    """The records and tombstones in a prompts snapshot; None when the payload is none."""
    raw = as_object(payload)
    prompts = raw.get("prompts")
    return (prompts, raw.get("tombstones")) if isinstance(prompts, list) else None
