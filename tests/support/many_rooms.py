"""One hosted relay with many rooms, in each of which two devices meet: what a relay has to do, sealed or in clear."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from attrs import define

from myownmesh.identity import Identity
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import (
    Candidate,
    OfferReceived,
    SealedReceived,
    SendAnswer,
    SendCandidate,
    SendOffer,
    SendSealed,
)
from myownmesh.sealing.desk import Desk, Said, Surroundings
from myownmesh.signaling.nostr import NostrKey
from myownmesh.signaling.outbound import EventWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownmesh.protocol.signals import Carried
    from myownmesh.relay.client import Client
    from myownmesh.relay.hub import Hub
    from myownmesh.sealing.desk import Mode
    from myownmesh.signaling.outbound import Outbound

WALL_S = 1_800_000_000
CANDIDATE = "candidate:1 1 udp 2130706431 192.168.1.5 {} typ host"
SDP = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" + "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
CANDIDATES = 4
"""Of either side of a meeting."""


def nothing(*_told: object) -> bool:
    return False


@define(eq=False)
class Speaker:
    """A device in a room, and its connection to the relay."""

    identity: Identity
    desk: Desk
    writer: EventWriter
    client: Client

    @classmethod
    def at(cls, hub: Hub, number: int, room: str, mode: Mode) -> Speaker:
        identity = Identity.from_seed(number.to_bytes(32, "big"))
        desk = Desk(identity, room, mode, Random(number), Surroundings(nothing, nothing, nothing, nothing))
        client = hub.connect(f"10.0.{number // 256}.{number % 256}", 0.0)
        assert client is not None
        key = NostrKey.generate(Random(number))
        return cls(identity, desk, EventWriter(device_id=identity.device_id, room=room, key=key, desk=desk), client)

    @property
    def id(self) -> str:
        return self.identity.device_id

    def hears(self, other: Speaker, announced: Outbound) -> None:
        """Its announce, as from the relay."""
        said = Said(other.id, announced.event.pubkey, announced.event.created_at)
        caps = ("ptag", *other.desk.caps)
        self.desk.announced(said, caps, other.desk.sign_announce(said.at, said.key, caps, 0.0), 0.0)

    def takes(self, other: Speaker, offer: Carried | None) -> None:
        if isinstance(offer, SendSealed):
            message = SealedReceived(other.id, offer.kind, offer.offer_id, offer.eseal)
            assert self.desk.open(message, other.writer.key.pubkey, Instant(0.0, 0)) is not None
        else:
            assert isinstance(offer, SendOffer)
            assert self.desk.admits(OfferReceived(other.id, offer.sdp, offer.offer_id))

    def says(self, signal: SendOffer | SendAnswer | SendCandidate) -> Outbound:
        closed: Carried | None = self.desk.close(signal)
        match closed:
            case SendSealed():
                return self.writer.sealed(closed, 0.0, WALL_S)
            case SendOffer():
                return self.writer.offer(closed, 0.0, WALL_S)
            case SendAnswer():
                return self.writer.answer(closed, 0.0, WALL_S)
            case SendCandidate():
                return self.writer.candidate(closed, 0.0, WALL_S)
            case _:
                raise AssertionError(f"{signal} is not sent")


def met(hub: Hub, number: int, mode: Mode) -> Iterator[tuple[Client, str]]:
    """Two devices come into a room of their own, meet and leave: what each says to the relay, in order."""
    room = f"{number:064x}"
    one, other = (Speaker.at(hub, 2 * number + each, room, mode) for each in (1, 2))
    for each in (one, other):
        yield each.client, f'["REQ","room",{{"kinds":[1077,21077],"#r":["{room}"]}}]'
    announces = [each.writer.announce({"relay"}, 0.0, WALL_S) for each in (one, other)]
    for each, announced in zip((one, other), announces, strict=True):
        assert announced is not None
        yield published(each, announced)
    for each, announced in zip((other, one), announces, strict=True):
        assert announced is not None
        each.hears(one if each is other else other, announced)
    offer_id = new_offer_id(one.id, other.id, Random(number))
    offer = SendOffer(other.id, SDP, offer_id)
    other.takes(one, one.desk.close(offer))  # the answer has the form of its offer
    yield published(one, one.says(offer))
    yield published(other, other.says(SendAnswer(one.id, SDP, offer_id)))
    for port in range(50_000, 50_000 + CANDIDATES):
        candidate = Candidate(CANDIDATE.format(port), "0", 0, None)
        for each, peer in ((one, other), (other, one)):
            yield published(each, each.says(SendCandidate(peer.id, candidate, offer_id)))
    for each in (one, other):
        yield published(each, each.writer.leave(0.0, WALL_S))


def published(speaker: Speaker, outbound: Outbound) -> tuple[Client, str]:
    return speaker.client, f'["EVENT",{outbound.event.json()}]'
