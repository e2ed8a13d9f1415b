"""A device that keeps to a branch which others have left asks its person within a minute (spec 02 §24.3 no. 46)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import UNSET

from myownmesh.engine import EngineConfig
from myownmesh.engine.ruling import HOLDOUTS_S
from myownmesh.governance.adoption import stay
from myownmesh.governance.holdouts import SAME_LOOKS
from myownmesh.governance.sync import log_digest
from myownmesh.identity import Identity
from myownmesh.protocol.frames import NetworkState, Pong
from support.holdouts import kept_apart, three_branches
from unit.engine.bench import NETWORK, Bench
from unit.engine.charters import OWNER, THEN, grant, hints, told

if TYPE_CHECKING:
    from myownmesh.governance.log import Log

THREE = three_branches(NETWORK, OWNER, [Identity.from_seed(bytes([seed]) * 32) for seed in range(5, 9)], at=THEN)


@pytest.fixture
def bench() -> Bench:
    """A device apart, linked with a member."""
    bench = Bench("lower", EngineConfig(auto_approve=True))
    us, them = bench.us.device_id, bench.peer_id
    book = told(kept_apart(us, THREE, THEN), (grant(us), grant(them)))
    assert book.log == THREE.held
    bench.engine.governor.begin(book, (), bench.now)
    bench.wait(0.1)
    return bench.up_to("active")


def tells(bench: Bench, log: Log | None) -> None:
    """The peer says which log it holds; v0.3.8 does not."""
    digest = UNSET if log is None else log_digest(log)
    bench.frame(NetworkState("closed", 5 if log is None else len(log), 2, "", digest))


def look(bench: Bench, times: int = 1) -> None:
    for _ in range(times):
        bench.wait(HOLDOUTS_S)
        bench.frame(Pong(t=0))


def rivals(bench: Bench) -> list[Log]:
    return [*bench.engine.governor.book.questions.rivals.values()]


def test_whoever_keeps_to_its_own_branch_while_others_hold_a_better_one_is_asked_within_a_minute(bench: Bench) -> None:
    tells(bench, THREE.better)
    look(bench, SAME_LOOKS - 1)
    assert not rivals(bench)
    look(bench, 2)
    assert SAME_LOOKS * HOLDOUTS_S < 60.0
    assert rivals(bench) == [THREE.better]
    assert hints(bench).count("held_out") == 1
    look(bench, 5)
    assert hints(bench).count("held_out") == 1, "it is said once"
    assert bench.engine.governor.book.log == THREE.held, "nothing changes unasked"


@pytest.mark.parametrize("shown", [THREE.held, THREE.third, None], ids=["the same", "another", "v0.3.8"])
def test_nobody_is_asked_about_a_branch_that_nobody_linked_holds(bench: Bench, shown: Log | None) -> None:
    tells(bench, shown)
    look(bench, 10)
    assert not rivals(bench)


def test_a_question_ends_when_the_others_have_left_that_branch(bench: Bench) -> None:
    tells(bench, THREE.better)
    look(bench, SAME_LOOKS + 1)
    assert rivals(bench)
    tells(bench, THREE.held)
    look(bench, SAME_LOOKS)
    assert not rivals(bench)
    assert hints(bench).count("held_out") == 1


def test_who_was_told_to_stay_looks_no_more(bench: Bench) -> None:
    tells(bench, THREE.better)
    look(bench, SAME_LOOKS + 1)
    governor = bench.engine.governor
    [question] = governor.book.questions.rivals
    governor.take(stay(governor.book, question), bench.now)
    look(bench, 10)
    assert not rivals(bench)
    assert hints(bench).count("held_out") == 1
