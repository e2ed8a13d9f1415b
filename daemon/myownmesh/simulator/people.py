"""What people at simulated devices of ours decide, and what the daemon then does for them (`mesh.governing`).

Signed as ours signs, at once: in the simulator nobody waits for a disk.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from myownmesh.engine.governor import Governor
from myownmesh.governance import authoring, succession
from myownmesh.governance.authoring import Done, Refused
from myownmesh.governance.log import BadLog
from myownmesh.governance.marking import sign_marked
from myownmesh.governance.merging import merge_behind, skip
from myownmesh.governance.proposals import new_proposal_id
from myownmesh.governance.ratifying import append
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.protocol.transitions import Transition

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.governance.log import Log
    from myownmesh.governance.succession import Anew
    from myownmesh.protocol.transitions import Variant
    from myownmesh.simulator.node import Node


def book(node: Node) -> Book:
    """What a device holds."""
    return node.engine.governor.book


def decide(node: Node, variant: Variant) -> Done | None:
    """A person proposes a change; what falls with an authority is signed anew before it goes. None: it holds already.

    Raises `Refused`.
    """
    if authoring.draft(book(node), variant) is None:
        return None
    lowered = book(node).standing.lowered(variant)
    if lowered is not None and lowered != node.device_id:
        for anew in succession.legacy(book(node), lowered):
            _sign_anew(node, anew)
    signature = _signed(node, variant)
    known = new_proposal_id(int.from_bytes(node.rng.randbytes(8), "big"))
    done = authoring.propose(book(node), variant, signature, known, _seconds(node))
    _act(node, done)
    return done


def tend(node: Node) -> None:
    """What an authority does unasked: merge a branch that was left, sign anew removals whose author fell."""
    for left in book(node).branches.left:
        if book(node).standing.is_authority(node.device_id):
            _merge(node, left)
        node.switch.govern(partial(Governor.looked_after, left=left))
    if not book(node).standing.is_authority(node.device_id):
        return
    for anew in succession.kept_removals(book(node)):
        _sign_anew(node, anew)


def _merge(node: Node, left: Log) -> None:
    merge = merge_behind(book(node), left)
    for step in merge.steps:
        try:
            if isinstance(step, Transition):
                _act(node, Done(append(book(node), step, _seconds(node)), entry=step))
            else:
                decide(node, step)
        except (BadLog, Refused):
            continue  # what came before it took its ground away
    _act(node, Done(skip(book(node), merge)))


def _sign_anew(node: Node, anew: Anew) -> None:
    _act(node, Done(succession.sign_anew(book(node), anew, _signed(node, anew.variant))))


def _signed(node: Node, variant: Variant) -> str:
    return sign_marked(node.identity, signed_bytes(book(node).network_id, variant), node.rng)


def _act(node: Node, done: Done) -> None:
    node.switch.govern(lambda governor, now: governor.act(done, now))


def _seconds(node: Node) -> int:
    return node.now().wall_ms // 1000
