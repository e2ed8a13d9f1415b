"""`remote_ui` in `config.json`: whether the local network may open a screen, and at which port. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.values import Value
from myownllm.coerce import as_object, port

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject

SECTION: Final = "remote_ui"
PORT: Final = 1474
"""Beside the local API (1473) and the screen of this machine (1475)."""
WARNING: Final = (
    "Every device of your local network can then reach this app, over HTTP without encryption: whoever listens in that "
    "network can read what is said, and take over a paired browser. Only browsers that were given a pairing code get in"
)


class RemoteSettings(Value, frozen=True):
    """Off, unless a person has turned it on."""

    enabled: bool = False
    port: int = PORT
    """0: a free one"""

    @classmethod
    def read(cls, config: JsonObject) -> RemoteSettings:
        """From the whole configuration. Total: a wrong member is its default."""
        raw = as_object(config.get(SECTION))
        return cls(
            enabled=raw.get("enabled") is True,
            port=port(raw.get("port"), PORT),
        )


def changed(enabled: bool | None, port: int | None) -> JsonObject:
    """The members of the section that a person sets; what is None stays."""
    return {name: value for name, value in (("enabled", enabled), ("port", port)) if value is not None}
