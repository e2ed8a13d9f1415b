"""The first that is signed about a device, in its plainest form: there is nothing that it could repeat or contradict.

A joiner hears of ten thousand devices at once, and of nearly each of them one entry by one authority. `judging.judge`
would say the same of these, and looks at everything; here is what is left of its steps when nothing else is known. What
is any less plain is left to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from myownmesh.governance.copies import Copy, SlotKey
from myownmesh.governance.entries import is_usable_id, target_of, with_shared_signers
from myownmesh.governance.judging import DAY_SECONDS, Judgement, words_for
from myownmesh.governance.member_log import MAX_COPIES
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.identity.keys import SIGNATURE_BYTES
from myownmesh.protocol import base32
from myownmesh.protocol.transitions import Evict, RoleGrant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.judging import Aside, Court, Outcome
    from myownmesh.governance.signatures import Checks
    from myownmesh.governance.words import Speaker
    from myownmesh.protocol.transitions import Transition


class Newcomers:
    """Judges the plain ones of a slice."""

    __slots__ = ("_aside", "_checks", "_court", "_draft", "_kinds", "_known", "_latest", "_speaker", "_words")

    def __init__(self, speaker: Speaker, court: Court, aside: Aside, checks: Checks) -> None:
        self._speaker = speaker
        self._court = court
        self._aside = aside
        self._checks = checks
        self._latest = court.horizon + DAY_SECONDS
        self._draft = court.draft
        self._kinds: dict[type, _Kind] = {
            type(variant): _kind(checks.network_id, variant) for variant in (RoleGrant("", "member"), Evict(""))
        }
        """Revocations of plain members are rare."""
        self._known = court.bench.standing.known
        self._words: dict[tuple[str, str], tuple[frozenset[str], bool, Judgement]] = {}
        """By tag and author."""

    def checked(self, entries: Sequence[Transition], max_checks: int) -> list[SlotKey | bool | None]:
        """For each of the first entries its slot if it is plain and signed as it says, False if it is not signed so,
        None if it is not plain.

        In a loop of its own, because libsodium finds its tables in the processor's cache there: a tenth of the time.
        """
        found: list[SlotKey | bool | None] = []
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

    def enter_all(self, entries: Sequence[Transition], keys: Sequence[SlotKey | bool | None]) -> list[Judgement] | None:
        """Judge what `checked` found plain and good in each case; None, and nothing done, where that is not so."""
        if not keys or self._draft.count + len(keys) > MAX_COPIES or not all(map(bool, keys)):
            return None
        first, enter = self._draft.first, self._said
        judged = []
        for entry, key in zip(entries, keys, strict=False):
            assert isinstance(key, SlotKey)
            words, is_sure, judgement = enter(entry, key, self._aside)
            first(entry.variant.target, Copy(with_shared_signers(entry), words), is_sure=is_sure)  # type: ignore[union-attr]  # it has one
            judged.append(judgement)
        return judged

    def enter(self, entry: Transition, key: SlotKey, aside: Aside) -> Judgement | None:
        """Judge an entry that was found plain and good; None if it is plain no more."""
        target: str = entry.variant.target  # type: ignore[union-attr]  # it has one
        draft = self._draft
        if target in draft.targets or aside.held or draft.count >= MAX_COPIES:
            return None
        words, is_sure, judgement = self._said(entry, key, aside)
        draft.first(target, Copy(with_shared_signers(entry), words), is_sure=is_sure)
        return judgement

    def _said(self, entry: Transition, key: SlotKey, aside: Aside) -> tuple[frozenset[str], bool, Judgement]:
        """Who vouches for a plain entry of this speaker, whether that makes it sure, and what becomes of it."""
        said = self._words.get((key.kind, key.author))
        if said is None or said[2].aside is not aside:
            standing, target = self._court.bench.standing, entry.variant.target  # type: ignore[union-attr]  # it has one
            words = words_for(entry, self._speaker, self._court, target, is_grant=key.is_grant)
            outcome: Outcome = "counted" if standing.is_authority(key.author) else "silent"
            said = words, Copy(entry, words).is_sure(standing), Judgement(outcome, aside)
            self._words[key.kind, key.author] = said
        return said

    def _plain(self, entry: Transition, target: str) -> tuple[SlotKey, bytes, bytes] | None:
        """The slot of a plain entry, its author's public key, and what that signed behind its signature."""
        variant, signers, signatures = entry.variant, entry.signers, entry.signatures
        kind = self._kinds.get(type(variant))
        if (
            kind is None
            or len(signers) != 1
            or len(signatures) != 1
            or entry.at > self._latest
            or (kind.is_grant and variant.role != "member")  # type: ignore[union-attr]  # a grant
            or (signer := signers[0]) not in self._known
            or target in self._draft.targets
            or target in self._court.bench.kept
            or target == self._court.bench.me
            or not is_usable_id(target)
            or not (signature := signatures[0]).islower()
        ):
            return None
        try:
            raw = base32.decode(signature, SIGNATURE_BYTES)
            key = self._checks.key_of(signer)
        except ValueError:
            return None
        said = b"".join((raw, kind.before, target.encode(), kind.after))
        return SlotKey(kind.is_grant, kind.tag, signer, signature), key, said


class _Kind(NamedTuple):
    is_grant: bool
    tag: str
    before: bytes
    """What is signed, up to the target."""
    after: bytes


def _kind(network_id: str, variant: RoleGrant | Evict) -> _Kind:
    before, sign, after = signed_bytes(network_id, variant).rpartition(b"target=")
    return _Kind(isinstance(variant, RoleGrant), str(variant.__struct_config__.tag), before + sign, after)
