"""The one error of the mesh room."""

from __future__ import annotations


class MeshError(Exception):
    """Something a local client asked for cannot be done; the text is what its control socket shows (spec 05 §4)."""
