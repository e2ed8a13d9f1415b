"""The flight recorder in a network with owners: what is signed decides as it did, and nobody is told."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import msgspec
import pytest

from myownmesh.flight.playing import Player
from myownmesh.flight.recording import BadRecording, read, written
from myownmesh.flight.redaction import Redactor, ids_in
from myownmesh.flight.signed import NETWORK as TOLD
from myownmesh.flight.signed import Substitutes
from myownmesh.governance.copies import Copy
from myownmesh.governance.log import EMPTY
from myownmesh.governance.member_log import EMPTY as NO_MEMBERS
from myownmesh.governance.rules import STRICT
from myownmesh.governance.signed_bytes import denied_bytes
from myownmesh.governance.sync import log_digest
from myownmesh.protocol import base32
from myownmesh.protocol.codec import decode_frame, encode_frame
from myownmesh.protocol.frames import (
    NetworkState,
    NetworkStateAck,
    NetworkStatePropose,
    NetworkStateSplit,
    RosterEntries,
    RosterEntry,
    RosterRequest,
)
from myownmesh.protocol.transitions import KindChange, RoleGrant, UnknownVariant
from myownmesh.simulator import node as nodes
from myownmesh.simulator.assembly import Assembly, Sitting
from support.governance import ALICE, BOB, CAROL, DEVICES, IDS, NAMES, NETWORK, entry, log_of, sign
from unit.flight.test_flight import SALT, Decided, shape_of

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.protocol.frames import Frame


def decided(actions: list[str]) -> list[str]:
    """Of answers to one question the number of frames is not told: which entries stand in one bucket is by chance."""
    return [word for word, _ in groupby(actions)]


def what_holds(book: Book) -> tuple[object, ...]:
    """Of two books whose ids differ."""
    seats = sorted(book.standing.roles.values())
    counts = [len(book.log), book.members.count, len(book.branches.others), len(book.memory.seen)]
    return (*counts, len(book.memory.spent), len(book.proposals.records), seats, sorted(book.pin.evicted.values()))


@pytest.mark.heavy
def test_owners_who_decide_while_they_are_apart_decide_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two branches, a merge, an eviction, a grant, a device that is killed; nobody's key is in the file."""
    monkeypatch.setattr(nodes, "Engine", Decided)
    assembly = Assembly(Sitting(nodes=5, seed=6))
    assembly.begin()
    assembly.world.run(20.0)
    ends = {}
    for node in assembly.nodes.values():
        assert isinstance(node.engine, Decided)
        node.engine.out.clear()
        ends[node] = node.engine, node.engine.tape.ask(node.now().mono)
    assembly.disturb()
    through = [each for each in ends.items() if each[0].running]
    assert len(through) == 4
    total = 0
    for _, (engine, end) in through:
        data, _ = written(end(), nodes.NETWORK, SALT)
        assert not [device for device in engine.core.known if device.encode() in data]
        player = Player(read(data))
        again = [action for step in read(data).steps for action in player.play(step)]
        total += len(again)
        assert decided(shape_of(again)) == decided(shape_of(engine.out))
        assert what_holds(player.engine.governor.book) == what_holds(engine.governor.book)
    assert total > 300
    assert any(engine.governor.book.branches.others for _, (engine, _) in through), "they were of two minds"


class Telling:
    """Frames about what is signed, told twice as a recording is."""

    def __init__(self, *frames: Frame) -> None:
        ids = ids_in(" ".join(IDS.values()))
        self.redactor = Redactor(ids, NETWORK, SALT)
        self.substitutes = Substitutes(self.redactor, NETWORK, STRICT, SALT)
        for frame in frames:
            self.told(frame)

    def told(self, frame: Frame) -> Frame:
        data = self.substitutes.frame(encode_frame(frame))
        assert data is not None
        assert not [device for device in IDS.values() if device.encode() in data]
        return decode_frame(data)

    def id(self, device: str) -> str:
        return self.redactor.id(device)


LOG = [entry(KindChange("closed"), ALICE), entry(RoleGrant(BOB, "owner"), ALICE)]


def test_a_log_is_told_as_if_the_substitutes_had_signed_it() -> None:
    """Also what follows from it: its digest, which a state names."""
    shown = RosterEntries((RosterEntry(BOB, "Ben", 5, "owner"),), tuple(LOG))
    state = NetworkState("closed", 2, 0, "root", log_digest(log_of(LOG)))
    telling = Telling(shown, state)
    log, heard = telling.told(shown), telling.told(state)
    assert isinstance(log, RosterEntries)
    assert isinstance(heard, NetworkState)
    assert [each.signers for each in log.transitions] == [(telling.id(ALICE),)] * 2
    assert log.transitions[1].variant == RoleGrant(telling.id(BOB), "owner")
    assert log.entries[0] == RosterEntry(telling.id(BOB), telling.redactor.label("Ben"), 0, "owner")
    assert heard.log_digest == log_digest(EMPTY.extended(log.transitions, TOLD, STRICT))
    assert {signer for signer, _, _ in telling.substitutes.good} == {telling.id(ALICE)}


def test_a_signature_that_is_none_is_told_as_none() -> None:
    forged = msgspec.structs.replace(LOG[1], signatures=LOG[0].signatures)
    unreadable = msgspec.structs.replace(LOG[1], signatures=("short",))
    unpaired = msgspec.structs.replace(LOG[1], signatures=())
    telling = Telling()
    told = telling.told(RosterEntries((), (), (forged, unreadable, unpaired, LOG[0])))
    assert isinstance(told, RosterEntries)
    assert [len(each.signatures) for each in told.member_log] == [1, 1, 0, 1]
    assert told.member_log[0].signatures == told.member_log[3].signatures, "the same text is the same one"
    assert len(telling.substitutes.good) == 1


def test_answers_to_proposals_are_told_with_what_they_answer() -> None:
    grant = RoleGrant(CAROL, "controller")
    proposed = NetworkStatePropose("prop_1", grant, ALICE, 7, sign(ALICE, grant))
    signed = NetworkStateAck("prop_1", BOB, "sign", 8, sign(BOB, grant))
    refusal = base32.encode(DEVICES[NAMES[BOB]].sign(denied_bytes(NETWORK, "prop_1", BOB)))
    denied = NetworkStateAck("prop_1", BOB, "deny", 8, refusal)
    unknown = NetworkStateAck("prop_2", BOB, "sign", 8, sign(BOB, KindChange("open")))
    telling = Telling(proposed, signed, denied, unknown)
    assert [signer for signer, _, _ in telling.substitutes.good] == [telling.id(ALICE), *[telling.id(BOB)] * 2]
    told = telling.told(signed)
    assert isinstance(told, NetworkStateAck)
    assert (told.signer, told.proposal_id) == (telling.id(BOB), "prop_1")


def test_a_split_and_a_variant_of_a_later_release_name_nobody() -> None:
    split = NetworkStateSplit("prop_1", "c" * 52, (ALICE, BOB), ALICE, 3, "a" * 103)
    later = msgspec.structs.replace(LOG[0], variant=UnknownVariant("x", b'{"kind":"x","who":"%b"}' % BOB.encode()))
    telling = Telling(split, RosterEntries((), (), (later,)))
    told = telling.told(RosterEntries((), (), (later,)))
    assert isinstance(told, RosterEntries)
    assert told.member_log[0].variant == UnknownVariant("x", b'{"kind":"x","who":"%b"}' % telling.id(BOB).encode())


def test_a_question_differs_where_it_differed() -> None:
    standing = log_of(LOG).standing
    admits = [entry(RoleGrant(device, "member"), ALICE) for device in (BOB, CAROL)]
    ours = NO_MEMBERS.with_copies([Copy(each) for each in admits], standing, ALICE)
    less = NO_MEMBERS.with_copies([Copy(admits[0])], standing, ALICE)
    telling = Telling()
    telling.substitutes.hold(less)
    mine = telling.told(RosterRequest(True, less.digests()))
    telling.substitutes.hold(ours)
    same, other = (telling.told(RosterRequest(True, log.digests())) for log in (ours, less))
    unreadable = telling.told(RosterRequest(True, ("one",)))
    assert [type(each) for each in (mine, same, other, unreadable)] == [RosterRequest] * 4
    assert same != mine
    assert same != other
    assert unreadable == RosterRequest(True)


def test_frames_about_anything_else_are_not_taken() -> None:
    telling = Telling()
    assert telling.substitutes.frame(b'{"kind":"ping","t":1}') is None
    assert telling.substitutes.frame(b"nonsense") is None


def test_what_is_no_governance_of_this_release_is_refused() -> None:
    head, state, *_ = written_of_nothing().splitlines()
    with pytest.raises(BadRecording):
        Player(read(b"\n".join([head, state.replace(b'"governed":{', b'"governed":{"list":1,')])))
    step = b'{"name":"govern","args":["nothing",{"tuple":[]},null]}'
    recording = read(b"\n".join([head, state, step]))
    player = Player(recording)
    with pytest.raises(BadRecording):
        player.play(recording.steps[0])


def written_of_nothing() -> bytes:
    assembly = Assembly(Sitting(nodes=2, seed=1))
    assembly.begin()
    node = next(iter(assembly.nodes.values()))
    engine = Decided(node.identity, nodes.NETWORK, node.engine.core.config, node.engine.core.roster, node.rng)
    engine.start(node.now())
    return written(engine.tape.pieces, nodes.NETWORK, SALT)[0]
