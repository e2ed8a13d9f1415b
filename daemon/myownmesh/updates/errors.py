"""What ends an update; the text is for a person."""

from __future__ import annotations


class UpdateError(Exception):
    """Nothing was changed, or it was put back."""


class Unfit(UpdateError):
    """What was published as a version does not work on this machine, and will not the next time."""
