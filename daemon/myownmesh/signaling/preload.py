"""What the first dial of a process would otherwise have to wait for."""

from __future__ import annotations


def preload() -> None:
    """Import the WebSocket and elliptic-curve libraries now (about 60 ms); any thread, any number of times."""
    import coincurve  # noqa: F401

    import myownmesh.signaling.link  # noqa: F401
