"""What goes wrong in a run: one thing after another, by the run's seed, and everything is mended in the end."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.signals import Announce, SendAnswer, SendCandidate, SendOffer
from myownmesh.simulator.room import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.simulator.cast import Cast
    from myownmesh.simulator.conditions import Conditions
    from myownmesh.simulator.node import Node
    from myownmesh.simulator.plan import Trouble

EVERY_S: Final[dict[str, float]] = {"mild": 60.0, "wild": 8.0}
"""Mean time between two things that go wrong."""
LASTS_S: Final = (0.2, 45.0)
SIGNALS: Final = (Announce, SendOffer, SendAnswer, SendCandidate)


class Troubles:
    """Schedules trouble until `end`, which mends all of it."""

    def __init__(self, cast: Cast, degree: Trouble, conditions: Conditions) -> None:
        self._cast = cast
        self._world = cast.world
        self._rng = cast.world.sources.of("trouble")
        self._conditions = conditions
        self._every_s = EVERY_S.get(degree)
        self._mends: dict[int, Callable[[], None]] = {}
        self._number = 0
        self._over = False
        self.log: list[str] = []
        """What happened, for whoever looks into a failure."""

    def begin(self) -> None:
        if self._every_s is not None:
            self._next()

    def end(self) -> None:
        """Nothing goes wrong any more, and what is wrong is mended now."""
        self._over = True
        for number in list(self._mends):
            self._mend(number)
        self._world.room.faults.clear()

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _next(self) -> None:
        assert self._every_s is not None
        self._world.clock.after(self._rng.expovariate(1 / self._every_s), self._happen)

    def _happen(self) -> None:
        if self._over:
            return
        running = self._cast.running()
        if len(running) > 1:
            one, other = self._rng.sample(running, 2)
            kinds: list[Callable[[Node, Node], Callable[[], None] | None]] = [
                self._kill, self._forget, self._leave, self._cut, self._partition, self._freeze, self._sleep,
                self._move, self._unplug, self._deafen, self._outage, self._lose_sight, self._bad_room, self._doubt,
                self._skew,
            ]  # fmt: skip
            kind = self._rng.choice(kinds)
            lasts_s = self._rng.uniform(*LASTS_S)
            self.log.append(
                f"{self._world.clock.seconds:.3f} {kind.__name__.strip('_')} {one.identity.label},"
                f" {other.identity.label} for {lasts_s:.1f} s"
            )
            if (mend := kind(one, other)) is not None:
                self._number += 1
                self._mends[self._number] = mend
                self._world.clock.after(lasts_s, partial(self._mend, self._number))
        self._next()

    def _mend(self, number: int) -> None:
        if (mend := self._mends.pop(number, None)) is not None:
            mend()

    def _kill(self, one: Node, _other: Node) -> Callable[[], None]:
        one.kill()
        return lambda: void(self._cast.start(one.device_id))

    def _forget(self, one: Node, _other: Node) -> Callable[[], None]:
        one.kill()
        return lambda: void(self._cast.start(one.device_id, with_disk=False))

    def _leave(self, one: Node, _other: Node) -> Callable[[], None]:
        one.leave()

        def back() -> None:
            if one.running:  # the leave has not left yet
                self._world.clock.after(1.0, lambda: void(self._cast.start(one.device_id)))
            else:
                self._cast.start(one.device_id)

        return back

    def _cut(self, one: Node, other: Node) -> Callable[[], None]:
        self._world.cut(one, other)
        return lambda: self._world.heal(one, other)

    def _partition(self, _one: Node, _other: Node) -> Callable[[], None]:
        """No packet passes between two halves of the devices."""
        ids = list(self._cast.identities)
        self._rng.shuffle(ids)
        half = len(ids) // 2
        pairs = [frozenset({one, other}) for one in ids[:half] for other in ids[half:]]
        wire = self._world.wire
        wire.cut.update(pairs)
        wire.look(*ids)

        def heal() -> None:
            for pair in pairs:
                wire.mend(pair)

        return heal

    def _deafen(self, one: Node, _other: Node) -> None:
        """A router forgets the way back of what its links send."""
        for session in one.sessions():
            if session.sending is not None:
                self._world.wire.forget(session)

    def _sleep(self, one: Node, _other: Node) -> Callable[[], None]:
        one.sleep()
        return one.wake

    def _freeze(self, one: Node, _other: Node) -> Callable[[], None]:
        one.freeze()
        return one.thaw

    def _move(self, one: Node, _other: Node) -> None:
        """To another address, and so behind another router."""
        self._conditions.place(self._world, one.device_id, self._rng)
        one.move(is_told=self._rng.random() < 0.5)

    def _unplug(self, one: Node, _other: Node) -> Callable[[], None]:
        """Its network is gone, and another one comes or the same."""
        one.unplug()
        elsewhere = self._rng.random() < 0.5
        return lambda: self._cast.nodes[one.device_id].plug_in(elsewhere=elsewhere)

    def _outage(self, _one: Node, _other: Node) -> Callable[[], None]:
        """A relay is gone."""
        room, relay = self._world.room, self._rng.randrange(self._conditions.relays)
        room.away.add(relay)

        def back() -> None:
            room.away.discard(relay)
            for node in self._cast.nodes.values():
                if node.running and room.uses(node.device_id, relay):
                    node.relay_is_back()

        return back

    def _lose_sight(self, one: Node, _other: Node) -> Callable[[], None]:
        """It reaches no relay, while its links go on, and nobody tells it."""
        room = self._world.room
        room.apart.add(one.device_id)

        def back() -> None:
            room.apart.discard(one.device_id)
            node = self._cast.nodes[one.device_id]
            if node.running:
                node.relay_is_back()

        return back

    def _bad_room(self, _one: Node, _other: Node) -> Callable[[], None]:
        """It loses, repeats, reorders and delays."""
        drop = self._rng.uniform(0.0, 0.4)
        for kind in SIGNALS:
            self._world.room.faults[kind] = Faults(
                drop=drop, duplicate=0.2, delay=(0.002, self._rng.uniform(0.01, 2.0))
            )
        return self._world.room.faults.clear

    def _doubt(self, one: Node, other: Node) -> None:
        """A person presses reconnect."""
        with suppress(MeshError):  # it may be leaving just then
            one.reconnect(self._rng.choice([None, other]))

    def _skew(self, one: Node, _other: Node) -> None:
        """Somebody sets the clock."""
        one.skew_ms = self._rng.randrange(-3_600_000, 3_600_000)


def void(_value: object) -> None:
    """For callbacks that return nothing."""
