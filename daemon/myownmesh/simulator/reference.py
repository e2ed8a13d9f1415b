"""A device that treats announces, offers and answers as v0.3.8 does (spec 04 §5, §7), in the simulated mesh.

It knows one peer, the device under test; what its clocks and rules are is written here anew, not taken from the engine.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import define, field

from myownmesh.engine.links import (
    ChannelClosed,
    ChannelOpened,
    LocalCandidate,
    LocalDescription,
    NegotiationFailed,
    PathChanged,
    PathState,
    SdpType,
)
from myownmesh.identity import sign_handshake
from myownmesh.protocol.binding import first_fingerprint
from myownmesh.protocol.signals import (
    Announce,
    AnswerReceived,
    CandidateReceived,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    SealedReceived,
    SendAnswer,
    SendCandidate,
    SendOffer,
)

if TYPE_CHECKING:
    from myownmesh.engine.links import LinkEvent
    from myownmesh.identity import Identity
    from myownmesh.protocol.signals import Candidate, InboundSignal
    from myownmesh.simulator.node import Node
    from myownmesh.simulator.room import Sealed
    from myownmesh.simulator.session import FakeSession
    from myownmesh.simulator.world import World

TICK_S = 2.0
ANNOUNCE_GAP_S = 1.0
REOFFER_GAP_S = 2.0
STUCK_S = 10.0
DISCONNECTED_S = 5.0
OPEN_TIMEOUT_S = 30.0
RESTART_CONFIRM_S = 10.0
STALE_S = 25.0
RETRY_S = (2.0, 4.0, 8.0, 15.0)


@define(eq=False)
class Attempt:
    """The one transport that it has."""

    began: float
    offerer: bool
    session: FakeSession
    described: str | None = None
    """Certificate of the description that is applied."""
    offer_open: bool = False
    queued: list[Candidate] = field(factory=list)
    channel: bool = False
    active: bool = False
    last_recv: float | None = None
    disconnected_since: float | None = None
    restarted_at: float | None = None
    is_deaf: bool = False
    """The far end is another than the one that it shook hands with."""


class ReferenceNode:
    """A process of v0.3.8; `kill` ends it without a word, a new one is its next start."""

    def __init__(self, world: World, identity: Identity, peer: str) -> None:
        self.world = world
        self.identity = identity
        self.device_id = identity.device_id
        self.peer = peer
        self.running = True
        self.attempt: Attempt | None = None
        self.drops: list[str] = []
        self._last_announce = self._last_offer = -100.0
        self._retries: list[float] = []
        """What is left of the waits of its reconnect intent."""
        self._retry_at: float | None = None
        self._seen: set[object] = set()

    @property
    def is_lower(self) -> bool:
        return self.device_id < self.peer

    @property
    def now(self) -> float:
        return self.world.clock.seconds

    def is_linked(self, other: Node) -> bool:
        return other.device_id == self.peer and self.attempt is not None and self.attempt.active

    def start(self) -> None:
        self.world.room.like_the_reference.add(self.device_id)
        self.world.room.join(self)
        self._tick()

    def kill(self) -> None:
        self.running = False
        self.world.room.quit(self)
        if self.attempt is not None:
            self.world.wire.kill(self.attempt.session)

    # ── the room ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, item: InboundSignal | Sealed) -> None:
        if not self.running or item.peer != self.peer:
            return
        match item:
            case PeerAnnounced():
                self._announced()
            case PeerLeft():
                self._drop("left")
                self._retry_at = None
            case OfferReceived(sdp=sdp) if item not in self._seen:
                self._seen.add(item)
                self._offered(sdp)
            case AnswerReceived(sdp=sdp) if item not in self._seen:
                self._seen.add(item)
                self._answered(sdp)
            case SealedReceived(kind="offer") if self.attempt is None:
                self._open(offerer=False)  # its text is empty, and the transport waits for another (measured)
            case CandidateReceived(candidate=candidate) if self.attempt is not None:
                if self.attempt.described is None:
                    self.attempt.queued.append(candidate)
                else:
                    self.attempt.session.add_candidate(candidate)
            case _:
                pass

    def _announce(self) -> None:
        if self.now - self._last_announce >= ANNOUNCE_GAP_S:
            self._last_announce = self.now
            self.world.room.publish(self.device_id, Announce())

    def _announced(self) -> None:
        self._announce()
        there = self.attempt
        if self.is_lower and there is not None and not there.channel:
            self._offer_again(there)
        if self.is_lower and there is not None and there.active and there.disconnected_since is not None:
            self._restart(there)
        self._clear_zombie()
        if self.attempt is None:
            self._open(offerer=self.is_lower)

    def _offered(self, sdp: str) -> None:
        self._clear_zombie()
        there = self.attempt
        if there is not None:
            rebuilt = there.described is not None and there.described != first_fingerprint(sdp)
            if rebuilt or (not there.channel and self.now - there.began >= STUCK_S):
                self._drop("rebuilt" if rebuilt else "stuck")
        there = self.attempt or self._open(offerer=False)
        if there.offer_open:
            return  # it never rolls back: nothing is applied, nothing answered
        self._apply(there, sdp)
        there.session.take_offer(sdp)

    def _answered(self, sdp: str) -> None:
        there = self.attempt
        if there is not None and there.offer_open:
            there.offer_open = False
            if there.described not in (None, first_fingerprint(sdp)):
                there.is_deaf = True
                return
            self._apply(there, sdp)
            there.session.take_answer(sdp)
        elif self.is_lower and there is None:
            self._open(offerer=True)
        elif self.is_lower and there is not None:
            self._offer_again(there)

    def _apply(self, there: Attempt, sdp: str) -> None:
        there.described = first_fingerprint(sdp)
        queued, there.queued = there.queued, []

        def add() -> None:
            for candidate in queued:
                there.session.add_candidate(candidate)

        self.world.clock.after(0.0, add)

    # ── its transport ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _open(self, *, offerer: bool) -> Attempt:
        heard: list[Attempt] = []
        session = self.world.wire.open(
            self.device_id,
            offerer=offerer,
            on_event=lambda event: self._event(heard[0], event),
            on_frame=lambda data: self._frame(heard[0], data),
            disconnected_after_s=DISCONNECTED_S,
        )
        there = self.attempt = Attempt(self.now, offerer, session)
        heard.append(there)
        if offerer:
            self._offer(there)
        return there

    def _offer(self, there: Attempt) -> None:
        self._last_offer = self.now
        there.offer_open = True
        there.session.make_offer()

    def _offer_again(self, there: Attempt) -> None:
        if self.now - self._last_offer >= REOFFER_GAP_S:
            self._offer(there)

    def reconnect(self) -> None:
        """Its `network_reconnect`: a restart whatever ICE says (spec 04 §7.8)."""
        if self.attempt is not None:
            self._restart(self.attempt)

    def _restart(self, there: Attempt) -> None:
        if self.now - self._last_offer >= REOFFER_GAP_S:
            there.restarted_at = self.now
            self._last_offer = self.now
            if self.is_lower:
                there.offer_open = True
                there.session.make_offer(restart=True)
            else:
                self._announce()

    def _clear_zombie(self) -> None:
        there = self.attempt
        if there is None or there.last_recv is None or there.disconnected_since is None:
            return
        recovering = max(there.restarted_at or 0.0, there.disconnected_since)
        if self.now - there.last_recv > STALE_S and self.now - recovering >= OPEN_TIMEOUT_S:
            self._drop("stale")

    def _drop(self, why: str) -> None:
        there, self.attempt = self.attempt, None
        if there is None:
            return
        self.drops.append(why)
        there.session.close()
        if self.is_lower:
            self._retries, self._retry_at = list(RETRY_S), self.now

    def _event(self, there: Attempt, event: LinkEvent) -> None:
        if there is not self.attempt or not self.running:
            return
        match event:
            case LocalDescription(type=SdpType.OFFER, sdp=sdp):
                self.world.room.publish(self.device_id, SendOffer(self.peer, self._painted(there, sdp), "unmarked"))
            case LocalDescription(sdp=sdp):
                self.world.room.publish(self.device_id, SendAnswer(self.peer, self._painted(there, sdp)))
            case LocalCandidate(candidate=candidate):
                self.world.room.publish(self.device_id, SendCandidate(self.peer, candidate))
            case ChannelOpened():
                there.channel = True
                self._retry_at = None
                self._send(there, "hello", protocol=1, device_id=self.device_id, label="Rust", nonce="n" * 52,
                           verification_code="abcdef", features=[])  # fmt: skip
            case ChannelClosed():
                self._drop("closed")
            case PathChanged(state=state, fallback=fallback):
                self._path_changed(there, state, fallback)
            case NegotiationFailed(type=SdpType.ANSWER):
                pass
            case NegotiationFailed():
                raise AssertionError(event.error)
            case _:
                pass

    def _path_changed(self, there: Attempt, state: PathState, fallback: PathState | None) -> None:
        if state.is_up:
            there.disconnected_since = None
            if there.restarted_at is not None:
                there.restarted_at = self.now
                self._send(there, "ping", t=1)
        elif PathState.DISCONNECTED in (state, fallback) and there.disconnected_since is None:
            there.disconnected_since = self.now

    def _painted(self, there: Attempt, sdp: str) -> str:
        """With the head that v0.3.8 writes (spec 04 §10.4)."""
        nothing_agreed = "" if there.described is not None else "a=extmap-allow-mixed\n"
        return (
            sdp.replace("a=fingerprint:", "t=0 0\na=fingerprint:").replace("a=max-message-size:65535\r\n", "")
            + nothing_agreed
        )

    # ── the channel ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, there: Attempt, kind: str, **members: object) -> None:
        there.session.send(json.dumps({"kind": kind, **members}, separators=(",", ":")).encode())

    def _frame(self, there: Attempt, data: bytes) -> None:
        if there is not self.attempt or not self.running:
            return
        there.last_recv = self.now
        there.restarted_at = None
        frame = json.loads(data)
        match frame["kind"]:
            case "hello":
                binding = there.session.fingerprint.lower()
                self._send(
                    there, "auth_response", signature=sign_handshake(self.identity, frame["nonce"], self.peer, binding)
                )
            case "auth_response":
                self._send(there, "approve")
            case "approve":
                there.active = True
            case "ping":
                self._send(there, "pong", t=frame["t"])

    # ── its clocks ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _tick(self) -> None:
        if not self.running:
            return
        there = self.attempt
        is_up = there is not None and there.disconnected_since is None
        if there is not None and there.active and (there.restarted_at is not None or not is_up):
            if there.restarted_at is not None and self.now - there.restarted_at >= (
                RESTART_CONFIRM_S if there.is_deaf or is_up else OPEN_TIMEOUT_S
            ):
                self._drop("restart failed")
                self._announce()
            elif there.restarted_at is None:
                self._restart(there)
        elif there is not None and not there.channel and self.now - there.began >= OPEN_TIMEOUT_S:
            self._drop("not opened")
            self._announce()
        if self._retry_at is not None and self.now >= self._retry_at and self.attempt is None:
            self._retry_at = self.now + self._retries[0]
            self._retries = self._retries[1:] or self._retries
            self._announce()
            self._open(offerer=True)
        self.world.clock.after(TICK_S, self._tick)
