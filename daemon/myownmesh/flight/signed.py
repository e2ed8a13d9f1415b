"""What is signed in a network, told under substitutes: each entry, log and digest as if these had signed it.

Signatures become texts of the same form, each one the same throughout; `good` lists of which devices and words they
are, as the originals were checked. Whatever follows from what was signed is calculated anew from what is told.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import Enum
from hashlib import sha512
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import msgspec

from myownmesh.engine.government import Correspondence
from myownmesh.flight.asked import asked
from myownmesh.flight.governed import Governed, said
from myownmesh.flight.graph import attributes
from myownmesh.governance.branches import Branches, order_of
from myownmesh.governance.copies import Copy, Slot, SlotKey
from myownmesh.governance.entries import SIGNATURE, entry_key
from myownmesh.governance.judging import Aside
from myownmesh.governance.log import EMPTY as EMPTY_LOG
from myownmesh.governance.log import BadLog, Log, signature_digest
from myownmesh.governance.marking import is_marked
from myownmesh.governance.member_log import EMPTY, Draft, MemberLog
from myownmesh.governance.memory import Memory
from myownmesh.governance.pins import Pin, founder_and_genesis
from myownmesh.governance.proposals import Content, digest_of_content
from myownmesh.governance.questions import Owed, Questions, derived_id
from myownmesh.governance.records import Proposal
from myownmesh.governance.signatures import Checks
from myownmesh.governance.signed_bytes import STATE_TAG, denied_bytes, signed_bytes
from myownmesh.governance.sync import log_digest
from myownmesh.protocol import base32
from myownmesh.protocol.codec import MalformedFrame, decode_frame, encode_frame
from myownmesh.protocol.frames import (
    Deny,
    NetworkState,
    NetworkStateAck,
    NetworkStatePropose,
    NetworkStateSplit,
    RosterEntries,
    RosterEntry,
    RosterRequest,
)
from myownmesh.protocol.transitions import Split, Transition, UnknownVariant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myownmesh.flight.governed import Good
    from myownmesh.flight.redaction import Redactor
    from myownmesh.governance.rules import Rules
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.transitions import Variant

NETWORK: Final = "network"
"""Every network is called so in a recording."""
_SHORT_BYTES: Final = 16
"""Of a digest in a pin."""
_STATE_TAG: Final = STATE_TAG.encode()

_ABOUT: Final = (RosterEntries, Deny, NetworkState, NetworkStatePropose, NetworkStateAck, NetworkStateSplit)


class Substitutes:
    """Tells values of governance under the substitutes of a redactor. Tell everything twice: what follows from a later
    value is known only then."""

    def __init__(self, redactor: Redactor, network: str, rules: Rules, salt: bytes) -> None:
        self._redactor = redactor
        self._network = network
        self._rules = rules
        self._checks = Checks(network)
        self._salt = salt
        self._texts: dict[str, str] = {}
        """Of signatures."""
        self._digests: dict[bytes, bytes] = {}
        self._variants: dict[str, Variant] = {}
        """What proposals were about, by id."""
        self._logs: dict[int, tuple[Log, Log]] = {}
        self._shown: dict[tuple[Transition, ...], Log] = {}
        """Logs in frames."""
        self._members: dict[int, tuple[MemberLog, MemberLog]] = {}
        self._entries: dict[Transition, Transition] = {}
        self._told: dict[int, tuple[object, object]] = {}
        """Within one value what was one object stays one."""
        self._held = EMPTY, EMPTY
        self.good: dict[Good, None] = {}

    # ── values ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, value: Any) -> Any:
        """The same of any value, which is left as it is."""
        self._told.clear()
        return self._value(value)

    def frame(self, data: bytes) -> bytes | None:
        """The same of a frame; None for one that is not about what is signed."""
        try:
            frame = decode_frame(data)
        except MalformedFrame:
            return None
        self._told.clear()
        told = self._frame(frame)
        return None if told is None else encode_frame(told)

    def keeps_order(self) -> bool:
        """Whether branches are in the same order: of rivals it decides (02 §24.3 no. 46)."""
        logs = [pair for pair in self._logs.values() if pair[0].places]
        before = [order_of(log) for log, _ in logs]
        after = [order_of(log) for _, log in logs]
        return all(
            (one < other) == (after[i] < after[j])
            for i, one in enumerate(before)
            for j, other in enumerate(before)
            if i < j
        )

    def _value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | Enum | type) or value is msgspec.UNSET:
            return value
        if isinstance(value, str):
            return self._redactor.text(value)
        if isinstance(value, bytes):
            return self._bytes(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self._value, value))
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(map(self._value, value))
        if type(value) is deque:
            return deque(map(self._value, value), value.maxlen)
        if type(value) in (dict, OrderedDict):
            return type(value)((self._value(name), self._value(each)) for name, each in value.items())
        known = self._told.get(id(value))
        if known is None:
            make = _MAKERS.get(type(value), Substitutes._object)
            known = self._told[id(value)] = (value, make(self, value))
        return known[1]

    def _bytes(self, value: bytes) -> bytes:
        if value.startswith(_STATE_TAG):
            return self._payload(value)
        return self._digest(value)

    def _payload(self, payload: bytes) -> bytes:
        """Words that somebody signed."""
        network, bar, rest = payload.removeprefix(_STATE_TAG).decode().partition("|")
        if network == self._network:
            network = NETWORK
        return f"{STATE_TAG}{network}{bar}{self._redactor.text(rest)}".encode()

    def _digest(self, digest: bytes) -> bytes:
        """One that follows from nothing here stays one of nothing."""
        known = self._digests.get(digest)
        return sha512(self._salt + digest).digest()[: len(digest)] if known is None else known

    def _object(self, value: Any) -> Any:
        members = {name: self._value(getattr(value, name)) for name in attributes(value)}
        if isinstance(value, msgspec.Struct):
            return type(value)(**members)
        made = object.__new__(type(value))
        for name, each in members.items():
            object.__setattr__(made, name, each)
        return made

    def governed(self, governed: Governed) -> Governed:
        """What was signed at the beginning, with the member log that is held from there on."""
        self.hold(governed.book.members)
        return Governed(self.tell(governed.book), self._memory_of(governed.good), self.tell(governed.kept))

    def _memory_of(self, good: Mapping[str, tuple[str, bytes]]) -> dict[str, tuple[str, bytes]]:
        """Signatures that were found good before (`Checks.good`)."""
        found = {}
        for text, (signer, payload) in good.items():
            told = self._payload(payload)
            found[self._signature(signer, payload, text, told)] = (self._redactor.id(signer), told)
        return found

    def hold(self, log: MemberLog) -> None:
        """The member log is this one now; peers ask by what they have beside it."""
        self._held = log, self._member_log(log)

    # ── signatures ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _signature(self, signer: str, payload: bytes, text: str, told: bytes) -> str:
        """The text for a signature over `payload`, which is told as `told`."""
        word = self._text_of(text)
        try:
            is_good = self._checks.signed(signer, payload, text)
        except UnicodeEncodeError:
            is_good = False
        if is_good:
            other = self._redactor.id(signer)
            self.good[other, word, said(told)] = None
            self._digests[signature_digest(payload, signer, text)] = signature_digest(told, other, word)
        return word

    def _text_of(self, text: str) -> str:
        """Of the same form, and marked if it was (`governance.marking`)."""
        if (known := self._texts.get(text)) is not None:
            return known
        if SIGNATURE.fullmatch(text) is None:
            return "no signature"
        mark = is_marked(base32.decode(text, 64))
        seed = sha512(self._salt + text.encode()).digest()
        for number in count():
            made = seed[:-8] + number.to_bytes(8, "big")
            if is_marked(made) is mark:
                found = self._texts[text] = base32.encode(made)
                return found
        raise AssertionError("counting never ends")

    def _entry(self, entry: Transition) -> Transition:
        known = self._entries.get(entry)
        if known is not None:
            return known
        variant = self._variant(entry.variant)
        payload, told = signed_bytes(self._network, entry.variant), signed_bytes(NETWORK, variant)
        signers = tuple(map(self._redactor.id, entry.signers))
        signatures = tuple(
            [
                self._signature(signer, payload, text, told)
                for signer, text in zip(entry.signers, entry.signatures, strict=False)
            ]
            + [self._text_of(text) for text in entry.signatures[len(entry.signers) :]]
        )
        made = self._entries[entry] = Transition(entry.at, variant, signers, signatures)
        for signer in entry.signers:
            question = derived_id(NETWORK, made, self._redactor.id(signer))
            self._redactor.know(derived_id(self._network, entry, signer), question)
        return made

    def _variant(self, variant: Variant) -> Variant:
        if isinstance(variant, UnknownVariant):
            text = self._redactor.value(msgspec.json.decode(variant.text))
            return UnknownVariant(variant.kind, msgspec.json.encode(text))
        told: Variant = self._object(variant)
        return told

    # ── what is made of entries ───────────────────────────────────────────────────────────────────────────────────────

    def _log(self, log: Log) -> Log:
        known = self._logs.get(id(log))
        if known is not None:
            return known[1]
        made: Log = self._object(log)
        self._logs[id(log)] = (log, made)
        for length in range(len(log) + 1):
            one, other = log.until(length), made.until(length)
            self._digests[one.digest] = other.digest
            self._redactor.know(log_digest(one), log_digest(other))
            self._redactor.know(f"prop_{one.digest.hex()[:16]}", f"prop_{other.digest.hex()[:16]}")
        founded, told = founder_and_genesis(log, self._network), founder_and_genesis(made, NETWORK)
        if founded is not None and told is not None:
            self._redactor.know(founded[1], told[1])
        return made

    def _know_log(self, entries: tuple[Transition, ...]) -> None:
        """What a frame shows may become a branch, and peers name it by its digest."""
        if entries not in self._shown:
            try:
                log = EMPTY_LOG.extended(entries, self._network, self._rules)
            except BadLog:
                log = EMPTY_LOG
            self._shown[entries] = log
            self._log(log)

    def _member_log(self, log: MemberLog) -> MemberLog:
        known = self._members.get(id(log))
        if known is not None:
            return known[1]
        draft = Draft(EMPTY)
        draft.newest_sure = log.newest_sure
        for device, slots in log.items():
            draft.put(self._redactor.id(device), {slot.key: slot for slot in map(self._slot, slots.values())})
        made = draft.done()
        self._members[id(log)] = (log, made)
        return made

    def _slot(self, slot: Slot) -> Slot:
        copies = tuple(map(self._value, slot.copies))
        return Slot(self._key(slot.key), copies)

    def _key(self, key: SlotKey) -> SlotKey:
        signature = self._text_of(key.signature)
        return msgspec.structs.replace(key, author=self._redactor.id(key.author), signature=signature)

    def _aside(self, aside: Aside) -> Aside:
        def by_key(entries: Mapping[bytes, Transition]) -> dict[bytes, Transition]:
            return {entry_key(told): told for told in map(self._entry, entries.values())}

        held = {self._key(key): self._entry(entry) for key, entry in aside.held.items()}
        return Aside(held, by_key(aside.strangers), by_key(aside.unknown))

    def _memory(self, memory: Memory) -> Memory:
        seen = {self._digest(digest): self._value(each) for digest, each in memory.seen.items()}
        return Memory(seen, frozenset(map(self._digest, memory.spent_before)))

    def _pin(self, pin: Pin) -> Pin:
        spent = tuple(base32.encode(self._digest(base32.decode(text, _SHORT_BYTES))) for text in pin.spent)
        made: Pin = self._object(pin)
        return msgspec.structs.replace(made, spent=spent, unknown={})

    def _branches(self, branches: Branches) -> Branches:
        others = self._value(branches.others)
        stayed, unmerged = (tuple(map(self._digest, of)) for of in (branches.stayed, branches.unmerged))
        return Branches(others, branches.switches, stayed, frozenset(unmerged))

    def _record(self, record: Proposal) -> Proposal:
        self._know_proposal(record.id, record.variant, record.proposer)
        entry = self._entry(Transition(record.created_at, record.variant, record.signers, record.signatures))
        return msgspec.structs.replace(
            record,
            proposer=self._redactor.id(record.proposer),
            variant=entry.variant,
            signers=entry.signers,
            signatures=entry.signatures,
            deniers=tuple(map(self._redactor.id, record.deniers)),
        )

    def _know_proposal(self, proposal_id: str, variant: Variant, proposer: str) -> None:
        self._variants[proposal_id] = variant
        told = digest_of_content(NETWORK, self._variant(variant), self._redactor.id(proposer))
        self._digests[digest_of_content(self._network, variant, proposer)] = told

    def _content(self, content: Content) -> Content:
        digest = content.digest and self._digest(content.digest)
        return msgspec.structs.replace(content, digest=digest, proposer=self._redactor.id(content.proposer))

    def _questions(self, questions: Questions) -> Questions:
        for length in questions.remnants.values():
            one, other = (Questions().with_remnant(network, length) for network in (self._network, NETWORK))
            self._know_questions(one, other)
        for owed in questions.owed.values():
            told = Owed(self._variant(owed.variant), owed.at)
            self._know_questions(Questions().owing(self._network, owed), Questions().owing(NETWORK, told))
        made: Questions = self._object(questions)
        return made

    def _know_questions(self, one: Questions, other: Questions) -> None:
        for name, told in zip((*one.remnants, *one.owed), (*other.remnants, *other.owed), strict=False):
            self._redactor.know(name, told)

    def _letter(self, letter: Correspondence) -> Correspondence:
        made: Correspondence = self._object(msgspec.structs.replace(letter, said={}))
        made.said = {self._text_of(text): until for text, until in letter.said.items()}
        return made

    # ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _frame(self, frame: Frame) -> Frame | None:
        """None for one of another kind."""
        if isinstance(frame, RosterRequest):
            return msgspec.structs.replace(frame, subtree_hashes=asked(frame.subtree_hashes, *self._held, self._entry))
        if not isinstance(frame, _ABOUT):
            return None
        if isinstance(frame, RosterEntries | Deny) and frame.transitions:
            self._know_log(frame.transitions)
        told: Frame = _MAKERS.get(type(frame), Substitutes._object)(self, frame)
        return told

    def _row(self, row: RosterEntry) -> RosterEntry:
        made: RosterEntry = self._object(row)
        return msgspec.structs.replace(made, label=self._redactor.label(row.label), approved_at=0)

    def _propose(self, frame: NetworkStatePropose) -> NetworkStatePropose:
        self._know_proposal(frame.proposal_id, frame.variant, frame.proposer)
        entry = self._entry(Transition(frame.created_at, frame.variant, (frame.proposer,), (frame.signature,)))
        return msgspec.structs.replace(
            frame, variant=entry.variant, proposer=entry.signers[0], signature=entry.signatures[0]
        )

    def _ack(self, frame: NetworkStateAck) -> NetworkStateAck:
        signer, proposal = self._redactor.id(frame.signer), self._redactor.text(frame.proposal_id)
        variant = self._variants.get(frame.proposal_id)
        if frame.decision == "deny":
            payload = denied_bytes(self._network, frame.proposal_id, frame.signer)
            told = denied_bytes(NETWORK, proposal, signer)
            signature = self._signature(frame.signer, payload, frame.signature, told)
        elif variant is not None:
            payload, told = signed_bytes(self._network, variant), signed_bytes(NETWORK, self._variant(variant))
            signature = self._signature(frame.signer, payload, frame.signature, told)
        else:
            signature = self._text_of(frame.signature)
        return msgspec.structs.replace(frame, proposal_id=proposal, signer=signer, signature=signature)

    def _split(self, frame: NetworkStateSplit) -> NetworkStateSplit:
        variant = Split(frame.new_network_id, frame.members)
        entry = self._entry(Transition(frame.at, variant, (frame.proposer,), (frame.signature,)))
        made: NetworkStateSplit = self._object(frame)
        return msgspec.structs.replace(made, signature=entry.signatures[0])


def _copy(told: Substitutes, copy: Copy) -> Copy:
    return Copy(told._entry(copy.entry), frozenset(map(told._redactor.text, copy.words)))


_MAKERS: Final[Mapping[type, Callable[[Substitutes, Any], Any]]] = {
    Transition: Substitutes._entry,
    Log: Substitutes._log,
    MemberLog: Substitutes._member_log,
    Slot: Substitutes._slot,
    SlotKey: Substitutes._key,
    Copy: _copy,
    Aside: Substitutes._aside,
    Memory: Substitutes._memory,
    Pin: Substitutes._pin,
    Branches: Substitutes._branches,
    Proposal: Substitutes._record,
    Content: Substitutes._content,
    Questions: Substitutes._questions,
    Correspondence: Substitutes._letter,
    UnknownVariant: Substitutes._variant,
    RosterEntry: Substitutes._row,
    NetworkStatePropose: Substitutes._propose,
    NetworkStateAck: Substitutes._ack,
    NetworkStateSplit: Substitutes._split,
}
