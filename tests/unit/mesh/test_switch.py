"""The switch between a scripted engine and recording ports: pure, on a literal clock, without trio."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from mesh_common.events import PeerSighted
from myownmesh.engine import EngineConfig, EngineError, Outgoing, PeerNotAdmitted, PeerNotFound, ShutDown
from myownmesh.engine.actions import (
    AddCandidate,
    CloseSession,
    Deliver,
    DescribePaths,
    Emit,
    LinkDown,
    MakeOffer,
    OpenSession,
    Publish,
    RedialRelays,
    SaveRoster,
    SendFrame,
    TakeAnswer,
    TakeOffer,
    WaiterDone,
)
from myownmesh.engine.links import ChannelClosed, GatheringDone
from myownmesh.engine.moves import Move
from myownmesh.engine.waiting import SHUT_DOWN
from myownmesh.mesh.errors import DoesNotFit, MeshError, NetworkLeft, NotLinked
from myownmesh.mesh.link import MAX_AHEAD_BYTES, NOT_OPEN, SEND_TIMEOUT_S, TIMED_OUT
from myownmesh.mesh.ports import Outside
from myownmesh.mesh.rpc import NETWORK_DOWN
from myownmesh.mesh.rpc import TIMED_OUT as CALL_TIMED_OUT
from myownmesh.mesh.switch import Switch
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import decode_frame, encode_frame
from myownmesh.protocol.frames import Channel, ChannelSeq, Ping, RpcRequest, RpcResponse
from myownmesh.protocol.modes import FullMesh
from myownmesh.protocol.signals import Announce, Candidate, PeerAnnounced
from unit.mesh.fake_session import FakeSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine import Engine
    from myownmesh.engine.actions import Action
    from myownmesh.engine.links import LinkEvent
    from myownmesh.protocol.frames import Frame

PEER, OTHER = "a" * 52, "b" * 51 + "a"
ONE = msgspec.Raw(b"1")
TOO_MUCH = msgspec.Raw(b'"' + b"x" * 70_000 + b'"')


class ScriptedEngine:
    """Asks for what the test puts into `out`, and writes down what it is told."""

    def __init__(self) -> None:
        self.out: list[Action] = []
        self.told: list[tuple[Any, ...]] = []
        self.timer: float | None = None
        self.refusal: EngineError | None = None
        self.epochs: dict[str, int] = {}
        """Of the admitted peers."""
        self.on_input: Callable[[], None] = lambda: None
        """A bug, where the test wants one."""

    def actions(self) -> list[Action]:
        out, self.out = self.out, []
        return out

    def next_timer(self) -> float | None:
        return self.timer

    def frame_for(self, peer: str, frame: Frame, _now: Instant) -> Outgoing:
        if self.refusal is not None:
            raise self.refusal
        return Outgoing(((peer, self.epochs[peer]),), encode_frame(frame))

    def broadcast(self, frame: Channel) -> Outgoing:
        return Outgoing(tuple(self.epochs.items()), encode_frame(frame))

    def __getattr__(self, name: str) -> Callable[..., None]:
        def tell(*args: Any) -> None:
            self.told.append((name, *[arg for arg in args if not isinstance(arg, Instant)]))
            self.on_input()
            if self.refusal is not None and name in ("connect", "approve"):
                raise self.refusal

        return tell


class Desk:
    """A started switch, and everything that it did."""

    def __init__(self, *, start: bool = True) -> None:
        self.engine = ScriptedEngine()
        self.mono = 0.0
        self.did: list[object] = []
        """What left through the ports, in order."""
        self.wakes: list[float] = []
        self.sessions: list[FakeSession] = []
        self.on_event: Callable[[], None] = lambda: None
        outside = Outside(
            now=lambda: Instant(self.mono, round(self.mono * 1000)),
            publish=self.did.append,
            redial=lambda if_mute: self.did.append("ask the relays" if if_mute else "redial"),
            set_pace=lambda quiet: self.did.append(f"pace quiet={quiet}"),
            save_roster=lambda: self.did.append("save"),
            on_event=self._event,
            wake_at=self.wakes.append,
        )
        self.switch = Switch(cast("Engine", self.engine), outside, random.Random(1))
        if start:
            self.start()

    def start(self) -> None:
        self.switch.start(self._open)
        self.engine.told.clear()

    def ask(self, *actions: Action) -> None:
        """Have the engine ask for something in answer to an input."""
        self.engine.out.extend(actions)
        self.switch.signaling_is_up()
        self.engine.told.clear()

    def link(self, peer: str = PEER, epoch: int = 1) -> FakeSession:
        """An admitted peer with an open session."""
        self.ask(OpenSession(peer, epoch, offerer=True))
        self.engine.epochs[peer] = epoch
        return self.sessions[-1]

    def wait(self, seconds: float) -> None:
        """Let time pass and the driver's alarm ring."""
        self.mono += seconds
        self.switch.handle_timer()

    def _open(
        self, *, offerer: bool, on_event: Callable[[LinkEvent], None], on_frame: Callable[[bytes], None]
    ) -> FakeSession:
        self.sessions.append(FakeSession(offerer, on_event, on_frame))
        return self.sessions[-1]

    def _event(self, event: object) -> None:
        self.did.append(event)
        self.on_event()


class Done(list[str | None]):
    def __call__(self, error: str | None) -> None:
        self.append(error)


class Answers(list[tuple[bytes | None, str | None]]):
    def __call__(self, ok: msgspec.Raw | None, error: str | None) -> None:
        self.append((None if ok is None else bytes(ok), error))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def overload(session: FakeSession) -> None:
    session.buffered_bytes = MAX_AHEAD_BYTES


def sighted(peer: str) -> PeerSighted:
    return PeerSighted("home", peer)


# ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_needs_a_session_waits_for_the_start_and_nothing_else_does() -> None:
    desk = Desk(start=False)
    desk.ask(OpenSession(PEER, 1, offerer=True), MakeOffer(PEER, 1), Publish(Announce()))
    assert desk.did == [Announce()]
    assert desk.sessions == []
    desk.engine.out.append(Emit(sighted(PEER)))
    desk.start()
    [session] = desk.sessions
    assert session.did == ["offer restart=False"]
    assert desk.did == [Announce(), sighted(PEER)]


def test_a_dial_that_ended_before_the_start_opens_and_closes_its_session() -> None:
    desk = Desk(start=False)
    desk.ask(OpenSession(PEER, 1, offerer=True), CloseSession(PEER, 1))
    desk.start()
    [session] = desk.sessions
    assert session.did == ["close"]


def test_every_step_of_the_negotiation_reaches_its_session(desk: Desk) -> None:
    desk.ask(
        OpenSession(PEER, 1, offerer=False),
        MakeOffer(PEER, 1, restart=True),
        TakeOffer(PEER, 1, "theirs"),
        TakeAnswer(PEER, 1, "theirs too"),
        AddCandidate(PEER, 1, Candidate("c")),
        CloseSession(PEER, 1),
    )
    [session] = desk.sessions
    assert not session.offerer
    assert session.did == ["offer restart=True", "take offer theirs", "take answer theirs too", "candidate c", "close"]


def test_two_sessions_to_a_peer_are_told_apart_by_their_epochs(desk: Desk) -> None:
    desk.ask(OpenSession(PEER, 1, offerer=True), OpenSession(PEER, 2, offerer=True))
    old, new = desk.sessions
    assert old.did == []
    desk.ask(CloseSession(PEER, 1))
    desk.ask(MakeOffer(PEER, 1), AddCandidate(PEER, 1, Candidate("c")), CloseSession(PEER, 1))
    assert (old.did, new.did) == (["close"], [])
    desk.ask(CloseSession(PEER, 2))
    assert new.did == ["close"]


def test_what_a_session_reports_carries_its_peer_and_its_epoch(desk: Desk) -> None:
    first, second = desk.link(PEER, 1), desk.link(OTHER, 2)
    second.on_frame(b"{}")
    first.on_event(GatheringDone())
    assert desk.engine.told == [
        ("receive_frame", OTHER, 2, b"{}"),
        ("receive_link_event", PEER, 1, GatheringDone()),
    ]


def test_a_bug_in_the_engine_reaches_whoever_brought_the_input(desk: Desk) -> None:
    session = desk.link()

    def bug() -> None:
        raise ZeroDivisionError

    desk.engine.on_input = bug
    for enter in (
        lambda: session.on_frame(b"{}"),
        lambda: session.on_event(ChannelClosed("gone")),
        lambda: desk.switch.receive_signal(PeerAnnounced(PEER)),
        desk.switch.signaling_is_up,
        lambda: desk.switch.network_moved(Move.MOVED, {}),
        lambda: desk.switch.woken(60.0),
        desk.switch.has_no_relays,
        desk.switch.handle_timer,
    ):
        with pytest.raises(ZeroDivisionError):
            enter()


# ── actions ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_other_actions_leave_through_their_ports_in_order(desk: Desk) -> None:
    desk.ask(SaveRoster(), Emit(sighted(PEER)), RedialRelays(), Publish(Announce()))
    assert desk.did == ["save", sighted(PEER), "redial", Announce()]
    desk.ask(RedialRelays(if_mute=True))
    assert desk.did[4:] == ["ask the relays"]


def test_a_link_is_described_while_it_has_a_session(desk: Desk) -> None:
    session = desk.link()
    asked = DescribePaths(PEER, 1, "failed", "warn")
    desk.engine.out += [asked, DescribePaths("nobody", 1, "failed", "warn")]
    desk.switch.signaling_is_up()
    assert desk.engine.told[1:] == [("paths_described", asked, session.ice_snapshot())]


def test_what_a_listener_causes_happens_after_what_was_asked_before(desk: Desk) -> None:
    def approve() -> None:
        desk.on_event = lambda: None
        desk.engine.out.append(Emit(sighted("caused")))
        desk.switch.approve(PEER, "")
        desk.did.append("the listener is done")

    desk.on_event = approve
    desk.ask(Emit(sighted(PEER)), SaveRoster())
    assert desk.did == [sighted(PEER), "the listener is done", "save", sighted("caused")]


def test_commands_reach_the_engine(desk: Desk) -> None:
    switch, config, advert = desk.switch, EngineConfig(), Capabilities(tags=("a",))
    switch.approve(PEER, "Phone")
    switch.remove(PEER)
    switch.reconnect(None)
    switch.set_topology(FullMesh())
    switch.set_capabilities(advert)
    switch.set_label("Laptop")
    switch.configure(config)
    switch.receive_signal(PeerAnnounced(PEER))
    assert desk.engine.told == [
        ("approve", PEER, "Phone"),
        ("remove", PEER),
        ("reconnect", None),
        ("set_topology", FullMesh()),
        ("set_capabilities", advert),
        ("set_label", "Laptop"),
        ("configure", config),
        ("receive_signal", PeerAnnounced(PEER)),
    ]


def test_a_command_that_the_engine_refuses_raises_its_text(desk: Desk) -> None:
    desk.engine.refusal = EngineError("network: no")
    with pytest.raises(MeshError, match="network: no"):
        desk.switch.approve(PEER, "")


# ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_leaves_on_the_link_of_its_peer_and_is_counted(desk: Desk) -> None:
    session, done = desk.link(epoch=4), Done()
    frame = Channel(channel="c", payload=ONE)
    assert desk.switch.send(PEER, frame, done) == 4
    assert session.sent == [encode_frame(frame)]
    assert done == [None]
    assert desk.engine.told == [("note_sent", "channel", len(session.sent[0]))]


def test_a_frame_that_a_closed_channel_refuses_is_not_counted(desk: Desk) -> None:
    session, done = desk.link(), Done()
    session.is_open = False
    desk.switch.send(PEER, Channel(channel="c", payload=ONE), done)
    assert done == [NOT_OPEN]
    assert desk.engine.told == []


@pytest.mark.parametrize("refusal", [PeerNotFound(PEER), PeerNotAdmitted(PEER)])
def test_a_frame_to_nobody_is_refused(desk: Desk, refusal: EngineError) -> None:
    desk.engine.refusal = refusal
    with pytest.raises(NotLinked, match=f"peer {PEER} not found in active set"):
        desk.switch.send(PEER, Channel(channel="c", payload=ONE), Done())


def test_a_frame_that_no_peer_can_take_is_refused(desk: Desk) -> None:
    desk.link()
    with pytest.raises(DoesNotFit, match="transport: frame of 70"):
        desk.switch.send(PEER, Channel(channel="c", payload=TOO_MUCH), Done())
    with pytest.raises(DoesNotFit, match="transport: frame of 70"):
        desk.switch.broadcast("c", TOO_MUCH, cast("Callable[[int], None]", desk.did.append))


def test_a_frame_for_a_session_that_is_not_there_is_refused(desk: Desk) -> None:
    desk.link(epoch=1)
    desk.engine.epochs[PEER] = 2
    with pytest.raises(MeshError, match="session not yet established"):
        desk.switch.send(PEER, Channel(channel="c", payload=ONE), Done())


def test_a_broadcast_counts_the_links_that_took_it(desk: Desk) -> None:
    counts: list[int] = []
    desk.switch.broadcast("c", ONE, counts.append)
    assert counts == [0]
    good, bad = desk.link(PEER, 1), desk.link(OTHER, 2)
    bad.is_open = False
    desk.engine.epochs["c" * 52] = 3  # no session of that epoch
    desk.switch.broadcast("c", ONE, counts.append)
    assert counts == [0, 1]
    assert good.sent == [encode_frame(Channel(channel="c", payload=ONE))]


def test_control_frames_of_the_engine_overtake_bulk_that_waits(desk: Desk) -> None:
    session = desk.link()
    overload(session)
    desk.switch.send(PEER, Channel(channel="c", payload=ONE), Done())
    desk.ask(SendFrame(PEER, 1, "ping", b"ping"))
    session.drain()
    assert session.sent == [b"ping", encode_frame(Channel(channel="c", payload=ONE))]


def test_the_engine_is_told_of_a_control_frame_that_found_no_link(desk: Desk) -> None:
    desk.engine.out.append(SendFrame(PEER, 1, "approve", b"{}"))
    desk.switch.signaling_is_up()
    assert desk.engine.told == [("signaling_is_up",), ("frame_lost", PEER, 1, "approve")]


def test_the_engine_is_told_of_a_control_frame_that_waited_too_long(desk: Desk) -> None:
    overload(desk.link())
    desk.ask(SendFrame(PEER, 1, "approve", b"{}"))
    desk.wait(SEND_TIMEOUT_S)
    assert desk.engine.told == [("handle_timer",), ("frame_lost", PEER, 1, "approve")]


def test_what_the_engine_makes_of_a_loss_is_carried_out_at_once(desk: Desk) -> None:
    session = desk.link()
    overload(session)
    desk.ask(SendFrame(PEER, 1, "approve", b"{}"))
    desk.engine.out.append(Emit(sighted(PEER)))
    session.is_open = False
    session.drain()
    assert desk.did == [sighted(PEER)]


def test_application_frames_reach_listeners_and_handlers(desk: Desk) -> None:
    desk.link()
    heard: list[tuple[str, bytes]] = []
    desk.switch.channels.listen("c", lambda peer, payload: heard.append((peer, bytes(payload))))
    desk.switch.rpc.serve("echo", lambda call: call.respond(call.payload, None), streaming=False)
    desk.ask(
        Deliver(PEER, 1, Channel(channel="c", payload=ONE)),
        Deliver(PEER, 1, ChannelSeq(stream=1, seq=1, channel="c", payload=ONE)),
        Deliver(PEER, 1, RpcRequest(request_id="r1", method="echo", payload=ONE)),
    )
    assert heard == [(PEER, b"1"), (PEER, b"1")]
    assert [decode_frame(data) for data in desk.sessions[0].sent] == [RpcResponse(request_id="r1", ok=ONE)]


def test_any_other_frame_is_a_bug_of_the_engine(desk: Desk) -> None:
    with pytest.raises(RuntimeError, match="delivered a ping"):
        desk.ask(Deliver(PEER, 1, Ping(t=1)))


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_asks_to_be_woken_for_whatever_is_due_first(desk: Desk) -> None:
    session = desk.link()
    desk.engine.timer = 30.0
    desk.switch.signaling_is_up()
    desk.switch.signaling_is_up()
    assert desk.wakes == [30.0], "a deadline that is known is not told again"
    desk.switch.call(PEER, "echo", ONE, Answers(), 10.0)
    assert desk.wakes == [30.0, 10.0]
    overload(session)
    desk.switch.send(PEER, Channel(channel="c", payload=ONE), Done())
    assert desk.wakes == [30.0, 10.0, SEND_TIMEOUT_S]
    desk.wait(SEND_TIMEOUT_S)
    assert desk.wakes[3:] == [10.0]


def test_a_call_ends_at_its_deadline(desk: Desk) -> None:
    desk.link()
    answers = Answers()
    desk.switch.call(PEER, "echo", ONE, answers, 5.0)
    desk.wait(4.9)
    assert answers == []
    desk.wait(0.1)
    assert answers == [(None, CALL_TIMED_OUT)]


def test_whoever_is_told_of_a_lost_frame_may_send_over_another_full_link(desk: Desk) -> None:
    overload(desk.link(PEER, 1))
    overload(desk.link(OTHER, 2))
    elsewhere = Done()
    frame = Channel(channel="c", payload=ONE)

    def send_elsewhere(_error: str | None) -> None:
        desk.switch.send(OTHER, frame, elsewhere)

    desk.switch.send(PEER, frame, send_elsewhere)
    desk.wait(SEND_TIMEOUT_S)
    assert elsewhere == []
    desk.wait(SEND_TIMEOUT_S)
    assert elsewhere == [TIMED_OUT]


# ── whoever waits ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_fails_with_its_link(desk: Desk) -> None:
    desk.link()
    answers = Answers()
    desk.switch.call(PEER, "echo", ONE, answers)
    desk.ask(LinkDown(PEER, 1))
    assert answers == [(None, NETWORK_DOWN)]


def test_whoever_waits_for_a_dial_is_told_once(desk: Desk) -> None:
    first, second, silent = Done(), Done(), Done()
    desk.switch.connect(PEER, first, pin=False)
    desk.switch.connect(PEER, second, pin=True)
    desk.switch.connect(PEER, None, pin=False)
    assert desk.engine.told == [
        ("connect", PEER, False, 0),
        ("connect", PEER, True, 1),
        ("connect", PEER, False, None),
    ]
    desk.ask(WaiterDone(1, None), WaiterDone(0, "denied"), WaiterDone(0, "twice"))
    assert (first, second, silent) == (["denied"], [None], [])


def test_a_wait_that_is_given_up_is_told_to_the_engine_once(desk: Desk) -> None:
    done = Done()
    abandon = desk.switch.connect(PEER, done, pin=False)
    desk.engine.told.clear()
    abandon()
    abandon()
    assert desk.engine.told == [("abandon_waiter", 0)]
    desk.ask(WaiterDone(0, None))
    assert done == []


def test_nobody_waits_for_a_dial_that_was_refused(desk: Desk) -> None:
    done = Done()
    desk.engine.refusal = EngineError("network: this is the id of this device")
    with pytest.raises(MeshError, match="id of this device"):
        desk.switch.connect(PEER, done, pin=False)
    desk.switch.stop()
    assert done == []


def test_whoever_asks_for_a_dial_while_the_network_is_left_learns_it_by_kind(desk: Desk) -> None:
    desk.engine.refusal = ShutDown(SHUT_DOWN)
    with pytest.raises(NetworkLeft, match="network shut down"):
        desk.switch.connect(PEER, Done(), pin=False)


# ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_departure_says_how_long_it_takes(desk: Desk) -> None:
    desk.mono = 10.0
    desk.engine.timer = 10.25
    assert desk.switch.leave() == pytest.approx(0.25)
    desk.mono = 11.0
    assert desk.switch.leave() == 0.0, "it is over already"
    desk.engine.timer = None
    assert desk.switch.leave() == 0.0


def test_the_end_closes_fails_and_tells_everything_once(desk: Desk) -> None:
    session = desk.link()
    overload(session)
    answers, waiting, frame = Answers(), Done(), Done()
    desk.switch.call(PEER, "echo", ONE, answers)
    desk.switch.send(PEER, Channel(channel="c", payload=ONE), frame)
    desk.switch.connect(OTHER, waiting, pin=False)
    desk.switch.stop()
    desk.switch.stop()
    assert session.did == ["close"]
    assert answers == [(None, NOT_OPEN)]
    assert frame == [NOT_OPEN]
    assert waiting == [SHUT_DOWN]


def test_a_broken_engine_leaves_no_session_open(desk: Desk) -> None:
    session = desk.link()

    def bug() -> None:
        raise ZeroDivisionError

    desk.engine.on_input = bug
    with pytest.raises(ZeroDivisionError):
        desk.switch.stop()
    assert session.closed
