"""Whose signatures an entry needs (spec 02 §3; FIX 5–7, 35).

The rules of v0.3.8, and beside them ours, each of which one switch lifts. None of them looks at signatures: that these
are good is another question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, assert_never

from myownmesh.protocol.transitions import (
    Evict,
    KindChange,
    RoleGrant,
    RoleRevoke,
    Split,
    TopologyChange,
    UnknownVariant,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.rules import Rules
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.frames import Role
    from myownmesh.protocol.transitions import Variant

Unmet = Literal[
    "GENESIS-EMPTY",
    "REOPEN-OWNER",
    "KIND-SAME",
    "GRANT-OWNER",
    "GRANT-CONTROLLER",
    "GRANT-MEMBER",
    "REMOVE-OWNER",
    "REMOVE-LOWER",
    "SPLIT-ONE",
    "TOPO-NOOP",
    "TOPO-OWNER",
    "TOPO-CLOSED-ONLY",
    "UNKNOWN-VARIANT",
    # ours
    "LOWER-OWNER",
    "SPLIT-AUTHORITY",
    "OPEN-GRANT",
    "OPEN-REMOVE",
]
VOID: Final[frozenset[Unmet]] = frozenset({"OPEN-GRANT", "OPEN-REMOVE"})
"""Nobody makes such an entry here; in a log of others it stands, and changes nothing (FIX 6)."""


def unmet(standing: Standing, variant: Variant, signers: Sequence[str], rules: Rules) -> Unmet | None:
    """The rule that keeps these signers from making the change at this point, or None when they may.

    `signers` are bare ids. A rule that asks for one signer of a role is met by any; further signers never hurt.
    """
    best = standing.best(signers)
    closed = standing.kind == "closed"
    match variant:
        case KindChange(to="closed"):
            if standing.kind != "open":
                return "KIND-SAME"
            return None if signers else "GENESIS-EMPTY"
        case KindChange(to="open"):
            if not closed:
                return "KIND-SAME"
            return None if best == "owner" else "REOPEN-OWNER"
        case KindChange():
            return "KIND-SAME"
        case RoleGrant(target=target, role=role):
            if not closed:
                return None if rules.roles_from_open_phase else "OPEN-GRANT"
            return _granting(standing.role(target), role, best, rules)
        case RoleRevoke(target=target) | Evict(target=target):
            rule = _removing(standing.role(target), best)
            if closed:
                return rule
            # An authority's removal stands in any phase; a stranger's, in none.
            return None if rule is None or rules.open_network_evict else "OPEN-REMOVE"
        case Split():
            if len(signers) != 1:
                return "SPLIT-ONE"
            return None if best != "member" or rules.unauthorised_splits else "SPLIT-AUTHORITY"
        case TopologyChange(to=mode):
            if not closed:
                return "TOPO-CLOSED-ONLY"
            if standing.topology == mode:
                return "TOPO-NOOP"
            return None if best == "owner" else "TOPO-OWNER"
        case UnknownVariant():
            return "UNKNOWN-VARIANT"
        case _:
            assert_never(variant)


def _granting(before: Role, role: Role, best: Role, rules: Rules) -> Unmet | None:
    if best == "owner":
        return None
    if role == "owner":
        return "GRANT-OWNER"
    if best == "member":
        return "GRANT-CONTROLLER" if role == "controller" else "GRANT-MEMBER"
    return None if before != "owner" or rules.controller_demotes_owner else "LOWER-OWNER"


def _removing(before: Role, best: Role) -> Unmet | None:
    if before == "owner":
        return None if best == "owner" else "REMOVE-OWNER"
    return None if best != "member" else "REMOVE-LOWER"
