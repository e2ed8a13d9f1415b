"""A peer's life as one table: what may happen to it where, and where it goes from there (spec 04 §4).

`Core.enter` and `Core.leave` are the only ways from one stage to the next, and both ask this table. What a peer or the
room sends out of turn is no row here: the rooms ignore it, and nothing changes. docs/engine.md shows the table.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from mesh_common.views import DropReason, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stage(Enum):
    """How far a peer is."""

    __hash__ = object.__hash__  # members are single; the enum's own hash is a Python call

    UNKNOWN = "unknown"
    """No entry."""
    PLACEHOLDER = "placeholder"
    """Known from signaling; there is no transport."""
    CONNECTING = "connecting"
    """A transport is negotiated; its channel is not open."""
    HANDSHAKING = "handshaking"
    """The channel is open and our hello out; the peer has not proved itself."""
    PENDING = "pending"
    """The peer has proved itself; one of the two consents is missing."""
    ACTIVE = "active"
    """Admitted and preferred by our shape."""
    SHELVED = "shelved"
    """Admitted; our shape does not prefer it, so broadcasts skip it."""


class Turn(Enum):
    """What happens to a peer. The rooms decide that it does; the table says where it leads."""

    __hash__ = object.__hash__  # members are single; the enum's own hash is a Python call

    NOTED = "seen, and nobody dials now"
    FORGOTTEN = "too many placeholders"
    OPENED = "announce, offer, connect or retry"
    YIELDED = "glare: the peer's offer wins"
    RENEWED = "our network changed"
    CHANNEL_OPENED = "channel open"
    PROVED = "valid auth_response"
    CONSENTED = "approve sent and seen"
    DISMISSED = "shape prefers others"
    RECALLED = "shape prefers it again"
    STOPPED = "we leave"

    NOT_OPENED = "no channel in 30 s"
    CROWDED_OUT = "too many strangers"
    CLOSED = "channel closed"
    PATH_FAILED = "path failed, no frame"
    NOT_RESTARTED = "restarted, no frame"
    REBUILT = "the peer offers a new transport"
    UNPROVED = "no proof in 30 s"
    UNTRUSTED = "wrong id, certificate or signature"
    UNDECIDED = "nobody decided for a day"
    SILENT = "silence"
    FLOODED = "too many control frames"
    LEFT = "leave"
    DENIED = "deny received"
    REFUSED = "removed, or too many wait"
    DISPUTED = "another device has our identity"
    PRUNED = "no edge in the shape, shelved by both"


DROPS: Final[Mapping[Turn, DropReason]] = {
    Turn.NOT_OPENED: DropReason("ice_failed"),
    Turn.CROWDED_OUT: DropReason("ice_failed"),
    Turn.CLOSED: DropReason("ice_failed"),
    Turn.PATH_FAILED: DropReason("ice_failed"),
    Turn.NOT_RESTARTED: DropReason("ice_failed"),
    Turn.REBUILT: DropReason("ice_failed"),
    Turn.UNPROVED: DropReason("heartbeat_timeout"),
    Turn.UNTRUSTED: DropReason("auth_failed"),
    Turn.UNDECIDED: DropReason("heartbeat_timeout"),
    Turn.SILENT: DropReason("heartbeat_timeout"),
    Turn.FLOODED: TransportError("transport_error", "too many control frames"),
    Turn.LEFT: DropReason("user_left"),
    Turn.DENIED: DropReason("denied"),
    Turn.REFUSED: DropReason("denied"),
    Turn.PRUNED: DropReason("topology_pruned"),
    Turn.DISPUTED: TransportError("transport_error", "another device uses the identity of this one"),
}
"""The turns that end an entry, and the reason that clients are told (spec 04 §6.2)."""


class Row(Struct, frozen=True):
    """From any of these stages `turn` leads to `to`."""

    turn: Turn
    stages: tuple[Stage, ...]
    to: Stage


_LIVE: Final = (Stage.ACTIVE, Stage.SHELVED)
_PROVED: Final = (Stage.PENDING, *_LIVE)
_OPEN: Final = (Stage.HANDSHAKING, *_PROVED)
_LINKED: Final = (Stage.CONNECTING, *_OPEN)

ROWS: Final = (
    Row(Turn.NOTED, (Stage.UNKNOWN,), Stage.PLACEHOLDER),
    Row(Turn.FORGOTTEN, (Stage.PLACEHOLDER,), Stage.UNKNOWN),
    Row(Turn.OPENED, (Stage.UNKNOWN, Stage.PLACEHOLDER), Stage.CONNECTING),
    Row(Turn.YIELDED, (Stage.CONNECTING,), Stage.CONNECTING),
    Row(Turn.RENEWED, (Stage.CONNECTING,), Stage.CONNECTING),
    Row(Turn.CHANNEL_OPENED, (Stage.CONNECTING,), Stage.HANDSHAKING),
    Row(Turn.PROVED, (Stage.HANDSHAKING,), Stage.PENDING),
    Row(Turn.CONSENTED, (Stage.PENDING,), Stage.ACTIVE),
    Row(Turn.DISMISSED, (Stage.ACTIVE,), Stage.SHELVED),
    Row(Turn.RECALLED, (Stage.SHELVED,), Stage.ACTIVE),
    Row(Turn.STOPPED, (Stage.PLACEHOLDER, *_LINKED), Stage.UNKNOWN),
    Row(Turn.NOT_OPENED, (Stage.CONNECTING,), Stage.UNKNOWN),
    Row(Turn.CROWDED_OUT, (Stage.CONNECTING, Stage.HANDSHAKING), Stage.UNKNOWN),
    Row(Turn.CLOSED, _LINKED, Stage.UNKNOWN),
    Row(Turn.PATH_FAILED, _OPEN, Stage.UNKNOWN),
    Row(Turn.NOT_RESTARTED, _LIVE, Stage.UNKNOWN),
    Row(Turn.REBUILT, _LINKED, Stage.UNKNOWN),
    Row(Turn.UNPROVED, (Stage.HANDSHAKING,), Stage.UNKNOWN),
    Row(Turn.UNTRUSTED, _LINKED, Stage.UNKNOWN),
    Row(Turn.UNDECIDED, (Stage.PENDING,), Stage.UNKNOWN),
    Row(Turn.SILENT, _OPEN, Stage.UNKNOWN),
    Row(Turn.FLOODED, _OPEN, Stage.UNKNOWN),
    Row(Turn.LEFT, (Stage.PLACEHOLDER, *_LINKED), Stage.UNKNOWN),
    Row(Turn.DENIED, _OPEN, Stage.UNKNOWN),
    Row(Turn.REFUSED, _LINKED, Stage.UNKNOWN),
    Row(Turn.DISPUTED, (Stage.PLACEHOLDER, *_LINKED), Stage.UNKNOWN),
    Row(Turn.PRUNED, (Stage.SHELVED,), Stage.UNKNOWN),
)

LIFE: Final[Mapping[tuple[Stage, Turn], Stage]] = {(stage, row.turn): row.to for row in ROWS for stage in row.stages}


class OutOfTurn(Exception):
    """A room tried what the table does not know; nothing has changed. No input of a peer leads here."""

    def __init__(self, stage: Stage, turn: Turn) -> None:
        super().__init__(f"{turn.name} is no turn of a peer that is {stage.value}")


def follow(stage: Stage, turn: Turn) -> Stage:
    """Where `turn` leads from `stage`. Raises `OutOfTurn` where the table has no row."""
    to = LIFE.get((stage, turn))
    if to is None:
        raise OutOfTurn(stage, turn)
    return to
