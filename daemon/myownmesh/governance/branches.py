"""Governance logs that went apart, and which of them counts (spec 02 §24.3 no. 46).

Two owners who act while apart, and a revoked owner who rewrites the past, both leave two logs that hold. A branch that
removes an author of the other refutes it; where that settles nothing, every device takes the same one by hash. Branches
that refute each other are for a person to choose.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.log import EMPTY, common_length
from myownmesh.governance.marking import is_marked
from myownmesh.protocol import base32

if TYPE_CHECKING:
    from myownmesh.governance.log import Log, Place

MAX_BRANCHES: Final = 12
SETTLED_SECONDS: Final = 24 * 3600
"""A branch held this long is left by hash only after a click."""
MAX_SWITCHES: Final = 4
"""Automatic switches in `SETTLED_SECONDS`; the next waits for a click."""
MAX_STAYED: Final = 64
"""Branches that a person here decided against; of more the oldest may be offered again."""


class Branch(Value, frozen=True):
    """A log that holds, and since when."""

    log: Log = EMPTY
    since: tuple[int, ...] = ()
    """For each entry, when this device first held it in this place, Unix seconds."""

    def with_log(self, log: Log, now: int) -> Branch:
        """Another log in its place; what both begin with keeps its times."""
        common = common_length(self.log, log)
        return Branch(log, self.since[:common] + (now,) * (len(log) - common))


class Choice(Value, frozen=True):
    """What to do about the branches that are known."""

    log: Log
    """The one that counts by the rules."""
    ask: bool = False
    """A person has to agree before this device leaves its own."""


class Branches(Value, frozen=True):
    """The branches beside the one that is held."""

    others: tuple[Branch, ...] = ()
    switches: tuple[int, ...] = ()
    """When this device changed its branch by itself, Unix seconds, newest last."""
    stayed: tuple[bytes, ...] = ()
    """Digests of branches that a person here decided against, newest last."""
    unmerged: frozenset[bytes] = frozenset()
    """Digests of branches that this device left and whose entries nobody here has looked after yet."""

    def with_log(self, held: Branch, log: Log, now: int) -> Branches:
        """Know one more; what it replaces, as its own beginning, is forgotten. The same object when it is known.

        Of too many, one goes that is neither new nor refutes the held one.
        """
        if any(_begins_with(known, log) for known in (held.log, *self.logs)):
            return self
        closest = max((held, *self.others), key=lambda branch: common_length(branch.log, log))
        others = [other for other in self.others if not _begins_with(log, other.log)]
        if len(others) >= MAX_BRANCHES - 1:
            spare = next((other for other in others if not refutes(other.log, held.log)), None)
            if spare is None and not refutes(log, held.log):
                return self
            others.remove(spare or others[0])
        return replace(self, others=(*others, closest.with_log(log, now)))

    @property
    def logs(self) -> tuple[Log, ...]:
        return tuple(other.log for other in self.others)

    def switched(self, left: Branch, to: Log, now: int, *, by_itself: bool) -> tuple[Branch, Branches]:
        """Leave one branch for another; the left one stays known. A person who does has decided against it."""
        held = next((other for other in self.others if other.log is to), left).with_log(to, now)
        others = [other for other in self.others if not _begins_with(to, other.log)]
        others.append(left)
        switches = self._recent(now)
        stayed = self.stayed if by_itself else self.staying(left.log).stayed
        return held, replace(
            self,
            others=tuple(others[-(MAX_BRANCHES - 1) :]),
            switches=(*switches, now) if by_itself else switches,
            stayed=tuple(digest for digest in stayed if digest != to.digest),
            unmerged=(self.unmerged | {left.log.digest}) - {to.digest},
        )

    @property
    def left(self) -> tuple[Log, ...]:
        """Branches whose entries an authority has to append to the one that counts, newest last."""
        return tuple(log for log in self.logs if log.digest in self.unmerged)

    def looked_after(self, log: Log) -> Branches:
        """What a left branch held was appended, or is not this device's to append."""
        return replace(self, unmerged=self.unmerged - {log.digest})

    def has_switched_enough(self, now: int) -> bool:
        """Whether this device has changed its branch by itself so often of late that a person is asked."""
        return len(self._recent(now)) >= MAX_SWITCHES

    def _recent(self, now: int) -> tuple[int, ...]:
        return tuple(at for at in self.switches if now - at < SETTLED_SECONDS)

    def staying(self, log: Log) -> Branches:
        """A person decided against a branch: it is not offered again as it is."""
        others = tuple(digest for digest in self.stayed if digest != log.digest)
        return replace(self, stayed=(*others, log.digest)[-MAX_STAYED:])


def strike(a: Log, b: Log) -> int:
    """How much branch `a` holds against `b`: it removes somebody who signed what only `b` has.

    2 when an owner signed that removal, 1 when controllers did, else 0.
    """
    common = common_length(a, b)
    accused = {signer for place in b.places[common:] for signer in place.entry.signers}
    found = [_weight(place) for place in a.places[common:] if place.puts_out in accused]
    return max(found, default=0)


def refutes(a: Log, b: Log) -> bool:
    """Whether branch `a` is a reason to leave `b`."""
    against = strike(a, b)
    return against >= 1 and against >= strike(b, a)


def choose(held: Branch, branches: Branches, now: int, *, shown_by: str = "") -> Choice:
    """The branch that counts, among the held one and the others.

    `shown_by` is the device on whose link another one came just now: the word of somebody who signed a held tail and
    shows another branch is as good as a click. A choice of the held branch changes nothing.
    """
    # What a person here decided against refutes nobody any more, or of two that agree with them none could be chosen.
    others = [log for log in branches.logs if log.digest not in branches.stayed]
    logs = [held.log, *others]
    standing = [log for log in logs if not any(refutes(other, log) for other in logs if other is not log)]
    if not standing:
        # They refute each other: stay, and let a person decide between the held one and the best of the others.
        rivals = [log for log in others if refutes(log, held.log)]
        return Choice(min(rivals, key=order_of), ask=True) if rivals else Choice(held.log)
    best = min(standing, key=order_of)
    if best is held.log:
        return Choice(best)
    return Choice(best, ask=_needs_click(held, best, branches, now, shown_by))


def _needs_click(held: Branch, best: Log, branches: Branches, now: int, shown_by: str) -> bool:
    if branches.has_switched_enough(now):
        return True
    common = common_length(held.log, best)
    if refutes(best, held.log) or common == len(held.log) or now - held.since[common] <= SETTLED_SECONDS:
        return False
    return not any(shown_by in place.authors for place in held.log.places[common:])


def _weight(place: Place) -> int:
    return {"owner": 2, "controller": 1, "member": 0}[place.author_role]


def order_of(log: Log) -> tuple[tuple[bool, bool, bytes], ...]:
    """Smaller comes first: what counts before what is void, unmarked before marked, then by hash; an end is larger than
    any entry.

    Void entries need nobody's seat. Whoever puts one before the founding makes a branch, which must not win by hash.
    """
    return (*(_rank(place) for place in log.places), (True, True, b"\xff" * 33))


def _rank(place: Place) -> tuple[bool, bool, bytes]:
    pairs = dict(zip(place.entry.signers, place.entry.signatures, strict=True))
    ranks = [
        (is_marked(base32.decode(pairs[author], 64)), sha256(place.payload + author.encode()).digest())
        for author in place.authors
    ]
    return place.void, *min(ranks)


def _begins_with(log: Log, other: Log) -> bool:
    return common_length(log, other) == len(other)
