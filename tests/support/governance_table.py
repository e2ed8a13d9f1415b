"""Writes tables and diagram into docs/governance.md from the rules. Run this file to write them; a test compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from myownmesh.governance.quorum import unmet
from myownmesh.governance.rules import STRICT
from myownmesh.governance.standing import RANKS, Standing
from myownmesh.governance.waiting import MEANS
from myownmesh.protocol.modes import Ring
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, TopologyChange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownmesh.protocol.frames import Role
    from myownmesh.protocol.transitions import Variant

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "governance.md"

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


_SIGNERS: Final = {"owner": "an owner", "controller": "a controller", "member": "a member"}
_SORTS: Final = {
    "proposal": "somebody's proposal",
    "founder": "a founder that nobody here has agreed to",
    "replay": "an old entry that is shown again and would undo something",
    "branch": "a branch of authorities who decided against each other",
    "remnant": "what is left of a lost log",
    "fallen": "a removal whose author has lost the role",
    "owed": "what this device would sign by itself, but for its lock",
}


def replaced(document: str) -> str:
    """The document with what stands between the marks written anew."""
    roles = sorted(RANKS, key=lambda role: -RANKS[role])
    rows = "".join(
        f"| {wish} | {' | '.join(_word(role, wanted) for role in roles)} |\n" for wish, wanted in _WISHES.items()
    )
    document = _between(document, "roles", f"| what somebody wants | {' | '.join(roles)} |\n|---|---|---|---|\n{rows}")
    document = _between(document, "reach", f"```mermaid\nflowchart LR\n{''.join(_edges(roles))}```\n")
    waits = "".join(f"| {_SORTS[sort]} | {sign} | {deny} |\n" for sort, (sign, deny) in MEANS.items())
    return _between(document, "waits", f"| what waits | `sign` | `deny` |\n|---|---|---|\n{waits}")


def _between(document: str, name: str, text: str) -> str:
    begin = f"<!-- {name}: begin, written by tests/support/governance_table.py -->\n"
    end = f"<!-- {name}: end -->\n"
    head, rest = document.split(begin)
    return f"{head}{begin}\n{text}\n{end}{rest.split(end)[1]}"


def _edges(roles: list[Role]) -> Iterator[str]:
    """Who decides about whom; a dashed line is what one only proposes."""
    for role in roles:
        for target in roles:
            may = [
                word
                for word, wanted in (
                    ("lets in" if target == "member" else "makes", RoleGrant("a stranger", target)),
                    ("puts out", Evict(_SIGNERS[target])),
                )
                if unmet(_SEATED, wanted, (_SIGNERS[role],), STRICT) is None
            ]
            yield f"  {role} -->|{' and '.join(may)}| {target}\n" if may else f"  {role} -.->|proposes| {target}\n"


def _word(role: Role, wanted: Variant) -> str:
    return "decides" if unmet(_SEATED, wanted, (_SIGNERS[role],), STRICT) is None else "proposes"


if __name__ == "__main__":
    DOCUMENT.write_text(replaced(DOCUMENT.read_text()))
