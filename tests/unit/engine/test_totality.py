"""Any input in any state: nothing raises, and what must always hold holds (style.md: totality)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_common.views import PeerStatus
from myownmesh.engine import Engine, EngineConfig, EngineError
from myownmesh.engine.actions import (
    AddCandidate,
    CloseSession,
    Deliver,
    LinkDown,
    LinkUp,
    MakeOffer,
    OpenSession,
    Publish,
    SendFrame,
    TakeAnswer,
    TakeOffer,
    WaiterDone,
)
from myownmesh.engine.limits import MAX_PENDING_APPROVALS, MAX_UNPROVEN_LINKS
from myownmesh.engine.links import (
    ChannelClosed,
    ChannelOpened,
    GatheringDone,
    LocalCandidate,
    LocalDescription,
    NegotiationFailed,
    PairSelected,
    PathChanged,
    PathState,
    RemoteApplied,
    SdpType,
)
from myownmesh.engine.moves import Move
from myownmesh.identity import Identity, sign_handshake
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import decode_frame, encode_frame
from myownmesh.protocol.frames import (
    KINDS,
    Approve,
    AuthResponse,
    CapabilitiesUpdate,
    Channel,
    ChannelAck,
    ChannelSeq,
    Deny,
    Hello,
    NetworkState,
    NetworkStateAck,
    NetworkStatePropose,
    NetworkStateSplit,
    Ping,
    Pong,
    RosterEntries,
    RosterEntry,
    RosterRequest,
    RosterSummary,
    RpcRequest,
    RpcResponse,
    RpcStreamChunk,
    RpcStreamEnd,
    Shelve,
    Unshelve,
)
from myownmesh.protocol.modes import FullMesh, Star
from myownmesh.protocol.signals import (
    AnswerReceived,
    Candidate,
    CandidateReceived,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
)
from myownmesh.protocol.transitions import Evict
from myownmesh.roster import Roster
from support.examples import examples
from unit.engine.bench import LOW, OUR_BINDING, THEIR_BINDING, sdp

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine.actions import Action
    from myownmesh.engine.links import (
        LinkEvent,
    )
    from myownmesh.protocol.frames import (
        Frame,
    )
    from myownmesh.protocol.signals import (
        InboundSignal,
    )

US = LOW
PEERS = [Identity.from_seed(bytes([n]) * 32, f"peer {n}") for n in range(1, 5)]
IDS = [peer.device_id for peer in PEERS]
UNGATED = {"hello", "auth_response", "approve", "deny"}
SDPS = [sdp("B1"), sdp("B1.2"), sdp("B2"), sdp("C3"), "", "a=fingerprint:", "\x00" * 50]
PAYLOAD = msgspec.Raw(b'{"x":1}')

FRAMES: list[Frame] = [
    Approve(),
    Deny(reason="evicted"),
    Ping(t=5),
    Pong(t=1_700_000_000_000),
    Shelve(reason=None),
    Unshelve(),
    CapabilitiesUpdate(capabilities=Capabilities(tags=("a",))),
    RpcRequest(request_id="r", method="m", payload=PAYLOAD),
    RpcResponse(request_id="r", ok=PAYLOAD),
    RpcStreamChunk(request_id="r", seq=1, payload=PAYLOAD),
    RpcStreamEnd(request_id="r"),
    Channel(channel="c", payload=PAYLOAD),
    ChannelSeq(stream=1, seq=1, channel="c", payload=PAYLOAD),
    ChannelAck(stream=1, up_to=1),
    RosterSummary(root="x", count=1, last_edit_ts=1),
    RosterRequest(include_all=True),
    RosterEntries(entries=(RosterEntry(IDS[3], "learnt", 1, "member"), RosterEntry("no id", "x", 1, "owner"))),
    NetworkState(network_kind="open", transitions_count=1, member_log_count=2, roster_root="y"),
    NetworkStatePropose("p", Evict(IDS[3]), IDS[2], 1, "s"),
    NetworkStateAck("p", IDS[2], "sign", 1, "s"),
    NetworkStateSplit("p", "n", (IDS[3],), IDS[2], 1, "s"),
    AuthResponse(signature="a" * 103),
    AuthResponse(signature="ſ"),
]
assert {type(frame) for frame in FRAMES} == set(KINDS.values()) - {Hello}, "hellos are made as they are needed"
GARBAGE = [b"", b"{", b"\xff\xfe", b'{"kind":"ping"}', b'{"kind":"later_version","x":1}', b"[]", b"x" * 70_000]

LINK_EVENTS: list[LinkEvent] = [
    LocalDescription(SdpType.OFFER, sdp("A1")),
    LocalDescription(SdpType.ANSWER, sdp("A1")),
    LocalCandidate(Candidate("candidate:1 1 udp 1 a 1 typ host")),
    GatheringDone(),
    NegotiationFailed(SdpType.OFFER, local=True, error="no"),
    NegotiationFailed(SdpType.OFFER, local=False, error="no"),
    NegotiationFailed(SdpType.ANSWER, local=True, error="no"),
    NegotiationFailed(SdpType.ANSWER, local=False, error="no"),
    RemoteApplied(SdpType.OFFER, THEIR_BINDING),
    RemoteApplied(SdpType.ANSWER, None),
    ChannelOpened(OUR_BINDING, THEIR_BINDING),
    ChannelOpened(OUR_BINDING, None),
    ChannelOpened(None, THEIR_BINDING),
    ChannelClosed("gone"),
    PairSelected("host", "relay"),
    *[PathChanged(state) for state in PathState],
]


@define
class Trial:
    """An engine, and the little that its driver must know to judge what comes out."""

    engine: Engine
    mono: float = 0.0
    opened: dict[tuple[str, int], bool] = field(factory=dict)
    """Sessions by (peer, epoch): True while open."""
    denied: set[tuple[str, int]] = field(factory=set)
    """Those that are open just until their last frame has left."""
    up: set[tuple[str, int]] = field(factory=set)
    last_epoch: int = -1
    nonces: dict[str, str] = field(factory=dict)
    leaving: bool = False
    left: bool = False
    """What the leave itself says is out."""
    waiters: set[int] = field(factory=set)
    next_waiter: int = 0

    @property
    def now(self) -> Instant:
        return Instant(self.mono, 1_700_000_000_000 + round(self.mono * 1000))

    def collect(self) -> None:
        for action in self.engine.actions():
            assert not self.left or isinstance(action, CloseSession), f"{action} after the leave"
            self.judge(action)
        self.judge_state()

    def judge(self, action: Action) -> None:
        match action:
            case OpenSession(peer, epoch, _):
                assert epoch > self.last_epoch, "an epoch came back"
                self.last_epoch = epoch
                self.opened[peer, epoch] = True
            case CloseSession(peer, epoch):
                assert self.opened[peer, epoch], "closed twice"
                self.opened[peer, epoch] = False
                self.denied.discard((peer, epoch))
            case MakeOffer(peer, epoch) | TakeOffer(peer, epoch) | TakeAnswer(peer, epoch) | AddCandidate(peer, epoch):
                assert self.opened[peer, epoch]
            case SendFrame(peer, epoch, kind, data):
                assert self.opened[peer, epoch]
                assert (peer, epoch) not in self.denied, "nothing comes after a deny"
                if kind == "deny":
                    self.denied.add((peer, epoch))
                assert 0 < len(data) <= 65_535
                assert kind in UNGATED or (peer, epoch) in self.up, f"{kind} to a peer that is not admitted"
                frame = decode_frame(data)
                if isinstance(frame, Hello):
                    self.nonces[peer] = frame.nonce
            case Deliver(peer, epoch, _):
                assert (peer, epoch) in self.up
            case LinkUp(peer, epoch):
                assert self.opened[peer, epoch]
                assert (peer, epoch) not in self.up
                self.up.add((peer, epoch))
            case LinkDown(peer, epoch):
                self.up.remove((peer, epoch))
            case WaiterDone(waiter, _):
                assert waiter in self.waiters, "a waiter was told twice"
                self.waiters.discard(waiter)
            case Publish():
                pass
            case _:
                pass

    def judge_state(self) -> None:
        infos = {info.device_id: info for info in self.engine.peers(self.now)}
        for peer, info in infos.items():
            is_live = info.status in (PeerStatus.ACTIVE, PeerStatus.SHELVED)
            if is_live:
                assert info.authenticated
                assert info.local_approve_sent
                assert info.remote_approve_seen
                assert any(self.opened[key] for key in self.up if key[0] == peer) or self.leaving
            if is_live or info.status in (PeerStatus.HANDSHAKING, PeerStatus.PENDING_APPROVAL):
                assert any(is_open for (each, _), is_open in self.opened.items() if each == peer)
            open_now = sum(is_open for (each, _), is_open in self.opened.items() if each == peer)
            assert open_now <= (2 if is_live else 1) + len(self.denied)
            msgspec.json.encode(info)
        unproven = [
            peer
            for peer in infos
            if self.opened.get((peer, self.epoch_of(peer, 0)))
            and not infos[peer].authenticated
            and not self.engine.roster.is_authorized(peer)
        ]
        assert len(unproven) <= MAX_UNPROVEN_LINKS
        pending = [peer for peer, info in infos.items() if info.status is PeerStatus.PENDING_APPROVAL]
        assert len(pending) <= MAX_PENDING_APPROVALS
        deadline = self.engine.next_timer()
        assert deadline is None or deadline < self.mono + 24 * 3600 + 1

    def epoch_of(self, peer: str, age: int) -> int:
        """The epoch of the newest session to `peer`, or one that many numbers older."""
        return max((epoch for each, epoch in self.opened if each == peer), default=0) - age


# Each input is a function of the trial; Hypothesis shrinks the list of them.
Step = "Callable[[Trial], None]"
peers = st.sampled_from(IDS)
signals = st.one_of(
    st.builds(PeerAnnounced, peers),
    st.builds(OfferReceived, peers, st.sampled_from(SDPS)),
    st.builds(AnswerReceived, peers, st.sampled_from(SDPS)),
    st.builds(
        CandidateReceived, peers, st.builds(Candidate, st.sampled_from(["", "candidate:7 1 udp 1 a 1 typ srflx"]))
    ),
    st.builds(PeerLeft, peers),
)
messages = st.sampled_from(GARBAGE + [encode_frame(frame) for frame in FRAMES])
ages = st.sampled_from([0, 0, 0, 0, 1, 2])


def signal(item: InboundSignal) -> Callable[[Trial], None]:
    return lambda trial: trial.engine.receive_signal(item, trial.now)


def link_event(peer: str, age: int, event: LinkEvent) -> Callable[[Trial], None]:
    return lambda trial: trial.engine.receive_link_event(peer, trial.epoch_of(peer, age), event, trial.now)


def message(peer: str, age: int, data: bytes) -> Callable[[Trial], None]:
    return lambda trial: trial.engine.receive_frame(peer, trial.epoch_of(peer, age), data, trial.now)


def talk(peer: str, messages: list[bytes]) -> Callable[[Trial], None]:
    def act(trial: Trial) -> None:
        for data in messages:
            message(peer, 0, data)(trial)
            trial.collect()

    return act


def hello(peer: str, nonce: str, named: str) -> Callable[[Trial], None]:
    frame = Hello(
        protocol=1, device_id=named, label="x\x00" * 300, nonce=nonce, verification_code="?", features=("later_v9",)
    )
    return message(peer, 0, encode_frame(frame))


def proof(peer: int) -> Callable[[Trial], None]:
    """A good one, if the peer has seen our hello."""

    def act(trial: Trial) -> None:
        identity = PEERS[peer]
        nonce = trial.nonces.get(identity.device_id, "?")
        frame = AuthResponse(signature=sign_handshake(identity, nonce, US.device_id, THEIR_BINDING))
        message(identity.device_id, 0, encode_frame(frame))(trial)

    return act


def meet(peer: int) -> Callable[[Trial], None]:
    """The whole way to a link that waits for approval, so that the interesting states are often reached."""

    def act(trial: Trial) -> None:
        device_id = IDS[peer]
        for step in (
            signal(OfferReceived(device_id, sdp("B1"))),
            link_event(device_id, 0, ChannelOpened(OUR_BINDING, THEIR_BINDING)),
            hello(device_id, "n", device_id),
        ):
            step(trial)
            trial.collect()
        proof(peer)(trial)
        trial.collect()
        message(device_id, 0, encode_frame(Approve()))(trial)

    return act


def wait(seconds: float) -> Callable[[Trial], None]:
    def act(trial: Trial) -> None:
        end = trial.mono + seconds
        while (deadline := trial.engine.next_timer()) is not None and deadline <= end:
            trial.mono = max(trial.mono, deadline)
            trial.engine.handle_timer(trial.now)
            after = trial.engine.next_timer()
            assert after is None or after > trial.mono, "a timer that is due at once again"
            trial.collect()
        trial.mono = end

    return act


def command(name: str, peer: str, number: int) -> Callable[[Trial], None]:
    def act(trial: Trial) -> None:
        engine, now = trial.engine, trial.now
        trial.next_waiter += 1
        waiter = trial.next_waiter
        try:
            match name:
                case "approve":
                    engine.approve(peer, "label\n", now)
                case "remove":
                    engine.remove(peer, now)
                case "connect":
                    trial.waiters.add(waiter)
                    engine.connect(peer, number % 2 == 0, waiter, now)
                case "reconnect":
                    engine.reconnect(peer if number % 2 else None, now)
                case "capabilities":
                    engine.set_capabilities(Capabilities(tags=("t",)), now)
                case "topology":
                    engine.set_topology(FullMesh() if number % 2 else Star(peer), now)
                case "configure":
                    engine.configure(
                        EngineConfig(
                            auto_approve=number % 2 == 0,
                            kind="silent" if number % 3 == 0 else "open",
                            pinned_peers=frozenset({peer}),
                            immediate_leave=number % 5 == 0,
                        ),
                        now,
                    )
                case "network":
                    engine.network_moved([*Move][number % len(Move)], {}, now)
                case "woken":
                    engine.woken(number, now)
                case "relay":
                    engine.signaling_is_up(now)
                case "lost":
                    engine.frame_lost(peer, trial.epoch_of(peer, 0), "approve", now)
                case "leave":
                    trial.leaving = True
                    engine.leave(now)
                    trial.collect()
                    trial.left = True
                case "stop":
                    trial.leaving = True
                    engine.stop(now)
                    trial.collect()
                    trial.left = True
                    assert not any(trial.opened.values()), "a session outlived the stop"
        except EngineError:
            trial.waiters.discard(waiter)
            assert trial.left or name in ("topology",)

    return act


steps = st.one_of(
    st.builds(meet, st.integers(0, 3)),
    st.builds(signal, signals),
    st.builds(link_event, peers, ages, st.sampled_from(LINK_EVENTS)),
    st.builds(message, peers, ages, messages),
    st.builds(talk, peers, st.lists(messages, min_size=5, max_size=30)),
    st.builds(talk, peers, st.lists(messages, min_size=5, max_size=30)),
    st.builds(hello, peers, st.sampled_from(["n", "m", "|"]), st.sampled_from([*IDS, "ü" * 20])),
    st.builds(proof, st.integers(0, 3)),
    st.builds(wait, st.sampled_from([0.1, 1.0, 3.0, 10.0, 31.0, 100.0])),
    st.builds(
        command,
        st.sampled_from(
            [
                "approve",
                "remove",
                "connect",
                "reconnect",
                "capabilities",
                "topology",
                "configure",
                "lost",
                "network",
                "woken",
                "relay",
                "approve",
                "connect",
                "leave",
                "stop",
            ]
        ),
        peers,
        st.integers(0, 1000),
    ),
)


@pytest.mark.unwatched
@settings(max_examples=examples(300), deadline=None)
@given(st.booleans(), st.lists(steps, min_size=4, max_size=40))
def test_any_input_in_any_state(auto_approve: bool, inputs: list[Callable[[Trial], None]]) -> None:
    engine = Engine(US, "home", EngineConfig(auto_approve=auto_approve), Roster("home"), random.Random(1))
    trial = Trial(engine)
    engine.start(trial.now)
    trial.collect()
    for step in inputs:
        step(trial)
        trial.collect()
        trial.mono += 0.001
    command("stop", IDS[0], 0)(trial)
    assert engine.next_timer() is None
