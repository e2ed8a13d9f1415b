"""Networks that are not a good local one: routers of every kind, few relays in common, wrong clocks, slow paths."""

from __future__ import annotations

from itertools import combinations

import pytest

from myownmesh.simulator import World, command
from myownmesh.simulator.conditions import Conditions
from myownmesh.simulator.nat import Nat, meet
from myownmesh.simulator.plan import Plan
from myownmesh.simulator.run import run
from support.examples import few

MEETS_NOBODY_BEHIND: dict[Nat, set[Nat]] = {
    Nat.SYMMETRIC: {Nat.SYMMETRIC, Nat.PORT_RESTRICTED},
    Nat.PORT_RESTRICTED: {Nat.SYMMETRIC},
}
"""What everybody knows of STUN without TURN (RFC 5389 and every table of hole punching)."""


@pytest.mark.parametrize("one", list(Nat))
@pytest.mark.parametrize("other", list(Nat))
def test_two_routers_let_a_pair_meet_or_not(one: Nat, other: Nat) -> None:
    possible = other not in MEETS_NOBODY_BEHIND.get(one, set())
    assert meet(one, other) is meet(other, one) is possible
    world = World(1)
    ids = world.identities(2)
    world.wire.nats = {ids[0].device_id: one, ids[1].device_id: other}
    low, high = (world.node(identity) for identity in ids)
    world.run(30.0)
    assert low.is_linked(high) is high.is_linked(low) is possible


def test_a_pair_that_cannot_meet_says_that_it_needs_turn_and_meets_with_it() -> None:
    world = World(2)
    ids = world.identities(2)
    world.wire.nats = {identity.device_id: Nat.SYMMETRIC for identity in ids}
    low, high = (world.node(identity) for identity in ids)
    world.run(600.0)
    for node, far in ((low, high), (high, low)):
        info = node.info(far)
        assert info.why is not None
        assert (info.why.code, info.needs_turn) == ("needs_turn", True)
    world.wire.turn.add(high.device_id)
    high.kill()
    high = world.node(ids[1])
    world.run_until(lambda: low.is_linked(high) and high.is_linked(low), within=2.0)
    pair = low.info(high).selected_pair
    assert pair is not None
    assert (pair.local, pair.remote) == ("prflx", "relay")
    assert not low.info(high).needs_turn


def test_devices_without_a_relay_in_common_do_not_meet_and_the_others_do() -> None:
    world = World(3)
    ids = world.identities(3)
    world.room.relays_of = {
        each.device_id: frozenset(relays) for each, relays in zip(ids, ({1, 2}, {2, 3}, {3, 4}), strict=True)
    }
    nodes = [world.node(identity) for identity in ids]
    world.run(60.0)
    linked = [(one, other) for (one, a), (other, b) in combinations(enumerate(nodes), 2) if a.is_linked(b)]
    assert linked == [(0, 1), (1, 2)]


def test_the_loss_of_one_of_two_relays_costs_nothing() -> None:
    world = World(4)
    ids = world.identities(2)
    world.room.relays_of = {each.device_id: frozenset({1, 2}) for each in ids}
    world.room.away.add(1)
    low, high = (world.node(identity) for identity in ids)
    world.run_until(lambda: low.is_linked(high) and high.is_linked(low), within=1.0)


ALL = Conditions(nat="mixed", turn=0.3, relays=3, skew_s=4000.0, latency_ms=80.0, loss=0.05)


@pytest.mark.parametrize("shape", few(["full_mesh", "hubs"], every=2))
def test_a_run_under_all_of_it_at_once(shape: str) -> None:
    result = run(Plan(nodes=6, hours=0.25, shape=shape, trouble="wild", seed=3, conditions=ALL))
    assert result.violation is None, f"{result.violation}; {result.plan.command()}"
    assert result.acknowledged > 20


def test_the_command_says_what_is_not_usual() -> None:
    assert Plan(seed=4).command().endswith(" --seed 4")
    assert (
        Plan(seed=4, conditions=ALL)
        .command()
        .endswith(" --seed 4 --nat mixed --turn 0.3 --relays 3 --skew 4000 --latency 80 --loss 0.05")
    )


@pytest.mark.parametrize(
    "words", ["--loss 1", "--turn 2", "--turn nan", "--relays 0", "--latency -1", "--nat upside_down", "--nodes 0"]
)
def test_what_is_no_network_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words.split())
    assert ended.value.code == 2
    assert f"argument {words.split()[0]}: " in capsys.readouterr().err
