"""Connections to peers, and the one place where trio and asyncio meet.

What the rest of the daemon uses:

- `session` — the interface: `Session`, `SessionFactory`, `IceServer`, `SessionNotOpen`.
- `run_guest(async_fn, *args)` — `trio.run` for the daemon: the same thread also runs the loop that WebRTC needs.
- `load_webrtc()` — under `run_guest`, once the control socket is open: imports WebRTC in a thread and returns the
  factory.
- `open_threaded_factory()` — for an embedder under plain `trio.run`: runs the loop in a helper thread and yields a
  factory whose callbacks arrive on trio's thread.
- `self_test(factory)` — opens, restarts and closes a link to ourselves.

Importing this package imports neither trio nor WebRTC; each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from myownmesh.transport.checking import SelfTestFailed, SelfTestReport, self_test
    from myownmesh.transport.guest import run as run_guest
    from myownmesh.transport.loading import load_webrtc
    from myownmesh.transport.session import (
        IceServer,
        Session,
        SessionFactory,
        SessionNotOpen,
    )
    from myownmesh.transport.threaded import open_threaded_factory

__all__ = [
    "IceServer",
    "SelfTestFailed",
    "SelfTestReport",
    "Session",
    "SessionFactory",
    "SessionNotOpen",
    "load_webrtc",
    "open_threaded_factory",
    "run_guest",
    "self_test",
]

_WHERE = {
    "IceServer": ("session", "IceServer"),
    "SelfTestFailed": ("checking", "SelfTestFailed"),
    "SelfTestReport": ("checking", "SelfTestReport"),
    "self_test": ("checking", "self_test"),
    "Session": ("session", "Session"),
    "SessionFactory": ("session", "SessionFactory"),
    "SessionNotOpen": ("session", "SessionNotOpen"),
    "load_webrtc": ("loading", "load_webrtc"),
    "open_threaded_factory": ("threaded", "open_threaded_factory"),
    "run_guest": ("guest", "run"),
}


def __getattr__(name: str) -> object:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{where[0]}"), where[1])
