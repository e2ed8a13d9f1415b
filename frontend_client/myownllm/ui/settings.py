"""`ui` in `config.json`: whether there is a screen, and on which port of this machine. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.values import Value
from myownllm.coerce import as_object, port

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject

PORT: Final = 1475
"""Beside the local API (1473) and the remote screen (1474)."""


class UiSettings(Value, frozen=True):
    """The host is none of them: the screen answers at 127.0.0.1 alone."""

    enabled: bool = True
    port: int = PORT
    """0: a free one"""
    notifications: bool = True
    """The desktop says that a device knocks while no tab is open."""

    @classmethod
    def read(cls, config: JsonObject) -> UiSettings:
        """From the whole configuration. Total: a wrong member is its default."""
        raw = as_object(config.get("ui"))
        return cls(
            enabled=raw.get("enabled") is not False,
            notifications=raw.get("notifications") is not False,
            port=port(raw.get("port"), PORT),
        )
