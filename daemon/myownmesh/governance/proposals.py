"""Proposals that wait for signatures: which are kept, how long, and what an id stands for (spec 02 §11, 24.3 no. 45).

A person signs by id, and the id is the proposer's choice. So an id stands for its first content for as long as anybody
may remember it.
"""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.signed_bytes import content_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.governance.records import Proposal
    from myownmesh.protocol.transitions import Variant

MAX_PER_PROPOSER: Final = 32
MAX_RECORDS: Final = 256
MAX_CONTENTS: Final = 1024
MAX_CONTENTS_PER_PROPOSER: Final = 64
LIFETIME_SECONDS: Final = 30 * 24 * 3600

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Content(msgspec.Struct, frozen=True):
    """What an id stood for first."""

    digest: bytes
    """`digest_of_content`; empty when it is not known any more."""
    proposer: str
    since: int
    """Unix seconds."""


class Proposals(Value, frozen=True):
    """The records, oldest first."""

    records: Mapping[str, Proposal] = msgspec.field(default_factory=dict)
    contents: Mapping[str, Content] = msgspec.field(default_factory=dict)

    def get(self, proposal_id: str) -> Proposal | None:
        return self.records.get(proposal_id)

    def stands_for(self, proposal_id: str, digest: bytes, now: int) -> bool:
        """Whether an id may mean this: it is new, meant the same before, or its time is over."""
        known = self.contents.get(proposal_id)
        return known is None or known.digest in (digest, b"") or now - known.since > LIFETIME_SECONDS

    def with_record(self, record: Proposal, digest: bytes, now: int, *, by_authority: bool) -> Proposals:
        """Keep one more. The same object when there is no room: an authority's always finds some.

        Whoever has most loses the oldest of its records first.
        """
        records = dict(self.records)
        counts = Counter(known.proposer for known in records.values())
        if counts[record.proposer] >= MAX_PER_PROPOSER:
            if not by_authority:
                return self
            del records[_oldest_of(records, record.proposer)]
        elif len(records) >= MAX_RECORDS:
            most, count = counts.most_common(1)[0]
            if not by_authority and count <= counts[record.proposer]:
                return self
            del records[_oldest_of(records, most)]
        records[record.id] = record
        return replace(self, records=records, contents=self._with_content(record, digest, now))

    def changed(self, record: Proposal) -> Proposals:
        """A record of the same id as before, with another signer or denier."""
        return replace(self, records={**self.records, record.id: record})

    def without(self, proposal_id: str) -> Proposals:
        """A record that is decided; its id goes on standing for its content."""
        return replace(self, records={known: each for known, each in self.records.items() if known != proposal_id})

    def expired(self, now: int) -> tuple[Proposal, ...]:
        """Records that nobody decided in their lifetime."""
        return tuple(
            record for record in self.records.values() if now - self.contents[record.id].since > LIFETIME_SECONDS
        )

    def _with_content(self, record: Proposal, digest: bytes, now: int) -> dict[str, Content]:
        contents = {
            known: each
            for known, each in self.contents.items()
            if now - each.since <= LIFETIME_SECONDS or known in self.records
        }
        counts = Counter(each.proposer for each in contents.values())
        if counts[record.proposer] >= MAX_CONTENTS_PER_PROPOSER:
            del contents[_first_of(contents, record.proposer)]
        elif len(contents) >= MAX_CONTENTS:
            del contents[_first_of(contents, counts.most_common(1)[0][0])]
        contents[record.id] = Content(digest, record.proposer, now)
        return contents


def is_proposal_id(text: str) -> bool:
    """Whether a text is fit to be the id of somebody's proposal."""
    return _ID.fullmatch(text) is not None


def digest_of_content(network_id: str, variant: Variant, proposer: str) -> bytes:
    """What an id stands for: what is proposed, and by whom."""
    return sha256(f"{content_digest(network_id, variant)} {proposer}".encode()).digest()


def new_proposal_id(random_u64: int) -> str:
    """The id of a new proposal."""
    return f"prop_{random_u64:016x}"


def _oldest_of(records: Mapping[str, Proposal], proposer: str) -> str:
    return next(known for known, record in records.items() if record.proposer == proposer)


def _first_of(contents: Mapping[str, Content], proposer: str) -> str:
    return next(known for known, content in contents.items() if content.proposer == proposer)
