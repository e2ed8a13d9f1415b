"""Another process has our identity: who stands aside, what that ends, and how it ends (spec 03 §16.1)."""

from __future__ import annotations

import random
from typing import Literal

import pytest

from mesh_common.events import PeerDropped
from myownmesh.engine import EngineConfig, EngineError
from myownmesh.engine.actions import Publish, WaiterDone
from myownmesh.engine.core import Core, Twin
from myownmesh.engine.links import ChannelClosed
from myownmesh.engine.timing import TWIN_FIGHT_FIRST_S, TWIN_FIGHT_MAX_S
from myownmesh.engine.twin import STANDS_ASIDE
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.frames import Approve
from myownmesh.protocol.signals import StandAside, TwinHeard, TwinLeft
from myownmesh.roster import Roster
from unit.engine.bench import LOW, Bench

SIDES: list[Literal["lower", "higher"]] = ["lower", "higher"]


def hears(bench: Bench, is_elder: bool | None) -> list[str]:
    return bench.signal(TwinHeard(bench.us.device_id, is_elder))


def silences(bench: Bench) -> list[bool]:
    signals = [action.signal for action in bench.actions if isinstance(action, Publish)]
    return [signal.silent for signal in signals if isinstance(signal, StandAside)]


def errors(bench: Bench) -> int:
    return sum(diag.level == "error" for diag in bench.diags)


@pytest.mark.parametrize("side", SIDES)
def test_whoever_came_later_drops_its_links_and_is_still(side: Literal["lower", "higher"]) -> None:
    bench = Bench(side, EngineConfig(auto_approve=True)).up_to("active")
    hears(bench, True)
    assert bench.status == "dropped transport_error"
    assert silences(bench) == [True]
    bench.take()
    assert bench.announce() == []
    assert bench.offer("B7") == []
    assert bench.answer("B7") == []
    assert bench.candidate("c") == []
    assert bench.wait(250.0) == [], "no intent, no dial, no announce"


def test_a_person_who_asks_for_a_link_is_told_why_there_is_none() -> None:
    bench = Bench("higher")
    bench.connect(7)
    hears(bench, True)
    assert WaiterDone(7, STANDS_ASIDE) in bench.actions
    with pytest.raises(EngineError, match="another device uses the identity"):
        bench.connect(8)


def test_whoever_was_here_first_goes_on_and_says_it_once() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True)).up_to("active")
    for _ in range(5):
        hears(bench, False)
        bench.wait(10.0)
    assert bench.engine.twin == Twin(is_proved=True, stands_aside=False)
    assert bench.named(PeerDropped) == []
    assert errors(bench) == 1
    assert silences(bench) == []


def test_what_anybody_could_have_written_is_told_and_changes_nothing() -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True)).up_to("active")
    hears(bench, None)
    assert bench.engine.twin == Twin(is_proved=False, stands_aside=False)
    assert bench.status == "active"
    assert errors(bench) == 1


def test_once_proved_any_word_of_it_counts() -> None:
    bench = Bench("lower")
    hears(bench, True)
    bench.wait(200.0)
    hears(bench, None)
    bench.wait(200.0)
    assert bench.engine.twin == Twin(is_proved=True, stands_aside=True)


@pytest.mark.parametrize("end", ["leave", "silence"])
def test_who_stood_aside_comes_back_when_the_other_is_gone(end: str) -> None:
    bench = Bench("lower", EngineConfig(auto_approve=True)).up_to("active")
    hears(bench, True)
    bench.take()
    words = bench.signal(TwinLeft(bench.us.device_id)) if end == "leave" else bench.wait(300.1)
    assert words == ["announce"]
    assert silences(bench) == [True, False]
    assert bench.engine.twin is None
    assert "offer A2" in bench.announce()


def test_who_went_on_forgets_one_that_is_gone() -> None:
    bench = Bench("lower")
    hears(bench, False)
    assert bench.signal(TwinLeft(bench.us.device_id)) == []
    assert bench.engine.twin is None
    assert bench.signal(TwinLeft(bench.us.device_id)) == []


def test_an_elder_that_started_anew_is_the_later_one() -> None:
    bench = Bench("lower")
    hears(bench, True)
    assert hears(bench, False) == ["announce"]
    assert silences(bench) == [True, False]


def test_whoever_stands_aside_announces_nothing_whoever_asks() -> None:
    core = Core(LOW, "home", EngineConfig(), Roster("home"), random.Random(1))
    core.twin = Twin(is_proved=True, stands_aside=True)
    assert not core.announce(Instant(5.0, 0))
    assert core.out == []


def offered_after(bench: Bench) -> float:
    """Seconds until it dials the peer again, which announces itself twice a second."""
    began, has_twin = bench.now.mono, bench.engine.twin is not None
    while not any(word.startswith("offer") for word in (*bench.announce(again=True), *bench.wait(0.5))):
        assert bench.now.mono - began < 1000.0
        if has_twin:
            hears(bench, None)
    return bench.now.mono - began


def linked_and_robbed(bench: Bench, name: str) -> float:
    """The link comes about and is lost; how long it then leaves the peer alone."""
    bench.answer(name)
    bench.open_channel()
    bench.hello()
    bench.proof()
    bench.frame(Approve())
    assert bench.status == "active"
    bench.event(ChannelClosed("gone"))
    return offered_after(bench)


def test_a_link_that_is_taken_again_and_again_is_dialled_less_and_less_often() -> None:
    """A copy of v0.3.8 proves nothing and takes the link back at once."""
    bench = Bench("lower", EngineConfig(auto_approve=True))
    bench.announce()
    assert linked_and_robbed(bench, "B1") < 3.0
    hears(bench, None)
    waits = [linked_and_robbed(bench, f"B{number}") for number in range(2, 12)]
    for number, wait in enumerate(waits):
        expected = min(TWIN_FIGHT_FIRST_S * 2**number, TWIN_FIGHT_MAX_S)
        assert expected <= wait <= expected + 5.0
    bench.signal(TwinLeft(bench.us.device_id))
    assert bench.engine.twin is None
    assert linked_and_robbed(bench, "B99") < 3.0
    hears(bench, None)
    assert TWIN_FIGHT_FIRST_S <= linked_and_robbed(bench, "B100") < 2 * TWIN_FIGHT_FIRST_S
