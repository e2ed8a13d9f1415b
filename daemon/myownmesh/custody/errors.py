"""Why a code was refused, or the lock could not be used: one exception with the words of spec 02 §17."""

from __future__ import annotations


class CustodyError(Exception):
    """The text is complete, prefix included."""

    def __init__(self, text: str) -> None:
        super().__init__(f"custody: {text}")
