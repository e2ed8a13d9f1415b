"""From a relay's event to a signal for the engine: every check in its order (spec 03 §11). No I/O, no clock."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import UNSET

from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import read, read_text
from myownmesh.protocol.signals import (
    AnswerReceived,
    Candidate,
    CandidateReceived,
    EchoHeard,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    SealedReceived,
    StaleAnnounce,
)
from myownmesh.sealing.announce import Signed
from myownmesh.sealing.desk import Heard, Said
from myownmesh.signaling import nostr
from myownmesh.signaling.envelope import (
    CAP_PTAG,
    AnnounceBody,
    AnswerBody,
    BadEnvelope,
    CandidateBody,
    LeaveBody,
    OfferBody,
    TwinBody,
    decode_envelope,
)
from myownmesh.signaling.gate import ContentGate, Ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw, UnsetType

    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import (
        InboundSignal,
        SealedKind,
    )
    from myownmesh.sealing.desk import Desk
    from myownmesh.signaling.envelope import (
        Envelope,
    )
    from myownmesh.signaling.outbound import Echoes
    from myownmesh.signaling.twins import Twins

PRESENCE_WINDOW_S = 300
"""How old an announce may be for a joiner to hear of it: longer than the longest gap between two announces."""
STALE_EPHEMERAL_S = 60
"""While a relay replays, ephemeral events older than this are leftovers of an earlier run, not news."""

_MAX_TRACKED_PEERS = 4096


class Dropped(Enum):
    """Why an event went no further."""

    MALFORMED = "no event"
    OWN_ECHO = "our own event"
    REPEATED = "seen before"
    FORGED = "id or signature is wrong"
    WRONG_ROOM = "another room"
    STALE = "of a process that is gone"
    BAD_ENVELOPE = "no envelope"
    SENDER_MISMATCH = "from and peer_id differ"
    NOT_FOR_US = "addressed to another device"
    WRONG_KIND = "announce and negotiation have a kind each"
    OWN_DEVICE = "names this device"
    REPEATED_CONTENT = "content seen before"
    UNSIGNED = "in the name of a device that signs, or seals, what it says"
    UNOPENED = "sealed, and not for this device and now"


LIES = frozenset({Dropped.MALFORMED, Dropped.FORGED, Dropped.WRONG_ROOM})
"""What no honest relay delivers to our subscriptions."""


class PeerTags:
    """Which devices put `p` tags on their directed events, as their announces say (spec 03 §7.1)."""

    def __init__(self) -> None:
        self._tags: OrderedDict[str, bool] = OrderedDict()
        self._untagged = 0

    def announced(self, peer: str, caps: tuple[str, ...]) -> None:
        self.left(peer)
        tags = CAP_PTAG in caps
        self._tags[peer] = tags
        self._untagged += not tags
        if len(self._tags) > _MAX_TRACKED_PEERS:
            self.left(next(iter(self._tags)))

    def left(self, peer: str) -> None:
        if self._tags.pop(peer, True) is False:
            self._untagged -= 1

    @property
    def needs_catch_all(self) -> bool:
        """True while the room may hold a peer whose events can only be found by the room."""
        return not self._tags or self._untagged > 0


class Announcers:
    """Which key each device announced itself with last. A device takes a new one at each start (spec 03 §2)."""

    __slots__ = (
        "_former",
        "_keys",
    )

    def __init__(self) -> None:
        self._keys: OrderedDict[str, str] = OrderedDict()
        self._former: OrderedDict[tuple[str, str], None] = OrderedDict()
        """Device and key of processes that another one followed."""

    def announced(self, peer: str, pubkey: str) -> bool:
        """Note it; True when this key was heard before: a relay may bring what it stored in any order."""
        last = self._keys.get(peer)
        if last == pubkey:  # as nearly always
            self._keys.move_to_end(peer)
            return True
        self._keys.pop(peer, None)
        again = self.is_former(peer, pubkey)
        if last is not None:
            self._former[peer, last] = None
            if len(self._former) > _MAX_TRACKED_PEERS:
                self._former.popitem(last=False)
        self._former.pop((peer, pubkey), None)
        self._keys[peer] = pubkey
        if len(self._keys) > _MAX_TRACKED_PEERS:
            self._keys.popitem(last=False)
        return again

    def is_former(self, peer: str, pubkey: str) -> bool:
        """True for the key of a process in whose place another one announced itself since."""
        return (peer, pubkey) in self._former

    def left(self, peer: str) -> None:
        self._keys.pop(peer, None)


def _unheard(pubkey: str, stamp_s: int) -> None:
    """Nobody minds the time."""


class Receiver:
    """The pipeline of one driver; all of its relay links feed it."""

    def __init__(
        self,
        *,
        device_id: str,
        room: str,
        pubkey: str,
        twins: Twins,
        echoes: Echoes,
        gate: ContentGate | None = None,
        stamped: Callable[[str, int], None] = _unheard,
        desk: Desk | None = None,
    ) -> None:
        """`stamped` is told the key and the Unix second of every genuine announce of the room, however old.

        `desk` judges signatures and opens what is sealed; without it nothing is signed, and what is sealed is dropped.
        """
        self._device_id = device_id
        self._room = room
        self._pubkey = pubkey
        self._seen = Ring()
        self._gate = ContentGate() if gate is None else gate
        self._stamped = stamped
        self._announcers = Announcers()
        self._twins = twins
        self._echoes = echoes
        self._desk = desk
        self.is_misspoken_for = False
        """Somebody announced us in clear: whoever takes it is to ask the desk whether we answer."""
        self.tags = PeerTags()

    def receive(self, value: Raw, now: Instant, *, replay_began_s: int | None = None) -> InboundSignal | Dropped:
        """Judge one event, given as proven JSON.

        `replay_began_s` is the second of the REQ while its relay may still be replaying, else None. What is live is
        never judged by its time: its writer's clock may be wrong.
        """
        try:
            event = nostr.decode_event(value)
            if event.pubkey == self._pubkey:
                late_s = self._echoes.heard(event.id, now.mono)
                return Dropped.OWN_ECHO if late_s is None else EchoHeard(self._device_id, late_s)
            if event.id in self._seen:
                return Dropped.REPEATED
            # Verified before it is remembered: a forgery must not be able to shadow the event whose id it borrowed.
            if not nostr.is_genuine(event):
                return Dropped.FORGED
        except ValueError:
            return Dropped.MALFORMED
        if self._room not in event.tag_values("r"):
            return Dropped.WRONG_ROOM
        self._seen.add(event.id)
        if event.kind == nostr.KIND_PRESENCE:
            self._stamped(event.pubkey, event.created_at)
        window_s = PRESENCE_WINDOW_S if event.kind == nostr.KIND_PRESENCE else STALE_EPHEMERAL_S
        if replay_began_s is not None and event.created_at < replay_began_s - window_s:
            return Dropped.STALE
        try:
            envelope = decode_envelope(event.content)
        except BadEnvelope:
            return Dropped.BAD_ENVELOPE
        if envelope.sender != envelope.peer:
            return Dropped.SENDER_MISMATCH
        if envelope.to is not None and envelope.to != self._device_id:
            return Dropped.NOT_FOR_US
        try:
            if envelope.peer == self._device_id:
                return self._in_our_name(envelope, event, now, replayed=replay_began_s is not None)
            signal = self._admit(envelope, event, now)
        except JsonError:  # what is ours in it has the wrong type
            return Dropped.BAD_ENVELOPE
        if isinstance(signal, Dropped):
            return signal
        if isinstance(signal, OfferReceived | AnswerReceived | CandidateReceived) and not self._admits(signal):
            return Dropped.UNSIGNED
        if not self._gate.passes(signal):
            return Dropped.REPEATED_CONTENT
        if not isinstance(signal, SealedReceived):
            return signal
        found = None if self._desk is None else self._desk.open(signal, event.pubkey, now)
        return Dropped.UNOPENED if found is None else found

    def _admits(self, signal: OfferReceived | AnswerReceived | CandidateReceived) -> bool:
        return self._desk is None or self._desk.admits(signal)

    def _in_our_name(
        self, envelope: Envelope, event: nostr.NostrEvent, now: Instant, *, replayed: bool
    ) -> InboundSignal | Dropped:
        body = envelope.body
        if self._desk is not None and isinstance(body, AnnounceBody):
            signed = signature_of(body.esig)
            if self._desk.is_forged_in_our_name(_said(envelope, event), body.caps, signed):
                return Dropped.FORGED
            self.is_misspoken_for |= signed is None
        return self._twins.heard(event, body, now, replayed=replayed) or Dropped.OWN_DEVICE

    def _admit(
        self, envelope: Envelope, event: nostr.NostrEvent, now: Instant
    ) -> InboundSignal | SealedReceived | Dropped:
        peer, body = envelope.peer, envelope.body
        if event.kind != (nostr.KIND_PRESENCE if isinstance(body, AnnounceBody) else nostr.KIND_EPHEMERAL):
            return Dropped.WRONG_KIND
        match body:
            case AnnounceBody():
                return self._announced(envelope, body, event, now)
            case LeaveBody() if self._announcers.is_former(peer, event.pubkey):
                return Dropped.STALE  # a slow relay: the process that it speaks of has a successor
            case LeaveBody():
                return self._left(envelope, body, event)
        if envelope.to is None:
            return Dropped.NOT_FOR_US
        return Dropped.NOT_FOR_US if isinstance(body, TwinBody) else directed(peer, body)

    def _announced(
        self, envelope: Envelope, body: AnnounceBody, event: nostr.NostrEvent, now: Instant
    ) -> InboundSignal | Dropped:
        peer = envelope.peer
        if self._desk is not None:
            match self._desk.announced(_said(envelope, event), body.caps, signature_of(body.esig), now.mono):
                case Heard.FORGED:
                    return Dropped.FORGED
                case Heard.DOUBTED:
                    return Dropped.UNSIGNED
                case Heard.STALE:
                    return StaleAnnounce(peer)
                case Heard.GOOD | Heard.CLEAR:
                    pass
        self.tags.announced(peer, body.caps)
        return PeerAnnounced(peer, again=self._announcers.announced(peer, event.pubkey))

    def _left(self, envelope: Envelope, body: LeaveBody, event: nostr.NostrEvent) -> InboundSignal | Dropped:
        peer, is_signed = envelope.peer, None
        if self._desk is not None:
            match self._desk.left(_said(envelope, event), signature_of(body.esig)):
                case Heard.FORGED:
                    return Dropped.FORGED
                case Heard.DOUBTED:
                    return PeerLeft(peer, is_signed=False)
                case Heard.GOOD:
                    is_signed = True
                case Heard.CLEAR | Heard.STALE:
                    pass
        self.tags.left(peer)
        self._announcers.left(peer)
        return PeerLeft(peer, is_signed)


def directed(
    peer: str, body: OfferBody | AnswerBody | CandidateBody
) -> OfferReceived | AnswerReceived | CandidateReceived | SealedReceived | Dropped:
    """What a message to this device says. Raises `JsonError` for what is sealed and no text."""
    match body:
        case OfferBody(offer_id, sdp, eseal) if eseal is not UNSET:
            return _sealed(peer, "offer", offer_id, eseal, beside=sdp)
        case OfferBody(offer_id, sdp):
            return OfferReceived(peer, sdp, offer_id)
        case AnswerBody(offer_id, sdp, eseal) if eseal is not UNSET:
            return _sealed(peer, "answer", offer_id, eseal, beside=sdp)
        case AnswerBody(offer_id, sdp):
            return AnswerReceived(peer, sdp, offer_id)
        case CandidateBody(candidate, mid, index, ufrag, named, eseal) if eseal is not UNSET:
            offer_id = "" if named is UNSET else read_text(named)
            is_empty = mid is None and index is None and ufrag is None
            return _sealed(peer, "candidate", offer_id, eseal, beside=candidate if is_empty else "more")
        case CandidateBody(candidate, mid, index, ufrag):
            return CandidateReceived(peer, Candidate(candidate, mid, index, ufrag))


def signature_of(esig: Raw | UnsetType) -> Signed | None:
    """The signature of a body, None where it has none. Raises `JsonError` for what is no signature."""
    return None if esig is UNSET else read(Signed, esig)


def _said(envelope: Envelope, event: nostr.NostrEvent) -> Said:
    return Said(envelope.peer, event.pubkey, event.created_at)


def _sealed(peer: str, kind: SealedKind, offer_id: str, eseal: Raw, *, beside: str) -> SealedReceived | Dropped:
    """A sealed message; one with a clear text beside it is dropped unread. Raises `JsonError` for what is no text."""
    return Dropped.UNOPENED if beside else SealedReceived(peer, kind, offer_id, read_text(eseal))
