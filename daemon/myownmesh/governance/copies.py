"""Copies of one signature, and which of them count (spec 02 §24.3 no. 42).

The time of an entry is not signed: whoever holds an admit can show it again with any time. All copies of one signature
make a *slot*, and what counts in it does not depend on the order in which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.governance.entries import entry_key, is_member_grant, is_removal
from myownmesh.governance.marking import is_marked
from myownmesh.protocol import base32
from myownmesh.protocol.transitions import Evict, RoleGrant, RoleRevoke, Transition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from myownmesh.governance.standing import Standing

FOR_GOOD: Final = "*"
"""The word of this device itself, of a person at it, or of its inviter: it never ends."""
ADMITS_US: Final = "="
"""This copy admits this device, which believes it of anybody for its own stand-down; others are not told it is sure."""
OUR_WORD: Final = frozenset({FOR_GOOD})
"""Who vouches for what this device signed or a person here meant."""
MAX_WORDS: Final = 4
"""More devices than that need not agree."""


_KINDS: Final[Mapping[type, str]] = {cls: str(cls.__struct_config__.tag) for cls in (RoleGrant, RoleRevoke, Evict)}


# As with entries: nothing here can refer to itself, and the collector need not look at ten thousand of each.


class SlotKey(msgspec.Struct, frozen=True, gc=False):
    """What all copies of one signature share, beside their target."""

    is_grant: bool
    kind: str
    """The tag of the variant: an eviction and a revocation are signed differently."""
    author: str
    """The authority whose signature this is; co-signers make no other slot."""
    signature: str


class Copy(msgspec.Struct, frozen=True, gc=False):
    """One time at which the signature is said to have been made."""

    entry: Transition
    words: frozenset[str] = frozenset()
    """Who vouched: bare ids, `FOR_GOOD`, `ADMITS_US`. Empty: it is only heard."""

    def is_sure(self, standing: Standing) -> bool:
        """A word lasts while its speaker is seated."""
        return any(word == FOR_GOOD or standing.is_authority(word) for word in self.words)


class Slot(msgspec.Struct, frozen=True, gc=False):
    """The copies of one signature that are kept, by time."""

    key: SlotKey
    copies: tuple[Copy, ...]

    def find(self, at: int) -> Copy | None:
        """The copy of a time."""
        return next((copy for copy in self.copies if copy.entry.at == at), None)

    def with_copy(self, new: Copy, standing: Standing, me: str) -> Slot:
        """The slot after one more copy, of whatever standing; the same object when it changes nothing.

        What does not count is not kept: it changes nothing and would only grow.
        """
        known = self.find(new.entry.at)
        if known is not None:
            new = _joined(known, new)
            if new == known:
                return self
        kept = tuple(self._counting([*(copy for copy in self.copies if copy is not known), new], standing, me))
        return self if kept == self.copies else Slot(self.key, kept)

    def counted(self, standing: Standing, me: str) -> Iterator[Copy]:
        """The copies that count: the sure ones; without one, the lowest time of a grant, the highest of a removal.

        A heard removal counts beside sure ones if its author may have signed alike twice: in doubt a device is out.
        """
        return iter(self.copies) if len(self.copies) == 1 else self._counting(self.copies, standing, me)

    def stands(self, standing: Standing) -> bool:
        """Whether whoever made the signature has a seat now. Co-signers do not matter: they have slots of their own, or
        a co-signer without a seat could lend a new time to a signature that has one."""
        return standing.is_authority(self.key.author)

    def _counting(self, copies: Sequence[Copy], standing: Standing, me: str) -> Iterator[Copy]:
        """What of these copies counts, by time. What is heard counts beside what is sure only if it is newer: else it
        decides nothing, and whether it is kept would depend on what came first."""
        sure = [copy for copy in copies if copy.is_sure(standing)]
        heard = [copy for copy in copies if copy not in sure]
        chosen = {copy.entry.at: copy for copy in sure}
        newest = max(chosen, default=-1)
        if heard:
            best = (min if self.key.is_grant else max)(heard, key=_at)
            if not sure or (best.entry.at > newest and self._counts_beside(me)):
                chosen[best.entry.at] = best
        if self.key.is_grant and (admits := [copy for copy in heard if ADMITS_US in copy.words]):
            latest = max(admits, key=_at)
            if latest.entry.at > newest:
                chosen[latest.entry.at] = latest
        return (chosen[at] for at in sorted(chosen))

    def _counts_beside(self, me: str) -> bool:
        if self.key.is_grant or self.key.author == me:
            return False
        return not is_marked(base32.decode(self.key.signature, 64))


def slot_keys(entry: Transition, known: frozenset[str]) -> tuple[SlotKey, ...]:
    """The slots that an entry is in: one for each signer that is or once was an authority."""
    variant = entry.variant
    grant = is_member_grant(variant)
    if not (grant or is_removal(variant)):
        return ()
    kind = _KINDS[type(variant)]
    if len(entry.signers) == 1:
        [signer] = entry.signers
        return (SlotKey(grant, kind, signer, entry.signatures[0]),) if signer in known else ()
    pairs = zip(entry.signers, entry.signatures, strict=True)
    return tuple([SlotKey(grant, kind, signer, signature) for signer, signature in pairs if signer in known])


def only_key(entry: Transition) -> SlotKey:
    """The slot of an entry of the member log by one signer, who is or was an authority."""
    variant = entry.variant
    return SlotKey(is_member_grant(variant), _KINDS[type(variant)], entry.signers[0], entry.signatures[0])


def _at(copy: Copy) -> int:
    return copy.entry.at


def _joined(known: Copy, new: Copy) -> Copy:
    """One copy of two forms that differ in co-signers: a sure one, else the fewest signers, else the smallest key."""
    words = known.words | new.words
    if FOR_GOOD in words:
        words = OUR_WORD  # it is no surer for more of them
    if len(words) > MAX_WORDS:
        words = frozenset(sorted(words)[:MAX_WORDS])
    chosen = min(
        known, new, key=lambda copy: (copy.words <= {ADMITS_US}, len(copy.entry.signers), entry_key(copy.entry))
    )
    return Copy(chosen.entry, words)
