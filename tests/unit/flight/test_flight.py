"""The flight recorder: what is replayed decides as what was recorded, and tells nobody who and where."""

from __future__ import annotations

import base64
import gc
import json
import random
import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pytest
from attrs import evolve

from myownmesh.engine import Engine, EngineConfig
from myownmesh.engine.actions import Deliver, Emit, Forward, SendReliable
from myownmesh.flight import tape as tapes
from myownmesh.flight.playing import Player
from myownmesh.flight.recording import BadRecording, read, written
from myownmesh.flight.redaction import Redactor
from myownmesh.flight.tape import Tape, TapedEngine
from myownmesh.governance.book import Book
from myownmesh.governance.branches import Branch
from myownmesh.governance.member_log import EMPTY
from myownmesh.governance.pins import Pin
from myownmesh.identity import Identity
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Channel, ChannelSeq
from myownmesh.protocol.signals import OfferReceived
from myownmesh.protocol.transitions import KindChange
from myownmesh.roster import Roster
from myownmesh.simulator import node as nodes
from myownmesh.simulator.command import main
from myownmesh.simulator.plan import Plan
from myownmesh.simulator.run import Run
from myownmesh.simulator.world import World
from support.governance import ALICE, NETWORK, entry, log_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from myownmesh.engine.actions import Action

SALT = b"salt"
MESSAGE = b'{"secret":"a person wrote this"}'


class Decided(TapedEngine):
    """Also keeps what came out."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.out: list[Action] = []

    def actions(self) -> list[Action]:
        made = super().actions()
        self.out += made
        return made


@pytest.fixture(autouse=True)
def _taped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "Engine", Decided)


def shape_of(actions: list[Action]) -> list[str]:
    """What was decided, and of which peer; peers have numbers in the order in which they turn up. Frames of
    applications are left out, for of many in a row a recording has one."""
    numbers: dict[str, int] = {}
    return [
        f"{_word(action)} {numbers.setdefault(_peer(action), len(numbers))}"
        for action in actions
        if not isinstance(action, Deliver)
    ]


def _word(action: Action) -> str:
    if isinstance(action, Emit):
        return type(action.event).__name__
    return f"{type(action).__name__} {getattr(action, 'kind', '')}"


def _peer(action: Action) -> str:
    told = action.event if isinstance(action, Emit) else action
    if isinstance(told, Forward):
        return " ".join(peer for peer, _ in told.hops)
    return getattr(told, "peer", None) or getattr(told, "device_id", None) or ""


def recorded(
    seed: int,
    shape: str = "full_mesh",
    seconds: float = 400.0,
    trouble: Literal["none", "wild"] = "wild",
    count: int = 5,
) -> tuple[Decided, bytes, list[Action]]:
    """Some minutes of a node in a network in trouble: its engine, the file, what it decided meanwhile."""
    run = Run(Plan(nodes=count, hours=1.0, shape=shape, trouble=trouble, seed=seed))
    for device_id in run.cast.identities:
        run.cast.start(device_id)
    run.traffic.begin()
    run.troubles.begin()
    run.world.run(60.0)
    ends = []
    for node in run.cast.running():
        engine = node.engine
        assert isinstance(engine, Decided)
        engine.out.clear()
        ends.append((engine, engine.tape.ask(node.now().mono)))
    run.world.run(seconds)
    busiest, end = max(ends, key=lambda each: len(each[0].out))  # the others were killed before
    data, inputs = written(end(), nodes.NETWORK, SALT)
    assert inputs == len(read(data).steps)
    return busiest, data, list(busiest.out)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("seed", "shape", "count"), [(1, "full_mesh", 5), (3, "ring", 12), (1, "star", 5), (3, "hubs", 7)]
)
def test_what_is_replayed_decides_as_what_was_recorded(seed: int, shape: str, count: int) -> None:
    """Also where a shape chooses by the ids, which are others in the file."""
    _, data, decided = recorded(seed, shape, count=count)
    recording = read(data)
    assert (shape == "hubs") is any(step.homes for step in recording.steps)
    assert (shape == "ring") is any(step.nearest for step in recording.steps)
    player = Player(recording)
    again = [action for step in recording.steps for action in player.play(step)]
    assert len(decided) > 50
    assert shape_of(again) == shape_of(decided)


def test_that_a_call_went_out_is_kept_and_what_it_said_is_not() -> None:
    """Nobody answers it, so the peer is asked: a replay that knew of no call would not."""
    world = World(1)
    caller, frozen = world.pair()
    world.run_until(world.all_linked, within=2.0)
    engine = caller.engine
    assert isinstance(engine, Decided)
    engine.out.clear()
    end = engine.tape.ask(caller.now().mono)
    frozen.freeze()
    for _ in range(2):
        caller.call(frozen, "echo", msgspec.Raw(MESSAGE))
    world.run(3.5)
    data, _ = written(end(), nodes.NETWORK, SALT)
    recording = read(data)
    player = Player(recording)
    again = shape_of([action for step in recording.steps for action in player.play(step)])
    assert again == shape_of(engine.out)
    assert again.count("SendFrame ping 0") == 2
    assert [step.name for step in recording.steps].count("call_goes_out") == 1
    assert b"person" not in data


@pytest.mark.heavy
def test_a_recording_tells_nobody_who_and_where() -> None:
    engine, data, _ = recorded(7)
    text = data.decode()
    for device_id in engine.core.known:
        assert device_id not in text
    assert '"identity"' not in text, "nor the key"
    assert "device 0" not in text, "labels"
    assert "192.0.2.1" not in text, "addresses"
    assert nodes.NETWORK not in re.sub(r"myownmesh\.simulator", "", text)


def test_a_redactor_is_consistent_and_keeps_the_order() -> None:
    ids = {Identity.from_seed(bytes([number]) * 32).device_id for number in range(1, 9)}
    redactor = Redactor(ids, "home", SALT)
    told = [redactor.id(each) for each in sorted(ids)]
    assert told == sorted(told)
    assert not ids & set(told)
    one = sorted(ids)[0]
    assert redactor.text(f"offer to {one} at 192.168.1.5:99") == redactor.text(f"offer to {one} at 192.168.1.5:99")
    assert redactor.text("192.168.1.5").startswith("10.")
    assert redactor.text("8.8.8.8").startswith("203.0.113.")
    assert redactor.text("fd12:3456::1").startswith("fd00::")
    assert redactor.text("2606:4700::1111").startswith("2001:db8::")
    assert redactor.text("127.0.0.1 and 0.0.0.0") == "127.0.0.1 and 0.0.0.0"
    assert redactor.text("999.1.1.1") == "999.1.1.1"
    assert redactor.text("home") == "network"
    assert "hunter2hunter2" not in redactor.text("a=ice-pwd:hunter2hunter2\r\n")
    frame = redactor.frame(b'{"kind":"hello","label":"Ann","capabilities":{"extra":{"os":1}},"n":1}')
    assert json.loads(frame) == {"kind": "hello", "label": redactor.label("Ann"), "capabilities": {}, "n": 1}
    assert b"Ann" not in frame
    assert redactor.label("Ann") != redactor.label("Ben")
    assert redactor.label("") == ""
    assert redactor.frame(b"\xffnonsense") == b"x" * 9
    assert redactor.frame(b'{"payload":[1],"ok":"text","approved_at":5}') == b'{"payload":null,"ok":"","approved_at":0}'


def test_the_replay_is_shown_and_stops_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(recorded(1, trouble="none")[1])
    assert main(["replay", str(file)]) == 0
    whole = capsys.readouterr().out
    assert "handle_timer" in whole
    assert "-> " in whole
    assert "\npeer " in whole
    assert main(["replay", str(file), "--until", "3"]) == 0
    part = capsys.readouterr().out
    assert "    3 " in part
    assert "    4 " not in part


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense\n",
        b'{"myownmesh_recording":2}\n{"state":{}}\n',
        b'{"myownmesh_recording":1}\n',
        b'{"myownmesh_recording":1}\n{"state":{"object":"os:x","number":0,"members":{}}}\n',
        b'{"myownmesh_recording":1}\n{"state":{"list":[]}}\n',
    ],
)
def test_what_is_no_recording_is_refused(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(data)
    assert main(["replay", str(file)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    "step",
    [
        b'{"name":"__init__","args":[]}',
        b'{"name":"actions","args":[]}',
        b'{"name":"approve","args":[{"class":"os:x"}]}',
    ],
)
def test_a_step_that_is_no_input_of_an_engine_is_refused(step: bytes) -> None:
    _, data, _ = recorded(1, seconds=1.0)
    recording = read(b"\n".join([*data.splitlines()[:2], step]))
    player = Player(recording)
    with pytest.raises(BadRecording):
        player.play(recording.steps[0])


# ── the tape ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def states() -> Iterator[int]:
    number = 0
    while True:
        yield (number := number + 1)


@pytest.mark.heavy
def test_two_pieces_are_kept_and_each_is_bounded() -> None:
    made = states()
    tape = Tape(lambda: next(made))
    tape.note(("lost", (), {}))
    for second in range(0, 1300, 10):
        tape.turn(float(second), is_light=True)
        tape.note(("handle_timer", (), {}))
    assert [piece.state for piece in tape.pieces] == [4, 5]
    assert all(piece.count <= tapes.PIECE_S / 10 for piece in tape.pieces)
    for _ in range(3):
        tape.turn(1300.0, is_light=True)
        for _ in range(tapes.PIECE_ENTRIES + 5):
            tape.note(("receive_signal", (), {}))
    assert len(tape.pieces) == 2
    tape.turn(1300.0, is_light=True)
    tape.note(("receive_frame", (), {}), tapes.PIECE_BYTES)
    assert tape.pieces[-1].is_full


@pytest.mark.heavy
def test_a_link_that_is_restarted_often_leaves_no_objects_in_the_tape() -> None:
    """Ten links whose inputs were kept as they were grew a daemon by a megabyte with each hundred restarts."""
    world = World(1)
    one, other = world.pair()
    world.run(1.0)
    tape = _engine_of(one).tape
    before, moments = tape.pieces[-1].count, _moments()
    for number in range(40):
        (one, other)[number % 2].reconnect()
        world.run(3.0)
    (piece,) = tape.pieces
    assert piece.count - before > 500
    assert _moments() - moments < 2 * tapes.BLOCK_ENTRIES + 50, "both ends, and what the simulator remembers"
    assert [name for name, _, _ in piece.entries()].count("reconnect") == 20


def _moments() -> int:
    return sum(isinstance(each, Instant) for each in gc.get_objects())


def _engine_of(node: nodes.Node) -> TapedEngine:
    assert isinstance(node.engine, TapedEngine)
    return node.engine


def test_a_piece_ends_in_the_middle_of_a_flood() -> None:
    """A peer may send thousands of frames before the next timer, and the room long descriptions."""
    engine = TapedEngine(Identity.from_seed(bytes(32)), "home", EngineConfig(), Roster("home"), random.Random(1))
    engine.start(Instant(0.0, 0))
    first = engine.tape.pieces[-1]
    kilobyte = b"x" * 1024
    for _ in range(tapes.PIECE_BYTES // 1024 + 1):
        engine.receive_frame("a" * 52, 1, kilobyte, Instant(1.0, 1000))
    assert [first.is_full, engine.tape.pieces[-1].count] == [True, 1]
    offer = OfferReceived("a" * 52, "v=0\r\n" + "x" * 2**20, "offer")
    for _ in range(5):
        engine.receive_signal(offer, Instant(1.0, 1000))
    assert len(engine.tape.pieces) == 2
    assert first not in engine.tape.pieces


def test_a_recording_that_is_asked_for_is_whole_however_long_it_takes() -> None:
    made = states()
    tape = Tape(lambda: next(made))
    end = tape.ask(0.0)
    for second in range(0, 3600, 10):
        tape.turn(float(second), is_light=True)
        tape.note(("handle_timer", (), {}))
    assert [piece.count for piece in end()] == [360]


def test_of_a_crowd_no_state_is_taken_unasked() -> None:
    tape = Tape(lambda: None)
    tape.turn(0.0, is_light=False)
    tape.note(("handle_timer", (), {}))
    assert not tape.pieces
    end = tape.ask(1.0)
    tape.note(("handle_timer", (), {}))
    tape.turn(2.0, is_light=False)
    assert [piece.count for piece in end()] == [1]


def test_of_a_large_signed_network_nothing_is_kept_unasked() -> None:
    """Each roster of ten thousand rows that was kept took two megabytes, for a recording that nobody asks for."""
    owner = Identity.from_seed(bytes(32))
    engine = TapedEngine(owner, NETWORK, EngineConfig(kind="closed"), Roster(NETWORK), random.Random(1))
    engine.start(Instant(0.0, 0))
    assert engine.tape.is_running
    log = log_of([entry(KindChange("closed"), ALICE)])
    many = evolve(EMPTY, count=tapes.MAX_ROWS + 1)
    book = Book(NETWORK, owner.device_id, Pin(NETWORK).on(log), branch=Branch(log, (1,)), members=many)
    engine.governor.begin(book, (), Instant(1.0, 1))
    engine.handle_timer(Instant(2.0, 2))
    assert not engine.tape.is_running
    assert not engine.tape.pieces


def test_no_piece_begins_in_the_midst_of_work_on_signatures() -> None:
    """What is half done is no state that could be written down. It waits; of a flood nothing is kept meanwhile."""
    made = states()
    tape = Tape(lambda: next(made))
    tape.turn(0.0, is_light=True, may_begin=False)
    assert not tape.pieces
    tape.turn(0.0, is_light=True)
    tape.turn(tapes.PIECE_S, is_light=True, may_begin=False)
    assert [piece.state for piece in tape.pieces] == [1]
    tape.turn(tapes.PIECE_S, is_light=True)
    assert [piece.state for piece in tape.pieces] == [1, 2]
    tape.note(("receive_frame", (), {}), tapes.PIECE_BYTES)
    tape.turn_if_full(is_light=True, may_begin=False)
    assert not tape.pieces


def test_frames_of_applications_in_a_row_are_one_entry_without_their_payload() -> None:
    me = Identity.from_seed(bytes(32))
    engine = TapedEngine(me, "home", EngineConfig(), Roster("home"), random.Random(1))
    engine.start(Instant(0.0, 0))
    before = engine.tape.pieces[-1].count
    for number in range(100):
        engine.receive_frame(
            "a" * 52, 1, b'{"kind":"channel","channel":"c","payload":%b}' % MESSAGE, Instant(number, 0)
        )
    entries = engine.tape.pieces[-1].entries()[before:]
    assert [(name, args[2].mono) for name, args, _ in entries] == [("application", 99)]
    assert b"person" not in repr(entries).encode()


def test_what_is_sent_reliably_is_not_told() -> None:
    me, peer = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2))
    engine = TapedEngine(me, "home", EngineConfig(), Roster("home"), random.Random(1))
    engine.start(Instant(0.0, 0))
    end = engine.tape.ask(0.0)
    frame = Channel("c", msgspec.Raw(MESSAGE))
    engine.send_reliable(peer.device_id, frame, 5.0, 1, Instant(1.0, 1000))
    order = SendReliable(peer.device_id, 0, "channel_seq", encode_frame(ChannelSeq(1, 1, "c", msgspec.Raw(MESSAGE))), 1)
    engine.reliable_left(order, Instant(1.0, 1000), taken=True)
    data, inputs = written(end(), "home", SALT)
    assert inputs == 2
    assert b"person" not in data
    assert b"person" not in b"".join(base64.b64decode(each) for each in re.findall(rb'"bytes":"([^"]+)"', data))


VIEWS = {
    "next_timer", "actions", "frame_for", "broadcast", "note_sent", "peers", "trace", "standings", "census", "link",
    "wants_link", "core", "go_on_as", "phase", "topology", "capabilities", "twin", "left_out", "traffic", "roster",
    "pinned_peers", "tell", "paths_described", "kind", "governor", "is_linked", "is_put_out",
}  # fmt: skip
"""Of an engine: what only looks, or changes nothing that decides."""


def test_every_input_of_an_engine_is_kept() -> None:
    """An input that the tape does not know would make replays decide something else."""
    public = {name for name in vars(Engine) if not name.startswith("_")}
    own = {"start", "handle_timer", "receive_frame", "introduce_by"}
    assert public - VIEWS == {*tapes.INPUTS, *own}
    assert own <= set(vars(TapedEngine))
