"""A room inside one process, for tests and for several meshes of one embedder (spec 03 §17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define

from myownmesh.protocol.signals import (
    Announce,
    AnswerReceived,
    CandidateReceived,
    InboundSignal,
    Leave,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    SendAnswer,
    SendCandidate,
    SendOffer,
    StandAside,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.protocol.signals import (
        OutboundSignal,
    )
    from myownmesh.signaling.standing import News, RelayReport

QUEUE_CAPACITY = 1024
"""Signals that may wait for a member that does not run; older ones are lost, as on any relay."""


@define(eq=False)
class Member:
    """One device in one room, with what it has not taken yet."""

    device_id: str
    announces: bool
    send: trio.MemorySendChannel[InboundSignal]
    receive: trio.MemoryReceiveChannel[InboundSignal]

    def tell(self, signal: InboundSignal) -> None:
        try:
            self.send.send_nowait(signal)
        except trio.WouldBlock:
            self.receive.receive_nowait()
            self.send.send_nowait(signal)


class Broker:
    """All rooms of one process. Everything happens on the thread that runs trio."""

    def __init__(self) -> None:
        self._rooms: dict[str, list[Member]] = {}

    def signaling(self, room: str, device_id: str, *, listen_only: bool = False) -> BrokerSignaling:
        """A driver for one device in one room; it joins when it runs."""
        return BrokerSignaling(self, room, device_id, listen_only=listen_only)

    def rooms(self) -> list[str]:
        """Rooms with at least one member."""
        return list(self._rooms)

    def join(self, room: str, member: Member) -> None:
        """Member and room hear of each other."""
        members = self._rooms.setdefault(room, [])
        for other in members:
            if member.announces:
                other.tell(PeerAnnounced(member.device_id))
            if other.announces:
                member.tell(PeerAnnounced(other.device_id))
        members.append(member)

    def part(self, room: str, member: Member) -> None:
        """The member is gone; all entries of its device go with it."""
        members = self._rooms[room]
        members[:] = [other for other in members if other.device_id != member.device_id]
        if member.announces:
            for other in members:
                other.tell(PeerLeft(member.device_id))
        if not members:
            del self._rooms[room]

    def others(self, room: str, device_id: str) -> list[Member]:
        """Everybody in the room but this device."""
        return [member for member in self._rooms.get(room, ()) if member.device_id != device_id]


class BrokerSignaling:
    """Implements `signaling.driver.Signaling` without a network; nothing is lost, paced or repeated."""

    def __init__(self, broker: Broker, room: str, device_id: str, *, listen_only: bool) -> None:
        self._broker = broker
        self._room = room
        self._device_id = device_id
        self._listen_only = listen_only
        self._joined = False
        self._left = False
        self.on_up: Callable[[], None] = _nobody
        """Called when the room is joined; whoever runs this may set it."""
        self.on_news: Callable[[News], None] = _no_news
        """Never called: nothing stands between the members."""

    def report(self) -> list[RelayReport]:
        """There is no relay."""
        return []

    def publish(self, signal: OutboundSignal) -> None:
        if not self._joined or self._left:
            # Nothing follows a leave, and nobody is in a room that was not joined.
            return
        me = self._device_id
        match signal:
            case Announce():
                self._tell_all(PeerAnnounced(me))
            case Leave():
                self._left = True
                self._tell_all(PeerLeft(me))
            case SendOffer(peer, sdp, offer_id):
                self._tell(peer, OfferReceived(me, sdp, offer_id))
            case SendAnswer(peer, sdp, offer_id):
                self._tell(peer, AnswerReceived(me, sdp, offer_id))
            case SendCandidate(peer, candidate):
                self._tell(peer, CandidateReceived(me, candidate))
            case StandAside():
                pass  # one process has one identity

    def redial(self) -> None:
        """There is no connection to replace."""

    async def run(
        self, deliver: Callable[[InboundSignal], None], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        send, receive = trio.open_memory_channel[InboundSignal](QUEUE_CAPACITY)
        member = Member(self._device_id, not self._listen_only, send, receive)
        self._broker.join(self._room, member)
        self._joined = True
        self.publish(Announce())
        self.on_up()
        task_status.started()
        try:
            async for signal in receive:
                deliver(signal)
        finally:
            self._joined = False
            self._broker.part(self._room, member)
            send.close()
            receive.close()

    def _tell(self, peer: str, signal: InboundSignal) -> None:
        for member in self._broker.others(self._room, self._device_id):
            if member.device_id == peer:
                member.tell(signal)

    def _tell_all(self, signal: InboundSignal) -> None:
        if self._listen_only:
            return
        for member in self._broker.others(self._room, self._device_id):
            member.tell(signal)


def _nobody() -> None:
    """Nobody asked."""


def _no_news(news: News) -> None:
    """Nobody asked."""
