"""The transport interface: all that the rest of the daemon sees of WebRTC.

No type of a backend crosses this line, so a second backend can be put in. A session is one WebRTC connection with
one data channel; it is used once and never reopened. Every method returns at once; what comes of it is reported
through the session's `on_event` and `on_frame` callbacks, in the order in which it happened, on the thread that
opened the session and never from within a call into it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_common.views import TurnPath
    from myownmesh.engine.ice_snapshot import IceSnapshot
    from myownmesh.engine.links import LinkEvent
    from myownmesh.protocol.signals import Candidate


class IceServer(Value, frozen=True):
    """STUN or TURN server; `urls` in the form of RFC 7064 and RFC 7065."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


class Order(enum.Enum):
    """What a message may overtake, and what may overtake it."""

    IN_TURN = enum.auto()
    """It comes after everything `IN_TURN` and `AHEAD` that was sent before it."""
    AHEAD = enum.auto()
    """It goes before everything `IN_TURN` that has not left. Nothing that is sent after it comes before it."""
    FREE = enum.auto()
    """As `AHEAD`; and if it is short, the other side gets it as soon as it is there, whatever else is missing."""


class Session(Protocol):
    """One WebRTC connection to one peer."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes accepted by `send` that SCTP has not had acknowledged or sent yet."""
        ...

    @property
    def backlog_bytes(self) -> int:
        """How much of `buffered_bytes` bulk may make up: about a tenth of a second at the path's present rate."""
        ...

    def make_offer(self, *, restart: bool = False) -> None:
        """Build an offer: the first one, a plain repeat, or with `restart` one with new ICE credentials."""
        ...

    def take_offer(self, sdp: str) -> None:
        """Apply the peer's offer (an own open offer is rolled back) and answer it."""
        ...

    def take_answer(self, sdp: str) -> None: ...

    def add_candidate(self, candidate: Candidate) -> None:
        """Add a remote candidate; an unusable one is ignored."""
        ...

    def send(self, data: bytes, order: Order = Order.IN_TURN) -> None:
        """Queue one message of 1 … `protocol.limits.MAX_FRAME_BYTES` bytes on the data channel.

        Raises `SessionNotOpen` before `ChannelOpened` and after `ChannelClosed`, `ValueError` on a wrong size.
        """
        ...

    def admit(self) -> None:
        """The peer is trusted with more memory: more of what it sends may wait for what is missing before it."""
        ...

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as `buffered_bytes` has fallen to 64 KiB or half of `backlog_bytes`."""
        ...

    def ice_snapshot(self) -> IceSnapshot | None:
        """How the newest ICE generation stands; None after `close`, or where that is known to another thread only."""
        ...

    def turn_path(self) -> TurnPath | None:
        """What lends the address of a path over TURN; None for any other, or where another thread alone knows it."""
        ...

    def close(self) -> None:
        """Close gracefully in the background (ABORT, close_notify, sockets); no callback follows."""
        ...


class SessionNotOpen(Exception):
    """The data channel is not open (yet, or any more)."""

    def __init__(self) -> None:
        super().__init__("data channel not open")


class SessionFactory(Protocol):
    """Opens sessions; one per process."""

    def open(
        self,
        *,
        offerer: bool,
        ice_servers: tuple[IceServer, ...],
        on_event: Callable[[LinkEvent], None],
        on_frame: Callable[[bytes], None],
    ) -> Session:
        """Create a session with its own certificate. `offerer` also fixes the ICE role (spec 04 §12)."""
        ...

    async def aclose(self) -> None:
        """Close what is still open, within 2 s."""
        ...
