"""The frames between a Nostr client and its relay (spec 03 §7, §8.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Raw, Struct

from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import read_bool, read_text
from myownmesh.protocol.strict_json import compact_json, decode_array
from myownmesh.signaling.nostr import KIND_EPHEMERAL, KIND_PRESENCE

if TYPE_CHECKING:
    from myownmesh.signaling.nostr import NostrEvent

SUB_PRESENCE = "mom-sig-1"
SUB_TAGGED = "mom-sig-2"
SUB_CATCH_ALL = "mom-sig-3"

_LATEST = 20
"""Stored announces that tell what time it is: one of a device that is there would do."""


class EventFrame(Struct, frozen=True):
    event: Raw
    """Proven JSON, not judged yet."""


class EoseFrame(Struct, frozen=True):
    sub: str | None


class OkFrame(Struct, frozen=True):
    event_id: str | None
    accepted: bool
    reason: str


class ClosedFrame(Struct, frozen=True):
    sub: str | None
    reason: str


class NoticeFrame(Struct, frozen=True):
    text: str

    @property
    def rejects(self) -> bool:
        """The relay turns this connection away."""
        return "too many connections" in self.text.lower()


class OtherFrame(Struct, frozen=True):
    """Anything that changes nothing."""


RelayFrame = EventFrame | EoseFrame | OkFrame | ClosedFrame | NoticeFrame | OtherFrame


def decode_relay_frame(text: str) -> RelayFrame:
    """Total: what is not understood is an `OtherFrame`."""
    try:
        verb, *rest = decode_array(text.encode())
        return _judge(read_text(verb), rest)
    except (ValueError, IndexError):
        return OtherFrame()


def _judge(verb: str, rest: list[Raw]) -> RelayFrame:
    """Raises `JsonError` or `IndexError` when something is not what its verb needs."""
    match verb:
        case "EVENT":
            return EventFrame(rest[1])
        case "EOSE":
            return EoseFrame(_text(rest, 0))
        case "OK":
            return OkFrame(_text(rest, 0), read_bool(rest[1]), _text(rest, 2) or "")
        case "CLOSED":
            return ClosedFrame(_text(rest, 0), _text(rest, 1) or "")
        case "NOTICE":
            return NoticeFrame(read_text(rest[0]))
        case _:
            return OtherFrame()


def encode_event_frame(event: NostrEvent) -> str:
    return f'["EVENT",{event.json()}]'


def encode_close(sub: str) -> str:
    return compact_json(["CLOSE", sub])


def presence_request(room: str, since_s: int | None, *, limited: bool) -> str:
    """Who is here: announces stored since then, and new ones.

    Relays apply `since` to live events too, which would hide everybody whose clock or ours is wrong. So a second filter
    asks for live ones of any time, unless the relay refuses its `limit` 0. Without a second, the latest few announces.
    """
    announces = {"#r": [room], "kinds": [KIND_PRESENCE]}
    if since_s is None:
        return _request(SUB_PRESENCE, {**announces, "limit": _LATEST})
    stored = {**announces, "since": max(0, since_s)}
    return _request(SUB_PRESENCE, stored, *([{**announces, "limit": 0}] if limited else []))


def tagged_request(room: str, device_id: str, *, limited: bool) -> str:
    """What is for this device or for the whole room. Never with `since`: relays apply it to live events too."""
    return _ephemeral_request(SUB_TAGGED, {"#p": [device_id, room], "#r": [room]}, limited)


def catch_all_request(room: str, *, limited: bool) -> str:
    """Everything of the room, for peers whose events carry no `p` tag."""
    return _ephemeral_request(SUB_CATCH_ALL, {"#r": [room]}, limited)


def _ephemeral_request(sub: str, tags: dict[str, object], limited: bool) -> str:
    # `limit` 0 keeps away what some relays store against the rules; live events pass all the same.
    return _request(sub, {**tags, "kinds": [KIND_EPHEMERAL], **({"limit": 0} if limited else {})})


def _request(sub: str, *filters: dict[str, object]) -> str:
    return compact_json(["REQ", sub, *filters])


def _text(values: list[Raw], index: int) -> str | None:
    """The text in that place, None when something else or nothing stands there."""
    try:
        return read_text(values[index])
    except (JsonError, IndexError):
        return None
