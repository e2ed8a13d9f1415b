"""The first that is signed about a device, in its plainest form: there is nothing that it could repeat or contradict.

A joiner hears of ten thousand devices at once, and of nearly each of them one entry by one authority. `judging.judge`
would say the same of these, and looks at everything; here is what is left of its steps when nothing else is known. What
is any less plain is left to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.governance.copies import Copy, SlotKey
from myownmesh.governance.entries import SIGNATURE, is_usable_id
from myownmesh.governance.judging import DAY_SECONDS, Judgement, words_for
from myownmesh.governance.member_log import MAX_COPIES
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.protocol.transitions import Evict, RoleGrant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.judging import Aside, Court
    from myownmesh.governance.signatures import Checks
    from myownmesh.governance.words import Speaker
    from myownmesh.protocol.transitions import Transition

_KINDS: Final[dict[type, tuple[bool, str]]] = {RoleGrant: (True, "role_grant"), Evict: (False, "evict")}
"""Whether it admits, and the tag. Revocations of plain members are rare."""


class Newcomers:
    """Judges the plain ones of a slice."""

    __slots__ = ("_aside", "_checks", "_court", "_latest", "_speaker", "_words")

    def __init__(self, speaker: Speaker, court: Court, aside: Aside, checks: Checks) -> None:
        self._speaker = speaker
        self._court = court
        self._aside = aside
        self._checks = checks
        self._latest = court.horizon + DAY_SECONDS
        self._words: dict[str, tuple[frozenset[str], bool]] = {}
        """By tag: who vouches for a plain entry of this speaker, and whether that makes it sure."""

    def checked(self, entries: Sequence[Transition], max_checks: int) -> list[SlotKey | bool | None]:
        """For each of the first entries its slot if it is plain and signed as it says, False if it is not signed so,
        None if it is not plain.

        In a loop of its own, because libsodium finds its tables in the processor's cache there: a tenth of the time.
        """
        found: list[SlotKey | bool | None] = []
        if self._speaker.said or self._aside.held or self._aside.strangers:
            return found
        network_id = self._checks.network_id
        said: list[tuple[str, bytes, str]] = []
        for entry in entries:
            if len(found) >= max_checks:
                break  # what is not plain wants checks, too
            key = self._plain(entry)
            found.append(key)
            if key is not None:
                said.append((key.author, signed_bytes(network_id, entry.variant), key.signature))
        good = iter(self._checks.verify_all(said))
        return [key if key is None or next(good) else False for key in found]

    def enter(self, entry: Transition, key: SlotKey, aside: Aside) -> Judgement | None:
        """Judge an entry that was found plain and good; None if it is plain no more."""
        target: str = entry.variant.target  # type: ignore[union-attr]  # it has one
        draft, standing = self._court.draft, self._court.bench.standing
        if target in draft.targets or aside.held or draft.count >= MAX_COPIES:
            return None
        said = self._words.get(key.kind)
        if said is None:
            words = words_for(entry, self._speaker, self._court, target, is_grant=key.is_grant)
            said = self._words[key.kind] = words, Copy(entry, words).is_sure(standing)
        words, is_sure = said
        draft.first(target, Copy(entry, words), key, is_sure=is_sure)
        return Judgement("counted" if standing.is_authority(key.author) else "silent", aside)

    def _plain(self, entry: Transition) -> SlotKey | None:
        variant = entry.variant
        kind = _KINDS.get(type(variant))
        if kind is None or len(entry.signers) != 1 or len(entry.signatures) != 1 or entry.at > self._latest:
            return None
        signer, signature = entry.signers[0], entry.signatures[0]
        bench = self._court.bench
        target: str = variant.target  # type: ignore[union-attr]  # both kinds have one
        if (
            (kind[0] and variant.role != "member")  # type: ignore[union-attr]  # a grant
            or signer not in bench.standing.known
            or target in self._court.draft.targets
            or target in bench.kept
            or target == bench.me
            or SIGNATURE.fullmatch(signature) is None
            or not is_usable_id(target)
        ):
            return None
        return SlotKey(*kind, signer, signature)
