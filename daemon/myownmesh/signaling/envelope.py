"""The mesh's own message inside a Nostr event's `content` (spec 03 §6)."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import frozen

from myownmesh.protocol.ids import BadDeviceId, parse_device_id
from myownmesh.protocol.signals import Candidate
from myownmesh.signaling.jsontext import JsonObject, compact_json, parse_json

CAP_PTAG = "ptag"
"""The writer puts `p` tags on its directed events and finds others by theirs."""

_MEMBERS = frozenset(
    {
        "from",
        "to",
        "kind",
        "peer_id",
        "caps",
        "offer_id",
        "sdp",
        "candidate",
        "sdp_mid",
        "sdp_mline_index",
        "username_fragment",
    }
)


class BadEnvelope(ValueError):
    """A content that is no envelope, or one whose ids are not device ids."""


@frozen
class AnnounceBody:
    KIND: ClassVar[str] = "announce"
    caps: tuple[str, ...] = (CAP_PTAG,)


@frozen
class LeaveBody:
    KIND: ClassVar[str] = "leave"


@frozen
class OfferBody:
    KIND: ClassVar[str] = "offer"
    offer_id: str
    sdp: str


@frozen
class AnswerBody:
    KIND: ClassVar[str] = "answer"
    offer_id: str
    """The offer that it answers; the reference writes an empty text, so an empty one says nothing."""
    sdp: str


@frozen
class CandidateBody:
    KIND: ClassVar[str] = "candidate"
    candidate: Candidate


Body = AnnounceBody | LeaveBody | OfferBody | AnswerBody | CandidateBody


@frozen
class Envelope:
    """Ids are bare and well-formed; nothing proves that `sender` wrote it."""

    sender: str
    to: str | None
    peer: str
    body: Body


def encode_envelope(envelope: Envelope) -> str:
    """The content text, members in the reference's order, nulls written."""
    members: dict[str, object] = {
        "from": envelope.sender,
        "to": envelope.to,
        "kind": envelope.body.KIND,
        "peer_id": envelope.peer,
    }
    match envelope.body:
        case AnnounceBody(caps=caps):
            members["caps"] = list(caps)
        case LeaveBody():
            pass
        case OfferBody(offer_id=offer_id, sdp=sdp) | AnswerBody(offer_id=offer_id, sdp=sdp):
            members["offer_id"] = offer_id
            members["sdp"] = sdp
        case CandidateBody(candidate=candidate):
            members["candidate"] = candidate.candidate
            members["sdp_mid"] = candidate.sdp_mid
            members["sdp_mline_index"] = candidate.sdp_mline_index
            members["username_fragment"] = candidate.username_fragment
    return compact_json(members)


def decode_envelope(content: str) -> Envelope:
    """Raises BadEnvelope: no JSON object, a required member missing, a known one repeated or of the wrong type, an
    unknown kind, or an id that is not a device id (a display suffix is stripped). Unknown members are ignored."""
    try:
        value = parse_json(content)
    except (ValueError, RecursionError) as error:
        raise BadEnvelope(f"the content is no JSON: {error}") from error
    if not isinstance(value, JsonObject):
        raise BadEnvelope("the content must be an object")
    if not value.repeated.isdisjoint(_MEMBERS):
        raise BadEnvelope("the content repeats a member")
    to = _optional_text(value, "to")
    try:
        return Envelope(
            sender=parse_device_id(_text(value, "from")),
            to=None if to is None else parse_device_id(to),
            peer=parse_device_id(_text(value, "peer_id")),
            body=_decode_body(value),
        )
    except BadDeviceId as error:
        raise BadEnvelope(str(error)) from error


def _decode_body(value: JsonObject) -> Body:
    match _text(value, "kind"):
        case "announce":
            return AnnounceBody(_caps(value))
        case "leave":
            return LeaveBody()
        case "offer":
            return OfferBody(_text(value, "offer_id"), _text(value, "sdp"))
        case "answer":
            return AnswerBody(_text(value, "offer_id"), _text(value, "sdp"))
        case "candidate":
            return CandidateBody(
                Candidate(
                    _text(value, "candidate"),
                    _optional_text(value, "sdp_mid"),
                    _optional_index(value, "sdp_mline_index"),
                    _optional_text(value, "username_fragment"),
                )
            )
        case _:
            raise BadEnvelope("unknown kind")


def _text(value: JsonObject, name: str) -> str:
    text: Any = value.get(name)
    if type(text) is not str:
        raise BadEnvelope(f"{name} must be text")
    return text


def _optional_text(value: JsonObject, name: str) -> str | None:
    return None if value.get(name) is None else _text(value, name)


def _optional_index(value: JsonObject, name: str) -> int | None:
    index: Any = value.get(name)
    if index is None:
        return None
    if type(index) is not int or not 0 <= index <= 65535:
        raise BadEnvelope(f"{name} must be an integer from 0 to 65535")
    return index


def _caps(value: JsonObject) -> tuple[str, ...]:
    caps: Any = value.get("caps", [])
    if type(caps) is not list or not all(type(cap) is str for cap in caps):
        raise BadEnvelope("caps must be a list of text")
    return tuple(caps)
