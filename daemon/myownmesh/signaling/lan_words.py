"""What one device says and hears in the local network, without sockets: adverts and lines to signals, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from myownmesh.lan import lines, txt
from myownmesh.lan.lines import BadLine
from myownmesh.protocol.ids import is_device_id
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.signals import (
    PeerAnnounced,
    PeerLeft,
    SealedReceived,
    SendAnswer,
    SendCandidate,
    SendOffer,
    SendSealed,
)
from myownmesh.sealing.announce import Signed
from myownmesh.sealing.desk import Heard, Said
from myownmesh.signaling.envelope import (
    CAP_PTAG,
    AnnounceBody,
    AnswerBody,
    BadEnvelope,
    CandidateBody,
    LeaveBody,
    OfferBody,
    TwinBody,
    decode_body,
    message_of,
)
from myownmesh.signaling.receive import Dropped, directed, signature_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.lan.txt import Advert
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import (
        AnswerReceived,
        CandidateReceived,
        InboundSignal,
        OfferReceived,
    )
    from myownmesh.sealing.desk import Desk
    from myownmesh.signaling.envelope import Body
    from myownmesh.signaling.gate import ContentGate

KEY = "mdns"
"""What stands for the event's key in signatures of the local network (spec 11 §2.1)."""

Directed = SendOffer | SendAnswer | SendCandidate | SendSealed


class Words:
    """One device in one room. `now` is handed in."""

    def __init__(self, *, device_id: str, room: str, gate: ContentGate, desk: Desk | None) -> None:
        self.device_id = device_id
        self.room = room
        self._gate = gate
        self._desk = desk

    # ── saying ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def advert(self, now: Instant) -> dict[str, str]:
        """The entries of our TXT record, signed as of now."""
        caps, signed = self._signature(now)
        told = None if signed is None else (signed.t, signed.s)
        return txt.entries(self.room, self.device_id, caps, told)

    def announce_to(self, peer: str, now: Instant) -> bytes:
        """The line that says that we are here."""
        caps, signed = self._signature(now)
        raw = msgspec.UNSET if signed is None else msgspec.Raw(msgspec.json.encode(signed))
        return self._line(peer, AnnounceBody(caps, raw))

    def line(self, signal: Directed) -> bytes:
        """The line of a directed signal."""
        body: Body
        match signal:
            case SendOffer(sdp=sdp, offer_id=offer_id):
                body = OfferBody(offer_id, sdp)
            case SendAnswer(sdp=sdp, offer_id=offer_id):
                body = AnswerBody(offer_id, sdp)
            case SendCandidate(candidate=candidate):
                body = CandidateBody(**msgspec.structs.asdict(candidate))
            case SendSealed(kind=kind, offer_id=offer_id, eseal=eseal):
                raw = msgspec.Raw(msgspec.json.encode(eseal))
                if kind == "candidate":
                    body = CandidateBody("", offer_id=msgspec.Raw(msgspec.json.encode(offer_id)), eseal=raw)
                else:
                    body = OfferBody(offer_id, "", raw) if kind == "offer" else AnswerBody(offer_id, "", raw)
        return self._line(signal.peer, body)

    def _line(self, peer: str, body: Body) -> bytes:
        return lines.encode(self.room, self.device_id, peer, message_of(self.device_id, body))

    def _signature(self, now: Instant) -> tuple[tuple[str, ...], Signed | None]:
        if self._desk is None:
            return (CAP_PTAG,), None
        caps = (CAP_PTAG, *self._desk.caps)
        return caps, self._desk.sign_announce(now.wall_ms // 1000, KEY, caps, now.mono)

    # ── hearing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def sender_of(self, data: bytes) -> lines.Line | None:
        """A line that is addressed to us and names its sender; None for one that means nothing here.

        Raises `BadLine`: whoever writes this is not listened to any longer.
        """
        line = lines.decode(data)
        if line is None or not line.is_for(self.room, self.device_id):
            return None
        is_named = is_device_id(line.sender) and line.peer == line.sender and line.sender != self.device_id
        return line if is_named else None

    def hear(self, line: lines.Line, now: Instant, *, again: bool) -> InboundSignal | Dropped:
        """What a line of `sender_of` says; `again`: its sender was there before. Raises `BadLine`."""
        try:
            body = decode_body(line.kind, line.message)
            match body:
                case AnnounceBody(caps, esig):
                    return self._announced(line.sender, caps, signature_of(esig), now, again=again)
                case LeaveBody() | TwinBody():
                    return Dropped.WRONG_KIND  # a departure is what an advert says, or the link itself
                case _:
                    return self._directed(directed(line.sender, body), now)
        except (BadEnvelope, JsonError) as error:
            raise BadLine(str(error)) from error

    def found(self, advert: Advert, now: Instant, *, again: bool) -> InboundSignal | Dropped:
        """What an advert says, which was resolved; `again`: the same as before."""
        signed = None if advert.signed is None else Signed(*advert.signed)
        return self._announced(advert.peer, advert.caps, signed, now, again=again)

    def lost(self, peer: str) -> PeerLeft:
        """Its advert is gone, which nobody signs."""
        heard = Heard.CLEAR if self._desk is None else self._desk.left(Said(peer, KEY, 0), None)
        return PeerLeft(peer, is_signed=False if heard is Heard.DOUBTED else None)

    def _announced(
        self, peer: str, caps: Sequence[str], signed: Signed | None, now: Instant, *, again: bool
    ) -> InboundSignal | Dropped:
        if not is_device_id(peer):
            return Dropped.BAD_ENVELOPE
        if self._desk is not None:
            said = Said(peer, KEY, 0 if signed is None else signed.t)
            match self._desk.announced(said, caps, signed, now.mono):
                case Heard.FORGED:
                    return Dropped.FORGED
                case Heard.DOUBTED:
                    return Dropped.UNSIGNED
                case Heard.GOOD | Heard.CLEAR | Heard.STALE:
                    pass  # an advert is as old as its registration, and is asked for again and again
        return PeerAnnounced(peer, again=again)

    def _directed(
        self, signal: OfferReceived | AnswerReceived | CandidateReceived | SealedReceived | Dropped, now: Instant
    ) -> InboundSignal | Dropped:
        if isinstance(signal, Dropped):
            return signal
        if isinstance(signal, SealedReceived):
            if not self._gate.passes(signal):
                return Dropped.REPEATED_CONTENT
            opened = None if self._desk is None else self._desk.open(signal, KEY, now)
            return Dropped.UNOPENED if opened is None else opened
        if self._desk is not None and not self._desk.admits(signal):
            return Dropped.UNSIGNED
        return signal if self._gate.passes(signal) else Dropped.REPEATED_CONTENT

    def is_linked(self, peer: str) -> bool:
        """Whether there is an admitted link: such a one need not hear that we are here."""
        return self._desk is not None and self._desk.is_linked(peer)
