"""What one network signs and seals, and what of others it believes (spec 11 §2).

One desk per network, whatever the ways into its room: a message is sealed once and goes over all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from mesh_common.values import Value
from myownmesh.protocol.ids import short_id
from myownmesh.protocol.offer_ids import is_canonical
from myownmesh.protocol.signals import (
    AnswerReceived,
    Candidate,
    CandidateReceived,
    OfferReceived,
    SendAnswer,
    SendCandidate,
    SendOffer,
    SendSealed,
)
from myownmesh.sealing.announce import (
    CAP_SEALS,
    CAP_SIGNS,
    announce_text,
    is_good_announce,
    is_good_leave,
    leave_text,
    sign,
)
from myownmesh.sealing.box import MAX_SEALED_CHARACTERS, Pair, Way, opened, seal
from myownmesh.sealing.budgets import Allowance, Budgets
from myownmesh.sealing.contents import SealedAnswer, SealedOffer, padded, parsed
from myownmesh.sealing.devices import MAX_DEVICES, Devices, newest_form, remember
from myownmesh.sealing.keys import public_of, secret_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from myownmesh.identity import Identity
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.signals import Carried, OutboundSignal, SealedKind, SealedReceived
    from myownmesh.sealing.announce import Signed
    from myownmesh.sealing.devices import Device

Mode = Literal["prefer", "require", "off"]

FRESH_S: Final = 900.0
"""An offer that names an announce of ours which is older was not made for us as we are."""
OWN_TIMES: Final = 256
"""Announces of ours that are remembered: many more than fifteen minutes may have."""
CORRECTED_GAP_S: Final = 240.0
"""Between our answers to clear announces in our own name: whoever makes them must not make us announce at his pace."""
TOLD_GAP_S: Final = 60.0
"""Per device: how often a message that does not open is told of."""

Clear = OfferReceived | AnswerReceived | CandidateReceived


class Heard(Enum):
    """What an announce or a leave is."""

    GOOD = auto()
    """Signed by the device, and newer than what it said before."""
    STALE = auto()
    """Signed by the device, before something that it said later."""
    CLEAR = auto()
    """Of nobody in particular, in the name of a device that does not seal."""
    DOUBTED = auto()
    """Of nobody in particular, in the name of one that seals, or where everybody must."""
    FORGED = auto()


class Said(Value, frozen=True):
    """Where an announce or a leave comes from."""

    peer: str
    """Bare id that it is in the name of."""
    key: str
    """Of its event."""
    at: int
    """The event's `created_at`."""


class Surroundings(Value, frozen=True):
    """What the desk asks of its network, and tells it."""

    is_known_to_seal: Callable[[str], bool]
    """What the roster remembers of a device."""
    is_linked: Callable[[str], bool]
    """Whether there is an admitted link to it."""
    changed: Callable[[str, bool], None]
    """A device is known to seal from now on, or no more."""
    tell: Callable[[str, dict[str, Any]], None]
    """Say in the diagnostics what went wrong."""


class Desk:
    """Signs, seals, opens and judges. `now` is handed in; nothing here waits."""

    def __init__(
        self,
        identity: Identity,
        room: str,
        mode: Mode,
        rng: Rng,
        surroundings: Surroundings,
        allowance: Allowance | None = None,
    ) -> None:
        """`room` is the handle, `rng` the system's generator; `allowance` is the process's."""
        self._identity = identity
        self._me = identity.device_id
        self._room = room
        self._mode = mode
        self._rng = rng
        self._around = surroundings
        self._budgets = Budgets(allowance or Allowance())
        self._devices = Devices(surroundings.is_known_to_seal)
        self._secret = secret_of(identity.seed)
        ours = public_of(self._me)
        assert ours is not None, "a key that libsodium made is in the prime-order group"
        self._ours = ours
        self._pair = lru_cache(MAX_DEVICES)(self._new_pair)
        self._said: OrderedDict[int, float] = OrderedDict()
        """Times of our own announces, and the monotonic second of each."""
        self._corrected_at: float | None = None
        self.unopened = 0
        """Messages that did not open, or held nothing."""

    def seals(self, device_id: str) -> bool:
        """Whether a device is known to seal, and what we send it is sealed."""
        return self._mode != "off" and self._devices.seals(device_id) and public_of(device_id) is not None

    def is_known_to_seal(self, device_id: str) -> bool:
        """Whether it does, whatever the mode here."""
        return self._devices.seals(device_id)

    def is_linked(self, device_id: str) -> bool:
        """Whether there is an admitted link to it."""
        return self._around.is_linked(device_id)

    # ── announces and leaves ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def caps(self) -> tuple[str, ...]:
        """What our announces say beside `ptag`."""
        return (CAP_SIGNS,) if self._mode == "off" else (CAP_SEALS, CAP_SIGNS)

    def sign_announce(self, at: int, key: str, caps: Sequence[str], mono: float) -> Signed:
        self._said[at] = mono
        self._said.move_to_end(at)
        if len(self._said) > OWN_TIMES:
            self._said.popitem(last=False)
        return sign(self._identity, announce_text(self._room, self._me, at, key, caps), at)

    def sign_leave(self, at: int, key: str) -> Signed:
        """`at` is not below that of our last announce."""
        return sign(self._identity, leave_text(self._room, self._me, at, key), at)

    def announced(self, said: Said, caps: Sequence[str], signed: Signed | None, mono: float) -> Heard:
        """Judge an announce of a peer; `signed` is None when it has no signature."""
        if signed is None:
            return self._announced_clear(said.peer, mono)
        if not is_good_announce(self._room, said.peer, said.at, said.key, caps, signed):
            return Heard.FORGED
        device = self._devices.of(said.peer)
        before = device.seals
        is_new = device.announced(said.key, said.at, seals=CAP_SEALS in caps)
        self._tell_change(said.peer, before)
        if is_new and self._mode == "require" and not device.seals:
            return Heard.DOUBTED
        return Heard.GOOD if is_new else Heard.STALE

    def is_forged_in_our_name(self, said: Said, caps: Sequence[str], signed: Signed | None) -> bool:
        """Whether an announce in our own name has a signature that is none of ours."""
        return signed is not None and not is_good_announce(self._room, self._me, said.at, said.key, caps, signed)

    def should_correct(self, mono: float) -> bool:
        """Whether a clear announce in our own name is to be answered with a good one: once in a while."""
        last = self._corrected_at
        if last is not None and mono - last < CORRECTED_GAP_S:
            return False
        self._corrected_at = mono
        return True

    def _announced_clear(self, peer: str, mono: float) -> Heard:
        device = self._devices.get(peer)
        if device is None and not self._devices.seals(peer):
            return Heard.DOUBTED if self._mode == "require" else Heard.CLEAR
        device = self._devices.of(peer)
        if self._around.is_linked(peer):
            device.stands_proved()
        else:
            before = device.seals
            device.announced_clear(mono)
            self._tell_change(peer, before)
        return Heard.DOUBTED if self._wants_sealed(peer) else Heard.CLEAR

    def left(self, said: Said, signed: Signed | None) -> Heard:
        """Judge a leave of a peer."""
        if signed is not None:
            if not is_good_leave(self._room, said.peer, said.at, said.key, signed):
                return Heard.FORGED
            device = self._devices.get(said.peer)
            if device is not None and device.left(said.key, said.at):
                return Heard.GOOD
        return Heard.DOUBTED if self._wants_sealed(said.peer) else Heard.CLEAR

    def link_ended(self, peer: str) -> None:
        """An admitted link is over: until now it showed what the device is."""
        if (device := self._devices.get(peer)) is not None:
            device.stands_proved()

    def _wants_sealed(self, peer: str) -> bool:
        return self._mode == "require" or self.seals(peer)

    def _tell_change(self, peer: str, before: bool) -> None:
        if (now := self._devices.seals(peer)) is not before:
            self._around.changed(peer, now)

    # ── what we send ──────────────────────────────────────────────────────────────────────────────────────────────────

    def close(self, signal: OutboundSignal) -> Carried | None:
        """A signal in the form that it travels in; None when it must not."""
        match signal:
            case SendOffer(peer, sdp, offer_id) if self._mode != "off":
                device = self._devices.of(peer)
                is_sealed = self.seals(peer)
                if not is_sealed and self._mode == "require":
                    self._tell(peer, "is not offered anything: this network wants sealed signaling, and it seals none")
                    return None
                remember(device.ours, offer_id, is_sealed)
                about = 0 if device.newest is None else device.newest.t
                return self._sealed(peer, "offer", offer_id, SealedOffer(sdp, about)) if is_sealed else signal
            case SendAnswer(peer, sdp, offer_id) if self._is_sealed(peer, offer_id):
                return self._sealed(peer, "answer", offer_id, SealedAnswer(sdp))
            case SendCandidate(peer, candidate, offer_id) if self._is_sealed(peer, offer_id):
                return self._sealed(peer, "candidate", offer_id, candidate)
            case _:
                return signal

    def _is_sealed(self, peer: str, offer_id: str) -> bool:
        """Whether what belongs to an offer goes sealed: as the offer did.

        Never with sealing off: of no offer a form is remembered then, and nobody is wanted sealed.
        """
        device = self._devices.get(peer)
        if device is not None:
            for forms in (device.ours, device.theirs):
                if (form := forms.get(offer_id)) is not None:
                    return form
        return is_canonical(offer_id) and self._wants_sealed(peer)

    def _sealed(
        self, peer: str, kind: SealedKind, offer_id: str, content: SealedOffer | SealedAnswer | Candidate
    ) -> SendSealed | None:
        pair = self._pair(peer)
        way = Way(self._room, self._me, peer, kind, offer_id)
        text = None if pair is None else seal(pair, way, padded(content), self._rng.randbytes(32))
        if text is None or len(text) > MAX_SEALED_CHARACTERS:
            self._tell(peer, f"is not sent the {kind}: it does not fit a sealed message")
            return None
        return SendSealed(peer, kind, offer_id, text)

    def _new_pair(self, peer: str) -> Pair | None:
        theirs = public_of(peer)
        return None if theirs is None else Pair(self._secret, self._ours, theirs)

    def _tell(self, peer: str, what: str) -> None:
        self._around.tell(f"{short_id(peer)} {what}", {"peer": peer})

    # ── what comes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def admits(self, signal: Clear) -> bool:
        """Whether a clear message may act: as its offer was, and none of a device that seals is clear."""
        if self._mode == "off":
            return True
        peer = signal.peer
        wants_sealed = self._wants_sealed(peer)
        if isinstance(signal, OfferReceived):
            if not wants_sealed:
                remember(self._devices.of(peer).theirs, signal.offer_id, sealed=False)
            return not wants_sealed
        device = self._devices.get(peer)
        if device is None:
            return not wants_sealed
        if isinstance(signal, AnswerReceived):
            named = device.ours.get(signal.offer_id) if signal.offer_id else newest_form(device.ours)
            return not (wants_sealed if named is None else named)
        forms = [form for form in (newest_form(device.ours), newest_form(device.theirs)) if form is not None]
        return not all(forms) if forms else not wants_sealed

    def open(self, message: SealedReceived, key: str, now: Instant) -> Clear | None:
        """What a sealed message says, proved to come from its sender; None when it is to be dropped.

        `key` is that of the event that it came in.
        """
        peer, offer_id = message.peer, message.offer_id
        if self._mode == "off" or len(message.eseal) > MAX_SEALED_CHARACTERS or not is_canonical(offer_id):
            return None
        device = self._devices.get(peer)
        if not _may_be_expected(message, device):
            return None
        # The budget before anything that is calculated: also the keys of an id that nobody has are work.
        if not self._budgets.allows(device, key, now.mono):
            return None
        pair = self._pair(peer)
        if pair is None:
            return None
        plaintext = opened(pair, Way(self._room, peer, self._me, message.kind, offer_id), message.eseal)
        if plaintext is None:
            self._not_opened(message, device, now.mono)
            return None
        return self._content(message, plaintext, now.mono)

    def _content(self, message: SealedReceived, plaintext: bytes, mono: float) -> Clear | None:
        peer, offer_id = message.peer, message.offer_id
        device = self._devices.of(peer)
        before = device.seals
        found: Clear | None = None
        match message.kind:
            case "offer" if (offer := parsed(SealedOffer, plaintext)) is not None:
                is_fresh = self._is_fresh(offer.re, mono)
                device.replays.add(offer_id)
                remember(device.theirs, offer_id, sealed=True)
                if is_fresh:
                    device.opened()
                found = OfferReceived(peer, offer.sdp, offer_id, sealed=True, is_fresh=is_fresh)
            case "answer" if (answer := parsed(SealedAnswer, plaintext)) is not None:
                device.opened()
                found = AnswerReceived(peer, answer.sdp, offer_id, sealed=True)
            case "candidate" if (candidate := parsed(Candidate, plaintext)) is not None:
                found = CandidateReceived(peer, candidate)
            case _:
                self._not_opened(message, device, mono)
        self._tell_change(peer, before)
        return found

    def _is_fresh(self, about: int, mono: float) -> bool:
        said_at = self._said.get(about)
        return said_at is not None and mono - said_at <= FRESH_S

    def _not_opened(self, message: SealedReceived, device: Device | None, mono: float) -> None:
        """Of an id that nothing is known of only the number is: whoever makes them has as many as he likes."""
        self.unopened += 1
        if device is not None and (device.told_at is None or mono - device.told_at >= TOLD_GAP_S):
            device.told_at = mono
            self._tell(message.peer, f"or somebody in its name sent a sealed {message.kind} that does not open")


def _may_be_expected(message: SealedReceived, device: Device | None) -> bool:
    """What can be said of a message without opening it."""
    if device is None:
        return message.kind != "answer"
    ours, theirs = device.ours.get(message.offer_id), device.theirs.get(message.offer_id)
    match message.kind:
        case "offer":
            return message.offer_id not in device.replays
        case "answer":
            return ours is True
        case _:
            return ours is not False and theirs is not False
