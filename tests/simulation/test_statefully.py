"""Hypothesis drives a few devices: whatever order things go wrong in, the invariants hold, and peace comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from myownmesh.simulator.cast import Cast
from myownmesh.simulator.invariants import check_node, check_peace, check_stopped
from myownmesh.simulator.nat import Nat
from myownmesh.simulator.plan import SHAPES, Plan
from myownmesh.simulator.room import Faults
from myownmesh.simulator.run import PEACE_S
from myownmesh.simulator.traffic import Traffic
from myownmesh.simulator.trouble import SIGNALS
from myownmesh.simulator.world import World

if TYPE_CHECKING:
    from myownmesh.simulator.node import Node

WHO = st.integers(min_value=0, max_value=11)


class Network(RuleBasedStateMachine):
    """Two to twelve devices, each of which is running, away, frozen, asleep or without a network."""

    @initialize(count=st.integers(min_value=2, max_value=12), shape=st.sampled_from(SHAPES), seed=st.integers(0, 999))
    def meet(self, count: int, shape: str, seed: int) -> None:
        self.world = World(seed)
        identities = self.world.identities(count)
        plan = Plan(nodes=count, shape=shape, seed=seed)
        self.cast = Cast(self.world, identities, plan.config([identity.device_id for identity in identities]))
        self.traffic = Traffic(self.cast)
        for device_id in self.cast.identities:
            self.cast.start(device_id)
        self.traffic.begin()
        self.world.run(5.0)

    def node(self, who: int) -> Node:
        return list(self.cast.nodes.values())[who % len(self.cast.nodes)]

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(seconds=st.floats(min_value=0.05, max_value=40.0))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(who=WHO)
    def kill(self, who: int) -> None:
        if self.node(who) in self.cast.running():
            self.node(who).kill()

    @rule(who=WHO)
    def leave(self, who: int) -> None:
        if self.node(who) in self.cast.running():
            self.node(who).leave()
            self.world.run(0.5)

    @rule(who=WHO, with_disk=st.booleans())
    def come_back(self, who: int, with_disk: bool) -> None:
        if not self.node(who).running:
            self.cast.start(self.node(who).device_id, with_disk=with_disk)

    @rule(who=WHO)
    def freeze_or_thaw(self, who: int) -> None:
        node = self.node(who)
        if node.is_asleep:
            return
        if self.cast.is_frozen(node):
            node.thaw()
        elif node.running:
            node.freeze()

    @rule(who=WHO, nat=st.sampled_from(Nat), is_told=st.booleans())
    def move(self, who: int, nat: Nat, is_told: bool) -> None:
        if self.node(who) in self.cast.running():
            self.world.wire.nats[self.node(who).device_id] = nat
            self.node(who).move(is_told=is_told)

    @rule(who=WHO)
    def sleep_or_wake(self, who: int) -> None:
        node = self.node(who)
        if node.is_asleep:
            node.wake()
        elif node in self.cast.running():
            node.sleep()

    @rule(who=WHO, elsewhere=st.booleans())
    def unplug_or_plug_in(self, who: int, elsewhere: bool) -> None:
        node = self.node(who)
        if node.is_offline:
            node.plug_in(elsewhere=elsewhere)
        elif node in self.cast.running():
            node.unplug()

    @rule()
    def the_relay_goes_or_comes(self) -> None:
        if self.world.room.away:
            self.relay_comes()
        else:
            self.world.room.away.add(0)

    def relay_comes(self) -> None:
        self.world.room.away.clear()
        for node in self.cast.nodes.values():
            if node.running:
                node.relay_is_back()

    @rule(one=WHO, other=WHO)
    def cut_or_heal(self, one: int, other: int) -> None:
        first, second = self.node(one), self.node(other)
        if first is second:
            return
        if frozenset({first.device_id, second.device_id}) in self.world.wire.cut:
            self.world.heal(first, second)
        else:
            self.world.cut(first, second)

    @rule(one=WHO, other=WHO)
    def doubt(self, one: int, other: int) -> None:
        if self.node(one) in self.cast.running():
            self.node(one).reconnect(None if one == other else self.node(other))

    @rule(drop=st.floats(min_value=0.0, max_value=0.5), slowest_s=st.floats(min_value=0.01, max_value=2.0))
    def the_room_turns_bad(self, drop: float, slowest_s: float) -> None:
        for kind in SIGNALS:
            self.world.room.faults[kind] = Faults(drop=drop, duplicate=0.2, delay=(0.002, slowest_s))

    @rule()
    def the_room_is_well(self) -> None:
        self.world.room.faults.clear()

    # ── what holds ────────────────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: hasattr(self, "cast"))
    @invariant()
    def every_process_is_in_order(self) -> None:
        for node in self.cast.running():
            check_node(node)

    def teardown(self) -> None:
        if not hasattr(self, "cast"):
            return
        self.world.room.faults.clear()
        self.traffic.end()
        for pair in list(self.world.wire.cut):
            self.world.wire.mend(pair)
        self.relay_comes()
        for node in list(self.cast.nodes.values()):
            if node.is_asleep:
                node.wake()
            elif self.cast.is_frozen(node):
                node.thaw()
            there = node if node.running else self.cast.start(node.device_id)
            if there.is_offline:
                there.plug_in()
        self.world.run(PEACE_S)
        nodes = self.cast.running()
        for node in nodes:
            check_node(node)
        check_peace(nodes, self.world.can_meet)
        for node in nodes:
            node.leave()
        self.world.run(1.0)
        for node in nodes:
            check_stopped(node)


TestNetwork = Network.TestCase
TestNetwork.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
