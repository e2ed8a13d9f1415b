"""The user name of an ICE generation: by it a restart is told from a repeat (spec 04 §5.10)."""

from __future__ import annotations

from typing import Final

_ATTRIBUTE: Final = "a=ice-ufrag:"


def ice_ufrag(sdp: str) -> str | None:
    """The first one that an SDP names; all its sections have the same one. None without any."""
    for line in sdp.split("\n"):
        if (stripped := line.strip()).startswith(_ATTRIBUTE):
            return stripped.removeprefix(_ATTRIBUTE).strip()
    return None
