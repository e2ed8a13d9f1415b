"""The frames between a Nostr client and its relay (spec 03 §7, §8.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from myownmesh.signaling.jsontext import compact_json, parse_json
from myownmesh.signaling.nostr import KIND_EPHEMERAL, KIND_PRESENCE

if TYPE_CHECKING:
    from myownmesh.signaling.nostr import NostrEvent

SUB_PRESENCE = "mom-sig-1"
SUB_TAGGED = "mom-sig-2"
SUB_CATCH_ALL = "mom-sig-3"

PRESENCE_WINDOW_S = 300
"""How old an announce may be for a joiner to hear of it: longer than the longest gap between two announces."""


@frozen
class EventFrame:
    event: object
    """Parsed JSON, not judged yet."""


@frozen
class EoseFrame:
    sub: object


@frozen
class OkFrame:
    event_id: object
    accepted: bool
    reason: str


@frozen
class ClosedFrame:
    sub: object
    reason: str


@frozen
class NoticeFrame:
    text: str

    @property
    def rejects(self) -> bool:
        """The relay turns this connection away."""
        return "too many connections" in self.text.lower()


@frozen
class OtherFrame:
    """Anything that changes nothing."""


RelayFrame = EventFrame | EoseFrame | OkFrame | ClosedFrame | NoticeFrame | OtherFrame


def decode_relay_frame(text: str) -> RelayFrame:
    """Total: what is not understood is an `OtherFrame`."""
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        return OtherFrame()
    match value:
        case ["EVENT", _, event, *_]:
            return EventFrame(event)
        case ["EOSE", *rest]:
            return EoseFrame(rest[0] if rest else None)
        case ["OK", event_id, bool(accepted), *rest]:
            return OkFrame(event_id, accepted, _text(rest))
        case ["CLOSED", sub, *rest]:
            return ClosedFrame(sub, _text(rest))
        case ["NOTICE", str(notice), *_]:
            return NoticeFrame(notice)
        case _:
            return OtherFrame()


def encode_event_frame(event: NostrEvent) -> str:
    return f'["EVENT",{event.json()}]'


def encode_close(sub: str) -> str:
    return compact_json(["CLOSE", sub])


def presence_request(room: str, now_s: int) -> str:
    """Who is here: stored announces and new ones."""
    return _request(SUB_PRESENCE, {"#r": [room], "kinds": [KIND_PRESENCE], "since": now_s - PRESENCE_WINDOW_S})


def tagged_request(room: str, device_id: str, *, limited: bool) -> str:
    """What is for this device or for the whole room. Never with `since`: relays apply it to live events too."""
    return _ephemeral_request(SUB_TAGGED, {"#p": [device_id, room], "#r": [room]}, limited)


def catch_all_request(room: str, *, limited: bool) -> str:
    """Everything of the room, for peers whose events carry no `p` tag."""
    return _ephemeral_request(SUB_CATCH_ALL, {"#r": [room]}, limited)


def _ephemeral_request(sub: str, tags: dict[str, object], limited: bool) -> str:
    # `limit` 0 keeps away what some relays store against the rules; live events pass all the same.
    return _request(sub, {**tags, "kinds": [KIND_EPHEMERAL], **({"limit": 0} if limited else {})})


def _request(sub: str, constraint: dict[str, object]) -> str:
    return compact_json(["REQ", sub, constraint])


def _text(rest: list[object]) -> str:
    return rest[0] if rest and isinstance(rest[0], str) else ""
