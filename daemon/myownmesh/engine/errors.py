"""What engine commands raise. The text is the one that the control socket shows (spec 01 §17.6)."""

from __future__ import annotations

from myownmesh.protocol.codec import FrameTooLarge

__all__ = ["EngineError", "FrameTooLarge", "PeerNotAdmitted", "PeerNotFound"]


class EngineError(Exception):
    """A command cannot be carried out; the message carries its class prefix and nothing has changed."""


class PeerNotFound(EngineError):
    """No peer of that id is known here."""

    def __init__(self, peer: str) -> None:
        super().__init__(f"peer {peer} not found in active set")


class PeerNotAdmitted(PeerNotFound):
    """The peer is known but not admitted; to the caller that is the same (spec 01 §5)."""
