"""What engine commands raise. The text is the one that the control socket shows (spec 01 §17.6)."""

from __future__ import annotations

from myownmesh.protocol.codec import FrameTooLarge

__all__ = ["EngineError", "FrameTooLarge", "NoRoute", "PeerNotAdmitted", "PeerNotFound", "ShutDown"]


class EngineError(Exception):
    """A command cannot be carried out; the message carries its class prefix and nothing has changed."""


class ShutDown(EngineError):
    """The network is being left, or has been."""


class PeerNotFound(EngineError):
    """No peer of that id is known here."""

    def __init__(self, peer: str) -> None:
        super().__init__(f"peer {peer} not found in active set")


class PeerNotAdmitted(PeerNotFound):
    """The peer is known but not admitted; to the caller that is the same (spec 01 §5)."""


class NoRoute(PeerNotFound):
    """In a shaped network: the peer is not linked, and nobody who is carries frames to it."""

    def __init__(self, peer: str) -> None:
        EngineError.__init__(
            self, f"transport: network: no route to {peer}: not directly connected and the topology names no next hop"
        )
