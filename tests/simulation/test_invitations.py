"""An invitation is used as often as it says, whatever comes in between (spec 11 §1.4): devices that come at once, lose
their links and start anew, and an inviter that dies between its save and its approval."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import pytest

from myownmesh.engine import EngineConfig
from myownmesh.invitations.book import Approved, Book, Moment
from myownmesh.invitations.tokens import Meeting, mac_of, read_token
from myownmesh.protocol.introduction import Introduction
from myownmesh.roster import Roster
from myownmesh.simulator import World
from myownmesh.simulator.node import NETWORK
from support.examples import few

if TYPE_CHECKING:
    from myownmesh.engine.actions import Knock
    from myownmesh.identity import Identity
    from myownmesh.invitations.book import Invite
    from myownmesh.simulator import Node

NOW = 1_800_000_000
ROOM = "room"
DISK_S = 0.05
JOINERS = 6
ASKS = EngineConfig(auto_approve=False)


class Inviter:
    """Judges one knock after the other as the daemon does: what it lets in is on disk before it is approved."""

    def __init__(self, world: World, identity: Identity, uses: int, deaths: int) -> None:
        self.world = world
        self.identity = identity
        self.disk, self.invite = Book().create(ttl_s=3600, uses=uses, note="", now=NOW, rng=world.rng)
        self._deaths = deaths
        """So often it dies between a save and its approval."""
        self._begin(Roster(NETWORK))

    @property
    def let_in(self) -> tuple[str, ...]:
        kept = self.disk.get(self.invite.id)
        assert kept is not None
        return kept.by

    def _begin(self, roster: Roster) -> None:
        self._waiting: deque[Knock] = deque()
        self._is_busy = False
        self.node = self.world.node(self.identity, ASKS, roster=roster)
        self.node.switch.effects.on_knock = partial(self._hear, self.node)

    def _hear(self, node: Node, knock: Knock) -> None:
        self._waiting.append(knock)
        self._next(node)

    def _next(self, node: Node) -> None:
        if not self._is_busy and self._waiting:
            self._is_busy = True
            self._after_a_while(node, partial(self._judge, node, self._waiting.popleft()))

    def _after_a_while(self, node: Node, act: partial[None]) -> None:
        self.world.clock.after(self.world.rng.uniform(0, DISK_S), lambda: act() if node.running else None)

    def _judge(self, node: Node, knock: Knock) -> None:
        shown = knock.introduction
        meeting = Meeting(ROOM, knock.peer, self.identity.device_id, knock.binding)
        seconds = self.world.clock.seconds
        judged = self.disk.judge((shown.id, shown.mac), meeting, Moment(NOW + seconds, seconds), {})
        if not isinstance(judged, Approved):
            self._is_busy = False
            self._next(node)
            return
        self.disk = judged.book
        if judged.is_new and self._deaths:
            self._deaths -= 1
            node.kill()
            self.world.nodes.remove(node)
            self.world.clock.after(1.0, partial(self._begin, node.saved))
            return
        self._after_a_while(node, partial(self._approve, node, knock))

    def _approve(self, node: Node, knock: Knock) -> None:
        node.switch.approve(knock.peer, knock.label)
        self._is_busy = False
        self._next(node)


def join(world: World, identity: Identity, inviter: str, invite: Invite) -> Node:
    """A device that has taken the link: it has approved the inviter and shows that it holds the secret."""
    token = read_token(invite.token)

    def show(peer: str, binding: str) -> Introduction | None:
        meeting = Meeting(ROOM, identity.device_id, inviter, binding)
        return Introduction(invite.id, mac_of(token, meeting)) if peer == inviter else None

    node = world.node(identity, ASKS, roster=Roster(NETWORK).approve(inviter, "", 0))
    node.engine.introduce_by(show)
    return node


@pytest.mark.parametrize("uses", [1, 3, JOINERS])
@pytest.mark.parametrize("seed", few(range(8), every=4))
def test_no_interleaving_lets_in_more_than_an_invitation_says(seed: int, uses: int) -> None:
    world = World(seed)
    first, *others = world.identities(JOINERS + 1)
    # The inviter's id is the lowest in every other run: who offers decides who sees whom first.
    identity, others = (first, others) if seed % 2 else (others[-1], [first, *others[:-1]])
    inviter = Inviter(world, identity, uses, deaths=seed % 3)
    nodes = []
    for other in others:
        nodes.append(join(world, other, identity.device_id, inviter.invite))
        world.run(world.rng.choice([0.0, 0.0, 0.02]))
    for _ in range(400):
        world.run(0.1)
        active = [node.device_id for node in nodes if inviter.node.running and inviter.node.is_linked(node)]
        assert set(active) <= set(inviter.let_in)
        assert len(inviter.let_in) <= uses
        if world.rng.random() < 0.02:
            # One of them starts anew: it comes with another certificate, and uses nothing a second time.
            number = world.rng.randrange(len(nodes))
            nodes[number].kill()
            world.nodes.remove(nodes[number])
            nodes[number] = join(world, nodes[number].identity, identity.device_id, inviter.invite)
    world.run_until(lambda: sum(inviter.node.is_linked(node) for node in nodes) == uses, within=60.0)
    assert len(inviter.let_in) == uses
    for node in nodes:
        expected = "active" if node.device_id in inviter.let_in else "pending_approval"
        assert inviter.node.status(node) == expected
