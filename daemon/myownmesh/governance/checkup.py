"""What a person should know about a network's governance before it hurts (spec 02 §24.3 nos. 48, 49, 51, 57)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec.structs import asdict

from mesh_common.values import Value
from myownmesh.governance.authoring import OWNERS_BYTES, room
from myownmesh.governance.branches import refutes
from myownmesh.governance.clocks import CLOCK_SECONDS
from myownmesh.governance.holdouts import kept_out, still_asked
from myownmesh.governance.log import MAX_LOG_BYTES
from myownmesh.governance.member_log import MAX_COPIES
from myownmesh.governance.succession import kept_removals, orphans, owed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from myownmesh.governance.book import Book
    from myownmesh.governance.telling import Names

Code = Literal[
    "put_out",
    "unfounded",
    "lost",
    "ownerless",
    "single_owner",
    "unsigned_rows",
    "fork",
    "questions",
    "kept_removals",
    "clock",
    "log_nearly_full",
    "member_log_full",
    "v038_authorities",
    "v038_behind",
    "switches",
]


class Finding(Value, frozen=True):
    """One thing to know, and what to do about it."""

    code: Code
    text: str
    help: str


class Surroundings(Value, frozen=True):
    """What the book does not know."""

    rostered: Collection[str] = ()
    """Bare ids of devices that were approved here."""
    v038: Collection[str] = ()
    """Linked devices that follow the reference's rules only."""
    ahead_s: float = 0.0
    """How far this device's clock is ahead of the others'; negative: behind."""
    left_behind: Collection[str] = ()
    """Linked devices that follow the reference's rules and hold a branch that does not count."""


def findings(book: Book, around: Surroundings, names: Names) -> tuple[Finding, ...]:
    """What is amiss, the worst first."""
    return tuple(finding for look in _LOOKS for finding in look(book, around, names))


def _put_out(book: Book, _around: Surroundings, names: Names) -> Iterator[Finding]:
    if book.is_evicted(book.me):
        verdict = book.bench.verdict(book.me)
        by = () if verdict.entry is None else verdict.entry.signers
        yield Finding(
            "put_out",
            f"this device was put out of the network by {names.all(by) if by else 'an authority that is gone'}, and "
            "stands down",
            "ask an owner or a controller to let it in again (`ctl governance grant-role NETWORK DEVICE member`), or "
            "leave the network",
        )


def _foundation(book: Book, _around: Surroundings, _names: Names) -> Iterator[Finding]:
    if book.kind != "closed":
        return
    if book.lost > len(book.log):
        yield Finding(
            "lost",
            f"this device has lost the network's log: {len(book.log)} of {book.lost} entries are back",
            "connect it with a device that has the log, or import an export; nothing can be signed here before, unless "
            "a person goes on with what there is (`ctl governance pending NETWORK` offers it after ten minutes)"
            if book.is_founded
            else "connect it with a device that has the log, or import an export; if nobody has it, found a new "
            "network under another name",
        )
    elif not book.is_founded:
        yield Finding(
            "unfounded",
            "the network is closed and nobody has founded it: no signature decides here",
            "agree to a founder (`ctl governance sign`), or leave and found one: join it open, then "
            "`ctl governance propose-kind NETWORK closed`",
        )


def _owners(book: Book, _around: Surroundings, names: Names) -> Iterator[Finding]:
    if not book.is_founded:
        return
    owners = sorted(book.standing.owners)
    if not owners:
        yield Finding(
            "ownerless",
            "nobody is owner any more: no role, no shape and no reopening can be signed",
            "found a new network under another name",
        )
    elif len(owners) == 1:
        yield Finding(
            "single_owner",
            f"{names(owners[0])} is the only owner and no recovery key is signed in: lost, nobody can replace it; "
            "stolen, the thief decides alone",
            "make a second device an owner (`ctl governance grant-role NETWORK DEVICE owner`), or print a recovery key "
            "(`ctl governance recovery-key NETWORK`)",
        )


def _fork(book: Book, _around: Surroundings, names: Names) -> Iterator[Finding]:
    against = [log for log in book.branches.logs if refutes(log, book.log)]
    asked = still_asked(book)
    if against or (book.questions.rivals and asked is None):
        authors = sorted({author for log in against for place in log.places[-1:] for author in place.authors})
        yield Finding(
            "fork",
            f"authorities have decided against each other; the other side ends with {names.all(tuple(authors))}",
            "`ctl governance log NETWORK` shows both; `ctl governance pending NETWORK` asks which one to hold here; "
            "between controllers an owner decides for everybody (`ctl governance settle`)",
        )
    elif odd := kept_out(book.log, book.branches):
        authors = sorted({author for log in odd for author in log.places[-1].authors})
        yield Finding(
            "fork",
            f"this device may be on a branch of its own: another one, which ends with {names.all(tuple(authors))}, is "
            "kept out by a third that does not count either",
            "compare `ctl governance log NETWORK` here with an owner's; if this one is alone, have this device leave "
            "the network and join it again"
            if asked is None
            else "`ctl governance pending NETWORK` asks whether this device goes over to it, as others did",
        )


def _questions(book: Book, _around: Surroundings, _names: Names) -> Iterator[Finding]:
    asked = book.questions
    count = len(asked.claims) + len(asked.replays) + len(asked.remnants) + len(orphans(book)) + len(owed(book))
    if count:
        yield Finding(
            "questions",
            f"{count} {'decision waits' if count == 1 else 'decisions wait'} for a person at this device",
            "`ctl governance pending NETWORK` says what each is and what an answer does",
        )


def _kept(book: Book, _around: Surroundings, names: Names) -> Iterator[Finding]:
    kept = tuple(anew.variant.target for anew in kept_removals(book))
    if kept:
        yield Finding(
            "kept_removals",
            f"out only because this device remembers it: {names.all(kept)}; whoever signed that has lost the role",
            "within a minute this device signs that anew; behind a lock it waits for you (`ctl governance pending "
            "NETWORK`)",
        )


def _unsigned(book: Book, around: Surroundings, names: Names) -> Iterator[Finding]:
    if book.kind != "closed" or not book.is_founded:
        return
    unsigned = tuple(sorted(each for each in around.rostered if each != book.me and not book.bench.is_member(each)))
    if unsigned:
        yield Finding(
            "unsigned_rows",
            f"approved here once, signed in by nobody: {names.all(unsigned)}",
            "sign them in (`ctl governance grant-role NETWORK DEVICE member`) or drop them (`ctl roster remove`)",
        )


def _clock(book: Book, around: Surroundings, _names: Names) -> Iterator[Finding]:
    if abs(around.ahead_s) > CLOCK_SECONDS:
        way = "ahead" if around.ahead_s > 0 else "behind"
        yield Finding(
            "clock",
            f"this device's clock is {abs(around.ahead_s):.0f} s {way}: what it signs would wait, or lose",
            "set the clock",
        )


def _room(book: Book, _around: Surroundings, _names: Names) -> Iterator[Finding]:
    if room(book) != "ample":
        limit = (
            "only owners can still change roles"
            if book.log.nbytes >= OWNERS_BYTES
            else f"{OWNERS_BYTES - book.log.nbytes} bytes are left before only owners can change roles"
        )
        yield Finding(
            "log_nearly_full",
            f"the governance log has {book.log.nbytes} of {MAX_LOG_BYTES} bytes; {limit}",
            "found a new network under a fresh id and invite the devices; members can always be let in and put out",
        )


def _crowd(book: Book, _around: Surroundings, _names: Names) -> Iterator[Finding]:
    if book.members.count >= MAX_COPIES or book.members.left_out:
        doubt = (
            "; removals found no room either, so whoever is not in it counts as put out"
            if book.members.left_out
            else ""
        )
        yield Finding(
            "member_log_full",
            f"the member log holds {book.members.count} entries of {MAX_COPIES}: nobody else is let in{doubt}",
            "found a new network under a fresh id and invite the devices; whoever is in it can always be put out",
        )


def _old_authorities(book: Book, around: Surroundings, names: Names) -> Iterator[Finding]:
    old = tuple(sorted(each for each in around.v038 if book.standing.is_authority(each)))
    if old:
        yield Finding(
            "v038_authorities",
            f"these authorities run v0.3.8 and believe what this device refuses: {names.all(old)}",
            "let them run this program; until then what they sign twice needs a click here",
        )


def _left_behind(_book: Book, around: Surroundings, names: Names) -> Iterator[Finding]:
    if around.left_behind:
        yield Finding(
            "v038_behind",
            "these devices run v0.3.8 and hold decisions that do not count here; nothing brings them back: "
            + names.all(tuple(sorted(around.left_behind))),
            "let them run this program, or have them leave the network and join it again",
        )


_RESTORED: Final = {
    "adopt_any_genesis": "whoever founds first is believed",
    "replayable_logs": "old entries count again, whoever shows them",
    "controller_demotes_owner": "a controller can lower an owner, and then put it out",
    "roles_from_open_phase": "roles that anybody gave while the network was open count",
    "unauthorised_splits": "splits of anybody enter the log",
    "ratify_everything": "this device puts everybody's proposals into force by itself",
    "closed_local_approve": "an approval here lets a device in without a signature",
    "open_network_evict": "on an open network anybody can put devices off this one's roster",
}
"""What each switch of `Rules` does while it is on."""


def _switches(book: Book, _around: Surroundings, _names: Names) -> Iterator[Finding]:
    for name, is_on in asdict(book.rules).items():
        if is_on:
            yield Finding(
                "switches",
                f"the compatibility switch `{name}` is on: {_RESTORED[name]}",
                f"turn `{name}` off under `compat` in config.json, or in the network's record, when no device needs it",
            )


_LOOKS: Final = (
    _put_out, _foundation, _owners, _fork, _questions, _kept, _unsigned, _clock, _room, _crowd, _old_authorities,
    _left_behind, _switches,
)  # fmt: skip
