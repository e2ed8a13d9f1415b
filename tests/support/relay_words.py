"""What a relay's client hears, out of the frames that a hub wrote."""

from __future__ import annotations

import json
from typing import Any


def texts(data: bytes) -> list[Any]:
    """The JSON in each frame of an output of `relay.hub.Client`."""
    found = []
    while data:
        assert data[0] == 0x81, "a whole text"
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4]), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10]), 10
        found.append(json.loads(data[start : start + length]))
        data = data[start + length :]
    return found
