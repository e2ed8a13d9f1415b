"""The first that is signed about a device, in its plainest form: there is nothing that it could repeat or contradict.

A joiner hears of ten thousand devices at once, and of nearly each of them one entry by one authority. `judging.judge`
would say the same of these, and looks at everything; here is what is left of its steps when nothing else is known. What
is any less plain is left to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from myownmesh.governance.copies import Copy
from myownmesh.governance.entries import is_usable_id, shared_signers, target_of
from myownmesh.governance.judging import DAY_SECONDS, Judgement, words_for
from myownmesh.governance.member_log import MAX_COPIES
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.identity.keys import SIGNATURE_BYTES
from myownmesh.protocol import base32
from myownmesh.protocol.transitions import Evict, RoleGrant, Transition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.judging import Aside, Court, Outcome
    from myownmesh.governance.signatures import Checks
    from myownmesh.governance.words import Speaker
    from myownmesh.protocol.transitions import Variant


class Newcomers:
    """Judges the plain ones of a slice."""

    __slots__ = ("_aside", "_authors", "_checks", "_court", "_draft", "_latest", "_speaker")

    def __init__(self, speaker: Speaker, court: Court, aside: Aside, checks: Checks) -> None:
        self._speaker = speaker
        self._court = court
        self._aside = aside
        self._checks = checks
        self._latest = court.horizon + DAY_SECONDS
        self._draft = court.draft
        self._authors: dict[type, dict[str, Author | None]] = {RoleGrant: {}, Evict: {}}
        """By kind of entry and id. Revocations of plain members are rare."""

    def checked(self, entries: Sequence[Transition], max_checks: int) -> list[Author | bool | None]:
        """For each of the first entries its author if it is plain and signed as it says, False if it is not signed so,
        None if it is not plain.

        In a loop of its own, because libsodium finds its tables in the processor's cache there: a tenth of the time.
        """
        found: list[Author | bool | None] = []
        if self._speaker.said or self._aside.held or self._aside.strangers:
            return found
        signed: list[tuple[bytes, bytes]] = []
        touched: set[str | None] = set()
        for entry in entries:
            if len(found) >= max_checks:
                break  # what is not plain wants checks, too
            target = target_of(entry.variant)
            plain = None if target is None or target in touched else self._plain(entry, target)
            touched.add(target)
            if plain is None:
                found.append(None)
            else:
                found.append(plain[0])
                signed.append(plain[1:])
        good = self._checks.verify_signed(signed)
        if len(signed) == len(found) and all(good):
            return found
        each = iter(good)
        return [key if key is None or next(each) else False for key in found]

    def enter_all(
        self, entries: Sequence[Transition], authors: Sequence[Author | bool | None]
    ) -> list[Judgement] | None:
        """Judge what `checked` found plain and good in each case; None, and nothing done, where that is not so."""
        if not authors or self._draft.count + len(authors) > MAX_COPIES or not all(authors):
            return None
        return self._enter(entries, authors, self._aside)  # type: ignore[arg-type]  # all are true

    def enter(self, entry: Transition, author: Author, aside: Aside) -> Judgement | None:
        """Judge an entry that was found plain and good; None if it is plain no more."""
        draft = self._draft
        if entry.variant.target in draft.targets or aside.held or draft.count >= MAX_COPIES:  # type: ignore[union-attr]  # it has one
            return None
        [judgement] = self._enter([entry], [author], aside)
        return judgement

    def _enter(self, entries: Sequence[Transition], authors: Sequence[Author], aside: Aside) -> list[Judgement]:
        draft = self._draft
        copies, judged = [], []
        newest_sure = draft.newest_sure
        for entry, author in zip(entries, authors, strict=False):
            judgement = author.judgement
            if judgement is None or judgement.aside is not aside:
                judgement = self._judge(entry, author, aside)
            at = entry.at
            copies.append(Copy(Transition(at, entry.variant, author.signers, entry.signatures), author.words))
            judged.append(judgement)
            if author.is_sure and at > newest_sure:
                newest_sure = at
        draft.newest_sure = newest_sure
        draft.first(copies)
        return judged

    def _judge(self, entry: Transition, author: Author, aside: Aside) -> Judgement:
        """Who vouches for a plain entry of this speaker, whether that makes it sure, and what becomes of it."""
        standing, target = self._court.bench.standing, entry.variant.target  # type: ignore[union-attr]  # it has one
        author.words = words_for(entry, self._speaker, self._court, target, is_grant=author.is_grant)
        author.is_sure = Copy(entry, author.words).is_sure(standing)
        outcome: Outcome = "counted" if standing.is_authority(author.signers[0]) else "silent"
        author.judgement = Judgement(outcome, aside)
        return author.judgement

    def _plain(self, entry: Transition, target: str) -> tuple[Author, bytes, bytes] | None:
        """The author of a plain entry, its public key, and what that signed behind its signature."""
        variant, signers, signatures = entry.variant, entry.signers, entry.signatures
        authors = self._authors.get(type(variant))
        if (
            authors is None
            or len(signers) != 1
            or len(signatures) != 1
            or entry.at > self._latest
            or target in self._draft.targets
            or (self._draft.left_out and entry.at <= self._draft.left_out)
            or target in self._court.bench.kept
            or target == self._court.bench.me
            or not is_usable_id(target)
        ):
            return None
        signer = signers[0]
        author = authors[signer] if signer in authors else self._author(authors, signers, variant)
        if author is None or (author.is_grant and variant.role != "member"):  # type: ignore[union-attr]  # a grant
            return None
        try:
            raw = base32.decode(signatures[0], SIGNATURE_BYTES, canonical=True)
        except ValueError:
            return None
        return author, author.key, b"".join((raw, author.before, target.encode(), author.after))

    def _author(self, authors: dict[str, Author | None], signers: tuple[str, ...], variant: Variant) -> Author | None:
        """The author of entries of this kind; None for somebody who never had a seat."""
        found, [signer] = None, signers
        if signer in self._court.bench.standing.known:
            said: Variant = RoleGrant("", "member") if isinstance(variant, RoleGrant) else Evict("")
            before, sign, after = signed_bytes(self._checks.network_id, said).rpartition(b"target=")
            key = self._checks.key_of(signer)
            found = Author(isinstance(said, RoleGrant), shared_signers(signers), key, before + sign, after)
        authors[signer] = found
        return found


class Author(msgspec.Struct, eq=False):
    """Who signed entries of one kind, and what this speaker's word for them is worth."""

    is_grant: bool
    signers: tuple[str, ...]
    key: bytes
    before: bytes
    """What is signed, up to the target."""
    after: bytes
    words: frozenset[str] = frozenset()
    is_sure: bool = False
    judgement: Judgement | None = None
    """What becomes of an entry; None: nobody has asked."""
