"""What is signed, sealed, opened and believed (spec 11 §2, §4): each cell of its table, each way to break it."""

from __future__ import annotations

import itertools
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from msgspec.structs import replace

from myownmesh.identity import Identity
from myownmesh.protocol import base32, base64url
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import (
    AnswerReceived,
    Candidate,
    CandidateReceived,
    OfferReceived,
    SealedReceived,
    SendAnswer,
    SendCandidate,
    SendOffer,
    SendSealed,
)
from myownmesh.sealing import box, desk
from myownmesh.sealing.announce import Signed
from myownmesh.sealing.box import MAX_SEALED_CHARACTERS, Pair, Way, seal
from myownmesh.sealing.budgets import OTHERS_PER_S
from myownmesh.sealing.contents import padded
from myownmesh.sealing.desk import CORRECTED_GAP_S, FRESH_S, OWN_TIMES, Desk, Heard, Said, Surroundings
from myownmesh.sealing.devices import FORMS
from myownmesh.sealing.keys import public_of, secret_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.protocol.signals import SealedKind
    from myownmesh.sealing.contents import SealedOffer
    from myownmesh.sealing.desk import Clear, Mode

ROOM = "fb5600cd865da754c5cba246a45166327d63336d871dbb81c10d8d957f9615de"
A, B, C = (Identity.from_seed(bytes([each]) * 32) for each in (7, 8, 9))
CANDIDATE = Candidate("candidate:1 1 udp 1 192.0.2.1 5000 typ host", "0", 0, None)
T = 1_800_000_000


@define(eq=False)
class Party:
    """One process with its desk, and what the desk said of others."""

    identity: Identity
    mode: Mode = "prefer"
    key: str = "k"
    mono: float = 1000.0
    at: int = T
    linked: set[str] = field(factory=set)
    rostered: set[str] = field(factory=set)
    """Whom its roster remembers to seal."""
    changes: list[tuple[str, bool]] = field(factory=list)
    told: list[str] = field(factory=list)
    _rng: Random = field(factory=lambda: Random(1))
    desk: Desk = field(init=False)

    def __attrs_post_init__(self) -> None:
        around = Surroundings(
            is_known_to_seal=self.rostered.__contains__,
            is_linked=self.linked.__contains__,
            changed=lambda peer, seals: self.changes.append((peer, seals)),
            tell=lambda text, _: self.told.append(text),
        )
        self.desk = Desk(self.identity, ROOM, self.mode, self._rng, around)

    @property
    def id(self) -> str:
        return self.identity.device_id

    def announce(self) -> tuple[Said, tuple[str, ...], Signed]:
        self.at += 1
        caps = ("ptag", *self.desk.caps)
        return Said(self.id, self.key, self.at), caps, self.desk.sign_announce(self.at, self.key, caps, self.mono)

    def hears(self, other: Party) -> Heard:
        return self.desk.announced(*other.announce(), self.mono)

    def hears_clear(self, peer: str) -> Heard:
        return self.desk.announced(Said(peer, "anybody", T), ("ptag", "eseal1", "esig1"), None, self.mono)

    def offer(self, other: Party, sdp: str = "v=0 of an offer") -> Any:
        return self.desk.close(SendOffer(other.id, sdp, new_offer_id(self.id, other.id, self._rng)))

    def take(self, sender: Party, sent: Any) -> Clear | None:
        """What becomes of something in the room."""
        if isinstance(sent, SendSealed):
            message = SealedReceived(sender.id, sent.kind, sent.offer_id, sent.eseal)
            return self.desk.open(message, sender.key, Instant(self.mono, 0))
        assert sent is not None
        signal = as_received(sender.id, sent)
        return signal if self.desk.admits(signal) else None


def sealed_by(sender: Party, receiver: Party, kind: SealedKind, offer_id: str, content: SealedOffer | Candidate) -> Any:
    """A message that its sender's desk would not make."""
    ours, theirs = public_of(sender.id), public_of(receiver.id)
    assert ours is not None
    assert theirs is not None
    pair = Pair(secret_of(sender.identity.seed), ours, theirs)
    text = seal(pair, Way(ROOM, sender.id, receiver.id, kind, offer_id), padded(content), bytes(range(32)))
    assert text is not None
    return SendSealed(receiver.id, kind, offer_id, text)


def as_received(sender: str, sent: SendOffer | SendAnswer | SendCandidate) -> Clear:
    match sent:
        case SendOffer(sdp=sdp, offer_id=offer_id):
            return OfferReceived(sender, sdp, offer_id)
        case SendAnswer(sdp=sdp, offer_id=offer_id):
            return AnswerReceived(sender, sdp, offer_id)
        case SendCandidate(candidate=candidate):
            return CandidateReceived(sender, candidate)


def met(a: Party | None = None, b: Party | None = None) -> tuple[Party, Party]:
    """Two who have heard each other."""
    a, b = a or Party(A), b or Party(B)
    assert a.hears(b) is Heard.GOOD
    assert b.hears(a) is Heard.GOOD
    return a, b


# ── the way of a meeting ──────────────────────────────────────────────────────────────────────────────────────────────


def test_two_who_heard_each_other_seal_all_of_it() -> None:
    a, b = met()
    offer = a.offer(b)
    assert isinstance(offer, SendSealed)
    taken = b.take(a, offer)
    assert taken == OfferReceived(a.id, "v=0 of an offer", offer.offer_id, sealed=True, is_fresh=True)
    answer = b.desk.close(SendAnswer(a.id, "v=0 of an answer", offer.offer_id))
    assert isinstance(answer, SendSealed)
    assert a.take(b, answer) == AnswerReceived(b.id, "v=0 of an answer", offer.offer_id, sealed=True)
    for one, other in ((a, b), (b, a)):
        sent = one.desk.close(SendCandidate(other.id, CANDIDATE, offer.offer_id))
        assert isinstance(sent, SendSealed)
        assert other.take(one, sent) == CandidateReceived(one.id, CANDIDATE)
    assert a.changes == [(b.id, True)]
    assert b.changes == [(a.id, True)]
    assert not a.told
    assert not b.told


def test_no_message_shows_what_it_says_and_none_is_like_another() -> None:
    a, b = met()
    sent = [a.offer(b), a.offer(b)]
    assert sent[0].eseal[:43] != sent[1].eseal[:43], "another key each time"
    assert all(len(base64url.decode(each.eseal)) % 256 == 32 + 16 for each in sent), "sizes in steps"


def test_a_candidate_that_overtakes_its_offer_is_opened() -> None:
    a, b = met()
    offer = a.offer(b)
    candidate = a.desk.close(SendCandidate(b.id, CANDIDATE, offer.offer_id))
    assert b.take(a, candidate) == CandidateReceived(a.id, CANDIDATE)
    assert b.take(a, offer) is not None


def test_who_only_listens_is_known_by_what_it_seals() -> None:
    listener, b = Party(A), Party(B)
    listener.hears(b)
    assert not b.desk.seals(A.device_id), "it has announced nothing"
    offer = listener.offer(b)
    taken = b.take(listener, offer)
    assert isinstance(taken, OfferReceived)
    assert taken.is_fresh
    assert b.desk.seals(A.device_id)
    assert isinstance(b.offer(listener), SendSealed)


# ── the table of §2.2 ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", ["prefer", "require", "off"])
def test_what_is_sent_to_whom(mode: Mode) -> None:
    sealer = met(Party(A, mode), Party(B))[0]
    assert isinstance(sealer.offer(Party(B)), SendOffer if mode == "off" else SendSealed)
    stranger = Party(A, mode)
    sent = stranger.offer(Party(B))
    assert sent is None if mode == "require" else isinstance(sent, SendOffer)
    assert bool(stranger.told) is (mode == "require"), "and it is said why nothing goes out"


@pytest.mark.parametrize(
    ("mode", "announce", "clear_offer", "sealed_offer"),
    [
        ("prefer", Heard.CLEAR, True, True),
        ("require", Heard.DOUBTED, False, True),
        ("off", Heard.CLEAR, True, False),
    ],
)
def test_what_counts_of_a_device_that_is_not_known_to_seal(
    mode: Mode, announce: Heard, clear_offer: bool, sealed_offer: bool
) -> None:
    us, other = Party(A, mode), Party(B)
    assert us.hears_clear(other.id) is announce
    assert (us.take(other, SendOffer(us.id, "v=0", "o")) is not None) is clear_offer
    other.hears(us)
    sealed = other.offer(us)
    assert isinstance(sealed, SendOffer if mode == "off" else SendSealed)
    if sealed_offer:
        taken = us.take(other, sealed)
        assert isinstance(taken, OfferReceived)
        assert taken.is_fresh
        assert us.desk.seals(other.id)


def test_a_sealed_offer_that_is_not_fresh_is_opened_and_proves_nothing_lasting() -> None:
    us, other = Party(A), Party(B)
    other.hears(Party(A))
    sealed = other.offer(us)
    taken = us.take(other, sealed)
    assert taken == OfferReceived(other.id, "v=0 of an offer", sealed.offer_id, sealed=True, is_fresh=False)
    assert not us.desk.seals(other.id)
    assert isinstance(us.desk.close(SendAnswer(other.id, "v=0", sealed.offer_id)), SendSealed), "the form of its offer"


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_of_a_device_that_seals_nothing_clear_counts(mode: Mode) -> None:
    us, other = met(Party(A, mode), Party(B))
    assert us.hears_clear(other.id) is Heard.DOUBTED
    assert us.take(other, SendOffer(us.id, "v=0", "o")) is None
    offer = us.offer(other)
    assert us.take(other, SendAnswer(us.id, "v=0", offer.offer_id)) is None
    assert us.take(other, SendAnswer(us.id, "v=0", "")) is None
    assert us.take(other, SendCandidate(us.id, CANDIDATE)) is None
    assert us.desk.left(Said(other.id, "anybody", T + 99), None) is Heard.DOUBTED


def test_with_sealing_off_the_same_is_taken_as_ever() -> None:
    us, other = met(Party(A, "off"), Party(B))
    assert us.hears_clear(other.id) is Heard.CLEAR
    assert us.take(other, SendOffer(us.id, "v=0", "o")) is not None
    offer = us.offer(other)
    assert us.take(other, SendAnswer(us.id, "v=0", offer.offer_id)) is not None
    assert us.take(other, SendCandidate(us.id, CANDIDATE)) is not None
    for sent in (SendAnswer(other.id, "v=0", offer.offer_id), SendCandidate(other.id, CANDIDATE, offer.offer_id)):
        assert us.desk.close(sent) is sent
    assert us.desk.left(Said(other.id, "anybody", T + 99), None) is Heard.CLEAR
    assert us.desk.caps == ("esig1",)
    assert us.desk.is_known_to_seal(other.id), "what the roster is told of it is true all the same"
    assert not us.desk.seals(other.id)


def test_what_belongs_to_a_clear_offer_is_clear_and_only_clear() -> None:
    """Of a device that begins to seal meanwhile, too."""
    us, other = Party(A), Party(B)
    ours = us.offer(other)
    assert isinstance(ours, SendOffer)
    us.hears(other)
    assert us.desk.seals(other.id)
    assert isinstance(us.desk.close(SendCandidate(other.id, CANDIDATE, ours.offer_id)), SendCandidate)
    assert us.take(other, SendAnswer(us.id, "v=0", ours.offer_id)) is not None
    assert us.take(other, SendCandidate(us.id, CANDIDATE)) is not None
    other.hears(us)
    sealed = sealed_by(other, us, "candidate", ours.offer_id, CANDIDATE)
    assert us.take(other, sealed) is None, "the other form"


def test_what_belongs_to_an_offer_that_is_forgotten_has_the_form_that_its_device_has_now() -> None:
    us, other = Party(A), Party(B)
    first = us.offer(other)
    us.hears(other)
    candidate = SendCandidate(other.id, CANDIDATE, first.offer_id)
    for _ in range(FORMS - 1):
        us.offer(other)
    assert us.desk.close(candidate) is candidate, "it was clear, and is remembered"
    us.offer(other)
    assert isinstance(us.desk.close(candidate), SendSealed)
    of_v038 = SendCandidate(other.id, CANDIDATE, "no id of ours")
    assert us.desk.close(of_v038) is of_v038, "no sealed message may name it"


@pytest.mark.parametrize(("mode", "is_sealed"), [("prefer", False), ("require", True)])
def test_an_answer_to_a_device_not_heard_of_yet_is_sealed_where_everything_is(mode: Mode, is_sealed: bool) -> None:
    us = Party(A, mode)
    sent = us.desk.close(SendAnswer(B.device_id, "v=0", new_offer_id(B.device_id, us.id, Random(3))))
    assert isinstance(sent, SendSealed if is_sealed else SendAnswer)


@pytest.mark.parametrize(
    ("mode", "is_rostered", "acts"), [("prefer", False, True), ("prefer", True, False), ("require", False, False)]
)
def test_an_answer_or_candidate_in_clear_of_a_device_not_heard_of_yet(
    mode: Mode, is_rostered: bool, acts: bool
) -> None:
    us, other = Party(A, mode), Party(B)
    if is_rostered:
        us.rostered.add(other.id)
    for sent in (SendAnswer(us.id, "v=0", "o"), SendAnswer(us.id, "v=0", ""), SendCandidate(us.id, CANDIDATE)):
        assert (us.take(other, sent) is not None) is acts


def test_a_device_in_another_mode_does_not_seal() -> None:
    us, other = Party(A), Party(B, "off")
    assert us.hears(other) is Heard.GOOD
    assert isinstance(us.offer(other), SendOffer)
    strict = Party(C, "require")
    assert strict.hears(other) is Heard.DOUBTED, "as a clear one"


# ── what must not act ─────────────────────────────────────────────────────────────────────────────────────────────────


def tampered(sent: SendSealed) -> list[SendSealed]:
    data = base64url.decode(sent.eseal)
    flipped = [bytes((*data[:at], data[at] ^ 1, *data[at + 1 :])) for at in (0, 31, 32, len(data) - 1)]
    return [
        *(replace(sent, eseal=base64url.encode(each)) for each in (*flipped, data[:-1], data[:47], b"")),
        *(replace(sent, kind=kind) for kind in ("answer", "candidate")),
        replace(sent, offer_id=new_offer_id(A.device_id, B.device_id, Random(99))),
        replace(sent, offer_id=sent.offer_id.upper()),
        replace(sent, offer_id=""),
        replace(sent, eseal=sent.eseal + "="),
        replace(sent, eseal="A" * (MAX_SEALED_CHARACTERS + 1)),
    ]


def test_nothing_of_a_message_may_be_changed() -> None:
    a, b = met()
    for each in tampered(a.offer(b)):
        assert b.take(a, each) is None


def test_a_message_is_for_one_receiver_of_one_sender_in_one_room() -> None:
    a, b = met()
    offer = a.offer(b)
    assert met(Party(A), Party(C))[1].take(a, offer) is None
    assert b.take(Party(C), offer) is None
    elsewhere = Party(B)
    elsewhere.desk = Desk(B, ROOM[::-1], "prefer", Random(1), Surroundings(bool, bool, print, print))
    assert elsewhere.take(a, offer) is None


def test_a_replayed_offer_is_none() -> None:
    a, b = met()
    offer = a.offer(b)
    assert b.take(a, offer) is not None
    assert b.take(a, offer) is None


def test_an_answer_to_no_offer_is_not_even_opened() -> None:
    a, b = met()
    made = sealed_by(b, a, "answer", new_offer_id(a.id, b.id, Random(5)), CANDIDATE)
    assert a.take(b, made) is None
    assert a.desk.unopened == 0


@pytest.mark.parametrize(
    "key", ["00" * 32, "01" + "00" * 31, "ff" * 32, "ed" + "ff" * 30 + "7f"], ids=["zero", "one", "large", "p"]
)
def test_an_id_that_cannot_seal_neither_gets_nor_sends_anything_sealed(key: str) -> None:
    us, bad = Party(A), base32.encode(bytes.fromhex(key))
    assert us.desk.announced(Said(bad, "k", T), ("ptag", "eseal1", "esig1"), Signed(T, "a" * 103), 0.0) is Heard.FORGED
    assert not us.desk.seals(bad)
    assert isinstance(us.desk.close(SendOffer(bad, "v=0", "aaaqeayeaudao")), SendOffer)
    sealed = SealedReceived(bad, "offer", "aaaqeayeaudao", base64url.encode(bytes(range(200))))
    assert us.desk.open(sealed, "k", Instant(1000.0, 0)) is None


def test_contents_of_another_form_are_nothing() -> None:
    a, b = met()
    offer = a.offer(b)
    for kind, content in (("offer", CANDIDATE), ("candidate", Candidate("x"))):
        made = sealed_by(a, b, kind, offer.offer_id, content)
        assert (b.take(a, made) is None) is (kind == "offer")
    assert b.desk.unopened == 1


def test_what_does_not_open_is_counted_and_told_of_once_a_minute() -> None:
    a, b = met()
    wrong = replace(a.offer(b), kind="candidate")
    for _ in range(5):
        assert b.take(a, wrong) is None
    assert b.desk.unopened == 5
    assert len(b.told) == 1
    b.mono += 61
    b.take(a, wrong)
    assert len(b.told) == 2


def test_a_description_that_does_not_fit_is_not_sent_and_that_is_said() -> None:
    a, b = met()
    assert a.offer(b, "v" * 20_000) is None
    assert len(a.told) == 1


def test_a_flood_in_a_devices_name_leaves_its_own_messages_a_way_in() -> None:
    a, b = met()
    rubbish = SendSealed(b.id, "offer", "aaaqeayeaudao", base64url.encode(bytes(range(250))))
    a.key, own = "forged", a.key
    for _ in range(1000):
        b.take(a, rubbish)
    assert b.desk.unopened == 100, "that many were tried, and no more"
    assert b.take(a, a.offer(b)) is None
    a.key = own
    assert b.take(a, a.offer(b)) is not None


@pytest.mark.parametrize("senders", [1, 1000], ids=["one id", "an id for each"])
@pytest.mark.heavy
def test_a_flood_costs_no_more_than_the_messages_that_may_be_tried(
    senders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in what costs: agreements, and keys that are derived from ids."""
    us = Party(A)
    strangers = [Party(Identity.from_seed(number.to_bytes(32, "big"))) for number in range(1, senders + 1)]
    costs: list[str] = []

    def counted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def does(*arguments: object) -> Any:
            costs.append(name)
            return work(*arguments)

        return does

    monkeypatch.setattr(box, "agreed", counted("agreement", box.agreed))
    monkeypatch.setattr(desk, "public_of", counted("key", desk.public_of))
    rubbish = SendSealed(us.id, "offer", "aaaqeayeaudao", base64url.encode(bytes(range(250))))
    for number in range(1000):
        assert us.take(strangers[number % senders], rubbish) is None
    assert us.desk.unopened == OTHERS_PER_S
    known = min(senders, OTHERS_PER_S)
    assert costs.count("key") == known
    assert costs.count("agreement") == OTHERS_PER_S + known, "one for each message, and one for each device"


def test_what_two_devices_agree_on_is_calculated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = met()
    calls: list[bytes] = []
    own = box.agreed
    monkeypatch.setattr(box, "agreed", lambda secret, public: calls.append(public) or own(secret, public))
    for _ in range(10):
        assert b.take(a, a.offer(b)) is not None
    assert len(calls) == 22, "two for the pair, and of each message one to seal it and one to open it"


# ── announces and leaves ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_forged_announce_of_any_kind_is_dropped() -> None:
    us, other = Party(A), Party(B)
    said, caps, signed = other.announce()
    bad = [
        (Said(said.peer, "moved", said.at), caps, signed),
        (Said(C.device_id, said.key, said.at), caps, signed),
        (Said(said.peer, said.key, said.at + 1), caps, signed),
        (said, caps, Signed(signed.t + 1, signed.s)),
        (said, ("ptag",), signed),
        (said, (*caps, "more"), signed),
        (said, ("ptag", "eseal1,esig1"), signed),
        (said, caps * 6, signed),
        (said, caps, Signed(signed.t, signed.s[:-1])),
        (said, caps, Signed(signed.t, signed.s.upper())),
        (said, caps, Signed(signed.t, "")),
    ]
    for each in bad:
        assert us.desk.announced(*each, us.mono) is Heard.FORGED
    assert us.changes == []
    assert us.desk.announced(said, caps, signed, us.mono) is Heard.GOOD


def test_a_replayed_announce_is_stale() -> None:
    us, other = Party(A), Party(B)
    first = other.announce()
    assert us.desk.announced(*first, us.mono) is Heard.GOOD
    assert us.desk.announced(*first, us.mono) is Heard.STALE


def test_a_leave_that_is_signed_by_the_newest_process_is_good() -> None:
    us, other = met()
    said = Said(other.id, other.key, other.at)
    assert us.desk.left(said, other.desk.sign_leave(other.at, "moved")) is Heard.FORGED
    assert us.desk.left(Said(other.id, other.key, other.at - 1), other.desk.sign_leave(other.at - 1, other.key)) is (
        Heard.DOUBTED
    )
    assert us.desk.left(said, other.desk.sign_leave(other.at, other.key)) is Heard.GOOD


def test_a_device_that_turned_into_v038_is_met_in_clear_after_ten_minutes_and_sealed_when_it_is_back() -> None:
    us, other = met()
    for _ in range(6):
        assert us.hears_clear(other.id) is (Heard.DOUBTED if us.mono < 1600 else Heard.CLEAR)
        us.mono += 120
    assert us.changes == [(other.id, True), (other.id, False)]
    assert isinstance(us.offer(other), SendOffer)
    assert us.take(other, SendOffer(us.id, "v=0", "o")) is not None
    other.key, other.at = "another start", other.at + 5
    assert us.hears(other) is Heard.GOOD
    assert isinstance(us.offer(other), SendSealed)


def test_an_admitted_link_says_more_than_clear_announces() -> None:
    us, other = met()
    us.linked.add(other.id)
    for _ in range(10):
        assert us.hears_clear(other.id) is Heard.DOUBTED
        us.mono += 120
    us.linked.clear()
    us.desk.link_ended(other.id)
    assert us.hears_clear(other.id) is Heard.DOUBTED


def test_the_end_of_a_link_to_a_device_that_memory_pushed_out_does_not_bring_it_back() -> None:
    us = Party(A)
    us.desk.link_ended(B.device_id)
    us.rostered.add(B.device_id)
    assert us.desk.seals(B.device_id), "the roster is asked, as of whoever was not heard of"
    assert us.changes == []


def test_clear_announces_in_our_own_name_are_corrected_once_in_four_minutes() -> None:
    us = Party(A)
    assert [us.desk.should_correct(at) for at in (0.0, 1.0, CORRECTED_GAP_S - 1, CORRECTED_GAP_S)] == [
        True,
        False,
        False,
        True,
    ]
    assert not us.desk.is_forged_in_our_name(*Party(A).announce())
    said, caps, signed = Party(B).announce()
    assert us.desk.is_forged_in_our_name(Said(A.device_id, said.key, said.at), caps, signed)


def test_an_offer_is_fresh_for_a_quarter_of_an_hour() -> None:
    for late_s, is_fresh in ((FRESH_S, True), (FRESH_S + 1, False)):
        a, b = met()
        offer = a.offer(b)
        b.mono += late_s
        taken = b.take(a, offer)
        assert isinstance(taken, OfferReceived)
        assert taken.is_fresh is is_fresh


def test_an_offer_for_an_announce_that_is_older_than_the_remembered_ones_is_not_fresh() -> None:
    for later, is_fresh in ((OWN_TIMES - 1, True), (OWN_TIMES, False)):
        a, b = met()
        offer = a.offer(b)
        for _ in range(later):
            b.announce()
        taken = b.take(a, offer)
        assert isinstance(taken, OfferReceived)
        assert taken.is_fresh is is_fresh


def test_no_two_messages_share_a_key() -> None:
    a, b = met()
    keys = [base64url.decode(a.offer(b).eseal)[:32] for _ in range(50)]
    assert all(one != other for one, other in itertools.combinations(keys, 2))


def test_whether_a_device_is_linked_is_the_networks_to_say() -> None:
    party = Party(A)
    party.linked.add(B.device_id)
    assert party.desk.is_linked(B.device_id)
    assert not party.desk.is_linked(A.device_id)
