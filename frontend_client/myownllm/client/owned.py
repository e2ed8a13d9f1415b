"""Which networks this app added to a daemon that other apps use too, so that it removes no others (spec 08 FE-5.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from myownllm.coerce import as_object
from myownllm.files import read_state, write_durably

if TYPE_CHECKING:
    from pathlib import Path


class OwnedNetworks:
    """`mesh_owned.json`: wire ids by the daemon's device id. Blocking, small; may raise OSError when it cannot save."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, device_id: str) -> tuple[str, ...]:
        return tuple(r["network_id"] for r in self._records(device_id))

    def add(self, device_id: str, config_id: str, network_id: str) -> None:
        kept = [r for r in self._records(device_id) if r["network_id"] != network_id]
        self._save(device_id, [*kept, {"config_id": config_id, "network_id": network_id}])

    def remove(self, device_id: str, network_id: str) -> None:
        records = self._records(device_id)
        kept = [r for r in records if r["network_id"] != network_id]
        if kept != records:
            self._save(device_id, kept)

    def _records(self, device_id: str) -> list[dict[str, str]]:
        rows = as_object(read_state(self._path)).get(device_id)
        return [
            {"config_id": str(r.get("config_id", "")), "network_id": r["network_id"]}
            for r in (rows if isinstance(rows, list) else [])
            if isinstance(r, dict) and isinstance(r.get("network_id"), str)
        ]

    def _save(self, device_id: str, records: list[dict[str, str]]) -> None:
        everything = as_object(read_state(self._path))
        write_durably(self._path, msgspec.json.format(msgspec.json.encode({**everything, device_id: records})))
