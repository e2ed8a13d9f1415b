"""The table of a peer's life: total, reachable, asked at every turn, and drawn as it is (docs/engine.md)."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myownmesh.engine.config import EngineConfig
from myownmesh.engine.core import Core
from myownmesh.engine.life import DROPS, LIFE, ROWS, OutOfTurn, Stage, Turn, follow
from myownmesh.roster import Roster
from support.examples import examples
from support.life_diagram import DOCUMENT, replaced
from unit.engine.bench import LOW
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
                core.enter(turn, STAGES[wanted])
        except OutOfTurn:
            assert to is not wanted
            assert core.stage_of("p") is before
        else:
            assert core.stage_of("p") is to


def test_an_entry_ends_by_turns_that_end_it_only() -> None:
    core = Core(LOW, "home", EngineConfig(), Roster("home"), random.Random(1))
    core.peers["p"] = STAGES[Stage.ACTIVE]
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
