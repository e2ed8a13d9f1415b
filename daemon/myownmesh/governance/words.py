"""Whose word makes a copy *sure* (spec 02 §24.3 no. 44).

A signature says who once wanted something, never when, and anybody can repeat it. So what would undo something counts
only on the word of somebody who could have decided it alone, or who is seen to say it now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.values import Value
from myownmesh.governance.quorum import unmet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from myownmesh.governance.rules import Rules
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.transitions import Transition

SAID_SECONDS: Final = 60
"""How long after a proposal or an ack the answers on its link tell when it was."""


class Speaker(Value, frozen=True):
    """Where entries come from. The one without members is hearsay: a peer that merely passes things on."""

    device: str = ""
    """Bare id of the link's device, proved by the handshake."""
    vouched: bool = False
    """The frame says `vouched`: the sender is sure of each copy in it."""
    said: frozenset[str] = frozenset()
    """Signatures of the device itself that it sent on this link within the last `SAID_SECONDS`, by proposal or ack."""
    beyond: frozenset[tuple[str, int]] = frozenset()
    """Copies of those in its answer that it did not mean by that: signature and time (`beyond_word`)."""
    trusted: bool = False
    """Us, a person here, or the first answer of whoever invited this device."""


HEARSAY: Final = Speaker()
OURSELVES: Final = Speaker(trusted=True)
"""Entries that this device wrote, or that a person accepted here."""


def is_sure(entry: Transition, speaker: Speaker, standing: Standing, rules: Rules) -> bool:
    """Whether this very copy is the speaker's word. `standing` is the one at this moment.

    A vouching device must be one that could sign the entry alone: a controller's word is nothing for what needs an
    owner.
    """
    if speaker.trusted:
        return True
    if said_now(entry, speaker):
        return True
    return speaker.vouched and _could_sign(entry, speaker.device, standing, rules)


def said_now(entry: Transition, speaker: Speaker) -> bool:
    """Whether the device at the other end has signed this and just said so itself."""
    if not speaker.said:
        return False
    pairs = zip(entry.signers, entry.signatures, strict=True)
    return any(
        signer == speaker.device and signature in speaker.said and (signature, entry.at) not in speaker.beyond
        for signer, signature in pairs
    )


class Saying(Value, frozen=True):
    """A proposal or an ack of a device, as far as it tells at what time the entry counts."""

    created_at: int
    """By the author's clock, Unix seconds: its stamp is no earlier."""
    least: int
    """The least time that goes beyond all that counted for the target when it was heard."""


def beyond_word(
    entries: Iterable[Transition], device: str, sayings: Mapping[str, Sequence[Saying]]
) -> frozenset[tuple[str, int]]:
    """What a device's answer holds of the signatures that it just said, and did not mean: signature and time.

    v0.3.8 keeps and passes on whatever time somebody else put to its own signature, so only those copies count that can
    be what it said: for each time that it did, the first one of the author's clock or later, and the first one beyond
    what counted here, each another one where it signed alike several times.
    """
    times: dict[str, set[int]] = {}
    for entry in entries:
        for signer, signature in zip(entry.signers, entry.signatures, strict=False):
            if signer == device and signature in sayings:
                times.setdefault(signature, set()).add(entry.at)
    return frozenset(
        (signature, at) for signature, found in times.items() for at in found - _meant(found, sayings[signature])
    )


def _meant(times: Iterable[int], sayings: Sequence[Saying]) -> set[int]:
    meant: set[int] = set()
    last = -1
    for saying in sayings:
        first = [at for at in times if at >= saying.created_at]
        beyond = [at for at in first if at >= saying.least and at > last]
        meant |= {min(found) for found in (first, beyond) if found}
        last = min(beyond, default=last)
    return meant


def _could_sign(entry: Transition, device: str, standing: Standing, rules: Rules) -> bool:
    return standing.is_authority(device) and unmet(standing, entry.variant, (device,), rules) is None
