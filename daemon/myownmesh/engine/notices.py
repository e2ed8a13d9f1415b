"""What the diagnostics say of signed governance: each names entry, peer and reason (category `governance`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from myownmesh.engine.diagnostics import short_id
from myownmesh.governance.entries import target_of
from myownmesh.governance.telling import Names, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh_common.events import Level
    from myownmesh.engine.core import Core
    from myownmesh.governance.adoption import Adoption
    from myownmesh.governance.hearing import Heard
    from myownmesh.governance.log import Place
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.transitions import Transition

FROM_FILE: Final = "file"
"""Stands where the id of a peer does, for what a person took in from a file."""
MAX_TOLD: Final = 8
"""Entries of one frame that are named."""


def called(device: str) -> str:
    """Where something came from, as people read it."""
    return "a file" if device == FROM_FILE else short_id(device)


def log_heard(core: Core, device: str, found: Adoption, new: Sequence[Place], now: Instant) -> None:
    """What became of a peer's governance log; `new` are the entries that are held now and were not."""
    is_fork = found.found == "kept" and len(found.book.branches.others) > len(core.government.book.branches.others)
    if found.found in ("known", "kept", "ignored") and not found.why and not is_fork:
        return
    place = found.place or (new[-1] if new else None)
    detail: dict[str, Any] = {
        "hint": "log_forked" if is_fork else f"log_{found.found}",
        "network": core.network_id,
        "peer": device,
        "reason": found.why or ("RIVAL" if is_fork else ""),
        "entries": len(found.book.log),
        **({} if place is None else _about(core, place.entry)),
    }
    alarm = is_fork or found.found in ("refused", "asked", "claim", "switched")
    outcome = "another branch, which does not count here" if is_fork else found.found
    text = f"a governance log of {called(device)}: {outcome}" + (f", {found.why}" if found.why else "")
    core.diag(now, "warn" if alarm else "info", "governance", text, detail)


def left_behind(core: Core, devices: frozenset[str], now: Instant) -> None:
    """Devices that run v0.3.8 stay on a branch that does not count; said when there are more of them."""
    if devices - core.government.behind:
        names = ", ".join(sorted(map(short_id, devices)))
        detail = {"hint": "left_behind", "network": core.network_id, "peers": sorted(devices)}
        core.diag(now, "warn", "governance", f"these devices run v0.3.8 and cannot leave a branch: {names}", detail)
    core.government.behind = devices


def log_refused(core: Core, device: str, rule: str, text: str) -> None:
    """A governance log that does not hold."""
    detail = {"hint": "log_refused", "network": core.network_id, "peer": device, "reason": rule}
    core.diag(core.government.now, "warn", "governance", f"{called(device)}: {text}", detail)


def entries_judged(core: Core, device: str, done: Heard, told: int, now: Instant) -> int:
    """Say what was refused, held, has to be asked of a person, or changed who belongs here; of one frame so much at
    most. `told`: how many of the frame were named already; returns how many more."""
    count = 0
    changed = frozenset(done.changed)
    for entry, judgement in done.judged:
        outcome = judgement.outcome
        changes = outcome == "counted" and target_of(entry.variant) in changed
        if told + count >= MAX_TOLD or not (changes or outcome in ("refused", "held", "shown")):
            continue
        count += 1
        why = judgement.why or ("it counts" if changes else "it needs a word")
        detail = {
            "hint": f"entry_{outcome}",
            "network": core.network_id,
            "peer": device,
            "reason": judgement.why or outcome,
            **_about(core, entry),
        }
        level: Level = "info" if changes else "warn"
        core.diag(now, level, "governance", f"an entry that {called(device)} sent is {outcome}: {why}", detail)
    return count


def decided_here(core: Core, entry: Transition, now: Instant) -> None:
    """A person here, or this device in its name, brought an entry into force."""
    about = _about(core, entry)
    detail = {"hint": "decided", "network": core.network_id, "peer": core.me, "reason": "decided here", **about}
    core.diag(now, "info", "governance", f"decided here: this device {about['entry']}", detail)


def _about(core: Core, entry: Transition) -> dict[str, Any]:
    return {
        "entry": said(entry.variant, Names({}, core.me)),
        "signers": list(entry.signers),
        "at": entry.at,
        "target": target_of(entry.variant),
    }
