"""How long a message of a data channel may be (spec 01 §4.2)."""

from __future__ import annotations

from typing import Final

MAX_FRAME_BYTES: Final = 65_535
"""Largest message that a v0.3.8 peer can receive; one byte more closes its channel."""

MAX_INBOUND_BYTES: Final = MAX_FRAME_BYTES + 1
"""What v0.3.8 can send; longer messages are discarded unread, and none of them closes the link."""
