"""The mesh's own message inside a Nostr event's `content` (spec 03 §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Raw, UnsetType

from mesh_common.values import Value
from myownmesh.protocol.ids import BadDeviceId, parse_device_id
from myownmesh.protocol.json_words import JsonError, duplicate_field, missing_field, unknown_variant
from myownmesh.protocol.schema import U64, Absent, read_text, shape
from myownmesh.protocol.signals import Candidate
from myownmesh.protocol.strict_json import compact_json, decode_object, is_null, python_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.protocol.strict_json import Members

CAP_PTAG = "ptag"
"""The writer puts `p` tags on its directed events and finds others by theirs."""


class BadEnvelope(ValueError):
    """A content that is no envelope, or one whose ids are not device ids."""


class AnnounceBody(msgspec.Struct, frozen=True):
    caps: Annotated[tuple[str, ...], Absent(())] = (CAP_PTAG,)
    esig: Raw | UnsetType = UNSET
    """What makes it the device's own (spec 11 §2.1), as it stands there."""


class LeaveBody(msgspec.Struct, frozen=True):
    """Says nothing but its kind, and who said it."""

    esig: Raw | UnsetType = UNSET


class OfferBody(msgspec.Struct, frozen=True):
    offer_id: str
    sdp: str
    eseal: Raw | UnsetType = UNSET
    """What only its receiver can read (spec 11 §2.2), as it stands there; `sdp` is empty then."""


class AnswerBody(msgspec.Struct, frozen=True):
    offer_id: str
    """The offer that it answers; the reference writes an empty text, so an empty one says nothing."""
    sdp: str
    eseal: Raw | UnsetType = UNSET


class CandidateBody(Candidate, frozen=True):
    offer_id: Raw | UnsetType = UNSET
    """Of sealed ones; in a clear one it means nothing."""
    eseal: Raw | UnsetType = UNSET


class TwinBody(msgspec.Struct, frozen=True):
    """From one copy of an identity to another (spec 03 §16.1); v0.3.8 knows no such kind and ignores it."""

    re: str
    """The Nostr key of the copy that is spoken to."""
    began_ms: U64
    """When the writer came into the room, in Unix milliseconds of its own clock."""
    proof: str
    """Base32 of the identity's signature."""


Body = AnnounceBody | LeaveBody | OfferBody | AnswerBody | CandidateBody | TwinBody

_BODIES: Mapping[str, type[Body]] = {
    "announce": AnnounceBody,
    "leave": LeaveBody,
    "offer": OfferBody,
    "answer": AnswerBody,
    "candidate": CandidateBody,
    "twin": TwinBody,
}
_KINDS = {body: kind for kind, body in _BODIES.items()}
_HEAD = frozenset(("from", "to", "kind", "peer_id"))
_MEMBERS = _HEAD.union(*(body.__struct_fields__ for body in _BODIES.values() if body is not TwinBody))
"""Of all kinds of the reference, and ours: none of them may stand twice, whatever the kind (spec 03 §6)."""


class Envelope(Value, frozen=True):
    """Ids are bare and well-formed; nothing proves that `sender` wrote it."""

    sender: str
    to: str | None
    peer: str
    body: Body


def encode_envelope(envelope: Envelope) -> str:
    """The content text, members in the reference's order, nulls written; behind them what only we know, if anything."""
    return compact_json({"from": envelope.sender, "to": envelope.to} | message_of(envelope.peer, envelope.body))


def message_of(peer: str, body: Body) -> dict[str, object]:
    """The members of a message about `peer`, its kind first: `msg` of a line in the local network (spec 03 §18.3)."""
    members = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
    for name, value in members.items():
        if isinstance(value, Raw):
            members[name] = python_value(value)
    return {"kind": _KINDS[type(body)], "peer_id": peer} | members


def decode_body(kind: str, found: Members) -> Body:
    """The body of a message of this kind, which is a known one. Raises `BadEnvelope`."""
    try:
        body: Body = shape(_BODIES[kind]).build(found)
    except JsonError as error:
        raise BadEnvelope(str(error)) from error
    return body


def decode_envelope(content: str) -> Envelope:
    """Raises BadEnvelope: no JSON object, a required member missing, a known one repeated or of the wrong type, an
    unknown kind, or an id that is not a device id (a display suffix is stripped). Unknown members are ignored."""
    try:
        return _decode(decode_object(content.encode()))
    except (JsonError, BadDeviceId, UnicodeEncodeError) as error:
        raise BadEnvelope(str(error)) from error


def _decode(found: Members) -> Envelope:
    known: dict[str, Raw] = {}
    for name, value in found:
        if name in known:
            raise duplicate_field(name)
        if name in _MEMBERS:
            known[name] = value
    to = known.get("to")
    kind = _text(known, "kind")
    if kind not in _BODIES:
        raise unknown_variant(kind, _BODIES)
    return Envelope(
        sender=parse_device_id(_text(known, "from")),
        to=None if to is None or is_null(to) else parse_device_id(read_text(to)),
        peer=parse_device_id(_text(known, "peer_id")),
        body=shape(_BODIES[kind]).build(found),
    )


def _text(known: Mapping[str, Raw], name: str) -> str:
    if name not in known:
        raise missing_field(name)
    return read_text(known[name])
