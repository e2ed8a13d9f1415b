"""How the one data channel is opened (DCEP, RFC 8832; spec 04 §10.1). Pure."""

from __future__ import annotations

import struct
from typing import Final

LABEL: Final = b"myownmesh"
PRIORITY: Final = 256

_ACK = 2
_OPEN = 3
_OPEN_HEAD = struct.Struct("!BBHLHH")
"""Type, channel type (0: reliable, in order), priority, reliability, lengths of label and protocol."""

OPEN: Final = _OPEN_HEAD.pack(_OPEN, 0, PRIORITY, 0, len(LABEL), 0) + LABEL
"""What the side that opens the channel says."""
ACK: Final = bytes([_ACK])
"""What the other one answers."""


def opens_ours(message: bytes) -> bool:
    """Whether a message, not empty, opens a channel with our label."""
    if message[0] != _OPEN or len(message) < _OPEN_HEAD.size:
        return False
    label_length = _OPEN_HEAD.unpack_from(message)[4]
    return message[_OPEN_HEAD.size :][:label_length] == LABEL
