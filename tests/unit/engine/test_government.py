"""The bounds of what an engine keeps around its book: work of peers, their failures, and who waits for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from myownmesh.engine import government as module
from myownmesh.engine.government import MAX_JOBS, MAX_JOBS_OF_ONE, Government, Unanswered
from myownmesh.governance.book import Book
from myownmesh.protocol.transitions import Evict
from unit.engine.charters import OWNER, STRANGER, proposal

if TYPE_CHECKING:
    from myownmesh.governance.signatures import Slices


@pytest.fixture
def government() -> Government:
    return Government(Book("home", OWNER.device_id))


def job(name: str, done: list[str], slices: int = 1) -> Slices[None]:
    for number in range(1, slices + 1):
        done.append(f"{name}{number}")
        yield


def test_everybody_has_its_turn(government: Government) -> None:
    done: list[str] = []
    government.put_job("a", job("a", done, 3))
    government.put_job("b", job("b", done, 2))
    while government.has_jobs:
        government.work()
    assert done == ["a1", "b1", "a2", "b2", "a3"]


def test_nobody_fills_the_queue_alone_and_all_together_not_beyond_its_bound(government: Government) -> None:
    taken = [government.put_job("a", job("a", [])) for _ in range(MAX_JOBS_OF_ONE + 1)]
    assert taken.count(True) == MAX_JOBS_OF_ONE
    assert not taken[-1]
    others = [government.put_job(f"other {number}", job("o", [])) for number in range(MAX_JOBS)]
    assert others.count(True) == MAX_JOBS - MAX_JOBS_OF_ONE
    while government.has_jobs:
        government.work()
    assert government.put_job("late", job("l", [])), "and who was turned away leaves nothing behind"
    government.work()


def test_the_whole_proof_is_sent_once_in_a_while(government: Government) -> None:
    assert government.may_prove("a", 100.0, 10.0)
    assert not government.may_prove("a", 109.0, 10.0)
    assert government.may_prove("b", 109.0, 10.0)
    assert government.may_prove("a", 110.0, 10.0)


def test_another_removal_is_proved_at_once(government: Government) -> None:
    """A device that was put out, let in and put out again within ten seconds heard nothing of the second."""
    assert government.may_prove("a", 100.0, 10.0)
    government.book = replace(government.book, pin=government.book.pin.keeping({"a": 7}))
    assert government.may_prove("a", 101.0, 10.0)
    assert not government.may_prove("a", 102.0, 10.0)


def test_of_too_many_that_failed_the_one_that_did_so_longest_ago_is_forgotten(
    government: Government, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    for device in ("a", "b", "a", "c"):
        government.charge(device, 100.0, 60)
    government.charge("d", 100.0, 0)
    assert [government.may_check(device, 100.0) for device in "abcd"] == [False, True, False, True]
    assert government.may_check("c", 200.0), "one a second is forgiven"


def test_whoever_answers_has_told_what_became_of_its_proposals(government: Government) -> None:
    ours, theirs = (Unanswered(proposal(each, Evict("x")), 5.0) for each in (OWNER, STRANGER))
    government.unanswered.extend((ours, theirs))
    government.answered("nobody")
    assert list(government.unanswered) == [ours, theirs]
    government.answered(STRANGER.device_id)
    assert list(government.unanswered) == [ours]


def test_who_waits_for_all_answers_is_told_once_when_all_are_heard_to_their_end(government: Government) -> None:
    told: list[str] = []
    government.on_heard.append(lambda: told.append("heard"))
    letter = government.letter("a")
    letter.awaits_answer, letter.unheard = True, 1
    government.look_who_is_awaited()
    letter.awaits_answer = False
    government.look_who_is_awaited()
    assert told == [], "its answer is not looked through yet"
    letter.unheard = 0
    government.look_who_is_awaited()
    government.look_who_is_awaited()
    assert told == ["heard"]
