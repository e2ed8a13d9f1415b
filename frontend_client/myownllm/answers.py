"""What a daemon answers, as values (spec 05 §6). Pure, and forgiving: an absent member takes its default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from myownllm.catalog.coerce import as_object, strings
from myownllm.ids import comparable_network_id

if TYPE_CHECKING:
    from myownllm.catalog.coerce import JsonObject


@attrs.frozen
class Status:
    version: str = ""
    device_id: str = ""
    """for people: with its suffix"""
    joined_networks: tuple[str, ...] = ()


@attrs.frozen
class NetworkSummary:
    config_id: str
    network_id: str
    phase: str


def status(data: object) -> Status:
    raw = as_object(data)
    joined = strings(raw.get("joined_networks"))
    return Status(str(raw.get("version", "")), str(raw.get("device_id", "")), joined)


def networks(data: object) -> tuple[NetworkSummary, ...]:
    return tuple(
        NetworkSummary(str(r.get("config_id", "")), str(r.get("network_id", "")), str(r.get("phase", "")))
        for r in _rows(data, "networks")
    )


def stored_record(data: object, wire_id: str) -> JsonObject | None:
    records = _rows(as_object(data).get("config"), "networks")
    return next((r for r in records if comparable_network_id(str(r.get("network_id", ""))) == wire_id), None)


def restarted(data: object) -> bool:
    return as_object(data).get("restarted") is True


def peers(data: object) -> list[JsonObject]:
    return _rows(data, "peers")


def _rows(data: object, name: str) -> list[JsonObject]:
    rows = as_object(data).get(name)
    return [r for r in rows if isinstance(r, dict)] if isinstance(rows, list) else []
