"""What stands between one simulated device and the room: the daemon's own desk, and which process said what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from mesh_common.events import PeerApproved
from myownmesh.protocol.signals import (
    Announce,
    AnswerReceived,
    CandidateReceived,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    StaleAnnounce,
)
from myownmesh.sealing.desk import Desk, Heard, Said, Surroundings
from myownmesh.signaling.receive import Announcers
from myownmesh.simulator.room import Announced, Left, Sealed

if TYPE_CHECKING:
    import random

    from mesh_common.events import MeshEvent
    from myownmesh.engine import Engine
    from myownmesh.identity import Identity
    from myownmesh.mesh.switch import Switch
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import Carried, InboundSignal, OutboundSignal
    from myownmesh.sealing.desk import Mode
    from myownmesh.simulator.room import Room

ROOM = "simulated"


class Process(Protocol):
    """Who writes and reads here."""

    device_id: str
    identity: Identity
    engine: Engine
    switch: Switch
    rng: random.Random

    def now(self) -> Instant: ...


class Writing:
    """Signs, seals, opens and judges for one process; without a mode it signs and seals nothing."""

    __slots__ = (
        "_announcers",
        "_last_at",
        "_node",
        "_room",
        "desk",
    )

    def __init__(self, node: Process, room: Room, mode: Mode | None) -> None:
        self._node = node
        self._room = room
        self._announcers = Announcers()
        self._last_at = 0
        self.desk: Desk | None = None
        room.signers.pop(node.device_id, None)
        if mode is None:
            return
        around = Surroundings(
            is_known_to_seal=lambda device_id: (entry := node.engine.roster.get(device_id)) is not None and entry.seals,
            is_linked=lambda device_id: node.engine.is_linked(device_id),
            changed=lambda device_id, seals: node.switch.note_sealing(device_id, seals),
            tell=lambda text, detail: None,
        )
        self.desk = Desk(node.identity, ROOM, mode, node.rng, around)
        node.switch.effects.on_link_down = self.desk.link_ended
        room.signers[node.device_id] = self._sign

    def approved(self, event: MeshEvent) -> None:
        """Who is let in is remembered with what is known of it."""
        if self.desk is not None and isinstance(event, PeerApproved):
            self._node.switch.note_sealing(event.device_id, self.desk.is_known_to_seal(event.device_id))

    def close(self, signal: OutboundSignal) -> Carried | None:
        return signal if self.desk is None else self.desk.close(signal)

    def read(self, item: InboundSignal | Sealed) -> InboundSignal | None:
        """What the engine hears of an item in the room; None for nothing."""
        match item:
            case Announced():
                return self.announced(item)
            case Left():
                return self._left(item)
            case Sealed():
                return None if self.desk is None else self.desk.open(item, item.key, self._node.now())
            case OfferReceived() | AnswerReceived() | CandidateReceived():
                return item if self.desk is None or self.desk.admits(item) else None
            case _:
                return item

    def announced(self, item: Announced) -> InboundSignal | None:
        """The same of an announce."""
        if item.peer == self._node.device_id:
            self._misspoken_for(item)
            return None
        if self.desk is not None:
            said = Said(item.peer, item.key, item.at)
            heard = self.desk.announced(said, item.caps, item.signed, self._node.now().mono)
            if heard is Heard.STALE:
                return StaleAnnounce(item.peer)
            if heard not in (Heard.GOOD, Heard.CLEAR):
                return None
        return PeerAnnounced(item.peer, again=self._announcers.announced(item.peer, item.key))

    def _left(self, item: Left) -> InboundSignal | None:
        if self._announcers.is_former(item.peer, item.key):
            return None
        is_signed = None
        if self.desk is not None:
            heard = self.desk.left(Said(item.peer, item.key, item.at), item.signed)
            if heard in (Heard.DOUBTED, Heard.FORGED):
                return PeerLeft(item.peer, is_signed=False) if heard is Heard.DOUBTED else None
            is_signed = True if heard is Heard.GOOD else None
        self._announcers.left(item.peer)
        return PeerLeft(item.peer, is_signed)

    def _misspoken_for(self, item: Announced) -> None:
        if self.desk is not None and item.signed is None and self.desk.should_correct(self._node.now().mono):
            self._room.publish(self._node.device_id, Announce())

    def _sign(self, item: Announced | Left) -> Announced | Left:
        assert self.desk is not None
        now = self._node.now()
        if isinstance(item, Left):
            at = max(self._last_at, now.wall_ms // 1000)
            return replace(item, at=at, signed=self.desk.sign_leave(at, item.key))
        at = now.wall_ms // 1000
        if at <= self._last_at <= at + 2:  # two of one second would be one
            at = self._last_at + 1
        self._last_at = at
        caps = ("ptag", *self.desk.caps)
        return replace(item, at=at, caps=caps, signed=self.desk.sign_announce(at, item.key, caps, now.mono))
