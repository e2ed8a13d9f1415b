"""The handshake: `transcripts` and `handshake_traces` of the vectors against the real daemon (spec 01 §7)."""

from __future__ import annotations

import json
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from integration.interop.stage import meeting, noted, on_both_sides, on_the_loop
from support.reference_peer import ALPHABET, base32, membership_root, unbase32
from support.vectors import load

if TYPE_CHECKING:
    from integration.interop.stage import Side, Stage
    from support.daemons import Daemon
    from support.reference_peer import ReferencePeer

OUR_FEATURES = [
    "ring_topology",
    "generic_rpc",
    "typed_channels",
    "capabilities_update",
    "network_state_v1",
    "reliable_channels_v1",
    "governance_checked_v1",  # ours: spec 10 §2.2
]
NOT_YET_S = 0.25


async def channel(peer: ReferencePeer) -> None:
    await peer.until(lambda: peer.opened and peer.their_nonce, "an open channel and a hello")


# ── our frames, byte for byte ─────────────────────────────────────────────────────────────────────────────────────────


def shape(text: str) -> str:
    """A frame text with everything that differs from run to run blotted out, lengths kept."""
    text = re.sub(r'"(nonce|device_id|root|roster_root)":"[a-z2-7]{52}"', r'"\1":"<52>"', text)
    text = re.sub(r'"signature":"[a-z2-7]{102}[aiqy]"', '"signature":"<103>"', text)
    text = re.sub(r'"verification_code":"[a-z0-9]{6}"', '"verification_code":"<6>"', text)
    text = re.sub(r'"(t|last_edit_ts)":\d+', r'"\1":0', text)
    text = text.replace(',"governance_checked_v1"', "")  # ours: spec 10 §2.2
    return re.sub(r'"label":"[^"]*"', '"label":""', text)


@pytest.mark.parametrize("case", load("peer-protocol", "transcripts")["cases"], ids=lambda case: case["offerer"])
@on_the_loop
async def test_the_transcript_of_a_whole_handshake(ours: Daemon, case: dict[str, Any]) -> None:
    """Same frames in the same order, same members in the same order, as the v0.3.8 daemon wrote them."""
    side: Side = "lower" if case["offerer"] == "probe" else "higher"
    async with meeting(ours, side, auto_approve=False, approves=False, gossips=False) as stage:
        peer = stage.peer
        await peer.sees("auth_response")
        await stage.wait_for("pending_approval")
        await stage.ask("roster_approve", device_id=peer.device_id)
        await peer.sees("approve")
        peer.send_approve()
        await peer.sees("network_state")
        peer.send("ping", t=1795499285002)
        await peer.sees("pong")
        assert all(isinstance(data, bytes) for data in peer.raw), "binary messages (10.1)"
        got = [data.decode() for data in peer.raw if isinstance(data, bytes)]
        wanted = [frame["text"] for frame in case["frames"] if frame["from"] == "daemon"]
        assert [shape(text) for text in got] == [shape(text) for text in wanted]
        summary, state = json.loads(got[3]), json.loads(got[4])
        root = membership_root({peer.device_id})
        assert summary["root"] == state["roster_root"] == root
        assert abs(summary["last_edit_ts"] - time.time()) < 60


@on_the_loop
async def test_our_hello_is_the_one_of_the_catalogue(ours: Daemon) -> None:
    """Spec 01 §6.0–6.1, §16."""
    async with meeting(ours, "higher", shakes_hands=False) as stage:
        peer = stage.peer
        await channel(peer)
        hello = peer.frames[0]
        assert list(hello) == [
            "kind", "protocol", "device_id", "label", "nonce", "verification_code", "capabilities", "max_connections",
            "features", "app_version",
        ]  # fmt: skip
        assert hello["kind"] == "hello"
        assert hello["protocol"] == 1
        assert hello["device_id"] == ours.device_id
        assert hello["app_version"] == "0.3.8"
        assert hello["features"] == OUR_FEATURES
        assert hello["max_connections"] is None
        assert list(hello["capabilities"]) == ["tags", "app_version", "max_connections", "extra"]
        assert base32(unbase32(hello["nonce"])) == hello["nonce"]
        assert len(hello["verification_code"]) == 6
        assert set(hello["verification_code"]) <= set(ALPHABET)


# ── the vectors' traces ───────────────────────────────────────────────────────────────────────────────────────────────


TRACES = load("peer-protocol", "handshake_traces")["cases"]
REPLAYED = [case for case in TRACES if case["name"] not in ("hello unanswered",)]


class Actor:
    """Plays the inputs of a trace on one link."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.peer = stage.peer
        self.nonces: dict[str, str] = {}
        self.seen = 0

    async def act(self, step: dict[str, Any]) -> None:
        peer = self.peer
        match step["in"].split():
            case ["channel_open"]:
                await channel(peer)
            case ["hello", name]:
                self.nonces.setdefault(name, base32(name.encode().ljust(32, b"\0")))
                peer.nonce = self.nonces[name]
                peer.send_hello()
            case ["auth_response", "ok"]:
                peer.send_proof()
            case ["auth_response", "bad"]:
                peer.send_proof(nonce="another nonce")
            case ["approve"]:
                peer.send("approve")
            case ["user_approves"]:
                await self.stage.ask("roster_approve", device_id=peer.device_id)
            case ["deny", *_]:
                peer.send("deny", reason="evicted", transitions=[founding_entry(peer)], member_log=[])
            case _:
                raise AssertionError(step)

    def news(self, wanted: list[str]) -> list[str]:
        """Kinds of what came since; on a busy machine a hello may be repeated meanwhile (spec 01 §7.3)."""
        frames = self.peer.frames
        return [
            frame["kind"]
            for at, frame in enumerate(frames[self.seen :], self.seen)
            if frame["kind"] in wanted or frame["kind"] != "hello" or frame not in frames[:at]
        ]

    async def expect(self, step: dict[str, Any]) -> None:
        peer = self.peer
        wanted = [each.split()[0] for each in step["send"]]
        await peer.until(lambda: len(self.news(wanted)) >= len(wanted), f"{wanted} after {step['in']}")
        await peer.quiet(NOT_YET_S if not wanted else 0.05)
        assert self.news(wanted) == wanted, step
        self.seen = len(peer.frames)
        word, _, reason = step["state"].partition(" ")
        if word == "dropped":
            assert (await self.stage.event("dropped"))["reason"]["kind"] == reason
        elif word != "sighted":
            await self.stage.wait_for(word)


def founding_entry(peer: ReferencePeer) -> dict[str, Any]:
    return {
        "at": 1,
        "variant": {"kind": "kind_change", "to": "closed"},
        "signers": [peer.device_id],
        "signatures": ["a" * 103],
    }


@on_both_sides
async def test_handshake_traces(ours: Daemon, side: Side) -> None:
    """Several of them at the same time, each in a network of its own."""
    room = trio.Semaphore(5)
    async with trio.open_nursery() as nursery:
        for case in REPLAYED:
            nursery.start_soon(noted, case["name"], partial(replay, ours, side, case, room))


async def replay(ours: Daemon, side: Side, case: dict[str, Any], room: trio.Semaphore) -> None:
    auto = case["given"]["auto_approve"]
    async with room, meeting(ours, side, auto_approve=auto, shakes_hands=False, approves=False, gossips=False) as stage:
        actor = Actor(stage)
        steps = case["steps"]
        if steps[0]["in"] != "channel_open":  # a hello in the turn of the channel's event: ours comes in any order
            steps = [{"in": "channel_open", "send": ["hello"], "state": "handshaking"}, *steps]
            steps = [step for number, step in enumerate(steps) if number == 0 or step["in"] != "channel_open"]
            steps[1]["state"] = "handshaking"
        for step in steps:
            await actor.act(step)
            await actor.expect(step)
        if steps[-1]["state"] == "active":
            await stage.peer.alive()
        config = (await ours.ask("config_show"))["config"]
        mine = next(each for each in config["networks"] if each["id"] == stage.network)
        assert mine["kind"] == "open" if "kind" in mine else True


@pytest.mark.slow
@on_the_loop
async def test_an_unanswered_hello_is_repeated_and_then_given_up(ours: Daemon) -> None:
    """Spec 01 §7.3, trace "hello unanswered": at 0, 5, 12, 22 s the same bytes; at 30 s the link is dropped."""
    async with meeting(ours, "higher", shakes_hands=False) as stage:
        peer = stage.peer
        await channel(peer)
        began = time.monotonic()
        times = [0.0]
        peer.on_frame = lambda _: times.append(time.monotonic() - began)
        await peer.until(lambda: peer.closes, "the end of the link", 40)
        assert time.monotonic() - began == pytest.approx(30, abs=1.5)
        assert times[:4] == pytest.approx([0, 5, 12, 22], abs=1)
        assert peer.kinds()[:4] == ["hello"] * 4
        assert len(set(peer.raw[:4])) == 1
        assert (await stage.event("dropped"))["reason"]["kind"] == "heartbeat_timeout"


# ── approvals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_both_sides
async def test_a_rust_user_may_approve_during_the_handshake(ours: Daemon, side: Side) -> None:
    """Spec 01 §7.6: v0.3.8 sends `approve` to an unproven peer, possibly before its auth_response."""
    async with meeting(ours, side, shakes_hands=False, approves=False, gossips=False) as stage:
        peer = stage.peer
        await channel(peer)
        peer.send("approve")
        peer.approve_sent = True
        peer.send_hello()
        peer.send_proof()
        await peer.becomes_active()
        await stage.wait_for("active")
        await peer.alive()


@on_the_loop
async def test_approves_repeated_and_a_duplicate_proof_change_nothing(ours: Daemon) -> None:
    """Spec 01 §7.7."""
    async with meeting(ours, "higher", gossips=False) as stage:
        peer = stage.peer
        await stage.both_active()
        await peer.alive()
        frames = len(peer.frames)
        peer.send("approve")
        peer.send_proof()
        peer.send("approve")
        peer.send_proof()
        await peer.alive()
        assert peer.kinds(frames) == ["pong"]
        assert await stage.status() == "active"
        assert len(stage.peer_events("approved")) == 1
        assert len(stage.peer_events("authenticated")) == 1


@on_both_sides
async def test_hello_repeats_of_a_slow_v038_are_answered_with_approve_behind(ours: Daemon, side: Side) -> None:
    """Spec 01 §7.4, 04 §15.3: a second proof alone throws an active v0.3.8 peer back to pending."""
    async with meeting(ours, side, gossips=False) as stage:
        peer = stage.peer
        await stage.both_active()
        await peer.alive()
        for _ in range(3):
            frames = len(peer.frames)
            peer.send_hello()
            await peer.sees("approve", frames)
            await peer.alive()
            assert peer.kinds(frames) == ["auth_response", "approve", "pong"]


@on_the_loop
async def test_a_lost_approve_is_repeated_until_the_link_is_up(ours: Daemon) -> None:
    """Spec 01 §20 items 3, 4 and 6: a v0.3.8 peer that is stuck in pending_approval is freed."""
    async with meeting(ours, "higher", approves=False, gossips=False) as stage:
        peer = stage.peer
        await peer.sees("approve")
        await peer.until(lambda: peer.count("approve") >= 2, "a second approve", 10)
        peer.send_approve()
        await stage.wait_for("active")
        await peer.alive()


@on_the_loop
async def test_gated_frames_before_approval_are_dropped_and_leave_no_trace(ours: Daemon) -> None:
    """Spec 01 §5: no pong, no reply, no liveness for them."""
    async with meeting(ours, "higher", auto_approve=False, approves=False, gossips=False) as stage:
        peer = stage.peer
        await stage.wait_for("pending_approval")
        frames = len(peer.frames)
        peer.send("ping", t=5)
        peer.send("rpc_request", request_id="aaaa", method="m", payload=None, streaming=False)
        peer.send("roster_summary", root="x", count=1, last_edit_ts=1)
        peer.send("tomorrow", x=1)
        await peer.quiet(NOT_YET_S)
        assert peer.kinds(frames) == []
        assert await stage.status() == "pending_approval"


# ── deny ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_the_loop
async def test_a_deny_of_an_authenticated_peer_ends_the_link_for_good(ours: Daemon) -> None:
    """Spec 01 §7.8–7.9: no redial by ourselves; the next announce starts a new attempt."""
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        await stage.both_active()
        peer.send("deny", reason="evicted")
        await peer.until(lambda: peer.closes == 1, "the close of the channel")
        assert (await stage.event("dropped"))["reason"]["kind"] == "denied"
        known = len(peer.descriptions)
        await peer.quiet(2.5)
        assert len(peer.descriptions) == known
        peer.announce(force=True)
        await stage.both_active()


@on_the_loop
async def test_a_removed_peer_is_told_so_before_the_channel_closes(ours: Daemon) -> None:
    """Spec 01 §20 item 18: older nodes treat any deny as a drop."""
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        await stage.both_active()
        await peer.alive()
        began = time.monotonic()
        await stage.ask("roster_remove", device_id=peer.device_id)
        await peer.sees("deny", reason="removed")
        await peer.until(lambda: peer.closes == 1, "the close")
        assert 0.2 < peer.closed_at - began < 1.5, "the deny had time to leave"


@on_both_sides
async def test_a_hello_of_another_id_and_a_bad_proof_end_the_attempt(ours: Daemon, side: Side) -> None:
    async with meeting(ours, side, shakes_hands=False) as stage:
        peer = stage.peer
        await channel(peer)
        peer.send_hello(device_id=ours.device_id)
        assert (await stage.event("dropped"))["reason"]["kind"] == "auth_failed"
        await peer.until(lambda: peer.closes == 1, "the close")
        await trio.sleep(0.1)
        peer.shakes_hands = True
        await peer.run(peer.dial())  # an inbound offer is always answered (7.9)
        await stage.both_active()


@on_the_loop
async def test_a_hello_with_a_display_id_is_the_same_peer(ours: Daemon) -> None:
    """Spec 01 §6.1: "display form tolerated"."""
    async with meeting(ours, "higher", shakes_hands=False, approves=False) as stage:
        peer = stage.peer
        await channel(peer)
        peer.send_hello(device_id=f"{peer.device_id}-ABCDE")
        peer.send_proof()
        await peer.sees("approve")
        peer.send_approve()
        await stage.wait_for("active")
