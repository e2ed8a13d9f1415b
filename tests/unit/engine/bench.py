"""An engine on a bench: one scripted peer, an obedient transport, and a list of what left.

`Bench` speaks the language of the vectors: transports of ours are A1, A2 … in the order in which they open,
descriptions of one transport count on (`A1.2`), and the peer's are B1, B1.2, B2 … What leaves is told as in
`topology.json` `traces` and `peer-protocol.json` `handshake_traces`.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from attrs import define

from mesh_common.events import Diag, PeerDropped
from myownmesh.engine import Engine, EngineConfig
from myownmesh.engine.actions import (
    AddCandidate,
    CloseSession,
    Deliver,
    Emit,
    MakeOffer,
    OpenSession,
    Publish,
    SendFrame,
    TakeAnswer,
    TakeOffer,
)
from myownmesh.engine.links import ChannelOpened, LocalDescription, RemoteApplied, SdpType
from myownmesh.identity import Identity, sign_handshake
from myownmesh.protocol.binding import first_fingerprint
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import decode_frame, encode_frame
from myownmesh.protocol.frames import FEATURES, Approve, AuthResponse, Hello
from myownmesh.protocol.ice_credentials import ice_ufrag
from myownmesh.protocol.signals import (
    Announce,
    AnswerReceived,
    Candidate,
    CandidateReceived,
    Leave,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    SendAnswer,
    SendOffer,
)
from myownmesh.roster import Roster

if TYPE_CHECKING:
    from mesh_common.events import MeshEvent
    from mesh_common.views import PeerInfo
    from myownmesh.engine.actions import Action
    from myownmesh.engine.links import LinkEvent
    from myownmesh.engine.moves import Move
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.signals import InboundSignal

E = TypeVar("E")

NETWORK: Final = "home"
WALL_MS: Final = 1_700_000_000_000
OUR_BINDING: Final = "sha-256 " + ":".join(["a1"] * 32)
THEIR_BINDING: Final = "sha-256 " + ":".join(["b1"] * 32)

_PAIR: Final = sorted((Identity.from_seed(bytes([n]) * 32, "us") for n in (7, 8)), key=lambda each: each.device_id)
LOW: Final = _PAIR[0].with_label("low")
HIGH: Final = _PAIR[1].with_label("high")


def sdp(name: str) -> str:
    """The description that the vectors call `name`; `B1` and `B1.2` share a certificate, `B2` has another.
    `B1.2 r2` has the credentials of the second ICE generation."""
    transport = name.split(".")[0].split()[0]
    [*_, generation] = name.split(" to ")[0].split()
    ufrag = f"a=ice-ufrag:{generation}\r\n" if generation.startswith("r") else ""
    number = int(transport[1:])
    octets = ":".join([f"{transport[0].lower()}{number % 16:x}"] * 31 + [f"{number // 16:02x}"])
    return f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns={name}\r\na=fingerprint:sha-256 {octets}\r\n{ufrag}"


def sdp_name(text: str) -> str:
    return text.split("s=")[1].split("\r\n")[0]


@define
class Transport:
    """How our transports are called, and how many descriptions each made."""

    name: str
    descriptions: int = 0
    generation: int = 1
    remote_ufrag: str | None = None


class Bench:
    """An engine and one peer. Inputs run to their end at once; `sent` is what has left since it was last taken."""

    def __init__(
        self,
        me: Literal["lower", "higher"] = "lower",
        config: EngineConfig | None = None,
        *,
        roster: Roster | None = None,
        obedient: bool = True,
    ) -> None:
        self.us, self.them = (LOW, HIGH) if me == "lower" else (HIGH, LOW)
        self.peer_id = self.them.device_id
        self.mono = 1000.0
        self.skew_ms = 0
        """How far our wall clock has been set ahead since the start."""
        self.obedient = obedient
        """The transport does what it is told at once, and says so."""
        self.knows_process = False
        """The peer's process has announced itself."""
        self.events: list[MeshEvent] = []
        self.diags: list[Diag] = []
        self.sent: list[str] = []
        self.actions: list[Action] = []
        self.frames: list[Frame] = []
        """What went out to the peer."""
        self.delivered: list[Frame] = []
        self.epochs: dict[str, int] = {}
        """Of each peer's newest transport."""
        self._transports: dict[int, Transport] = {}
        self.engine = Engine(self.us, NETWORK, config or EngineConfig(), roster or Roster(NETWORK), random.Random(1))
        self.engine.start(self.now)
        self._collect()

    # ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def now(self) -> Instant:
        return Instant(self.mono, WALL_MS + self.skew_ms + round((self.mono - 1000.0) * 1000))

    def wait(self, seconds: float) -> list[str]:
        """Let time pass, timers and all; returns what left meanwhile."""
        return self.wait_until(self.mono + seconds)

    def wait_until(self, mono: float) -> list[str]:
        self.sent.clear()
        while (deadline := self.engine.next_timer()) is not None and deadline <= mono:
            self.mono = max(self.mono, deadline)
            self.engine.handle_timer(self.now)
            self._collect()
        self.mono = max(self.mono, mono)
        return self.take()

    # ── inputs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def signal(self, item: InboundSignal) -> list[str]:
        self.engine.receive_signal(item, self.now)
        return self._collect()

    def announce(self, *, again: bool = False) -> list[str]:
        """Of a process that is new to the room, or `again` of the one that was heard before."""
        self.knows_process = True
        return self.signal(PeerAnnounced(self.peer_id, again))

    def leave(self) -> list[str]:
        return self.signal(PeerLeft(self.peer_id))

    def offer(self, name: str, offer_id: str = "") -> list[str]:
        return self.signal(OfferReceived(self.peer_id, sdp(name), offer_id))

    def answer(self, name: str, offer_id: str = "") -> list[str]:
        return self.signal(AnswerReceived(self.peer_id, sdp(name), offer_id))

    @property
    def offer_ids(self) -> list[str]:
        """Of our offers, in the order in which they left."""
        published = [action.signal for action in self.actions if isinstance(action, Publish)]
        return [signal.offer_id for signal in published if isinstance(signal, SendOffer)]

    def candidate(self, name: str) -> list[str]:
        return self.signal(CandidateReceived(self.peer_id, Candidate(f"candidate:{name} 1 udp 1 a 1 typ host")))

    def event(self, event: LinkEvent) -> list[str]:
        """What our newest transport reports."""
        self.engine.receive_link_event(self.peer_id, self.epoch, event, self.now)
        return self._collect()

    def frame(self, frame: Frame) -> list[str]:
        return self.raw(encode_frame(frame))

    def raw(self, data: bytes) -> list[str]:
        self.engine.receive_frame(self.peer_id, self.epoch, data, self.now)
        return self._collect()

    def connect(self, waiter: int | None = None, *, pin: bool = False) -> list[str]:
        self.engine.connect(self.peer_id, pin, waiter, self.now)
        return self._collect()

    def approve(self, label: str = "") -> list[str]:
        self.engine.approve(self.peer_id, label, self.now)
        return self._collect()

    def approve_stranger(self, device_id: str) -> list[str]:
        self.engine.approve(device_id, "", self.now)
        return self._collect()

    def network(self, move: Move) -> list[str]:
        """What happens to the network of this machine."""
        self.engine.network_moved(move, {"prev": "before", "next": "after"}, self.now)
        return self._collect()

    def relay_up(self) -> list[str]:
        """A relay works, as it was asked or dialled anew."""
        self.engine.signaling_is_up(self.now)
        return self._collect()

    def collect(self) -> list[str]:
        return self._collect()

    # ── the peer's part of a handshake ────────────────────────────────────────────────────────────────────────────────

    def hello(self, nonce: str = "n1", *, label: str = "them", features: tuple[str, ...] = FEATURES) -> list[str]:
        return self.frame(
            Hello(
                protocol=1,
                device_id=self.peer_id,
                label=label,
                nonce=nonce,
                verification_code="abc123",
                features=features,
            )
        )

    def proof(self, *, good: bool = True) -> list[str]:
        """The peer's auth_response to the hello that we sent last."""
        nonce = next(frame.nonce for frame in reversed(self.frames) if isinstance(frame, Hello))
        signature = sign_handshake(self.them, nonce if good else "x", self.us.device_id, THEIR_BINDING)
        return self.frame(AuthResponse(signature=signature))

    def open_channel(self) -> list[str]:
        return self.event(ChannelOpened(OUR_BINDING, THEIR_BINDING))

    def up_to(self, stage: Literal["connecting", "handshaking", "pending", "active"]) -> Bench:
        """Bring the link up to a stage, as fast as it goes."""
        if self.us is LOW:
            self.announce()
            self.answer("B1")
        else:
            self.offer("B1")
        if stage != "connecting":
            self.open_channel()
        if stage in ("pending", "active"):
            self.hello()
            self.proof()
        if stage == "active":
            if not self.info.local_approve_sent:
                self.approve()
            self.frame(Approve())
        self.take()
        return self

    # ── what is known ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def info(self) -> PeerInfo:
        """The row that clients see of the peer."""
        return next(info for info in self.engine.peers(self.now) if info.device_id == self.peer_id)

    @property
    def has_entry(self) -> bool:
        return any(info.device_id == self.peer_id for info in self.engine.peers(self.now))

    @property
    def epoch(self) -> int:
        """Of the newest transport to the peer; -1 before the first."""
        return self.epochs.get(self.peer_id, -1)

    @property
    def status(self) -> str:
        """The peer's status, or the word `dropped` with the reason."""
        if self.has_entry:
            return self.info.status
        reasons = [event.reason.kind for event in self.named(PeerDropped)]
        return f"dropped {reasons[-1]}" if reasons else "unknown"

    def take(self) -> list[str]:
        taken, self.sent = self.sent, []
        return taken

    def named(self, kind: type[E]) -> list[E]:
        """The events of one class."""
        return [event for event in self.events if isinstance(event, kind)]

    # ── carrying out ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _collect(self) -> list[str]:
        before = len(self.sent)
        while actions := self.engine.actions():
            for action in actions:
                self.actions.append(action)
                self._carry_out(action)
        return self.sent[before:]

    def _carry_out(self, action: Action) -> None:
        match action:
            case OpenSession(peer, epoch, _):
                self.epochs[peer] = epoch
                self._transports[epoch] = Transport(f"A{len(self._transports) + 1}")
            case MakeOffer(_, epoch, restart) if self.obedient:
                self._transports[epoch].generation += restart
                self.describe(epoch, SdpType.OFFER)
            case TakeOffer(peer, epoch, text) if self.obedient:
                self._transports[epoch].generation += ice_ufrag(text) != self._transports[epoch].remote_ufrag
                self._apply(peer, epoch, SdpType.OFFER, text)
                self.describe(epoch, SdpType.ANSWER)
            case TakeAnswer(peer, epoch, text):
                self.sent.append(f"apply {sdp_name(text)}")
                if self.obedient:
                    self._apply(peer, epoch, SdpType.ANSWER, text)
            case AddCandidate(_, _, candidate):
                self.sent.append(f"add candidate {candidate.candidate.split(':')[1].split()[0]}")
            case CloseSession(_, epoch):
                self.sent.append(f"close {self._transports[epoch].name}")
            case SendFrame(_, _, kind, data):
                frame = decode_frame(data)
                assert kind == frame.KIND
                self.frames.append(frame)
                self.sent.append(kind)
            case Publish(Announce()):
                self.sent.append("announce")
            case Publish(Leave()):
                self.sent.append("leave")
            case Publish(SendOffer(_, text)):
                self.sent.append(f"offer {sdp_name(text)}")
            case Publish(SendAnswer(_, text)):
                self.sent.append(f"answer {sdp_name(text)}")
            case Emit(event):
                if isinstance(event, Diag):
                    self.diags.append(event)
                else:
                    self.events.append(event)
            case Deliver(_, _, frame):
                self.delivered.append(frame)
            case _:
                pass

    def describe(self, epoch: int, kind: SdpType) -> None:
        transport = self._transports[epoch]
        transport.descriptions += 1
        name = transport.name if transport.descriptions == 1 else f"{transport.name}.{transport.descriptions}"
        if transport.generation > 1:
            name += f" r{transport.generation}"
        if kind is SdpType.ANSWER:
            name += f" to {self._answering}"
        self._report(epoch, LocalDescription(kind, sdp(name)))

    def _apply(self, peer: str, epoch: int, kind: SdpType, text: str) -> None:
        self._answering = sdp_name(text)
        self._transports[epoch].remote_ufrag = ice_ufrag(text)
        self._report(epoch, RemoteApplied(kind, first_fingerprint(text)))

    def _report(self, epoch: int, event: LinkEvent) -> None:
        self.engine.receive_link_event(self.peer_id, epoch, event, self.now)


def prove_successor(bench: Bench) -> list[str]:
    """The peer opens the channel of the newest transport, and proves itself over it."""
    words = bench.open_channel()
    words += bench.hello("n2")
    return words + bench.proof()


def wait_for_approval(bench: Bench, device: Identity) -> None:
    """Another device meets the engine, and waits for the consent of a person."""
    device_id = device.device_id
    bench.signal(OfferReceived(device_id, sdp("B1")))
    epoch = bench.epochs[device_id]
    bench.engine.receive_link_event(device_id, epoch, ChannelOpened(OUR_BINDING, THEIR_BINDING), bench.now)
    bench.collect()
    nonce = next(frame.nonce for frame in reversed(bench.frames) if isinstance(frame, Hello))
    proof = AuthResponse(signature=sign_handshake(device, nonce, bench.us.device_id, THEIR_BINDING))
    bench.engine.receive_frame(device_id, epoch, encode_frame(proof), bench.now)
    bench.collect()
