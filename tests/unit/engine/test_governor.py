"""What is proposed here and by peers: who hears of it, who decides, and what comes of no answer (02 §11, §12)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from myownmesh.engine import EngineConfig
from myownmesh.governance.authoring import propose
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.signatures import Checks
from myownmesh.governance.signed_bytes import denied_bytes, signed_bytes
from myownmesh.governance.sync import FEATURE
from myownmesh.governance.words import HEARSAY
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import (
    FEATURES,
    Approve,
    NetworkState,
    NetworkStateAck,
    NetworkStatePropose,
    Pong,
    RosterEntries,
    RosterRequest,
)
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from unit.engine.bench import NETWORK, WALL_MS, Bench, wait_for_approval
from unit.engine.charters import STRANGER, THEN, closed, entry, grant, hints, of_kind, proposal, told

THEM = Bench("lower").peer_id
ADMIT, SEAT = RoleGrant(STRANGER.device_id, "member"), RoleGrant(STRANGER.device_id, "controller")
ID = "prop_0123456789abcdef"
DAY_MS = 24 * 3600 * 1000


def linked(role: str = "member", *, us: str = "member", features: tuple[str, ...] = FEATURES) -> Bench:
    """With a peer of this role that talks to us."""
    own = Bench("lower").us.device_id
    log = tuple(grant(device, each) for device, each in ((THEM, role), (own, us)) if each != "member")
    bench = closed(log=log, members=(grant(THEM),))
    bench.up_to("handshaking")
    bench.hello(features=features)
    bench.proof()
    bench.frame(Approve())
    bench.wait(3.0)
    bench.frames.clear()
    assert bench.status == "active"
    return bench


def role(bench: Bench) -> str | None:
    return bench.engine.governor.book.role(STRANGER.device_id)


def decides(bench: Bench, variant: RoleGrant) -> None:
    """This device proposes a change."""
    signature = base32.encode(bench.us.sign(signed_bytes(NETWORK, variant)))
    done = propose(bench.engine.governor.book, variant, signature, ID, bench.now.wall_ms // 1000)
    bench.engine.governor.act(done, bench.now)
    bench.collect()


# ── of this device ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_decided_here_holds_at_once_is_told_and_written_down() -> None:
    bench = linked(us="controller")
    bench.engine.governor.take_audit()
    decides(bench, ADMIT)
    assert role(bench) == "member"
    assert [frame.variant for frame in of_kind(bench, NetworkStatePropose)] == [ADMIT]
    [seen] = bench.engine.governor.take_audit()
    assert (seen.log, seen.through, seen.outcome, seen.entry.variant) == ("members", "", "decided", ADMIT)


def test_what_needs_an_owner_waits_and_whoever_comes_later_hears_of_it() -> None:
    bench = closed(members=(grant(THEM),))
    decides(bench, SEAT)
    assert role(bench) is None
    assert bench.engine.governor.take_audit() == ()
    bench.up_to("active")
    [frame] = of_kind(bench, NetworkStatePropose)
    assert (frame.proposal_id, frame.variant, frame.proposer) == (ID, SEAT, bench.us.device_id)


def test_a_peer_that_does_not_know_of_governance_is_spared() -> None:
    bench = linked(us="controller", features=())
    decides(bench, ADMIT)
    assert role(bench) == "member"
    assert not of_kind(bench, NetworkStatePropose)


def test_whom_this_device_talks_to() -> None:
    theirs, ours = linked(), linked(features=(*FEATURES, FEATURE))
    assert (theirs.engine.governor.linked, theirs.engine.governor.linked_v038) == ({THEM}, {THEM})
    assert (ours.engine.governor.linked, ours.engine.governor.linked_v038) == ({THEM}, set())


def test_whoever_asks_everybody_is_told_when_all_have_answered() -> None:
    bench, told = linked(), []
    bench.engine.governor.ask_everybody(lambda: told.append("all"), bench.now)
    bench.collect()
    assert len(of_kind(bench, RosterRequest)) == 1
    assert told == []
    bench.frame(RosterEntries(()))
    assert told == ["all"]
    alone = closed()
    alone.engine.governor.ask_everybody(lambda: told.append("nobody"), alone.now)
    assert told == ["all", "nobody"], "with nobody to ask there is nothing to wait for"


def test_what_was_decided_without_anybody_asking_is_said() -> None:
    bench = closed()
    bench.engine.governor.tell("merged", "what the other branch held", bench.now, count=3)
    bench.collect()
    said = bench.diags[-1]
    assert (said.category, said.message) == ("governance", "what the other branch held")
    assert said.detail == {"hint": "merged", "network": NETWORK, "count": 3}


def test_what_a_person_decides_here_is_said_with_its_entry() -> None:
    bench = linked(us="controller")
    decides(bench, ADMIT)
    assert role(bench) == "member"
    [told] = [diag.detail or {} for diag in bench.diags if (diag.detail or {}).get("hint") == "decided"]
    assert (told["target"], told["peer"]) == (STRANGER.device_id, bench.us.device_id)
    assert str(told["entry"]).startswith("lets ")


# ── of peers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_its_proposer_takes_a_proposal_back() -> None:
    bench = linked()
    bench.frame(proposal(bench.them, SEAT))
    assert ID in bench.engine.governor.book.proposals.records
    signature = base32.encode(bench.them.sign(denied_bytes(NETWORK, ID, THEM)))
    bench.frame(NetworkStateAck(ID, THEM, "deny", WALL_MS // 1000, signature))
    assert ID not in bench.engine.governor.book.proposals.records
    assert "network_state_ack_denied" in hints(bench)


def test_what_nobody_decided_in_a_month_is_forgotten() -> None:
    bench = linked()
    bench.frame(proposal(bench.them, SEAT))
    bench.skew_ms += 29 * DAY_MS
    bench.wait(61.0)
    assert ID in bench.engine.governor.book.proposals.records
    bench.skew_ms += 2 * DAY_MS
    bench.wait(61.0)
    assert ID not in bench.engine.governor.book.proposals.records


def test_a_proposal_that_its_author_decided_is_pulled_and_without_an_answer_stands_for_itself() -> None:
    bench = linked("controller")
    bench.frame(proposal(bench.them, ADMIT))
    assert len(of_kind(bench, RosterRequest)) == 1
    assert role(bench) is None
    bench.wait(59.0)
    assert role(bench) is None
    bench.wait(2.0)
    assert role(bench) == "member"


def test_beside_the_answer_of_its_author_a_proposal_stands_for_nothing() -> None:
    bench = linked("controller")
    bench.frame(proposal(bench.them, ADMIT))
    bench.frame(RosterEntries(()))
    bench.wait(130.0)
    assert role(bench) is None


def test_a_seat_comes_with_a_log_only() -> None:
    bench = linked("owner")
    bench.frame(proposal(bench.them, SEAT))
    assert len(of_kind(bench, RosterRequest)) == 1
    bench.wait(130.0)
    assert role(bench) is None


def test_a_silent_network_has_no_proposals() -> None:
    bench = Bench("lower", EngineConfig(kind="silent", auto_approve=True)).up_to("active")
    before = bench.engine.governor.book
    bench.frame(proposal(bench.them, KindChange("closed")))
    assert bench.engine.governor.book is before


def test_a_proposal_counts_as_much_where_nobody_reads_the_diagnostics() -> None:
    bench = linked()
    bench.engine.be_watched(watched=False)
    bench.diags.clear()
    bench.frame(proposal(bench.them, SEAT))
    assert ID in bench.engine.governor.book.proposals.records
    assert bench.diags == []


# ── when peers are asked ──────────────────────────────────────────────────────────────────────────────────────────────


def test_reasons_to_ask_within_two_seconds_are_one_more_question() -> None:
    bench = linked()
    for count in (5, 6, 7):
        bench.frame(NetworkState("closed", count, 0, f"root {count}"))
    assert len(of_kind(bench, RosterRequest)) == 1
    bench.wait(1.9)
    assert len(of_kind(bench, RosterRequest)) == 1
    bench.wait(0.2)
    assert len(of_kind(bench, RosterRequest)) == 2
    bench.wait(10.0)
    assert len(of_kind(bench, RosterRequest)) == 2


def test_a_question_that_waits_is_asked_at_the_second_that_its_timer_is_set_to() -> None:
    """Its gap is over then, however the difference of the two seconds is rounded; else it would wait for ever."""
    bench = linked()
    begun = next(second for second in (1023.0 + part / 1000 for part in range(999)) if (second + 2.0) - second < 2.0)
    bench.wait_until(begun)
    bench.frames.clear()
    for count in (5, 6):
        bench.frame(NetworkState("closed", count, 0, f"root {count}"))
    assert len(of_kind(bench, RosterRequest)) == 1
    bench.mono = begun + 2.0
    bench.engine.handle_timer(bench.now)
    bench.collect()
    assert len(of_kind(bench, RosterRequest)) == 2


def links_stranger(bench: Bench) -> None:
    """Another member talks to us, too."""
    bench.engine.governor.take(told(bench.engine.governor.book, [grant(STRANGER.device_id)]), bench.now, [])
    wait_for_approval(bench, STRANGER)
    epoch = bench.epochs[STRANGER.device_id]
    bench.engine.receive_frame(STRANGER.device_id, epoch, encode_frame(Approve()), bench.now)
    bench.collect()
    assert bench.engine.is_linked(STRANGER.device_id)


def stays(bench: Bench, seconds: int) -> None:
    """Time passes, and the peer answers all pings."""
    for _ in range(seconds // 5):
        bench.wait(5.0)
        bench.frame(Pong(round(bench.mono)))


def test_only_whom_there_was_another_reason_to_ask_is_asked_again() -> None:
    bench = linked()
    links_stranger(bench)
    bench.wait(3.0)
    bench.frames.clear()
    for count in (5, 6):
        bench.frame(NetworkState("closed", count, 0, f"root {count}"))
    bench.wait(10.0)
    assert len(of_kind(bench, RosterRequest)) == 2, "both of them of the one that says more"


@pytest.mark.parametrize(
    ("role", "features"), [("controller", (*FEATURES, FEATURE)), ("member", (*FEATURES, FEATURE)), ("controller", ())]
)
def test_who_can_give_its_word_for_a_grant_that_waits_for_one_is_asked_once(
    role: str, features: tuple[str, ...]
) -> None:
    """This device put somebody out, and hears of the re-admission from a third party: equal counts would end it."""
    bench = linked(role, us="controller", features=features)
    book = told(bench.engine.governor.book, [entry(bench.us, Evict(STRANGER.device_id))])
    bench.engine.governor.take(replace(book, pin=book.pin.keeping({STRANGER.device_id: THEN})), bench.now, [])
    bench.wait(5.0)
    bench.frames.clear()
    for _ in range(2):
        again = grant(STRANGER.device_id, at=THEN + 5)
        heard = hear_entries(bench.engine.governor.book, [again], HEARSAY, Checks(NETWORK), THEN + 9, max_checks=9)
        bench.engine.governor.take(heard.book, bench.now, heard.changed)
        bench.collect()
        bench.wait(5.0)
    asks = role == "controller" and FEATURE in features
    assert bool(of_kind(bench, RosterRequest)) == asks
    assert len(of_kind(bench, RosterRequest)) <= 1


def test_somebody_is_asked_every_quarter_to_half_hour() -> None:
    bench = linked()
    stays(bench, 890)
    assert of_kind(bench, RosterRequest) == []
    stays(bench, 920)
    first = len(of_kind(bench, RosterRequest))
    assert first in (1, 2)
    stays(bench, 1800)
    assert len(of_kind(bench, RosterRequest)) > first, "equal counts can hide different logs"


def test_where_nobody_is_linked_nobody_is_asked() -> None:
    bench = linked()
    bench.leave()
    bench.wait(2000.0)
    assert not bench.engine.is_linked(THEM)
    assert of_kind(bench, RosterRequest) == []


def test_a_round_is_not_put_off_by_whoever_comes_meanwhile() -> None:
    def asked_at(bench: Bench) -> float:
        bench.frames.clear()
        while not of_kind(bench, RosterRequest):
            assert bench.mono < 3000.0, "half an hour at most"
            stays(bench, 5)
        return bench.mono

    bench = linked()
    stays(bench, 800)
    links_stranger(bench)
    assert asked_at(bench) == asked_at(linked())


def test_an_answer_ends_with_its_link() -> None:
    devices = [Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(1, 900)]
    bench = closed(members=(grant(THEM), *(grant(device) for device in devices)))
    bench.up_to("active")
    bench.wait(3.0)
    bench.frames.clear()
    bench.frame(RosterRequest(include_all=True))
    begun = len(of_kind(bench, RosterEntries))
    bench.engine.remove(THEM, bench.now)
    bench.collect()
    bench.wait(1.0)
    assert len(of_kind(bench, RosterEntries)) == begun
    assert not bench.has_entry
