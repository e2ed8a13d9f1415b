"""What ends an update; the text is for a person."""

from __future__ import annotations


class UpdateError(Exception):
    """Nothing was changed, or it was put back."""
