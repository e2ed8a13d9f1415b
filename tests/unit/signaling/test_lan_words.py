"""What is said and heard in the local network: signed, sealed or clear, and judged like anything from a relay."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.lan import lines, txt
from myownmesh.lan.lines import BadLine
from myownmesh.lan.txt import Advert
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import (
    AnswerReceived,
    Candidate,
    CandidateReceived,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    SendAnswer,
    SendCandidate,
    SendOffer,
    SendSealed,
)
from myownmesh.sealing.desk import Desk, Surroundings
from myownmesh.signaling.gate import ContentGate
from myownmesh.signaling.lan_words import Words
from myownmesh.signaling.receive import Dropped
from support.probe import identity

if TYPE_CHECKING:
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.sealing.desk import Mode

ROOM = "ab" * 32
A, B = identity(1), identity(2)
NOW = Instant(100.0, 1_700_000_000_000)
OFFER_ID = "aaaqeayeaudao"


def words(number: int, mode: Mode | None = None, linked: tuple[str, ...] = ()) -> tuple[Words, Desk | None]:
    """One device; without a mode it signs and seals nothing, as v0.3.8."""
    device = identity(number)
    around = Surroundings(lambda _: False, lambda peer: peer in linked, lambda *_: None, lambda *_: None)
    desk = None if mode is None else Desk(device, ROOM, mode, random.Random(number), around)
    return Words(device_id=device.device_id, room=ROOM, gate=ContentGate(), desk=desk), desk


def heard(receiver: Words, data: bytes) -> InboundSignal | Dropped | None:
    line = receiver.sender_of(data.removesuffix(b"\n"))
    return None if line is None else receiver.hear(line, NOW, again=False)


def advert_of(sender: Words) -> Advert:
    found = txt.accepted(sender.advert(NOW), ROOM, "somebody")
    assert found is not None
    return found


def test_what_v038_says_is_heard() -> None:
    one, _ = words(1)
    other, _ = words(2)
    candidate = Candidate("candidate:1", "", 0, None)
    said = [
        (SendOffer(B.device_id, "sdp", OFFER_ID), OfferReceived(A.device_id, "sdp", OFFER_ID)),
        (SendAnswer(B.device_id, "sdp"), AnswerReceived(A.device_id, "sdp")),
        (SendCandidate(B.device_id, candidate), CandidateReceived(A.device_id, candidate)),
    ]
    for signal, expected in said:
        assert heard(other, one.line(signal)) == expected
        assert heard(other, one.line(signal)) is Dropped.REPEATED_CONTENT
    assert heard(other, one.announce_to(B.device_id, NOW)) == PeerAnnounced(A.device_id)
    assert one.advert(NOW) == {"v": "1", "room": ROOM, "peer": A.device_id}
    assert other.found(advert_of(one), NOW, again=False) == PeerAnnounced(A.device_id)
    assert other.lost(A.device_id) == PeerLeft(A.device_id)
    assert not other.is_linked(A.device_id)


def test_a_departure_is_no_line() -> None:
    other, _ = words(2)
    message = {"kind": "leave", "peer_id": A.device_id}
    assert heard(other, lines.encode(ROOM, A.device_id, B.device_id, message)) is Dropped.WRONG_KIND


def test_adverts_and_announces_are_signed_and_sealing_is_learned_from_them() -> None:
    one, desk = words(1, "prefer")
    other, other_desk = words(2, "prefer")
    assert desk is not None
    assert other_desk is not None
    assert other.found(advert_of(one), NOW, again=False) == PeerAnnounced(A.device_id)
    assert other_desk.seals(A.device_id)
    assert other.found(advert_of(one), NOW, again=True) == PeerAnnounced(A.device_id, again=True), "as old as it is"
    one.found(advert_of(other), NOW, again=False)
    for signal in (
        SendOffer(B.device_id, "sdp", OFFER_ID),
        SendCandidate(B.device_id, Candidate("candidate:1"), OFFER_ID),
    ):
        sealed = desk.close(signal)
        assert isinstance(sealed, SendSealed)
        got = heard(other, one.line(sealed))
        assert isinstance(got, OfferReceived | CandidateReceived), got
        assert heard(other, one.line(sealed)) is Dropped.REPEATED_CONTENT
    answer = other_desk.close(SendAnswer(A.device_id, "sdp", OFFER_ID))
    assert isinstance(answer, SendSealed)
    assert heard(one, other.line(answer)) == AnswerReceived(B.device_id, "sdp", OFFER_ID, sealed=True)


def test_nobody_speaks_in_the_name_of_a_device_that_signs() -> None:
    one, _ = words(1, "prefer")
    other, desk = words(2, "prefer")
    thief, _ = words(1)
    other.found(advert_of(one), NOW, again=False)
    assert desk is not None
    assert other.found(advert_of(thief), NOW, again=False) is Dropped.UNSIGNED
    assert heard(other, thief.announce_to(B.device_id, NOW)) is Dropped.UNSIGNED
    assert heard(other, thief.line(SendOffer(B.device_id, "sdp", OFFER_ID))) is Dropped.UNSIGNED
    forged = Advert(A.device_id, ("ptag", "esig1"), (1_800_000_000, "a" * 103))
    assert other.found(forged, NOW, again=False) is Dropped.FORGED
    assert other.lost(A.device_id) == PeerLeft(A.device_id, is_signed=False), "it does nothing without a channel"


def test_what_is_sealed_and_does_not_open_is_dropped() -> None:
    one, desk = words(1, "prefer")
    other, _ = words(2)
    third, _ = words(3, "prefer")
    one.found(advert_of(third), NOW, again=False)
    assert desk is not None
    sealed = desk.close(SendOffer(identity(3).device_id, "sdp", OFFER_ID))
    assert isinstance(sealed, SendSealed)
    for receiver, number in ((other, 2), (third, 3)):
        to = identity(number).device_id
        assert heard(receiver, one.line(SendSealed(to, "answer", OFFER_ID, sealed.eseal))) is Dropped.UNOPENED
    body = {"kind": "offer", "peer_id": A.device_id, "offer_id": "", "sdp": "clear", "eseal": "x"}
    assert heard(third, lines.encode(ROOM, A.device_id, identity(3).device_id, body)) is Dropped.UNOPENED


def frame(**members: Any) -> bytes:
    whole = {
        "v": 1,
        "room": ROOM,
        "from": A.device_id,
        "to": B.device_id,
        "msg": {"kind": "announce", "peer_id": members.get("from", A.device_id)},
    }
    return json.dumps(whole | members).encode()


@pytest.mark.parametrize(
    "members",
    [
        {"from": B.device_id},
        {"from": "no device"},
        {"to": A.device_id},
        {"room": "another"},
        {"v": 2},
        {"msg": {"kind": "announce", "peer_id": B.device_id}},
    ],
)
def test_lines_that_mean_nothing_here(members: dict[str, Any]) -> None:
    other, _ = words(2)
    assert other.sender_of(frame()) is not None
    assert other.sender_of(frame(**members)) is None
    assert other.sender_of(b"  ") is None


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "offer", "peer_id": A.device_id, "sdp": "x"},
        {"kind": "announce", "peer_id": A.device_id, "esig": 1},
        {"kind": "offer", "peer_id": A.device_id, "offer_id": "", "sdp": "", "eseal": 1},
    ],
)
def test_lines_after_which_nobody_is_listened_to(message: dict[str, Any]) -> None:
    other, _ = words(2, "prefer")
    line = other.sender_of(frame(msg=message))
    assert line is not None
    with pytest.raises(BadLine):
        other.hear(line, NOW, again=True)


def test_an_advert_of_no_device_is_nobody() -> None:
    other, _ = words(2)
    assert other.found(Advert("peer-1"), NOW, again=False) is Dropped.BAD_ENVELOPE


def test_whether_a_device_is_linked_is_the_networks_to_say() -> None:
    one, _ = words(1, "prefer", linked=(B.device_id,))
    assert one.is_linked(B.device_id)
    assert not one.is_linked(identity(3).device_id)
