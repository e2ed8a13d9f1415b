"""Whose word makes a copy *sure* (spec 02 §24.3 no. 44).

A signature says who once wanted something, never when, and anybody can repeat it. So what would undo something counts
only on the word of somebody who could have decided it alone, or who is seen to say it now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from myownmesh.governance.quorum import unmet

if TYPE_CHECKING:
    from myownmesh.governance.rules import Rules
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.transitions import Transition

SAID_SECONDS: Final = 60
"""How long after a proposal or an ack the answers on its link tell when it was."""


@frozen
class Speaker:
    """Where entries come from. The one without members is hearsay: a peer that merely passes things on."""

    device: str = ""
    """Bare id of the link's device, proved by the handshake."""
    vouched: bool = False
    """The frame says `vouched`: the sender is sure of each copy in it."""
    said: frozenset[str] = frozenset()
    """Signatures of the device itself that it sent on this link within the last `SAID_SECONDS`, by proposal or ack."""
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
    return any(signer == speaker.device and signature in speaker.said for signer, signature in pairs)


def _could_sign(entry: Transition, device: str, standing: Standing, rules: Rules) -> bool:
    return standing.is_authority(device) and unmet(standing, entry.variant, (device,), rules) is None
