"""Bounds on what others can make us do or keep."""

from __future__ import annotations

from typing import Final

from myownmesh.protocol.tokens import TokenBucket

MAX_UNPROVEN_LINKS: Final = 64
"""Transports to ids that have not authenticated and are not rostered; the oldest gives way (spec 04 §15.2 item 28)."""

MAX_SHAPED_DIALS: Final = 16
"""Dials of ours to strangers at a time in a shape that prunes."""

MAX_PASSING_DIALS: Final = 2
"""The same where the shape will prune most of them as others come: the first ones bring the roster. Whom it will likely
want of all that were heard is dialled beyond that (`timing.LOOK_AROUND_S`). Two hundred devices that meet in a ring
would else make twenty thousand links."""

CROWD: Final = 256
"""Strangers above which looking after each of them twice a second would cost too much."""

NEW_LINKS_PER_S: Final = 4.0
"""Per id: transports that inbound offers and answers may open (same item)."""

DIAL_TURN_S: Final = 8.0
"""Dials of ours to strangers that find no room wait until the oldest attempt had this long: most need a second, and
over a relay that takes three seconds for each way they need seven. In a room of hundreds all that give way to each
other at once would never get anywhere; among ten thousand that answer nobody each dial is work for nothing."""

MAX_PLACEHOLDERS: Final = 1024
"""Peers that are known from signaling only; the oldest is forgotten."""

MAX_PENDING_APPROVALS: Final = 64
"""Links of strangers that wait for somebody's consent, ours or their own; the oldest gives way."""

MAX_REMEMBERED_PEERS: Final = 1024
"""Ids of which something is kept beside their link; the one touched longest ago is forgotten."""

MAX_EARLY_CANDIDATES: Final = 64
"""[EARLY_CANDIDATES] Per peer, oldest out first."""

MAX_KEPT_CANDIDATES: Final = 4096
"""The same over all peers, or many forged ids together would fill the memory."""

MAX_CANDIDATE_CHARS: Final = 512
"""Longest member of a candidate; honest ones have a hundred or so."""

MAX_SDP_CHARS: Final = 65_536
"""Longest description, here and in the transport. v0.3.8 writes 4 to 8 thousand with every candidate in them; sixteen
media lanes come to about 30 thousand."""

MAX_OFFER_IDS: Final = 16
"""Per transport: its last offers, by which an answer may belong to it. A new one leaves every 6 s, for 30 s at most. As
many are kept per peer of transports that are over."""

MAX_ENDED_CERTIFICATES: Final = 8
"""Per peer: certificates of its transports that are over. v0.3.8 names no offer in its answers; by them a late one is
known."""

MAX_INTENTS: Final = 256
"""Reconnect intents; the plain one that ends first gives way."""

MAX_WAITERS: Final = 1024
"""Callers that wait for a connect, over all peers."""

REPEATS_PER_S: Final = 3 / 3600
REPEATS_BURST: Final = 2.0
"""Answers to announces of devices that were answered before. With the ticker's 30 and the nudges no room makes a device
announce itself more than 45 times in any hour (spec 03 §10.3); newcomers are answered beyond that."""

NUDGES_PER_S: Final = 5 / 3600
NUDGES_BURST: Final = 5.0
"""Announces after a link or an attempt failed: they spare the other side a wait, and it dials without them, too."""

NEEDS_TURN_AFTER: Final = 3
"""Attempts without a path, and without a relay candidate on either side, before a TURN server is asked for."""

MAX_EARLY_FRAMES: Final = 8
"""Frames that may come before the channel's own open event; a handshake has three."""

CONTROL_FRAMES_PER_S: Final = 50.0
CONTROL_FRAMES_BURST: Final = 200.0
"""Per link: frames that cost work of ours (handshake, keepalive, gossip) and refused ones (spec 01 §20 item 25)."""

MAX_THROTTLED_FRAMES: Final = 1000
THROTTLE_WINDOW_S: Final = 60.0
"""Per link: frames above that rate in a minute before the link is dropped; at twice the rate it takes 20 s."""


class ControlBudget:
    """One link's account of control frames."""

    __slots__ = ("_bucket", "_excess", "_since")

    def __init__(self, mono: float) -> None:
        self._bucket = TokenBucket(CONTROL_FRAMES_PER_S, CONTROL_FRAMES_BURST, mono)
        self._excess = 0
        self._since = 0.0

    def spend(self, mono: float) -> bool:
        """Pay for one frame; False when it came above the rate."""
        if self._bucket.take(mono):
            return True
        if mono >= self._since + THROTTLE_WINDOW_S:
            self._excess, self._since = 0, mono
        self._excess += 1
        return False

    @property
    def is_abused(self) -> bool:
        """The peer went on far above the rate for a minute."""
        return self._excess > MAX_THROTTLED_FRAMES


def is_power_of_two(count: int) -> bool:
    """True for 1, 2, 4, 8 …: the counts at which a repeated complaint is logged again (spec 01 §5)."""
    return count > 0 and count & (count - 1) == 0
