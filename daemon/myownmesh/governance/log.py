"""A governance log from its beginning: verified whole, with what held at every point (spec 02 §6).

There is no partial acceptance: one bad entry spoils the log. What makes an entry bad, and what merely makes it void,
`quorum` says.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

from attrs import frozen

from myownmesh.governance.entries import entry_key, fault_of_form, is_removal, target_of
from myownmesh.governance.quorum import VOID, unmet
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.governance.standing import BEFORE
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.protocol.transitions import KindChange, Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from myownmesh.governance.rules import Rules
    from myownmesh.governance.signatures import Checks, Slices
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.frames import Role
    from myownmesh.protocol.transitions import Transition

MAX_LOG_BYTES: Final = 65_000
"""Of compact JSON: up to here this device writes, so that a deny has room for a removal (02 §24.3 no. 49)."""
MAX_HEARD_BYTES: Final = MAX_FRAME_BYTES - 128
"""Up to here a log of others is taken: as long as v0.3.8 can say it in one frame, beside that frame's other members."""


class BadLog(ValueError):
    """A log that does not hold; nothing of it is taken."""

    def __init__(self, rule: str, stage: Literal["form", "signature", "quorum", "size"], index: int) -> None:
        super().__init__(f"entry {index} of the governance log: {rule}")
        self.rule = rule
        self.stage = stage
        self.index = index


@frozen
class Place:
    """An entry where it stands in a log."""

    entry: Transition
    before: Standing
    void: bool
    """It changes nothing, because the network was open."""
    payload: bytes
    """What its signers signed."""

    @property
    def authors(self) -> tuple[str, ...]:
        """Its signers that were authorities here; the founder, who became one by it, counts too."""
        found = self.before.authors(self.entry.signers)
        return found or self.entry.signers[:1]

    @property
    def author_role(self) -> Role:
        """The highest role that stands behind it."""
        return self.before.best(self.entry.signers)

    @property
    def removes(self) -> str | None:
        """The authority that it takes down, if it does."""
        return None if self.void else self.before.lowered(self.entry.variant)

    @property
    def puts_out(self) -> str | None:
        """Whom it takes down or out, whether that device has a seat here or not."""
        if self.void:
            return None
        return target_of(self.entry.variant) if is_removal(self.entry.variant) else self.removes

    @cached_property
    def identity(self) -> tuple[bytes, frozenset[str]]:
        """What makes two entries at one place the same: what they say and which authorities say it (FIX 8)."""
        return self.payload, frozenset(self.authors)

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """A digest for each author's signature over this: what is spent once (02 §24.3 no. 64)."""
        pairs = dict(zip(self.entry.signers, self.entry.signatures, strict=True))
        return tuple(signature_digest(self.payload, author, pairs[author]) for author in self.authors)


@frozen
class Log:
    """A governance log that holds, entry by entry."""

    places: tuple[Place, ...] = ()
    standing: Standing = BEFORE
    """After the last entry."""
    nbytes: int = 2
    """As compact JSON."""

    def __len__(self) -> int:
        return len(self.places)

    @cached_property
    def entries(self) -> tuple[Transition, ...]:
        return tuple(place.entry for place in self.places)

    @cached_property
    def digest(self) -> bytes:
        """Tells branches apart: the same for logs that say the same by the same authorities."""
        digest = sha256()
        for place in self.places:
            digest.update(len(place.payload).to_bytes(4, "big") + place.payload)
            digest.update("|".join(sorted(place.authors)).encode() + b"\n")
        return digest.digest()

    @cached_property
    def founding(self) -> Place | None:
        """The first entry that closed the network."""
        return next((place for place in self.places if place.entry.variant == KindChange("closed")), None)

    def until(self, index: int) -> Log:
        """The log without the entries from `index` on."""
        if index >= len(self.places):
            return self
        return Log(self.places[:index], self.places[index].before, _nbytes(self.entries[:index]))

    def extended(self, entries: Iterable[Transition], network_id: str, rules: Rules) -> Log:
        """The log with more entries, of good form and signatures. Raises `BadLog` for a quorum that is not met."""
        places, standing, nbytes = list(self.places), self.standing, self.nbytes
        for entry in entries:
            missing = unmet(standing, entry.variant, entry.signers, rules)
            if missing is not None and missing not in VOID:
                raise BadLog(missing, "quorum", len(places))
            void = missing is not None
            places.append(Place(entry, standing, void, signed_bytes(network_id, entry.variant)))
            standing = standing.after(entry, void=void)
            nbytes += len(entry_key(entry)) + 1
        return Log(tuple(places), standing, nbytes)


EMPTY: Final = Log()


def common_length(a: Log, b: Log) -> int:
    """How many entries two logs begin with that say the same by the same authorities.

    The first signer of a close becomes owner by it, so there it has to be the same one.
    """
    for index, (one, other) in enumerate(zip(a.places, b.places, strict=False)):
        if one.identity != other.identity:
            return index
        if one.entry.variant == KindChange("closed") and one.entry.signers[0] != other.entry.signers[0]:
            return index
    return min(len(a), len(b))


def verified(entries: Sequence[Transition], checks: Checks, rules: Rules) -> Slices[Log]:
    """The log that these entries make from the beginning. Raises `BadLog`.

    Form and quorum of all entries are looked at before the first signature is, so that a stranger's log costs nothing.
    """
    for index, entry in enumerate(entries):
        if (fault := fault_of_form(entry)) is not None:
            raise BadLog(fault, "signature" if fault.startswith("SIG-") else "form", index)
    log = EMPTY.extended(entries, checks.network_id, rules)
    if log.nbytes > MAX_HEARD_BYTES:
        raise BadLog("LOG-SIZE", "size", len(entries) - 1)
    bad = yield from checks.first_bad(entries)
    if bad is not None:
        raise BadLog("SIG-INVALID", "signature", bad)
    return log


def heard(entries: Sequence[Transition], checks: Checks, rules: Rules) -> Slices[Log]:
    """`verified` for a log of others or of the disk: splits by devices without a seat are skipped (FIX 7)."""
    return (yield from verified(_without_strangers_splits(entries, rules), checks, rules))


def signature_digest(payload: bytes, signer: str, signature: str) -> bytes:
    """Stands for one signature over one content; 16 bytes."""
    return sha256(payload + f"|{signer}|{signature}".encode()).digest()[:16]


def _nbytes(entries: Sequence[Transition]) -> int:
    return 2 + sum(len(entry_key(entry)) + 1 for entry in entries)


def _without_strangers_splits(entries: Sequence[Transition], rules: Rules) -> tuple[Transition, ...]:
    """A log without splits that no log of an honest device holds."""
    if rules.unauthorised_splits:
        return tuple(entries)
    seated: set[str] = set()
    kept = []
    for entry in entries:
        if isinstance(entry.variant, Split) and seated.isdisjoint(entry.signers):
            continue
        kept.append(entry)
        # Whoever might have a seat by now; whether it has one, verification says.
        seated.update(entry.signers)
        seated.add(getattr(entry.variant, "target", ""))
    return tuple(kept)
