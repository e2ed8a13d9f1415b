"""What the first dial of a process would otherwise have to wait for."""

from __future__ import annotations

import sys

import trio


def preload() -> None:
    """Import the WebSocket and elliptic-curve libraries now (about 60 ms); any thread, any number of times."""
    import coincurve  # noqa: F401

    import myownmesh.signaling.link  # noqa: F401


async def load() -> None:
    """`preload` in a thread, unless that has been done: meanwhile the program goes on."""
    if "myownmesh.signaling.link" not in sys.modules or "coincurve" not in sys.modules:
        await trio.to_thread.run_sync(preload, abandon_on_cancel=True)
