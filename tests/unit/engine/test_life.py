"""The table of a peer's life: total, reachable, asked at every turn, and drawn as it is (docs/engine.md)."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_common.events import PeerDropped
from myownmesh.engine.config import EngineConfig
from myownmesh.engine.core import Core
from myownmesh.engine.life import DROPS, LIFE, ROWS, OutOfTurn, Stage, Turn, follow
from myownmesh.engine.limits import MAX_UNPROVEN_LINKS
from myownmesh.engine.links import ChannelClosed, ChannelOpened, PathChanged, PathState
from myownmesh.identity import Identity
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.frames import Deny, Hello, Shelve
from myownmesh.protocol.modes import FullMesh, Star
from myownmesh.protocol.signals import OfferReceived, TwinHeard
from myownmesh.roster import Roster
from support.examples import examples
from support.life_diagram import DOCUMENT, replaced
from unit.engine.bench import LOW, Bench, prove_successor, sdp
from unit.engine.stages import every_stage

CELLS = list(product(Stage, Turn))
turns = st.sampled_from(Turn)
STAGES = {peer.stage: peer for peer in every_stage()}


@pytest.mark.parametrize(("stage", "turn"), CELLS, ids=lambda each: each.name)
def test_every_turn_in_every_stage_has_one_outcome(stage: Stage, turn: Turn) -> None:
    if (stage, turn) in LIFE:
        assert follow(stage, turn) is LIFE[stage, turn]
    else:
        with pytest.raises(OutOfTurn, match=f"{turn.name} is no turn of a peer that is {stage.value}"):
            follow(stage, turn)


def test_no_cell_is_filled_twice() -> None:
    assert len(LIFE) == sum(len(row.stages) for row in ROWS)
    assert {row.turn for row in ROWS} == set(Turn)


def test_every_stage_is_reached_and_left() -> None:
    assert set(LIFE.values()) == set(Stage)
    assert {stage for stage, _ in LIFE} == set(Stage)


def test_drops_end_the_entry_and_nothing_else_has_a_reason() -> None:
    for (_, turn), to in LIFE.items():
        if turn in DROPS or turn in (Turn.FORGOTTEN, Turn.STOPPED):
            assert to is Stage.UNKNOWN
        else:
            assert to is not Stage.UNKNOWN


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.tuples(turns, st.sampled_from(sorted(STAGES, key=lambda stage: stage.value))), max_size=30))
def test_no_way_past_the_table(walk: list[tuple[Turn, Stage]]) -> None:
    """Any turn towards any stage: it happens as the table says, or nothing has happened."""
    core = Core(LOW, "home", EngineConfig(), Roster("home"), random.Random(1))
    for turn, wanted in walk:
        before = core.stage_of("p")
        to = LIFE.get((before, turn))
        try:
            if to is Stage.UNKNOWN:
                core.end(turn, "p")
            else:
                core.enter(turn, STAGES[wanted], Instant(0.0, 0))
        except OutOfTurn:
            assert to is not wanted
            assert core.stage_of("p") is before
        else:
            assert core.stage_of("p") is to


def test_an_entry_ends_by_turns_that_end_it_only() -> None:
    core = Core(LOW, "home", EngineConfig(), Roster("home"), random.Random(1))
    core.install(STAGES[Stage.ACTIVE], Instant(0.0, 0))
    for turn in (Turn.DISMISSED, Turn.NOTED):
        with pytest.raises(OutOfTurn):
            core.end(turn, "p")
    assert core.stage_of("p") is Stage.ACTIVE
    assert core.end(Turn.SILENT, "p") is STAGES[Stage.ACTIVE]
    assert core.end(Turn.SILENT, "p") is None


def test_the_document_shows_the_table() -> None:
    """`python tests/support/life_diagram.py` draws it anew."""
    text = DOCUMENT.read_text()
    assert replaced(text) == text


# ── every row that ends an entry, walked by what a peer, the room or the clock does ───────────────────────────────────


def at_stage(stage: Stage) -> Bench:
    """A link that was opened 5 s ago and has come so far at once."""
    if stage is Stage.PLACEHOLDER:
        bench = Bench("lower", EngineConfig(kind="silent"))
        bench.announce()
        return bench
    bench = Bench("lower", EngineConfig(topology=Star("hub") if stage is Stage.SHELVED else FullMesh()))
    bench.connect()
    bench.mono += 5.0
    if stage is Stage.CONNECTING:
        return bench.up_to("connecting")
    if stage is Stage.HANDSHAKING:
        return bench.up_to("handshaking")
    return bench.up_to("pending" if stage is Stage.PENDING else "active")


def happens(turn: Turn, bench: Bench) -> None:
    """Bring about what `turn` is called."""
    match turn:
        case Turn.NOT_OPENED | Turn.UNPROVED:
            bench.wait(30.1)
        case Turn.UNDECIDED:
            bench.wait(24 * 3600.0)
        case Turn.CROWDED_OUT:
            for number in range(MAX_UNPROVEN_LINKS):
                stranger = Identity.from_seed(number.to_bytes(32, "big")).device_id
                bench.signal(OfferReceived(stranger, sdp("B1")))
        case Turn.CLOSED:
            bench.event(ChannelClosed("gone"))
        case Turn.PATH_FAILED:
            bench.event(PathChanged(PathState.FAILED))
            bench.wait(30.1)
        case Turn.NOT_RESTARTED:
            bench.engine.reconnect(None, bench.now)
            bench.collect()
            bench.wait(30.1)
        case Turn.REBUILT:
            bench.mono += 11.0
            bench.offer("B7")
            if bench.status in ("active", "shelved"):
                prove_successor(bench)
        case Turn.UNTRUSTED if bench.status == "sighted":
            bench.event(ChannelOpened(None, None))
        case Turn.UNTRUSTED:
            bench.frame(Hello(protocol=1, device_id=LOW.device_id, label="", nonce="n", verification_code=""))
        case Turn.SILENT:
            bench.hello("n1")
            bench.event(PathChanged(PathState.FAILED))
            bench.mono += 26.0
            bench.announce()
        case Turn.FLOODED:
            for _ in range(1300):
                bench.raw(b"{")
        case Turn.LEFT:
            bench.leave()
            if bench.has_entry:
                bench.event(ChannelClosed("left"))
        case Turn.DENIED:
            bench.frame(Deny())
        case Turn.REFUSED:
            bench.engine.remove(bench.peer_id, bench.now)
            bench.collect()
        case Turn.PRUNED:
            bench.frame(Shelve(reason="topology-rebalance"))
            bench.wait(2.1)
        case Turn.DISPUTED:
            bench.signal(TwinHeard(bench.us.device_id, True))
        case _:
            raise AssertionError(turn)


@pytest.mark.parametrize(
    ("stage", "turn"), [(stage, turn) for stage, turn in LIFE if turn in DROPS], ids=lambda each: each.name
)
def test_every_end_is_walked_and_told_with_its_reason(stage: Stage, turn: Turn) -> None:
    bench = at_stage(stage)
    assert bench.status == STAGES[stage].status
    assert bench.named(PeerDropped) == []
    happens(turn, bench)
    first = bench.named(PeerDropped)[0]
    assert (first.device_id, first.reason) == (bench.peer_id, DROPS[turn])


@pytest.mark.parametrize("stage", STAGES, ids=lambda each: each.name)
def test_the_end_of_the_network_ends_every_stage_without_a_word(stage: Stage) -> None:
    bench = at_stage(stage)
    bench.engine.stop(bench.now)
    assert bench.collect() == ([] if stage is Stage.PLACEHOLDER else ["close A1"])
    assert bench.engine.peers(bench.now) == []
    assert bench.named(PeerDropped) == []
