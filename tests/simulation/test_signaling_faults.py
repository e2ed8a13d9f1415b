"""Bad relays: whatever they lose, repeat, delay or reorder, the devices find each other (spec 04 §13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from myownmesh.engine import EngineConfig
from myownmesh.protocol.signals import Announce, Leave, SendAnswer, SendCandidate, SendOffer
from myownmesh.simulator import Faults, World

if TYPE_CHECKING:
    from myownmesh.protocol.signals import OutboundSignal

KINDS: list[type[OutboundSignal]] = [Announce, SendOffer, SendAnswer, SendCandidate]
MANNERS = {
    "half lost": Faults(drop=0.5),
    "all twice": Faults(duplicate=1.0),
    "slow": Faults(delay=(0.8, 1.2)),
    "reordered": Faults(delay=(0.0, 3.0)),
    "lost, twice and reordered": Faults(drop=0.3, duplicate=0.5, delay=(0.0, 2.0)),
}
SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_one_kind_is_disturbed(kind: type[OutboundSignal], manner: str, seed: int) -> None:
    world = World(seed)
    world.disturb(kind, faults=MANNERS[manner])
    world.pair()
    world.run_until(world.all_linked, within=300.0)
    world.run(200.0)
    assert world.all_linked(), "the link came up and was lost again"


@pytest.mark.parametrize("seed", range(20))
def test_everything_is_disturbed(seed: int) -> None:
    world = World(seed)
    world.disturb(*KINDS, Leave, faults=Faults(drop=0.25, duplicate=0.25, delay=(0.0, 1.5)))
    low, high = world.pair()
    world.run_until(world.all_linked, within=300.0)
    high.kill()
    world.run(world.rng.uniform(0.0, 60.0))
    world.node(high.identity)
    world.run_until(world.all_linked, within=300.0)
    assert low.engine.phase == "active"


@pytest.mark.parametrize("seed", range(10))
def test_both_dial_at_once(seed: int) -> None:
    """Two connect commands, and a relay of any speed between them."""
    world = World(seed)
    low, high = world.pair(EngineConfig(auto_approve=True, kind="silent"))
    world.run(5.0)
    assert not world.all_linked()
    world.disturb(SendOffer, SendAnswer, SendCandidate, faults=Faults(delay=(0.0, 0.1)))
    low.connect(high)
    world.run(world.rng.uniform(0.0, 0.05))
    high.connect(low)
    took = world.run_until(world.all_linked, within=10.0)
    assert took < 3.0, "v0.3.8 takes 30 s here"


def test_glare_with_a_peer_that_never_yields() -> None:
    """The lower side yields after 2.5 s, as it must against v0.3.8: nothing of ours reaches the higher one."""
    world = World(3)
    low, high = world.pair(EngineConfig(auto_approve=True, kind="silent"))
    world.run(5.0)
    world.room.like_the_reference.add(high.device_id)
    world.room.lost = lambda sender, signal: sender == low.device_id and isinstance(signal, SendOffer)
    high.connect(low)
    low.connect(high)
    took = world.run_until(world.all_linked, within=10.0)
    assert 2.4 < took < 3.5
