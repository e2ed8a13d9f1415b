"""When is looked, and how often a change is passed on (spec 04 §15 no. 7): the last one is never lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.engine.moves import Move
from myownmesh.netwatch.pace import CHANGES_BURST, CHANGES_PER_S, MAX_SETTLE_S, SETTLE_S, Change, Pace
from myownmesh.netwatch.snapshot import Snapshot, judge

NOTHING = Snapshot(None, None, frozenset())
HOME = Snapshot("192.168.1.5", None, frozenset({"192.168.1.5"}))
CAFE = Snapshot("10.0.0.9", None, frozenset({"10.0.0.9"}))
TUNNEL = Snapshot("192.168.1.5", None, frozenset({"192.168.1.5", "10.8.0.2"}))


class Machine:
    """A machine whose network is what a test says, and a pace that watches it."""

    def __init__(self, network: Snapshot = HOME) -> None:
        self.now = 100.0
        self.network = network
        self.pace = Pace(self.now)
        self.looks: list[float] = []
        self.passed_on: list[tuple[float, Change]] = []
        self.wait(0.0)

    def becomes(self, network: Snapshot) -> None:
        self.network = network
        self.pace.noticed(self.now)

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.pace.due) is not None and due <= until:
            self.now = max(self.now, due)
            self.looks.append(self.now)
            if (change := self.pace.looked(self.network, self.now)) is not None:
                self.passed_on.append((self.now, change))
        self.now = until

    @property
    def moves(self) -> list[Move]:
        return [change.move for _, change in self.passed_on]


def test_the_first_look_says_nothing_unless_there_is_no_network() -> None:
    assert Machine().moves == []
    assert Machine(NOTHING).moves == [Move.OFFLINE]


def test_a_change_is_passed_on_when_the_notices_rest() -> None:
    machine = Machine()
    machine.becomes(NOTHING)
    machine.wait(SETTLE_S / 2)
    machine.becomes(CAFE)
    machine.wait(SETTLE_S * 1.01)
    [(at, change)] = machine.passed_on
    assert at == pytest.approx(100.0 + SETTLE_S * 1.5)
    assert change == Change(Move.MOVED, HOME, CAFE)
    assert change.told() == {"prev": HOME.told(), "next": CAFE.told()}


def test_notices_that_do_not_rest_are_looked_at_in_half_a_second() -> None:
    machine = Machine()
    machine.becomes(CAFE)
    for _ in range(40):
        machine.wait(0.05)
        machine.pace.noticed(machine.now)
    assert machine.passed_on[0][0] <= 100.0 + MAX_SETTLE_S + 1e-9


def test_a_handoff_of_three_steps_waits_for_none_of_them() -> None:
    machine = Machine()
    for network in (NOTHING, TUNNEL, CAFE):
        machine.becomes(network)
        machine.wait(1.0)
    assert machine.moves == [Move.OFFLINE, Move.ONLINE, Move.MOVED]


def test_what_comes_back_before_it_was_looked_at_is_nothing() -> None:
    machine = Machine()
    machine.becomes(NOTHING)
    machine.becomes(HOME)
    machine.wait(10.0)
    assert machine.moves == []


def test_an_interface_that_flaps_ten_times_a_second_is_bounded_and_its_end_is_seen() -> None:
    machine = Machine()
    for step in range(600):
        machine.becomes((CAFE, HOME, NOTHING, TUNNEL)[step % 4])
        machine.wait(0.1)
    limit = CHANGES_BURST + 60.0 * CHANGES_PER_S
    assert len([move for move in machine.moves if move is not Move.OFFLINE]) <= limit
    assert machine.moves.count(Move.OFFLINE) <= limit
    assert len(machine.looks) <= 3 * limit, "600 notices"
    machine.becomes(CAFE)
    machine.wait(1 / CHANGES_PER_S + 1.0)
    assert machine.pace.due is None
    assert machine.passed_on[-1][1].after == CAFE


def test_notices_that_mean_nothing_are_looked_at_ever_more_rarely() -> None:
    machine = Machine()
    for _ in range(1200):
        machine.pace.noticed(machine.now)
        machine.wait(0.05)
    assert len(machine.looks) < 45, "a router's routes change all the time"
    machine.wait(5.0)
    machine.becomes(CAFE)
    machine.wait(MAX_SETTLE_S)
    assert machine.moves == [Move.MOVED], "after a rest it is quick again"


@given(
    st.lists(
        st.tuples(st.sampled_from([NOTHING, HOME, CAFE, TUNNEL]), st.floats(0.0, 12.0, allow_nan=False)), max_size=40
    )
)
def test_whatever_happens_the_last_change_is_passed_on_and_no_two_overlap(steps: list[tuple[Snapshot, float]]) -> None:
    machine = Machine()
    for network, seconds in steps:
        machine.becomes(network)
        machine.wait(seconds)
    machine.wait(1 / CHANGES_PER_S + 3.0)
    assert machine.pace.due is None
    known = machine.passed_on[-1][1].after if machine.passed_on else HOME
    assert judge(known, machine.network) is None
    for (_, one), (_, other) in pairwise(machine.passed_on):
        assert one.after == other.before
    limited = [at for at, change in machine.passed_on if change.move is not Move.OFFLINE]
    for first, last in ((a, b) for i, a in enumerate(limited) for b in limited[i:]):
        count = sum(first <= at <= last for at in limited)
        assert count <= CHANGES_BURST + (last - first) * CHANGES_PER_S + 1e-3
