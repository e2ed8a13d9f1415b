"""What cannot be done for a local client. The texts are what its control socket shows (spec 05 §4)."""

from __future__ import annotations


class MeshError(Exception):
    """Something a local client asked for cannot be done."""


class NetworkLeft(MeshError):
    """The network is being left, or has been."""


class NotLinked(MeshError):
    """No admitted peer has this id; nothing was sent."""


class DoesNotFit(MeshError):
    """The frame is larger than a peer can receive; nothing was sent."""
