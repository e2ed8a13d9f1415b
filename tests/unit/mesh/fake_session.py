"""A session without a far end: it records what it is told and lets the test say how much is still buffered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from myownmesh.engine.ice_snapshot import snapshot
from myownmesh.transport.session import Order, SessionNotOpen

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_common.views import TurnPath
    from myownmesh.engine.ice_snapshot import IceSnapshot
    from myownmesh.engine.links import LinkEvent
    from myownmesh.protocol.signals import Candidate


def _ignore(_report: object) -> None:
    pass


@define(eq=False)
class FakeSession:
    """Implements `transport.session.Session`; takes everything while it is open."""

    offerer: bool = True
    on_event: Callable[[LinkEvent], None] = _ignore
    on_frame: Callable[[bytes], None] = _ignore
    did: list[str] = field(factory=list)
    """Steps of the negotiation, and the close."""
    sent: list[bytes] = field(factory=list)
    orders: list[Order] = field(factory=list)
    """Of what was sent."""
    buffered_bytes: int = 0
    backlog_bytes: int = 256 * 1024
    is_open: bool = True
    closed: bool = False
    on_drained: Callable[[], None] | None = None
    turn: TurnPath | None = None
    """What a path over TURN goes by."""

    def make_offer(self, *, restart: bool = False) -> None:
        self.did.append(f"offer restart={restart}")

    def take_offer(self, sdp: str) -> None:
        self.did.append(f"take offer {sdp}")

    def take_answer(self, sdp: str) -> None:
        self.did.append(f"take answer {sdp}")

    def add_candidate(self, candidate: Candidate) -> None:
        self.did.append(f"candidate {candidate.candidate}")

    def send(self, data: bytes, order: Order = Order.IN_TURN) -> None:
        if not self.is_open:
            raise SessionNotOpen
        self.sent.append(data)
        self.orders.append(order)
        self.buffered_bytes += len(data)

    def admit(self) -> None:
        self.did.append("admit")

    def ice_snapshot(self) -> IceSnapshot:
        return snapshot(["host udp4 192.168.1.5:1"], (), ())

    def turn_path(self) -> TurnPath | None:
        return self.turn

    def when_drained(self, callback: Callable[[], None]) -> None:
        self.on_drained = callback

    def drain(self) -> None:
        """The buffer is empty now."""
        self.buffered_bytes = 0
        callback, self.on_drained = self.on_drained, None
        assert callback is not None, "nobody waits for the buffer to drain"
        callback()

    def close(self) -> None:
        self.did.append("close")
        self.closed = True
