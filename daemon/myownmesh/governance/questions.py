"""What only a person at this device can decide (spec 02 §24.2, 24.3 nos. 44, 46, 50).

Each question is shown as a pending record, so that old clients can answer it with sign and deny. Nothing of an answer
is sent, and nothing is signed by it, but for what this device owes: that waits for its lock.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.log import common_length
from myownmesh.governance.records import Proposal
from myownmesh.governance.signed_bytes import founding_digest, signed_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.governance.log import Log, Place
    from myownmesh.protocol.transitions import Transition, Variant

V = TypeVar("V")

MAX_CLAIMS: Final = 4
MAX_REPLAYS: Final = 32
MAX_OWED: Final = 64
MAX_DISMISSED: Final = 256
"""Questions that were answered with no; of more the oldest may be asked again."""


class Claim(Value, frozen=True):
    """A log whose founder nobody here has agreed to."""

    log: Log
    place: Place
    """The close that is in question."""
    sender: str
    """Bare id of the link it came over."""
    rostered: bool
    """The founder has been let in here before: its claim displaces those of strangers."""

    @property
    def founder(self) -> str:
        return self.place.entry.signers[0]


class Replay(Value, frozen=True):
    """An entry that would undo something and may be old: a grant in the member log, or a spent governance entry."""

    entry: Transition
    signer: str
    """The authority whose signature it carries."""
    log: Log | None = None
    """For a governance entry: the log up to it."""


class Owed(Value, frozen=True):
    """A removal that this device would sign by itself, and does not behind an authenticator lock (46, 48)."""

    variant: Variant
    at: int | None = None
    """The old time with which it is signed anew; None: decided now."""


class Questions(Value, frozen=True):
    """Open questions by the id under which they are shown."""

    claims: Mapping[str, Claim] = msgspec.field(default_factory=dict)
    replays: Mapping[str, Replay] = msgspec.field(default_factory=dict)
    rivals: Mapping[str, Log] = msgspec.field(default_factory=dict)
    """A branch that would be taken if a person agreed; at most one."""
    remnants: Mapping[str, int] = msgspec.field(default_factory=dict)
    """With how many entries this device would go on, which has lost the others (50); at most one."""
    owed: Mapping[str, Owed] = msgspec.field(default_factory=dict)
    dismissed: tuple[str, ...] = ()
    """What was denied and is not shown again, newest last."""

    def with_claim(self, network_id: str, claim: Claim) -> Questions:
        """One claim for each founder and each sender; strangers make room for devices that are known here."""
        if claim in self.claims.values():
            return self
        kept = {
            known_id: known
            for known_id, known in self.claims.items()
            if known.founder != claim.founder
            and (known.sender != claim.sender or (known.rostered and not claim.rostered))
        }
        if any(known.sender == claim.sender for known in kept.values()):
            return self
        if len(kept) >= MAX_CLAIMS:
            stranger = next((known_id for known_id, known in kept.items() if not known.rostered), None)
            if stranger is None or not claim.rostered:
                return self
            del kept[stranger]
        kept[derived_id(network_id, claim.place.entry, claim.founder)] = claim
        return replace(self, claims=kept)

    def with_replay(self, network_id: str, replay: Replay) -> Questions:
        """One question for each target and signature; of too many the oldest goes."""
        question = derived_id(network_id, replay.entry, replay.signer)
        if question in self.dismissed:
            return self
        kept = {known: each for known, each in self.replays.items() if known != question}
        while len(kept) >= MAX_REPLAYS:
            del kept[next(iter(kept))]
        return replace(self, replays={**kept, question: replay})

    def with_rival(self, log: Log | None) -> Questions:
        """The branch that would be taken, or none."""
        return replace(self, rivals={} if log is None else {f"prop_{log.digest.hex()[:16]}": log})

    def with_remnant(self, network_id: str, length: int | None) -> Questions:
        """The entries with which this device would go on, or none."""
        if length is None:
            return replace(self, remnants={}) if self.remnants else self
        question = f"prop_{sha256(f'remnant|{network_id}|{length}'.encode()).hexdigest()[:16]}"
        return self if question in self.dismissed else replace(self, remnants={question: length})

    def owing(self, network_id: str, owed: Owed) -> Questions:
        """One more signature that waits for a person and a code; of too many the oldest goes."""
        digest = sha256(signed_bytes(network_id, owed.variant) + f"|owed|{owed.at}".encode())
        question = f"prop_{digest.hexdigest()[:16]}"
        if question in self.dismissed or question in self.owed:
            return self
        kept = dict(self.owed)
        while len(kept) >= MAX_OWED:
            del kept[next(iter(kept))]
        return replace(self, owed={**kept, question: owed})

    def without(self, question: str, *, dismiss: bool = False) -> Questions:
        """A question that was answered, or has settled itself."""
        return replace(
            self,
            claims=_without(self.claims, question),
            replays=_without(self.replays, question),
            rivals=_without(self.rivals, question),
            remnants=_without(self.remnants, question),
            owed=_without(self.owed, question),
            dismissed=(*self.dismissed, question)[-MAX_DISMISSED:] if dismiss else self.dismissed,
        )

    def __contains__(self, question: str) -> bool:
        of_each = (self.claims, self.replays, self.rivals, self.remnants, self.owed)
        return any(question in questions for questions in of_each)

    def shown(self, held: Log) -> tuple[Proposal, ...]:
        """The questions as pending records, for clients; not what is owed, which may have been done meanwhile."""
        found = [(question, claim.place.entry, claim.founder) for question, claim in self.claims.items()]
        found += [(question, replay.entry, replay.signer) for question, replay in self.replays.items()]
        for question, log in self.rivals.items():
            place = log.places[min(common_length(held, log), len(log) - 1)]
            found.append((question, place.entry, place.authors[0]))
        for question, length in self.remnants.items():
            place = held.places[length - 1]
            found.append((question, place.entry, place.authors[0]))
        return tuple(Proposal.of(question, proposer, entry) for question, entry, proposer in found)


def _without(of: Mapping[str, V], question: str) -> dict[str, V]:
    return {other: each for other, each in of.items() if other != question}


def derived_id(network_id: str, entry: Transition, signer: str) -> str:
    """The id of a question about an entry: the same on every device (02 §24.2)."""
    return f"prop_{founding_digest(network_id, entry.variant, signer).hex()[:16]}"
