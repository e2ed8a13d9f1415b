"""A peer that does what a test tells it: real signaling and WebRTC underneath, no engine on top."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import trio
from attrs import define, field

from myownmesh.engine.links import ChannelClosed, ChannelOpened, LocalCandidate, LocalDescription, SdpType
from myownmesh.identity import Identity
from myownmesh.identity.handshake import sign_handshake
from myownmesh.mesh import clock
from myownmesh.mesh.rooms import rooms
from myownmesh.protocol.codec import decode_frame, encode_frame
from myownmesh.protocol.frames import Approve, AuthResponse, Hello
from myownmesh.protocol.signals import (
    Announce,
    AnswerReceived,
    CandidateReceived,
    OfferReceived,
    PeerAnnounced,
    SendAnswer,
    SendCandidate,
    SendOffer,
)
from myownmesh.signaling.room import DEFAULT_APP_ID
from myownmesh.signaling.sources import RelaySources
from myownmesh.signaling.timepiece import Timepiece
from myownmesh.store.network_config import NetworkConfig, SignalingConfig
from myownmesh.transport import open_threaded_factory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from myownmesh.engine.links import LinkEvent
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.signaling.driver import Signaling
    from myownmesh.transport.session import Session, SessionFactory

T = TypeVar("T")

PATIENCE_S = 20.0


@define(eq=False)
class Probe:
    """Answers and dials like any peer, and lets the test speak on the channel."""

    identity: Identity
    signaling: Signaling
    factory: SessionFactory
    edit_sdp: Callable[[str], str] = lambda sdp: sdp
    """What the test does to our descriptions before they leave."""
    edit_answer: Callable[[str], str] = lambda sdp: sdp
    """What the test does to the peer's answers before our session sees them."""
    only: str | None = None
    """If set, everybody else in the room is ignored."""
    announced: set[str] = field(factory=set)
    frames: list[Frame] = field(factory=list)
    opened: ChannelOpened | None = None
    closed: ChannelClosed | None = None
    session: Session | None = None
    peer: str = ""
    hello: Hello | None = None
    _news: trio.Event = field(factory=trio.Event)

    @property
    def device_id(self) -> str:
        return self.identity.device_id

    # ── signaling ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def announce(self) -> None:
        self.signaling.publish(Announce())

    def dial(self, peer: str) -> None:
        self._open(peer, offerer=True).make_offer()

    def deliver(self, signal: InboundSignal) -> None:
        if self.only is not None and signal.peer != self.only:
            return
        match signal:
            case PeerAnnounced(peer):
                self.announced.add(peer)
            case OfferReceived(peer, sdp):
                if self.session is None or self.closed is not None or peer != self.peer:
                    self._open(peer, offerer=False)
                assert self.session is not None
                self.session.take_offer(sdp)
            case AnswerReceived(_, sdp) if self.session is not None:
                self.session.take_answer(self.edit_answer(sdp))
            case CandidateReceived(_, candidate) if self.session is not None:
                self.session.add_candidate(candidate)
            case _:
                pass
        self._wake()

    def _open(self, peer: str, *, offerer: bool) -> Session:
        if self.session is not None:
            self.session.close()
        self.peer, self.opened, self.closed, self.hello = peer, None, None, None
        self.frames.clear()
        self.session = self.factory.open(offerer=offerer, ice_servers=(), on_event=self._event, on_frame=self._frame)
        return self.session

    def _event(self, event: LinkEvent) -> None:
        match event:
            case LocalDescription(SdpType.OFFER, sdp):
                self.signaling.publish(SendOffer(self.peer, self.edit_sdp(sdp)))
            case LocalDescription(SdpType.ANSWER, sdp):
                self.signaling.publish(SendAnswer(self.peer, self.edit_sdp(sdp)))
            case LocalCandidate(candidate):
                self.signaling.publish(SendCandidate(self.peer, candidate))
            case ChannelOpened():
                self.opened = event
            case ChannelClosed():
                self.closed = event
            case _:
                pass
        self._wake()

    def _frame(self, data: bytes) -> None:
        frame = decode_frame(data)
        if isinstance(frame, Hello):
            self.hello = frame
        self.frames.append(frame)
        self._wake()

    # ── the channel ───────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            self.send_bytes(encode_frame(frame))

    def send_bytes(self, data: bytes) -> None:
        assert self.session is not None
        self.session.send(data)

    def my_hello(self, **changes: object) -> Hello:
        members: dict[str, object] = {
            "protocol": 1,
            "device_id": self.device_id,
            "label": "Probe",
            "nonce": "a" * 52,
            "verification_code": "abc123",
            **changes,
        }
        return Hello(**members)  # type: ignore[arg-type]  # names and types are those of the frame

    def proof(self, *, identity: Identity | None = None) -> AuthResponse:
        """Our honest answer to the peer's hello, or one signed by somebody else."""
        assert self.hello is not None
        assert self.opened is not None
        assert self.opened.local_binding is not None
        signer = identity or self.identity
        return AuthResponse(signature=sign_handshake(signer, self.hello.nonce, self.peer, self.opened.local_binding))

    async def channel(self) -> None:
        """Wait until a channel is open and the peer has said hello."""
        await self.until(lambda: self.opened is not None and self.hello is not None, "an open channel and a hello")

    async def authenticate(self) -> None:
        """The honest handshake up to our own proof."""
        await self.channel()
        self.send(self.my_hello(), self.proof())

    async def become_active(self) -> None:
        """Handshake and both approvals."""
        await self.authenticate()
        await self.sees(Approve)
        self.send(Approve())

    async def sees(self, kind: type[T], where: Callable[[T], bool] = lambda _: True) -> T:
        """The first frame of this kind on the present link, waiting for it if need be."""

        def found() -> T | None:
            return next((frame for frame in self.frames if isinstance(frame, kind) and where(frame)), None)

        await self.until(lambda: found() is not None, f"a {kind.__name__} frame")
        frame = found()
        assert frame is not None
        return frame

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        with trio.move_on_after(PATIENCE_S):
            while not condition():
                await self._news.wait()
            return
        raise AssertionError(f"{what} never came; frames {[frame.KIND for frame in self.frames]}, {self.closed}")

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


def identity(seed: int, *, below: str | None = None, above: str | None = None) -> Identity:
    """A reproducible identity, on the wanted side of another id so that its role is known."""
    rng = random.Random(seed)
    while True:
        found = Identity.from_seed(rng.randbytes(32))
        if (below is None or found.device_id < below) and (above is None or found.device_id > above):
            return found


@asynccontextmanager
async def probe(network: str, relay: str, who: Identity) -> AsyncIterator[Probe]:
    """A probe in a room, announced, for the length of the block."""
    record = NetworkConfig(
        id=network, network_id=network, signaling=SignalingConfig(servers=(relay,), public_fallback=False)
    )
    timepiece = Timepiece(clock.now, clock.steady)
    ways = rooms(who, DEFAULT_APP_ID, random.SystemRandom(), RelaySources(), timepiece, None)
    (signaling,) = ways(record, network, None)
    async with open_threaded_factory() as factory, trio.open_nursery() as nursery:
        made = Probe(who, signaling, factory)
        nursery.start_soon(signaling.run, made.deliver)
        made.announce()
        yield made
        if made.session is not None:
            made.session.close()
        nursery.cancel_scope.cancel()
