"""What a person takes in from a file: judged like a peer's, on nobody's word (spec 10 §2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.values import Value
from myownmesh.engine import hearing, notices, ruling, slices
from myownmesh.governance.intake import hear_record
from myownmesh.governance.words import Speaker

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine.core import Core
    from myownmesh.governance.carried import Carried
    from myownmesh.governance.records import Proposal
    from myownmesh.governance.signatures import Slices
    from myownmesh.protocol.clock import Instant


class TakenIn(Value, frozen=True):
    """What became of a file."""

    log: str
    """Of its governance log: what `adoption` says of it, or `none`."""
    why: str = ""
    new: int = 0
    """Entries of both logs that are held now and were not before."""
    refused: int = 0
    waiting: int = 0
    """Entries that wait for their time, their signer or a decision of a person."""
    proposals: int = 0
    """Records that are pending now and were not before."""


def take_in(core: Core, carried: Carried, on_done: Callable[[TakenIn], None], now: Instant) -> bool:
    """Judge a file in slices; `on_done` is called at its end. False when too much waits already."""
    return slices.put(core, notices.FROM_FILE, _take_in(core, carried, on_done), now)


def _take_in(core: Core, carried: Carried, on_done: Callable[[TakenIn], None]) -> Slices[None]:
    government, speaker = core.government, Speaker(notices.FROM_FILE)
    before = government.book
    log, why = "none", ""
    if carried.transitions:
        log, why = yield from hearing.hear_governance(core, carried.transitions, speaker)
    outcomes = yield from hearing.hear_members(core, carried.member_log, speaker)
    pending = 0
    for record in carried.pending:
        pending += _hear_record(core, record)
        yield
    after = government.book
    grown = len(set(after.log.entries) - set(before.log.entries)) + max(0, after.members.count - before.members.count)
    waiting = sum(outcomes[each] for each in ("shown", "held", "aside", "waits"))
    on_done(TakenIn(log, why, grown, outcomes["refused"], waiting, pending))


def _hear_record(core: Core, record: Proposal) -> bool:
    """One proposal; whether it is pending by it."""
    government = core.government
    now = government.now
    if not government.may_check(notices.FROM_FILE, now.mono):
        return False
    rostered = core.is_rostered(record.proposer)
    before = government.book
    done = hear_record(before, record, government.checks, now.wall_ms // 1000, rostered=rostered)
    government.charge(notices.FROM_FILE, now.mono, done.charge)
    if done.entry is None:
        ruling.take(core, done.book, now)
    else:
        ruling.decided(core, done.book, done.entry, now)
    return record.id in government.book.proposals.records and record.id not in before.proposals.records
