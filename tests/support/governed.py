"""Devices of the simulator as a closed network: what their people decide, done at once and signed as v0.3.8 signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.governance import adoption, authoring
from myownmesh.governance.proposals import new_proposal_id
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.protocol import base32
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.governance.authoring import Done
    from myownmesh.governance.book import Book
    from myownmesh.protocol.frames import Role
    from myownmesh.protocol.transitions import Variant
    from myownmesh.simulator import Node, World


def book(node: Node) -> Book:
    """What a device holds."""
    return node.engine.governor.book


def propose(node: Node, variant: Variant) -> Done:
    """A person at a device proposes a change; whatever it may decide is in force then. Raises `Refused`."""
    payload = signed_bytes(book(node).network_id, variant)
    signature = base32.encode(node.identity.sign(payload))
    proposal_id = new_proposal_id(int.from_bytes(node.rng.randbytes(8), "big"))
    done = authoring.propose(book(node), variant, signature, proposal_id, node.now().wall_ms // 1000)
    node.switch.govern(lambda governor, now: governor.act(done, now))
    return done


def grant(node: Node, to: Node, role: Role = "member") -> Done:
    return propose(node, RoleGrant(to.device_id, role))


def evict(node: Node, whom: Node) -> Done:
    return propose(node, Evict(whom.device_id))


def consent(node: Node) -> None:
    """A person agrees to the founder that a device has heard of."""
    [question] = book(node).questions.claims
    found = adoption.consent(book(node), question, node.now().wall_ms // 1000)
    node.switch.govern(lambda governor, now: governor.take(found.book, now))


def founded(world: World, founder: Node, others: Iterable[Node]) -> None:
    """Close an open network whose devices are linked, and sign everybody in."""
    others = list(others)
    propose(founder, KindChange("closed"))
    world.run_until(lambda: all(book(node).questions.claims for node in others), 60.0)
    for node in others:
        consent(node)
        grant(founder, node)
    world.run_until(lambda: all(len(book(node).bench.roles()) == 1 + len(others) for node in others), 60.0)
