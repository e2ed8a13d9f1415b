"""Another process that has our identity: whether there is one, and which of the two was here first (spec 03 §16.1).

A home that was copied to a second machine runs one identity twice, and both copies replace each other's links for ever.
Each sees the other: events in its own name, signed by a throw-away key that is not its own. What an earlier run of ours
has left on a relay, or is late, looks the same; but no earlier run answers. So who hears such a key asks it by a notice
to our own id, which names that key, says since when we have been here, and is signed with the identity: it proves that
there are two, and nobody else can write it. v0.3.8 ignores it and sends none; of a copy of that kind only the time of
its events tells.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from myownmesh.identity import verify
from myownmesh.protocol import base32
from myownmesh.protocol.signals import TWIN_SILENCE_S, TwinHeard, TwinLeft
from myownmesh.signaling.envelope import LeaveBody, TwinBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.protocol.clock import Instant
    from myownmesh.signaling.envelope import Body
    from myownmesh.signaling.nostr import NostrEvent

_CONTEXT: Final = "myownmesh-twin-v1:"
_SIGNATURE_BYTES: Final = 64
_CLOCK_STEP_S: Final = 3
"""An announce may be 2 s ahead of the clock (spec 03 §5.2), and an earlier run ended before this one began."""
_ASK_AGAIN_S: Final = 60.0
"""Per key, between our notices."""
_MAX_KEYS: Final = 64
"""Foreign keys in our name that are remembered; whoever makes more of them is no copy."""


class _Copy(Struct, frozen=True):
    began_ms: int
    heard_at: float


class Twins:
    """What one process in one room knows of others in its name."""

    def __init__(
        self, *, device_id: str, room: str, pubkey: str, sign: Callable[[bytes], bytes] | None, began: Instant
    ) -> None:
        """`sign` signs with the identity; None where nobody can, and then nobody is asked."""
        self._device_id = device_id
        self._room = room
        self._pubkey = pubkey
        self._sign = sign
        self._began = began
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._wanted: str | None = None
        self._proved: dict[str, _Copy] = {}
        """By their keys; a home may be copied more than once."""

    def heard(self, event: NostrEvent, body: Body, now: Instant, *, replayed: bool) -> TwinHeard | TwinLeft | None:
        """Judge a genuine event in our own name; what it tells the engine, if anything."""
        key = event.pubkey
        for silent in [each for each, copy in self._proved.items() if now.mono > copy.heard_at + TWIN_SILENCE_S]:
            del self._proved[silent]
        if isinstance(body, TwinBody):
            if body.re != self._pubkey or not self._is_signed(body, event):
                return None
            if len(self._proved) < _MAX_KEYS or key in self._proved:
                self._proved[key] = _Copy(body.began_ms, now.mono)
            self._want_to_ask(key, now)
            return self._verdict()
        if (known := self._proved.get(key)) is not None:
            self._proved[key] = _Copy(known.began_ms, now.mono)
        # By the clock as it is now: what was learned of its error meanwhile counts for our start as well.
        began_s = (now.wall_ms - round((now.mono - self._began.mono) * 1000)) // 1000
        if isinstance(body, LeaveBody):
            if self._proved.pop(key, None) is None:
                return None
            return self._verdict() if self._proved else TwinLeft(self._device_id)
        if not replayed or event.created_at >= began_s - _CLOCK_STEP_S:
            self._want_to_ask(key, now)
        if key in self._proved or (not replayed and event.created_at >= began_s + _CLOCK_STEP_S):
            return self._verdict()
        return None

    def _verdict(self) -> TwinHeard:
        """Whether any of those that proved themselves was here before us; None while none did."""
        elders = [self._is_elder(copy.began_ms, key) for key, copy in self._proved.items()]
        return TwinHeard(self._device_id, any(elders) if elders else None)

    def take_notice(self) -> TwinBody | None:
        """The notice that is to be sent now, if any; it is taken once."""
        key, self._wanted = self._wanted, None
        return self._notice_to(key)

    def notice(self) -> TwinBody | None:
        """The notice that tells the eldest copy we know that we are here still; None without one."""
        return self._notice_to(min(self._proved, key=lambda key: (self._proved[key].began_ms, key), default=None))

    def _notice_to(self, key: str | None) -> TwinBody | None:
        if self._sign is None or key is None:
            return None
        began_ms = self._began.wall_ms
        signature = self._sign(_signed(self._room, self._device_id, self._pubkey, key, began_ms))
        return TwinBody(key, began_ms, base32.encode(signature))

    def _want_to_ask(self, key: str, now: Instant) -> None:
        asked_at = self._asked.get(key)
        if asked_at is not None and now.mono < asked_at + _ASK_AGAIN_S:
            return
        self._asked[key] = now.mono
        self._asked.move_to_end(key)
        if len(self._asked) > _MAX_KEYS:
            self._asked.popitem(last=False)
        self._wanted = key

    def _is_signed(self, body: TwinBody, event: NostrEvent) -> bool:
        try:
            signature = base32.decode(body.proof, _SIGNATURE_BYTES)
        except ValueError:
            return False
        return verify(
            self._device_id, _signed(self._room, self._device_id, event.pubkey, body.re, body.began_ms), signature
        )

    def _is_elder(self, began_ms: int, key: str) -> bool:
        """Whether the other was here first. Both compare the same two moments, so that both come to one result, even if
        a clock is wrong; of two that came together it is the one with the lower key."""
        return (began_ms, key) < (self._began.wall_ms, self._pubkey)


def _signed(room: str, device_id: str, pubkey: str, to_key: str, began_ms: int) -> bytes:
    """`pubkey` is the event's, so that nobody can move the signature into an event of his own."""
    return f"{_CONTEXT}{room}|{device_id}|{pubkey}|{to_key}|{began_ms}".encode()
