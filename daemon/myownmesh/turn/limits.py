"""What one client, one address, one user and everybody together may cost (spec 06 F)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

LIFETIME_S: Final = 600
MAX_LIFETIME_S: Final = 3600
PERMISSION_S: Final = 300.0
CHANNEL_S: Final = 600.0
MAX_PAYLOAD: Final = 1500
"""Bytes of a relayed datagram; longer ones are nobody's on the internet (spec 06 §7.2)."""
MIN_BURST_BYTES: Final = 65536
"""Of a bandwidth limit, so that a low one lets a single large datagram through (spec 06 §7.4)."""


class Limits(Struct, frozen=True):
    """A device that dials holds an allocation per link and transport, so an office behind one address needs many."""

    allocations: int = 4096
    """Each is a socket."""
    per_user: int = 1024
    """A public password must not take everything."""
    per_address: int = 512
    permissions: int = 128
    """Of one allocation; channels as well. A client needs one for each address that a peer may have."""
    grants: int = 65_536
    """Permissions and channels of all allocations together, about 15 MB; a link has some ten."""
    grants_per_user: int = 16_384
    """The same share that a user may have of the allocations."""
    grants_per_address: int = 8_192
    answers_per_prefix_s: float = 50
    """Answers to strangers of one /24 or /56, where a forged source may be the victim: about 4 KB/s."""
    answers_per_prefix_burst: float = 500
    answers_s: float = 2000
    """To all strangers together."""
    answers_burst: float = 5000
    prefixes: int = 4096
    """How many are remembered; the longest silent one is forgotten first."""
