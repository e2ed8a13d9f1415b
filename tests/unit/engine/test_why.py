"""Why a peer is not active: each code met once, as clients read it, with the step that follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from myownmesh.engine import EngineConfig
from myownmesh.engine.links import PathChanged, PathState
from myownmesh.engine.why import CODES
from myownmesh.identity import Identity
from myownmesh.protocol.frames import Approve, Pong
from myownmesh.protocol.modes import Star
from myownmesh.protocol.signals import OfferReceived, PeerAnnounced
from support.why_table import replaced
from unit.engine.bench import Bench, sdp

PAGE = Path(__file__).parents[3] / "docs" / "why.md"


def code(bench: Bench) -> str | None:
    why = bench.info.why
    assert why is None or why.text == CODES[why.code]
    assert ("" if why is None else why.code) in {each.code for each in bench.engine.standings(bench.now)}
    return None if why is None else why.code


def step(bench: Bench) -> tuple[str, int] | None:
    why = bench.info.why
    assert why is not None
    return None if why.next is None else (why.next.what, why.next.in_ms)


def since(bench: Bench) -> int:
    why = bench.info.why
    assert why is not None
    return why.since_ms


def test_an_active_peer_needs_no_reason() -> None:
    assert Bench("lower").up_to("active").info.why is None


def test_from_the_first_announce_to_the_channel() -> None:
    bench = Bench("lower", obedient=False)
    bench.announce()
    assert (code(bench), step(bench)) == ("prepares_offer", ("give up and dial anew", 30_000))
    bench = Bench("lower")
    bench.announce()
    assert (code(bench), step(bench)) == ("waits_for_answer", ("offer again", 6_000))
    bench.answer("B1")
    bench.mono += 2.0
    assert (code(bench), step(bench)) == ("no_path_yet", ("give up and dial anew", 28_000))
    why = bench.info.why
    assert why is not None
    assert why.since_ms == 2_000
    bench.open_channel()
    assert (code(bench), step(bench)) == ("waits_for_hello", ("give up and dial anew", 30_000))
    bench.hello()
    assert code(bench) == "waits_for_proof"
    bench.proof()
    assert (code(bench), step(bench)) == ("waits_for_us", None)
    bench.approve()
    assert (code(bench), step(bench)) == ("waits_for_them", None)
    bench.frame(Approve())
    assert code(bench) is None


def test_who_waits_for_the_other_ones_offer_dials_when_none_comes() -> None:
    bench = Bench("higher")
    bench.announce()
    assert (code(bench), step(bench)) == ("waits_for_offer", ("dial it", 3_000))


def test_attempts_that_failed_make_the_next_one_wait() -> None:
    bench = Bench("lower")
    bench.up_to("handshaking")
    bench.proof(good=False)
    bench.announce()
    assert code(bench) == "waits_after_failures"
    told = step(bench)
    assert told is not None
    assert told[0] == "dial it"


def test_of_a_crowd_everybody_gets_a_turn() -> None:
    bench = Bench("lower")
    ids = sorted(Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(400))
    for stranger in [each for each in ids if each > bench.us.device_id and each != bench.peer_id][:70]:
        bench.signal(PeerAnnounced(stranger))
    bench.announce()
    assert code(bench) == "waits_for_turn"


def test_networks_in_which_nobody_dials() -> None:
    silent = Bench("lower", EngineConfig(kind="silent"))
    silent.announce()
    assert (code(silent), step(silent)) == ("silent_network", None)
    listener = Bench("lower", EngineConfig(listens_only=True))
    listener.announce()
    assert (code(listener), step(listener)) == ("listens_only", None)
    apart = Bench("lower", EngineConfig(topology=Star("hub")))
    apart.announce()
    assert (code(apart), step(apart)) == ("kept_apart_by_shape", None)


def test_a_link_that_the_shape_does_not_prefer() -> None:
    bench = Bench("lower", EngineConfig(topology=Star("hub")))
    bench.connect()
    bench.up_to("active")
    assert (code(bench), step(bench)) == ("shelved", None)


def test_who_waits_for_offers_that_lead_nowhere_needs_a_relay_too() -> None:
    bench = Bench("higher")
    for number in range(1, 4):
        bench.offer(f"B{number}")
        bench.wait(31.0)
    bench.announce()
    assert (code(bench), bench.info.status, bench.info.needs_turn) == ("needs_turn", "sighted", True)
    told = step(bench)
    assert told is not None
    assert told[0] == "dial it"


def test_a_live_link_in_doubt_says_so_before_it_is_dropped() -> None:
    bench = Bench("lower").up_to("active")
    bench.announce()
    assert code(bench) == "suspected"
    bench.hello("n2")
    bench.event(PathChanged(PathState.DISCONNECTED))
    assert code(bench) == "path_down"
    bench.wait(1.0)
    bench.event(PathChanged(PathState.FAILED))
    assert step(bench) == ("offer another path", 1000)
    assert since(bench) == 1000
    bench.answer("B1.2 r2")
    bench.event(PathChanged(PathState.CHECKING, PathState.FAILED))
    bench.wait(1.0)
    assert step(bench) == ("dial anew unless it is heard", 28_000)
    bench.event(PathChanged(PathState.CONNECTED))
    bench.wait(1.0)
    assert (code(bench), step(bench)) == ("path_untested", ("dial anew unless it is heard", 9_000))
    bench.frame(Pong(t=1))
    assert bench.info.why is None


def test_a_peer_that_answers_no_ping_is_suspected_since_it_was_asked() -> None:
    bench = Bench("lower").up_to("active")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.wait(32.5)
    assert (code(bench), step(bench)) == ("suspected", ("ask again or offer another path", 500))
    assert since(bench) == 500
    bench.wait(3.0)
    assert (code(bench), step(bench)) == ("suspected", None)
    bench.announce()
    assert since(bench) == 3_500, "it was asked long before its announce"
    bench.frame(Pong(t=1))
    assert bench.info.why is None


def test_an_announce_that_was_answered_long_ago_began_no_doubt() -> None:
    bench = Bench("lower").up_to("active")
    bench.event(PathChanged(PathState.CONNECTED))
    bench.announce()
    bench.frame(Pong(t=1))
    bench.wait(32.5)
    assert (code(bench), since(bench)) == ("suspected", 500)


def fail(bench: Bench) -> None:
    """One attempt in which both sides know each other's addresses and nothing comes of it."""
    bench.announce()
    if bench.info.status == "sighted":
        bench.wait(10.0)
    bench.answer(f"B{bench.epoch + 1}")
    bench.wait(31.0)


def test_three_attempts_without_a_path_ask_for_a_relay_once_until_a_link_works() -> None:
    bench = Bench("lower")
    for number in range(4):
        fail(bench)
        bench.announce()
        assert bench.info.needs_turn is (number >= 2)
    assert code(bench) == "needs_turn"
    [hint] = [diag for diag in bench.diags if diag.detail and diag.detail.get("hint")]
    assert (hint.level, hint.category) == ("warn", "ice")
    assert hint.detail is not None
    assert (hint.detail["hint"], hint.detail["failures"]) == ("add_turn_server", 3)
    assert hint.detail["local_candidates"] == {"host": 0, "server_reflexive": 0, "relay": 0}
    bench.up_to("active")
    assert not bench.info.needs_turn


@pytest.mark.parametrize("whose", ["theirs", "in their description"])
def test_with_a_relay_on_either_side_another_one_would_not_help(whose: str) -> None:
    bench = Bench("lower")
    for _ in range(4):
        bench.announce()
        if whose == "theirs":
            bench.candidate("candidate:1 1 udp 1 192.0.2.1 9 typ relay raddr 0.0.0.0 rport 9")
        fail(bench) if whose == "theirs" else fail_with_relay(bench)
    bench.announce()
    assert not bench.info.needs_turn


def fail_with_relay(bench: Bench) -> None:
    text = sdp(f"B{bench.epoch + 1}") + "a=candidate:1 1 udp 1 192.0.2.1 9 typ relay raddr 0.0.0.0 rport 9\r\n"
    bench.announce()
    bench.signal(OfferReceived(bench.peer_id, text))
    bench.wait(31.0)


def test_the_page_explains_every_code() -> None:
    """`python tests/support/why_table.py` writes it anew."""
    text = PAGE.read_text()
    assert replaced(text) == text
    assert text.count("| `") == len(CODES)


def test_diagnostics_of_a_peers_life_say_why_too() -> None:
    """Spec 10 §2.2: the same object as in `peers_list`; a peer that is active needs none."""
    bench = Bench("higher")
    bench.announce()
    [noted] = [diag for diag in bench.diags if diag.category == "peer"]
    assert noted.detail is not None
    assert noted.detail["why"]["code"] == "waits_for_offer"
    assert set(noted.detail["why"]) == {"code", "since_ms", "text", "next"}
    bench.up_to("active")
    active = next(diag for diag in bench.diags if diag.message.startswith("active"))
    assert set(active.detail or ()) == {"peer"}
