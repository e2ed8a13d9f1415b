"""Offers, answers and candidates as v0.3.8 sends and reads them (spec 04 §5, §10)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
import trio

from integration.interop.expect import check_answer, check_candidate, check_offer, origin
from integration.interop.stage import meeting, on_both_sides, on_the_loop
from support.contention import Contention
from support.reference_peer import (
    FIRST_OFFER,
    LANE_OFFER,
    LANE_OFFER_OF_DATA_ONLY,
    PLAIN_REOFFER,
    RESTART_OFFER,
    attribute,
    first_fingerprint,
)

if TYPE_CHECKING:
    from integration.interop.stage import Side, Stage
    from support.daemons import Daemon
    from support.reference_peer import ReferencePeer

NOT_YET_S = 0.4
"""How long something must not happen before we believe that it will not."""


def answers(peer: ReferencePeer) -> list[str]:
    return [sdp for kind, sdp in peer.descriptions if kind == "answer"]


async def answer_number(peer: ReferencePeer, number: int, seconds: float = 5.0) -> str:
    await peer.until(lambda: len(answers(peer)) >= number, f"answer {number}", seconds)
    return answers(peer)[number - 1]


def offers(peer: ReferencePeer) -> list[str]:
    return [sdp for kind, sdp in peer.descriptions if kind == "offer"]


async def offer_number(peer: ReferencePeer, number: int, seconds: float = 5.0) -> str:
    await peer.until(lambda: len(offers(peer)) >= number, f"offer {number}", seconds)
    return offers(peer)[number - 1]


async def linked(stage: Stage) -> None:
    await stage.both_active()
    await stage.peer.alive()


# ── the texts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_the_loop
async def test_our_answer_to_the_captured_first_offer_has_all_that_v038_needs(ours: Daemon) -> None:
    """Spec 04 §10.5."""
    async with meeting(ours, "lower") as stage:
        await linked(stage)
        check_answer(stage.peer.painted[0], await answer_number(stage.peer, 1))


@on_the_loop
async def test_our_offer_is_the_smallest_one(ours: Daemon) -> None:
    """Spec 04 §11.2; candidates stand in the SDP and travel as messages behind it (12 no. 6)."""
    async with meeting(ours, "higher") as stage:
        await linked(stage)
        check_offer(await offer_number(stage.peer, 1))
        assert stage.peer.remote_candidates
        for envelope in stage.peer.remote_candidates:
            check_candidate(envelope)
        in_sdp = [line.removeprefix("a=") for line in offers(stage.peer)[0].split("\r\n") if line.startswith("a=cand")]
        assert set(in_sdp) <= {envelope["candidate"] for envelope in stage.peer.remote_candidates}


@on_both_sides
async def test_a_description_leaves_before_its_candidates(ours: Daemon, side: Side) -> None:
    """Spec 04 §1.7 rule 5."""
    async with meeting(ours, side) as stage:
        await linked(stage)
        kinds = [each["kind"] for each in (*stage.relay.contents("offer"), *stage.relay.contents("answer"))]
        assert len(kinds) == 1
        order = [json.loads(event["content"])["kind"] for _, event in stage.relay.events]
        assert order.index(kinds[0]) < order.index("candidate")


@on_both_sides
async def test_every_plain_reoffer_gets_an_answer_of_its_own_with_the_same_credentials(
    ours: Daemon, side: Side
) -> None:
    """Spec 04 §10.12, 12 no. 12. v0.3.8 sends such offers from either side."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await linked(stage)
        known = len(peer.descriptions)
        first = peer.descriptions[0][1]
        texts = [first]
        for number in range(1, 4):
            offer = peer.plain_reoffer()
            await peer.until(lambda: len(peer.descriptions) == known + number, "an answer")  # noqa: B023
            kind, answer = peer.descriptions[-1]
            assert kind == "answer"
            assert answer not in texts
            texts.append(answer)
            setup = "active" if side == "lower" else "passive"
            check_answer(offer, answer, setup=setup)
            assert attribute(answer, "ice-ufrag") == attribute(first, "ice-ufrag")
            assert attribute(answer, "ice-pwd") == attribute(first, "ice-pwd")
            assert first_fingerprint(answer) == first_fingerprint(first)
            assert origin(answer)[0] == origin(first)[0]
            assert origin(answer)[1] > origin(texts[-2])[1]
            await peer.alive()
        assert peer.opened == 1


@pytest.mark.parametrize(
    ("side", "template"), [("lower", LANE_OFFER), ("higher", LANE_OFFER_OF_DATA_ONLY), ("lower", PLAIN_REOFFER)]
)
@on_the_loop
async def test_lane_offers_are_answered_and_the_link_stays(ours: Daemon, side: Side, template: str) -> None:
    """Spec 04 §10.4 last paragraph, §10.8: either side may add sections."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await linked(stage)
        known = len(peer.descriptions)
        offer = peer.later_offer(template, candidates=True)
        await peer.until(lambda: len(peer.descriptions) == known + 1, "an answer")
        check_answer(offer, peer.descriptions[-1][1], setup="active" if side == "lower" else "passive")
        await peer.alive()
        assert stage.peer_events("dropped") == []


@on_the_loop
async def test_an_identical_offer_is_not_answered_again(ours: Daemon) -> None:
    """Spec 04 §1.5: a repeat that is to be heard must differ."""
    async with meeting(ours, "lower") as stage:
        peer = stage.peer
        await linked(stage)
        peer.send_description("offer", peer.painted[0])
        await peer.quiet(NOT_YET_S)
        assert len(peer.descriptions) == 1
        await peer.alive()


# ── restart and rebuild ───────────────────────────────────────────────────────────────────────────────────────────────


@on_both_sides
async def test_a_restart_offer_keeps_the_link_and_is_followed_by_a_ping(ours: Daemon, side: Side) -> None:
    """Spec 04 §10.11, 12 no. 11 and 19: same certificate, an answer at once, a ping as soon as the new path works."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await linked(stage)
        for _ in range(2):
            known, frames = len(peer.descriptions), len(peer.frames)
            offer = peer.restart_offer()
            await peer.until(lambda: len(peer.descriptions) == known + 1, "an answer")  # noqa: B023
            kind, answer = peer.descriptions[-1]
            assert kind == "answer"
            check_answer(offer, answer, setup="active" if side == "lower" else "passive")
            assert first_fingerprint(answer) == first_fingerprint(peer.descriptions[0][1])
            await peer.sees("ping", frames)
            await peer.alive()
        assert peer.opened == 1
        assert peer.closes == 0
        assert await stage.status() == "active"


@pytest.mark.parametrize("age", [0.0, 3.0])
@on_both_sides
async def test_an_offer_of_a_new_certificate_on_a_live_link_is_answered_by_a_fresh_transport(
    ours: Daemon, side: Side, age: float
) -> None:
    """Spec 04 §4.2 row 11, §5.9 row 4: v0.3.8 has dropped its side, or died, and dials again, whatever its role."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await linked(stage)
        await trio.sleep(age)
        began, contention = time.monotonic(), Contention()
        await peer.run(peer.dial())  # closes the old transport
        await peer.until(lambda: peer.opened == 2, "a second channel", 6)
        await linked(stage)
        assert time.monotonic() - began < contention.stretched(3.5)


@pytest.mark.parametrize("old", ["closes late", "vanishes", "stays and answers pings"])
@on_both_sides
async def test_an_offer_of_a_new_certificate_right_after_the_meeting_is_answered(
    ours: Daemon, side: Side, old: str
) -> None:
    """Spec 04 §4.2 rows 6 and 11: whatever becomes of the old transport, an offer is answered."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await linked(stage)
        before, peer.link = peer.link, None
        assert before is not None
        if old == "vanishes":
            before.vanish()
        if old == "stays and answers pings":
            before.channel.on("message", lambda data: before.channel.send(data.replace(b"ping", b"pong")))
        known = len(peer.descriptions)
        await peer.run(peer.dial())
        if old == "closes late":
            await trio.sleep(0.1)
            await peer.run(before.close())
        await peer.until(lambda: "answer" in [k for k, _ in peer.descriptions[known:]], "an answer", 6)
        await linked(stage)


@on_both_sides
async def test_a_crashed_peer_that_dials_again_is_linked_at_once(ours: Daemon, side: Side) -> None:
    """Spec 04 §7.12: its first offer carries another fingerprint, the old transport says nothing more."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await linked(stage)
        await trio.sleep(2.6)
        peer.vanish()
        began, contention = time.monotonic(), Contention()
        await peer.run(peer.dial())
        await peer.until(lambda: peer.opened == 2, "a second channel", 6)
        await linked(stage)
        assert time.monotonic() - began < contention.stretched(1.5)


@on_the_loop
async def test_a_crashed_peer_that_comes_back_as_answerer_is_linked_in_seconds(ours: Daemon) -> None:
    """Spec 04 §7.12 (b): we are lower; a fresh process announces itself and only waits."""
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        await linked(stage)
        await trio.sleep(2.6)
        peer.vanish()
        began, contention = time.monotonic(), Contention()
        peer.announce(force=True)
        await peer.until(lambda: peer.opened == 2, "a second channel", 10)
        await linked(stage)
        assert time.monotonic() - began < contention.stretched(6)


@on_the_loop
async def test_a_closed_channel_is_offered_again_by_the_lower_side(ours: Daemon) -> None:
    """Spec 04 §4.2 row 27, §6.3, §7.12: ice_failed at once, a new offer in about two seconds."""
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        await linked(stage)
        before = len(stage.relay.contents("announce"))
        peer.drop()
        began, contention = time.monotonic(), Contention()
        assert (await stage.event("dropped"))["reason"]["kind"] == "ice_failed"
        assert time.monotonic() - began < contention.stretched(0.5)
        await offer_number(peer, 2, 4)
        assert time.monotonic() - began < contention.stretched(3)
        await linked(stage)
        assert first_fingerprint(offers(peer)[0]) != first_fingerprint(offers(peer)[1]), "a new certificate (5.10)"
        assert origin(offers(peer)[0])[0] != origin(offers(peer)[1])[0]
        assert len(stage.relay.contents("announce")) - before <= 1


# ── glare ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_the_loop
async def test_glare_the_lower_daemon_holds_the_offer_and_then_yields(ours: Daemon) -> None:
    """Spec 04 §5.9: v0.3.8 dialled by command at the same moment and never answers ours."""
    async with meeting(ours, "higher", answers=False) as stage:
        peer = stage.peer
        await offer_number(peer, 1)
        began, contention = time.monotonic(), Contention()
        await peer.run(peer.dial())
        await peer.until(lambda: [k for k, _ in peer.descriptions if k == "answer"], "an answer", 6)
        assert 2.0 < time.monotonic() - began < contention.stretched(4.0)
        await linked(stage)
        assert stage.peer_events("dropped") == []


@on_the_loop
async def test_glare_the_higher_daemon_yields_at_once(ours: Daemon) -> None:
    async with meeting(ours, "lower", dials=False) as stage:
        peer = stage.peer
        peer.answers = False
        async with trio.open_nursery() as nursery:

            async def connect() -> None:
                await stage.ask("network_connect_peer", peer=peer.device_id, wait_ms=8000)

            nursery.start_soon(connect)
            await offer_number(peer, 1)
            began, contention = time.monotonic(), Contention()
            await peer.run(peer.dial())
            await answer_number(peer, 1)
            assert time.monotonic() - began < contention.stretched(1.0)
            await linked(stage)
        assert stage.peer_events("dropped") == []


# ── answers and candidates out of order ───────────────────────────────────────────────────────────────────────────────


@on_the_loop
async def test_candidates_before_the_offer_count(ours: Daemon) -> None:
    """Spec 04 §5.6: they are kept per peer, entry or not; the offer itself carries none."""
    async with meeting(ours, "lower", dials=False, sends_candidates=False) as stage:
        peer = stage.peer
        link = peer.new_link(offerer=True)
        await peer.run(link.start_offer())
        for text in link.candidates:
            peer.send_candidate(text)
        await peer.quiet(0.2)
        link.offer_open = True
        # Without our own checks a stock peer reaches the daemon anyway; so its view of the candidates is cut off.
        peer.send_description("offer", link.paint(FIRST_OFFER))
        await linked(stage)
        row = await stage.row()
        assert row is not None
        assert row["remote_candidates"]["host"] == 0, "counted only when there is an entry"


@on_both_sides
async def test_a_peer_that_sends_no_candidates_is_found_by_its_checks(ours: Daemon, side: Side) -> None:
    """Spec 04 §10.5 "none at all from the side that can reach v0.3.8's own"."""
    async with meeting(ours, side, sends_candidates=False) as stage:
        await linked(stage)


@on_the_loop
async def test_a_duplicate_answer_within_two_seconds_costs_nothing(ours: Daemon) -> None:
    """Spec 04 §5.5, traces "answer nobody waits for"."""
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        await linked(stage)
        known = len(peer.descriptions)
        assert peer.link is not None
        peer.send_description("answer", peer.answer_text(peer.link, offers(peer)[0]))
        await peer.quiet(NOT_YET_S)
        assert len(peer.descriptions) == known
        await peer.alive()
        await trio.sleep(2.0)
        peer.send_description("answer", peer.answer_text(peer.link, offers(peer)[0]))
        await offer_number(peer, 2)
        first, second = offers(peer)
        assert attribute(first, "ice-ufrag") == attribute(second, "ice-ufrag"), "a plain re-offer"
        await peer.alive()
        assert peer.opened == 1


@on_the_loop
async def test_a_late_answer_still_makes_the_link(ours: Daemon) -> None:
    async with meeting(ours, "higher", answers=False) as stage:
        peer = stage.peer
        offer = await offer_number(peer, 1)
        await trio.sleep(1.5)
        peer.answers = True
        await peer.run(peer.take("offer", offer))
        await linked(stage)


@on_the_loop
async def test_an_answer_of_a_foreign_certificate_changes_nothing(ours: Daemon) -> None:
    """Spec 04 §5.5 ours, 15.2 item 31."""
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        await linked(stage)
        assert peer.link is not None
        forged = peer.answer_text(peer.link, offers(peer)[0]).replace(
            peer.link.fingerprint, "sha-256 " + ":".join(["AB"] * 32)
        )
        peer.send_description("answer", forged)
        await peer.quiet(NOT_YET_S)
        await peer.alive()
        assert peer.opened == 1


@on_the_loop
async def test_an_announce_in_the_gap_postpones_one_offer(ours: Daemon) -> None:
    """Spec 04 §5.8, traces "re-offer inside the gap": one more offer, when the two seconds are over."""
    async with meeting(ours, "higher", answers=False) as stage:
        peer = stage.peer
        await offer_number(peer, 1)
        began, contention = time.monotonic(), Contention()
        await trio.sleep(0.5)
        peer.announce(force=True)
        await trio.sleep(0.4)
        peer.announce(force=True)
        second = await offer_number(peer, 2)
        assert 1.6 < time.monotonic() - began < contention.stretched(2.6)
        assert attribute(second, "ice-ufrag") == attribute(offers(peer)[0], "ice-ufrag")
        assert second != offers(peer)[0]
        check_offer(second)
        peer.answers = True
        await peer.run(peer.take("offer", second))
        await linked(stage)


@on_the_loop
async def test_a_lower_peer_that_only_announces_is_dialled_after_three_seconds(ours: Daemon) -> None:
    """Spec 04 §5.3 step 8, DIAL_ANYWAY."""
    async with meeting(ours, "lower", dials=False) as stage:
        peer = stage.peer
        began, contention = time.monotonic(), Contention()
        await offer_number(peer, 1, 5)
        assert 2.5 < time.monotonic() - began < contention.stretched(4.5)
        await linked(stage)


@on_both_sides
async def test_an_announce_of_a_live_peer_is_answered_by_a_ping_and_no_reflection(ours: Daemon, side: Side) -> None:
    """Spec 04 §5.3 step 5a, §7.8; 03 §10.3."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await linked(stage)
        await trio.sleep(1.1)
        announces, frames = len(stage.relay.contents("announce")), len(peer.frames)
        peer.announce(force=True)
        await peer.sees("ping", frames)
        await trio.sleep(1.0)
        peer.announce(force=True)
        await peer.quiet(NOT_YET_S)
        assert peer.kinds(frames).count("ping") == 1, "at most one in two seconds"
        assert len(stage.relay.contents("announce")) == announces
        assert len(peer.descriptions) == 1


# ── slow ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@on_the_loop
async def test_a_stuck_attempt_is_rebuilt_by_the_next_offer(ours: Daemon) -> None:
    """Spec 04 §5.4 step 2, traces "stuck attempt": the channel is not open after ten seconds."""
    async with meeting(ours, "lower", dials=False, sends_candidates=False) as stage:
        peer = stage.peer
        link = peer.new_link(offerer=True)
        await peer.run(link.start_offer())
        link.ufrag = "wrongwrongwrong1"
        began = time.monotonic()
        peer.send_description("offer", link.paint(FIRST_OFFER))
        first = await answer_number(peer, 1)
        await trio.sleep(5)
        peer.send_description("offer", link.paint(FIRST_OFFER))
        second = await answer_number(peer, 2)
        assert first_fingerprint(first) == first_fingerprint(second)
        await trio.sleep(max(0.0, 10.3 - (time.monotonic() - began)))
        peer.send_description("offer", link.paint(FIRST_OFFER))
        third = await answer_number(peer, 3)
        assert first_fingerprint(third) != first_fingerprint(first)
        assert RESTART_OFFER
