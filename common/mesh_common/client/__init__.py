"""The client of the control socket: for programs on this device that use the mesh (docs/client.md).

`connect` is for trio and asyncio programs, `blocking` for short commands. Names are loaded when they are used, so that
a command that wants `blocking` alone does not wait for the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh_common.client.errors import ControlError, ErrorKind
    from mesh_common.client.frames import ChannelInbound, HandlerDisplaced, Lagged
    from mesh_common.client.mesh import Connected, Disconnected, Mesh, connect

_HOMES = {
    "ChannelInbound": "frames",
    "Connected": "mesh",
    "ControlError": "errors",
    "Disconnected": "mesh",
    "ErrorKind": "errors",
    "HandlerDisplaced": "frames",
    "Lagged": "frames",
    "Mesh": "mesh",
    "connect": "mesh",
}

__all__ = [
    "ChannelInbound",
    "Connected",
    "ControlError",
    "Disconnected",
    "ErrorKind",
    "HandlerDisplaced",
    "Lagged",
    "Mesh",
    "connect",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
