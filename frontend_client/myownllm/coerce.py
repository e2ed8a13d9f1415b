"""Small total readings of JSON that people and older builds wrote: a wrong type is a default, never an exception."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import fields

Json = Any
JsonObject = dict[str, Any]
S = TypeVar("S", bound=msgspec.Struct)

PERMISSION_TOOLS: Final = ("shell", "write_file")
PROMPT_TOOLS: Final = ("networks", "web_search", "read_file", "write_file", "shell")
PERMISSION_MODES: Final = ("ask", "accept_all", "denied")


def as_object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def tolerant(cls: type[S], value: Json, **required: Any) -> S:
    """`value` as `cls`: a member of the wrong type counts as absent, and `required` are then in its place."""
    try:
        return msgspec.convert(value, cls)
    except msgspec.ValidationError:
        raw, members = as_object(value), required
    for field in fields(cls):
        with suppress(KeyError, msgspec.ValidationError):
            members[field.name] = msgspec.convert(raw[field.name], field.type)
    return cls(**members)


def strings(value: Json) -> tuple[str, ...]:
    """The strings in a list; anything else is empty."""
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def stamp(value: Json) -> int:
    """An edit stamp in milliseconds: floored, never negative, 0 when it is not a finite number."""
    return max(0, math.floor(float(value))) if is_number(value) and math.isfinite(value) else 0


def topology(value: Json) -> JsonObject | None:
    """A topology as stored, or None when it must be left out (spec 08 §6.3)."""
    match value:
        case {"kind": "ring"}:
            n = value.get("n_preferred")
            if is_number(n) and math.isfinite(n) and math.floor(n) >= 1:
                return {"kind": "ring", "n_preferred": math.floor(n)}
            return {"kind": "ring"}
        case {"kind": "star", "hub": str(hub)} if hub:
            return {"kind": "star", "hub": hub}
        case {"kind": "full_mesh"}:
            return {"kind": "full_mesh"}
        case {"kind": "hubs"}:
            hubs = [h for h in strings(value.get("hubs")) if h]
            if not hubs:
                return None
            redundancy = value.get("spoke_redundancy")
            shape: JsonObject = {"kind": "hubs", "hubs": hubs}
            if is_number(redundancy) and math.isfinite(redundancy) and math.floor(redundancy) >= 1:
                shape["spoke_redundancy"] = math.floor(redundancy)
            return shape
    return None


def permission_record(value: Json) -> JsonObject:
    """One tool's policy; the fresh record has stamp 0, so it loses against any real edit."""
    raw = as_object(value)
    mode = raw.get("mode")
    return {
        "mode": mode if mode in PERMISSION_MODES else "ask",
        "always_accept": list(strings(raw.get("always_accept"))),
        "updated_at": stamp(raw.get("updated_at")),
    }


def permissions(value: Json) -> JsonObject | None:
    """A network's tool policy, or None when there is none."""
    if not isinstance(value, dict):
        return None
    return {tool: permission_record(value.get(tool)) for tool in PERMISSION_TOOLS}


def legacy_permissions(value: Json, now_ms: int) -> JsonObject | None:
    """The policy of builds that had one for the whole app, or one per device (spec 08 §6.5 step 4)."""
    if not isinstance(value, dict):
        return None
    by_device = value.get("by_device")
    sources = [d for d in by_device.values() if isinstance(d, dict)] if isinstance(by_device, dict) else [value]
    policy: JsonObject = {}
    for tool in PERMISSION_TOOLS:
        records = [_stamped(permission_record(s[tool]), now_ms) for s in sources if tool in s]
        policy[tool] = max(records, key=lambda r: int(r["updated_at"])) if records else permission_record(None)
    return policy


def _stamped(record: JsonObject, now_ms: int) -> JsonObject:
    """A record that someone set before stamps existed counts as set now."""
    is_default = record["mode"] == "ask" and not record["always_accept"]
    return record if record["updated_at"] or is_default else {**record, "updated_at": now_ms}


def prompts(value: Json) -> tuple[JsonObject, ...] | None:
    """A network's prompt list, or None when there is none; entries without an id are dropped."""
    if not isinstance(value, list):
        return None
    return tuple(_prompt(p) for p in value if isinstance(p, dict) and isinstance(p.get("id"), str) and p["id"])


def _prompt(raw: JsonObject) -> JsonObject:
    tools = raw.get("tools")
    known = [t for t in strings(tools) if t in PROMPT_TOOLS] if isinstance(tools, list) else list(PROMPT_TOOLS)
    prompt: JsonObject = {
        "id": raw["id"],
        **{k: raw[k] if isinstance(raw.get(k), str) else "" for k in ("name", "system_prompt")},
        "tools": known,
        "user_prompt": raw["user_prompt"] if isinstance(raw.get("user_prompt"), str) else "",
        "updated_at": stamp(raw.get("updated_at")),
    }
    return {**prompt, **{k: v for k, v in raw.items() if k not in prompt}}
