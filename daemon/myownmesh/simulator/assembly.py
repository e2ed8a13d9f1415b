"""Closed networks whose authorities decide while they are apart, among crashes and wrong clocks (spec 02 §24.3).

    python -m myownmesh.simulator governed --nodes 50 --seed 7
    python -m myownmesh.simulator governed --nodes 50 --old 0.33 --hostile 0.1 --seeds 20

All the while nobody is more than an authority has signed. When everything is mended, all devices of ours that belong
hold one log and say the same of everybody, or a person of each that does not is asked which branch counts.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from myownmesh.engine import EngineConfig
from myownmesh.governance import succession
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.authoring import Refused
from myownmesh.governance.book import Book
from myownmesh.governance.copies import OUR_WORD, Copy
from myownmesh.governance.log import BadLog, common_length, heard
from myownmesh.governance.pins import Pin
from myownmesh.governance.rules import STRICT
from myownmesh.governance.saved import load_book, pin_of, state_of
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.state_file import read_state, write_state
from myownmesh.governance.words import OURSELVES
from myownmesh.protocol.frames import NetworkStatePropose
from myownmesh.protocol.ids import short_id
from myownmesh.protocol.modes import FullMesh, Ring
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke
from myownmesh.simulator.minds import HostileNode, OldNode
from myownmesh.simulator.node import NETWORK, Node
from myownmesh.simulator.people import book, decide, tend
from myownmesh.simulator.reference_governance import ReferenceGovernance, quorum, signed_entry
from myownmesh.simulator.world import World

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from myownmesh.governance.log import Log
    from myownmesh.identity import Identity
    from myownmesh.protocol.frames import Role
    from myownmesh.protocol.transitions import Transition, Variant

OWNERS: Final = 2
CONTROLLERS: Final = 3
ROUNDS: Final = 3
DECISIONS: Final = 4
"""In each round, while the network is apart."""
LOOK_S: Final = 5.0
MEET_S: Final = 180.0
ASKED_S: Final = 20.0
MENDED_S: Final = 300.0
"""After the last trouble: links are back within two announces, and a minute later all agree."""
MAX_SKEW_MS: Final = 240_000
"""Within what is no clock that others warn of."""
MESH_UP_TO: Final = 16
"""Devices of a full mesh; of more each is linked with its neighbours on a ring."""


@frozen
class Sitting:
    """What decides a run."""

    nodes: int = 50
    old: float = 0.0
    """Share of the devices that run v0.3.8."""
    hostile: float = 0.0
    seed: int = 1

    def command(self) -> str:
        return (
            f"python -m myownmesh.simulator governed --nodes {self.nodes} --old {self.old:g}"
            f" --hostile {self.hostile:g} --seed {self.seed}"
        )


@frozen
class Verdict:
    """How it went."""

    sitting: Sitting
    agreed_s: float | None
    """How long after the last trouble all agreed; None: some person is asked."""
    fault: str = ""
    decisions: tuple[str, ...] = ()


class Broken(Exception):
    """Something that must hold did not."""


def sit(sitting: Sitting) -> Verdict:
    """One run."""
    assembly = Assembly(sitting)
    try:
        return Verdict(sitting, assembly.run(), "", tuple(assembly.happened))
    except Broken as fault:
        return Verdict(sitting, None, str(fault), tuple(assembly.happened))


@define(eq=False)
class Assembly:
    """The devices, and what was ever signed."""

    sitting: Sitting
    world: World = field(init=False)
    rng: random.Random = field(init=False)
    nodes: dict[str, Node] = field(factory=dict)
    saved: dict[str, tuple[bytes, Pin]] = field(factory=dict)
    """What is on each disk of ours."""
    identities: list[Identity] = field(factory=list)
    seats: set[tuple[str, str]] = field(factory=set)
    granted: dict[str, int] = field(factory=dict)
    """The newest time of an admit that an authority signed, by device."""
    happened: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.world = World(self.sitting.seed)
        self.rng = self.world.rng

    # ── beginning ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Everybody is signed in and knows it from its own disk."""
        sitting = self.sitting
        self.identities = self.world.identities(sitting.nodes)
        self.rng.shuffle(self.identities)
        for each in self.identities[1:]:
            self.world.skews_ms[each.device_id] = self.rng.randint(-MAX_SKEW_MS, MAX_SKEW_MS)
        founder, *others = self.identities
        now = self.world.clock.now(0).wall_ms // 1000 - 100_000
        log = [signed_entry(NETWORK, founder, KindChange("closed"), now)]
        for number, each in enumerate(others[: OWNERS - 1 + CONTROLLERS]):
            role: Role = "owner" if number < OWNERS - 1 else "controller"
            log.append(signed_entry(NETWORK, founder, RoleGrant(each.device_id, role), now + number))
            self.seats.add((each.device_id, role))
        self.seats.add((founder.device_id, "owner"))
        members = [signed_entry(NETWORK, founder, RoleGrant(each.device_id, "member"), now) for each in others]
        self.granted = dict.fromkeys((each.device_id for each in others), now)
        old = round(sitting.old * sitting.nodes)
        hostile = round(sitting.hostile * sitting.nodes)
        for number, each in enumerate(self.identities):
            # The founder is one of ours; whoever is hostile has no seat.
            if number >= sitting.nodes - hostile:
                self._start_other(HostileNode, each, log, members)
            elif 1 <= number <= old:
                self._start_other(OldNode, each, log, members)
            else:
                held = _book(each, log, members, now)
                self._save(each.device_id, held)
                self._start(each)

    def _start(self, identity: Identity) -> None:
        """A process of ours with what its disk holds."""
        state, pin = self.saved[identity.device_id]
        node = Node(self.world, identity, self._config())
        now = node.now().wall_ms // 1000
        loaded = finish(
            load_book(NETWORK, identity.device_id, "closed", read_state(state), pin, Checks(NETWORK), now, STRICT)
        )
        if loaded.faults:
            raise Broken(f"{short_id(identity.device_id)} does not read its own file: {loaded.faults}")
        node.engine.governor.begin(loaded.book, (), node.now())
        node.switch.effects.on_book = partial(self._save_soon, node)
        self._run(node)

    def _start_other(
        self, made: type[OldNode], identity: Identity, log: Sequence[Transition], members: Sequence[Transition]
    ) -> None:
        mind = ReferenceGovernance(NETWORK, identity)
        mind.take(log, members)
        self._run(made(self.world, identity, EngineConfig(auto_approve=True, topology=self._config().topology), mind))

    def _run(self, node: Node) -> None:
        self.nodes[node.device_id] = node
        self.world.nodes.append(node)
        node.start()

    def _config(self) -> EngineConfig:
        shape = FullMesh() if self.sitting.nodes <= MESH_UP_TO else Ring(n_preferred=3)
        return EngineConfig(kind="closed", topology=shape)

    def _save_soon(self, node: Node) -> None:
        self.world.clock.after(1.0, lambda: self._save(node.device_id, book(node)) if node.running else None)

    def _save(self, device: str, held: Book) -> None:
        self.saved[device] = b"".join(write_state(state_of(held))), pin_of(held)

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> float | None:
        """Returns how many seconds after the last trouble all agreed; None where persons are asked. Raises `Broken`."""
        self.begin()
        while self.world.clock.seconds < MEET_S and not self._have_met():
            self._pass(LOOK_S)
        for _ in range(ROUNDS):
            self.disturb()
        begun = self.world.clock.seconds
        while not self.agree():
            if self.world.clock.seconds - begun > MENDED_S:
                if self.asked():
                    return None
                raise Broken(self.differences())
            self._pass(LOOK_S)
        agreed = self.world.clock.seconds - begun
        self._look(at_the_end=True)
        if self.sitting.hostile:
            self._hush()
        self._look_for_alarms()
        return agreed

    def _hush(self) -> None:
        """Whoever lies is gone, and everybody asks everybody.

        What liars told a device of v0.3.8 last shows in no count, and is seen at the next question, after 15 to 30 min.
        """
        for node in [*self.nodes.values()]:
            if isinstance(node, HostileNode):
                node.kill()
                self.world.nodes.remove(node)
        for node in self.inside():
            node.switch.govern(lambda governor, now: governor.ask_everybody(lambda: None, now))
        self._pass(ASKED_S)

    def _have_met(self) -> bool:
        """Whether everybody has as many links as its shape wants; a ring has three to each side."""
        wanted = min(len(self.nodes) - 1, 6 if self.sitting.nodes > MESH_UP_TO else len(self.nodes))
        return all(len(node.engine.governor.linked) >= wanted for node in self.nodes.values())

    def disturb(self) -> None:
        """Two parts for a while, in which authorities decide and devices are killed."""
        rng, nodes = self.rng, list(self.nodes.values())
        left = {node.device_id for node in nodes if rng.random() < 0.5}
        apart = [
            (one, other) for one in nodes for other in nodes if one.device_id in left and other.device_id not in left
        ]
        for one, other in apart:
            self.world.cut(one, other)
        self._pass(rng.uniform(0.0, 60.0))
        for _ in range(DECISIONS):
            self._somebody_decides()
            if rng.random() < 0.5:
                self._crash()
            self._pass(rng.uniform(0.0, 10.0))
        for one, other in apart:
            self.world.wire.mend(frozenset({one.device_id, other.device_id}))
        self._pass(rng.uniform(10.0, 120.0))

    def _somebody_decides(self) -> None:
        rng = self.rng
        node = self.nodes[rng.choice(self.identities[: OWNERS + CONTROLLERS]).device_id]
        target = rng.choice(self.identities[1:]).device_id
        changes: list[Variant] = [
            Evict(target),
            Evict(target),
            RoleGrant(target, "member"),
            RoleGrant(target, "controller"),
            RoleRevoke(target),
        ]
        variant = rng.choice(changes)
        if target == node.device_id or not node.running:
            return
        self.happened.append(
            f"{self.world.clock.seconds:.0f} s: {short_id(node.device_id)} signs {type(variant).__name__} of"
            f" {short_id(target)}"
        )
        if isinstance(node, OldNode):
            if not quorum(node.mind.kind, node.mind.roles, variant, [node.device_id], None):
                return
            at = node.mind.stamp(variant, node.now().wall_ms // 1000)
            self._note(variant, at)
            node.decide(variant)
            return
        with suppress(Refused):
            done = decide(node, variant)
            for frame in done.frames if done is not None else ():
                if isinstance(frame, NetworkStatePropose):
                    # What waits for an owner here is in force at devices of v0.3.8 that follow a controller (W5).
                    self._note(frame.variant, frame.created_at)
            if done is not None and done.entry is not None:
                self._note(variant, done.entry.at)
        self._save(node.device_id, book(node))  # an own decision is on the disk before it leaves

    def _note(self, variant: Variant, at: int) -> None:
        if isinstance(variant, RoleGrant):
            self.seats.add((variant.target, variant.role))
            if variant.role == "member":
                self.granted[variant.target] = max(at, self.granted.get(variant.target, 0))

    def _crash(self) -> None:
        node = self.nodes[self.rng.choice(self.identities).device_id]
        if isinstance(node, OldNode) or not node.running:
            return
        self.happened.append(f"{self.world.clock.seconds:.0f} s: {short_id(node.device_id)} is killed")
        node.kill()
        self.world.nodes.remove(node)
        self.world.clock.after(self.rng.uniform(0.5, 20.0), lambda: self._start(node.identity))

    def _pass(self, seconds: float) -> None:
        end = self.world.clock.seconds + seconds
        while self.world.clock.seconds < end:
            self.world.run(min(LOOK_S, end - self.world.clock.seconds))
            for node in self.ours():
                if self.rng.random() < 0.5:  # several see the same, and one is the first
                    tend(node)
            self._look()

    # ── what holds ────────────────────────────────────────────────────────────────────────────────────────────────────

    def ours(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.running and not isinstance(node, OldNode)]

    def inside(self) -> list[Node]:
        """Those of ours that belong, in the eyes of the founder, who cannot be put out by anybody without a seat."""
        founder = book(self.nodes[self.identities[0].device_id])
        return [node for node in self.ours() if founder.role(node.device_id) is not None]

    def _look(self, *, at_the_end: bool = False) -> None:
        # Whoever lies and was given a seat may give its word for a time as it may sign an admit.
        liars = [node.device_id for node in self.nodes.values() if isinstance(node, HostileNode)]
        lies = any((device, "controller") in self.seats for device in liars)
        for node in self.ours():
            held = book(node)
            for device, role in held.standing.roles.items():
                if (device, role) not in self.seats and role != "member":
                    raise Broken(f"{short_id(device)} is {role} at {short_id(node.device_id)}, and nobody signed that")
            for identity in self.identities:
                device = identity.device_id
                verdict = held.bench.verdict(device)
                if verdict.membership == "present" and device not in self.granted:
                    raise Broken(f"{short_id(device)} is in at {short_id(node.device_id)}, and nobody let it in")
                late = at_the_end and device != node.device_id and verdict.membership == "present" and not lies
                if late and verdict.entry is not None and verdict.entry.at > self.granted[device]:
                    raise Broken(f"{short_id(device)} is in at {short_id(node.device_id)} by a time nobody signed")

    def _look_for_alarms(self) -> None:
        """Whoever is linked with a device that runs v0.3.8 and lost names it, if it can tell what it holds."""
        for node in self.inside():
            for device in node.engine.governor.linked:
                other = self.nodes[device]
                if not isinstance(other, OldNode) or isinstance(other, HostileNode):
                    continue
                if not any(other.mind.answer()):
                    continue  # liars made its logs longer than a frame, and it falls silent (W15)
                if _is_lost(other, book(node).log) and device not in node.engine.governor.left_behind:
                    raise Broken(f"{short_id(node.device_id)} does not say that {short_id(device)} was left behind")

    def agree(self) -> bool:
        """All of ours that belong, and reach each other over links of ours, hold one log and say the same of everybody.

        A device that runs v0.3.8 passes on nothing that is beyond its own branch.
        """
        return all(len({(book(node).log.digest, self._says(node)) for node in each}) == 1 for each in self._parts())

    def _parts(self) -> list[list[Node]]:
        rest = {node.device_id: node for node in self.inside()}
        parts = []
        while rest:
            part, fringe = [], [rest.pop(min(rest))]
            while fringe:
                node = fringe.pop()
                part.append(node)
                fringe += [rest.pop(device) for device in sorted(node.engine.governor.linked & rest.keys())]
            parts.append(part)
        return parts

    def asked(self) -> bool:
        """Whether a person is asked wherever somebody differs from the founder."""
        founder = self.nodes[self.identities[0].device_id]
        differing = [
            node
            for node in self.inside()
            if book(node).log.digest != book(founder).log.digest or self._says(node) != self._says(founder)
        ]
        by_authority = any(
            _is_asked(book(node)) for node in self.inside() if book(node).standing.is_authority(node.device_id)
        )
        return by_authority or all(_is_asked(book(node)) for node in differing)

    def differences(self) -> str:
        """Who says what of whom, where not all say the same."""
        found = []
        inside = self.inside()
        for number, identity in enumerate(self.identities):
            says: dict[object, list[str]] = {}
            for node in inside:
                says.setdefault(self._says(node)[number], []).append(short_id(node.device_id))
            if len(says) > 1:
                found.append(f"of {short_id(identity.device_id)}: {says}")
        logs: dict[str, list[str]] = {}
        for node in inside:
            logs.setdefault(book(node).log.digest.hex()[:8], []).append(short_id(node.device_id))
        return "; ".join([*found, f"logs: {logs}"])

    def _says(self, node: Node) -> tuple[object, ...]:
        held = book(node)
        return tuple((held.role(each.device_id), held.is_evicted(each.device_id)) for each in self.identities)


def _is_lost(node: OldNode, counts: Log) -> bool:
    """Whether a device holds another branch than counts, or a log that ours refuse."""
    try:
        log = finish(heard(node.mind.log, Checks(NETWORK), STRICT))
    except BadLog:
        return True
    return common_length(counts, log) < min(len(counts), len(log))


def _is_asked(held: Book) -> bool:
    """By a pending record: which branch counts, whether a repetition is meant, whether a late removal stands."""
    return bool(held.questions.rivals or held.questions.replays or succession.orphans(held))


def _book(me: Identity, log: Sequence[Transition], members: Sequence[Transition], now: int) -> Book:
    known = finish(heard(log, Checks(NETWORK), STRICT))
    held = hear_log(Book(NETWORK, me.device_id, Pin(NETWORK).on(known)), known, OURSELVES, now).book
    return held.with_copies(Copy(each, OUR_WORD) for each in members)


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def main(words: Sequence[str]) -> int:
    """Run what the words say; 1 when something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m myownmesh.simulator governed", description=__doc__)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--old", type=float, default=0.0, help="share of the devices that run v0.3.8")
    parser.add_argument("--hostile", type=float, default=0.0, help="share of the devices that lie")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="run so many, from --seed on")
    arguments = parser.parse_args(words)
    failed = 0
    for number in range(arguments.seeds):
        verdict = sit(Sitting(arguments.nodes, arguments.old, arguments.hostile, arguments.seed + number))
        failed += bool(verdict.fault)
        print(told(verdict), flush=True)
    return 1 if failed else 0


def told(verdict: Verdict) -> str:
    """One line, or what does not hold with all that led to it."""
    sitting = verdict.sitting
    if verdict.fault:
        return "\n".join(
            [f"FAILED, seed {sitting.seed}: {verdict.fault}", f"  again: {sitting.command()}", *verdict.decisions]
        )
    how = "a person is asked" if verdict.agreed_s is None else f"all agreed after {verdict.agreed_s:.0f} s"
    return f"{sitting.nodes} devices, seed {sitting.seed}: {how}"
