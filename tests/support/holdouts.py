"""Three branches of which a liar's variant keeps one device apart (02 §24.3 no. 46)."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from mesh_common.values import Value
from myownmesh.governance.adoption import hear_log, stay
from myownmesh.governance.book import Book
from myownmesh.governance.branches import order_of
from myownmesh.governance.log import heard
from myownmesh.governance.pins import Pin
from myownmesh.governance.rules import STRICT
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.words import OURSELVES, Speaker
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from myownmesh.simulator.reference_governance import signed_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.log import Log
    from myownmesh.identity import Identity


class Three(Value, frozen=True):
    """Two controllers put each other out, and an owner promotes one of them."""

    network: str
    held: Log
    """The third one as a liar showed it to one device: without the removal of whom the owner promotes."""
    better: Log
    """What everybody else holds: the one who was promoted puts the other out. It comes before `held`."""
    third: Log
    """What refutes `better`, and is refuted by `held`: the other puts out whom the owner promotes then."""


def three_branches(network: str, owner: Identity, others: Sequence[Identity], *, at: int) -> Three:
    """Such branches of these devices; the first one of them that fits is promoted. Their order is one of hashes."""
    checks = Checks(network)
    for two in permutations(others, 2):
        one, other = two
        base = (
            signed_entry(network, owner, KindChange("closed"), at),
            *(signed_entry(network, owner, RoleGrant(each.device_id, "controller"), at) for each in two),
        )
        puts_out = signed_entry(network, one, Evict(other.device_id), at)
        promoted = signed_entry(network, owner, RoleGrant(one.device_id, "owner"), at)
        struck = signed_entry(network, other, Evict(one.device_id), at)
        held, better, third = (
            finish(heard((*base, *tail), checks, STRICT))
            for tail in ((promoted, puts_out), (puts_out,), (struck, promoted))
        )
        if order_of(better) < order_of(held):
            return Three(network, held, better, third)
    raise ValueError("among these nobody fits")


def kept_apart(me: str, three: Three, now: int) -> Book:
    """The device to which a liar showed `held`, and then everybody what they hold."""
    book = holding(me, three, three.held, now)
    for log in (three.third, three.better):
        book = hear_log(book, log, Speaker("somebody"), now).book
    return book


def decided(me: str, three: Three, now: int) -> Book:
    """Any other device: its person has chosen between the two that refute each other."""
    book = hear_log(holding(me, three, three.better, now), three.third, Speaker("somebody"), now).book
    [question] = book.questions.rivals
    return stay(book, question)


def holding(me: str, three: Three, log: Log, now: int) -> Book:
    """A device that was there when this log was signed."""
    return hear_log(Book(three.network, me, Pin(three.network).on(log)), log, OURSELVES, now).book
