"""Writes the table of roles into docs/governance.md from the rules. Run this file to write it; a test compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from myownmesh.governance.quorum import unmet
from myownmesh.governance.rules import STRICT
from myownmesh.governance.standing import RANKS, Standing
from myownmesh.protocol.modes import Ring
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, TopologyChange

if TYPE_CHECKING:
    from myownmesh.protocol.transitions import Variant

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "governance.md"
BEGIN: Final = "<!-- roles: begin, written by tests/support/governance_table.py -->\n"
END: Final = "<!-- roles: end -->\n"

_SEATED: Final = Standing("closed", {"an owner": "owner", "a controller": "controller"})
_WISHES: Final[dict[str, Variant]] = {
    "let a device in": RoleGrant("a stranger", "member"),
    "put a member out": Evict("a member"),
    "make a controller": RoleGrant("a member", "controller"),
    "put a controller out": Evict("a controller"),
    "make an owner": RoleGrant("a member", "owner"),
    "put an owner out": Evict("an owner"),
    "set the shape": TopologyChange(Ring()),
    "reopen the network": KindChange("open"),
}


def replaced(document: str) -> str:
    """The document with the table between the marks written anew."""
    head, rest = document.split(BEGIN)
    tail = rest.split(END)[1]
    roles = sorted(RANKS, key=lambda role: -RANKS[role])
    rows = "".join(
        f"| {wish} | {' | '.join(_word(role, wanted) for role in roles)} |\n" for wish, wanted in _WISHES.items()
    )
    return f"{head}{BEGIN}\n| what somebody wants | {' | '.join(roles)} |\n|---|---|---|---|\n{rows}\n{END}{tail}"


def _word(role: str, wanted: Variant) -> str:
    signer = {"owner": "an owner", "controller": "a controller"}.get(role, "a member")
    return "decides" if unmet(_SEATED, wanted, (signer,), STRICT) is None else "proposes"


if __name__ == "__main__":
    DOCUMENT.write_text(replaced(DOCUMENT.read_text()))
