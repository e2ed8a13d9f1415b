"""Application, gossip and housekeeping frames in both directions (spec 01 §4.2, §8–15)."""

from __future__ import annotations

import base64
import random
import time
from typing import TYPE_CHECKING, Any

import nacl.signing
import pytest
import trio

from integration.interop.stage import meeting, on_both_sides, on_the_loop
from myownmesh.engine.gossip import GOSSIP_GAP_S
from support.contention import Contention
from support.daemons import Refused
from support.reference_peer import base32, membership_root, seed_for

if TYPE_CHECKING:
    from integration.interop.stage import Side
    from support.daemons import Daemon

QUIET_S = 0.25


def someone(number: int) -> str:
    return base32(bytes(nacl.signing.SigningKey(seed_for(number)).verify_key))


# ── size and kind of messages ─────────────────────────────────────────────────────────────────────────────────────────


@on_both_sides
async def test_the_largest_frames_go_both_ways(ours: Daemon, side: Side) -> None:
    """Spec 01 §4.2, 04 §10.2: 65,535 bytes; v0.3.8 can send one more; an empty message does no harm."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await stage.both_active()
        await stage.ask("channel_subscribe", client_id=stage.client_id, channel="big")
        envelope = len('{"kind":"channel","channel":"big","payload":""}')
        for number, size in enumerate((1, 1200, 65_534, 65_535, 65_536), 1):
            body = "x" * max(0, size - envelope)
            peer.send("channel", channel="big", payload=body)
            assert (await stage.inbound("channel_inbound", number))["payload"] == body
        peer.send_raw(b"")
        peer.send_raw("")
        await peer.alive()
        body = "y" * (65_535 - envelope)
        await stage.ask("channel_send_to", peer=peer.device_id, channel="big", payload=body)
        frame = await peer.sees("channel", payload=body)
        assert frame["channel"] == "big"
        assert max(len(data) for data in peer.raw) == 65_535
        with pytest.raises(Refused, match=r"^transport: frame of 65536 bytes exceeds the 65535-byte limit$"):
            await stage.ask("channel_send_to", peer=peer.device_id, channel="big", payload=body + "y")
        await peer.alive()
        assert peer.closes == 0


@on_the_loop
async def test_text_messages_are_taken_like_binary_ones(ours: Daemon) -> None:
    """Spec 01 §4.1: the flag is never looked at (PPID 51)."""
    async with meeting(ours, "higher") as stage:
        await stage.both_active()
        await stage.ask("channel_subscribe", client_id=stage.client_id, channel="t")
        stage.peer.send_raw('{"kind":"channel","channel":"t","payload":"grüße"}')
        assert (await stage.inbound("channel_inbound"))["payload"] == "grüße"
        stage.peer.send_raw('{"kind":"ping","t":77}')
        await stage.peer.sees("pong", t=77)


@on_the_loop
async def test_a_burst_behind_the_activation_is_delivered_whole_and_in_order(ours: Daemon) -> None:
    async with meeting(ours, "lower") as stage:
        peer = stage.peer
        await stage.ask("channel_subscribe", client_id=stage.client_id, channel="n")
        await stage.both_active()
        for number in range(200):
            peer.send("channel", channel="n", payload=number)
        await stage.inbound("channel_inbound", 200)
        got = [each["payload"] for each in stage.events if each.get("kind") == "channel_inbound"]
        assert got == list(range(200))


# ── keepalive, capabilities, shelving, the unknown ────────────────────────────────────────────────────────────────────


@on_the_loop
async def test_every_ping_is_answered_with_its_own_time(ours: Daemon) -> None:
    """Spec 01 §8; also the extremes of an i64, also while shelved (04 §12 no. 16)."""
    async with meeting(ours, "lower") as stage:
        peer = stage.peer
        await stage.both_active()
        for t in (1, 0, -5, time.time_ns() // 1_000_000, 2**63 - 1, -(2**63)):
            peer.send("ping", t=t)
            await peer.sees("pong", t=t)
        peer.send("pong", t=123)
        peer.send("shelve", reason="topology-rebalance")
        await peer.alive()


@on_both_sides
async def test_shelve_and_unshelve_are_told_once_and_only_stop_broadcasts(ours: Daemon, side: Side) -> None:
    """Spec 01 §10."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await stage.both_active()
        assert (await stage.ask("channel_send_all", channel="c", payload=0))["dispatched_to"] == 1
        await peer.sees("channel", payload=0)
        peer.send("shelve", reason="topology-rebalance")
        peer.send("shelve", reason="topology-rebalance")
        await stage.event("shelved")
        await peer.alive()
        row = await stage.row()
        assert row is not None
        assert row["remote_shelved"] is True
        assert row["status"] == "active"
        assert (await stage.ask("channel_send_all", channel="c", payload=1))["dispatched_to"] == 0
        await stage.ask("channel_send_to", peer=peer.device_id, channel="c", payload=2)
        await peer.sees("channel", payload=2)
        peer.send("unshelve")
        peer.send("unshelve")
        await stage.event("unshelved")
        await peer.alive()
        assert (await stage.ask("channel_send_all", channel="c", payload=3))["dispatched_to"] == 1
        assert len(stage.peer_events("shelved")) == len(stage.peer_events("unshelved")) == 1


@on_the_loop
async def test_capabilities_travel_both_ways(ours: Daemon) -> None:
    """Spec 01 §9: replaced whole, with an event; our change reaches the peer as one frame."""
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        await stage.both_active()
        row = await stage.row()
        assert row is not None
        assert row["capabilities"]["app_version"] == "0.3.8"
        advert = {"tags": ["service:relay", "x"], "app_version": "9", "max_connections": 7, "extra": {"a": [1, None]}}
        peer.send("capabilities_update", capabilities=advert)
        assert (await stage.event("capabilities_changed"))["capabilities"] == advert
        row = await stage.row()
        assert row is not None
        assert row["capabilities"] == advert
        await stage.ask("capabilities_set", capabilities={"tags": ["llm"], "extra": {"v": 1}})
        frame = await peer.sees("capabilities_update")
        assert list(frame) == ["kind", "capabilities"]
        assert list(frame["capabilities"]) == ["tags", "app_version", "max_connections", "extra"]
        assert "llm" in frame["capabilities"]["tags"]
        assert frame["capabilities"]["extra"]["v"] == 1


@on_the_loop
async def test_unknown_and_malformed_frames_do_nothing(ours: Daemon) -> None:
    """Spec 01 §4.3: ignored, the link stays, also the governance frames of closed networks."""
    async with meeting(ours, "lower") as stage:
        peer = stage.peer
        await stage.both_active()
        await peer.alive()
        frames = len(peer.frames)
        peer.send("tomorrow", anything={"a": [1]})
        for text in (
            "nonsense", "[]", '["ping",5]', '{"kind":5}', '{"kind":"ping"}', '{"kind":"ping","t":1.5}', "\ufeff{}",
            '{"kind":"ping","t":1,"t":2}', '{"kind":"channel","channel":null,"payload":1}', '{"kind":"ping","t":5}x',
        ):  # fmt: skip
            peer.send_raw(text)
        peer.send_raw(b'{"kind":"channel","channel":"\xff","payload":1}')
        peer.send(
            "network_state", network_kind="closed", transitions_count=3, member_log_count=1, roster_root=peer.root
        )
        peer.send(
            "network_state_propose", proposal_id="p", variant={"kind": "kind_change", "to": "closed"},
            proposer=peer.device_id, created_at=1, signature="a" * 103,
        )  # fmt: skip
        peer.send(
            "network_state_ack", proposal_id="p", signer=peer.device_id, decision="sign", at=1, signature="a" * 103
        )
        peer.send(
            "network_state_split", parent_proposal_id="p", new_network_id="n", members=[], proposer=peer.device_id,
            at=1, signature="a" * 103,
        )  # fmt: skip
        await peer.alive()
        assert set(peer.kinds(frames)) <= {"pong", "roster_request"}
        assert await stage.status() == "active"


# ── RPC ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_both_sides
async def test_calls_from_us_are_answered_by_a_reference_peer(ours: Daemon, side: Side) -> None:
    """Spec 01 §11.1: id of 20 characters, nulls written; ok, error, null and no answer for others' ids."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await stage.both_active()

        def reply(frame: dict[str, Any]) -> None:
            if frame["kind"] == "rpc_request":
                assert list(frame) == ["kind", "request_id", "method", "payload", "streaming"]
                assert len(frame["request_id"]) == 20
                assert frame["streaming"] is False
                peer.send("rpc_response", request_id="a" * 20, ok="foreign", error=None)
                ok, error = {"echo": (frame["payload"], None), "fail": (None, "went wrong")}.get(
                    frame["method"], (None, f"no handler for '{frame['method']}'")
                )
                peer.send("rpc_response", request_id=frame["request_id"], ok=ok, error=error)

        peer.on_frame = reply
        call = {"peer": peer.device_id, "method": "echo"}
        for payload in ({"a": [1, 2.5, "ü"]}, None, 2**63, "x" * 60_000):
            assert await stage.ask("rpc_call", **call, payload=payload) == {"response": payload}
        for method, text in (("fail", "went wrong"), ("other", "no handler for 'other'")):
            with pytest.raises(Refused, match=f"handler returned error: {text}"):
                await stage.ask("rpc_call", peer=peer.device_id, method=method, payload=None)


@on_both_sides
async def test_calls_of_a_reference_peer_are_answered_by_our_client(ours: Daemon, side: Side) -> None:
    """Spec 01 §11.2: the exact texts of an unknown method, and the shape of each answer."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await stage.both_active()
        await stage.ask("rpc_register", client_id=stage.client_id, method="echo", streaming=False)
        await stage.ask("rpc_register", client_id=stage.client_id, method="count", streaming=True)

        def request(number: int, method: str, *, streaming: bool) -> str:
            request_id = base32(random.Random(number).randbytes(12))
            peer.send("rpc_request", request_id=request_id, method=method, payload={"n": number}, streaming=streaming)
            return request_id

        unknown = request(1, "nobody", streaming=False)
        frame = await peer.sees("rpc_response", request_id=unknown)
        assert list(frame) == ["kind", "request_id", "ok", "error"]
        assert (frame["ok"], frame["error"]) == (None, "no handler for 'nobody'")

        single = request(2, "echo", streaming=False)
        asked = await stage.inbound("rpc_inbound")
        assert asked["from"] == peer.device_id
        assert asked["payload"] == {"n": 2}
        await ours.ask("rpc_respond", request_id=asked["request_id"], ok={"n": 2})
        frame = await peer.sees("rpc_response", request_id=single)
        assert (frame["ok"], frame["error"]) == ({"n": 2}, None)

        stream = request(3, "count", streaming=True)
        asked = await stage.inbound("rpc_inbound", 2)
        for number in (1, 2, 3):
            await ours.ask("rpc_stream_chunk", request_id=asked["request_id"], payload=number)
        await ours.ask("rpc_stream_end", request_id=asked["request_id"])
        end = await peer.sees("rpc_stream_end", request_id=stream)
        assert list(end) == ["kind", "request_id", "error"]
        assert end["error"] is None
        chunks = [each for each in peer.frames if each["kind"] == "rpc_stream_chunk"]
        assert [list(each) for each in chunks] == [["kind", "request_id", "seq", "payload"]] * 3
        assert [(each["seq"], each["payload"]) for each in chunks] == [(1, 1), (2, 2), (3, 3)]


@on_the_loop
async def test_a_streamed_answer_of_a_reference_peer_reaches_our_client(ours: Daemon) -> None:
    """Spec 01 §11.1, 05 §13: chunks in arrival order, whatever `seq` says; then the end."""
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        await stage.both_active()

        def reply(frame: dict[str, Any]) -> None:
            if frame["kind"] == "rpc_request":
                assert frame["streaming"] is True
                for number in range(1, 4):
                    peer.send("rpc_stream_chunk", request_id=frame["request_id"], seq=number, payload=number * 10)
                peer.send("rpc_stream_end", request_id=frame["request_id"], error=None)

        peer.on_frame = reply
        await stage.ask("rpc_call_stream", client_id=stage.client_id, peer=peer.device_id, method="s", payload=None)
        end = await stage.inbound("rpc_call_stream_end")
        assert end["error"] is None
        chunks = [each["payload"] for each in stage.events if each.get("kind") == "rpc_call_stream_chunk"]
        assert chunks == [10, 20, 30]


@on_the_loop
async def test_a_call_ends_at_once_when_the_peer_goes(ours: Daemon) -> None:
    async with meeting(ours, "lower", dials=True) as stage:
        peer = stage.peer
        await stage.both_active()
        peer.on_frame = lambda frame: peer.drop() if frame["kind"] == "rpc_request" else None
        began, contention = time.monotonic(), Contention()
        with pytest.raises(Refused):
            await stage.ask("rpc_call", peer=peer.device_id, method="m", payload=None)
        assert time.monotonic() - began < contention.stretched(1)


# ── gossip ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_both_sides
async def test_roster_gossip_with_a_reference_node(ours: Daemon, side: Side) -> None:
    """Spec 01 §15.3–15.4: it pulls ours, we pull its; strangers of its roster become members here."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        third = someone(3)
        peer.roster = {third: ("Third", 1_700_000_000), ours.device_id: ("Ours", 1_700_000_001)}
        await stage.both_active()
        request = await peer.sees("roster_request")
        assert request == {"kind": "roster_request", "include_all": True, "subtree_hashes": []}
        assert list(request) == ["kind", "include_all", "subtree_hashes"]
        entries = await peer.sees("roster_entries")
        assert list(entries) == ["kind", "entries", "transitions", "member_log"]
        assert (entries["transitions"], entries["member_log"]) == ([], [])
        (entry,) = entries["entries"]
        assert list(entry) == ["device_id", "label", "approved_at", "role", "granted_by"]
        assert entry["device_id"] == peer.device_id
        assert (entry["label"], entry["role"], entry["granted_by"]) == ("Rust", "member", "")
        await peer.quiet(GOSSIP_GAP_S + QUIET_S)
        roster = (await stage.ask("roster_list"))["roster"]
        assert {row["device_id"]: row["label"] for row in roster} == {peer.device_id: "Rust", third: "Third"}
        ours_now = membership_root({peer.device_id, third})
        assert ours_now not in [frame.get("root") for frame in peer.frames], "it holds whom we hold, so it is not told"
        frames = len(peer.frames)
        peer.send_roster()
        await peer.quiet(QUIET_S)
        assert peer.kinds(frames) == [], "entries that change nothing trigger nothing"


@on_the_loop
async def test_a_member_vouched_for_by_gossip_is_let_in_without_asking(ours: Daemon) -> None:
    """Spec 01 §15.4, §20 item 7: also when it already waits for a person."""
    async with meeting(ours, "higher", auto_approve=False) as stage:
        peer = stage.peer
        await stage.wait_for("pending_approval")
        await stage.ask("roster_approve", device_id=peer.device_id)
        await stage.both_active()
        third = someone(4)
        peer.send("roster_entries", entries=[
            {"device_id": third, "label": "T", "approved_at": 5, "role": "owner", "granted_by": ""},
            {"device_id": ours.device_id, "label": "me", "approved_at": 5, "role": "owner", "granted_by": ""},
        ], transitions=[], member_log=[])  # fmt: skip
        await peer.sees("roster_summary", root=membership_root({peer.device_id, third}))
        rows = {row["device_id"]: row for row in (await stage.ask("roster_list"))["roster"]}
        assert set(rows) == {peer.device_id, third}


# ── reliable channels, routing ────────────────────────────────────────────────────────────────────────────────────────


@on_both_sides
async def test_reliable_frames_are_delivered_once_and_acknowledged_always(ours: Daemon, side: Side) -> None:
    """Spec 01 §13.2; a node that advertises `reliable_channels_v1` is sent `channel_seq` by v0.3.8."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await stage.both_active()
        hello = await peer.sees("hello")
        assert "reliable_channels_v1" in hello["features"]
        await stage.ask("channel_subscribe", client_id=stage.client_id, channel="r")
        stream = 2**64 - 1
        for seq, up_to in ((1, 1), (2, 2), (2, 2), (1, 2), (5, 5)):
            frames = len(peer.frames)
            peer.send("channel_seq", stream=stream, seq=seq, channel="r", payload=seq)
            ack = await peer.sees("channel_ack", frames)
            assert ack == {"kind": "channel_ack", "stream": stream, "up_to": up_to}
        frames = len(peer.frames)
        peer.send("channel_seq", stream=7, seq=1, channel="r", payload="new")
        await peer.sees("channel_ack", frames, stream=7, up_to=1)
        await stage.inbound("channel_inbound", 4)
        got = [each["payload"] for each in stage.events if each.get("kind") == "channel_inbound"]
        assert got == [1, 2, 5, "new"]
        peer.send("channel_ack", stream=3, up_to=9)
        await peer.alive()


@on_the_loop
async def test_bytes_of_the_largest_convention_pass(ours: Daemon) -> None:
    """Spec 01 §11.3: 46,080 raw bytes as base64."""
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        await stage.both_active()
        await stage.ask("channel_subscribe", client_id=stage.client_id, channel="b")
        text = base64.b64encode(random.Random(1).randbytes(46_080)).decode()
        peer.send("channel", channel="b", payload=text)
        assert (await stage.inbound("channel_inbound"))["payload"] == text
        await stage.ask("channel_send_to", peer=peer.device_id, channel="b", payload=text)
        await peer.sees("channel", payload=text)


# ── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_both_sides
async def test_a_departure_is_seen_as_one(ours: Daemon, side: Side) -> None:
    """Spec 01 §7.9, 03 §12.1: leave, 250 ms later ABORT; user_left, no redial, no announce of ours."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await stage.both_active()
        known, announces = len(peer.descriptions), len(stage.relay.contents("announce"))
        began, contention = time.monotonic(), Contention()
        peer.leave()
        await trio.sleep(0.25)
        assert await stage.status() == "active"
        peer.drop()
        assert (await stage.event("dropped"))["reason"]["kind"] == "user_left"
        assert time.monotonic() - began < contention.stretched(0.6)
        await peer.quiet(2.5)
        assert len(peer.descriptions) == known
        assert len(stage.relay.contents("announce")) == announces


@on_the_loop
async def test_a_forged_leave_costs_one_ping(ours: Daemon) -> None:
    """Spec 03 §12.1: a frame in time refutes it."""
    async with meeting(ours, "lower") as stage:
        peer = stage.peer
        await stage.both_active()
        await peer.alive()
        frames = len(peer.frames)
        peer.leave()
        await peer.sees("ping", frames)
        await peer.quiet(1.8)
        assert await stage.status() == "active"
        await peer.alive()


@on_the_loop
async def test_a_leave_without_a_channel_close_is_believed_when_nobody_answers(ours: Daemon) -> None:
    async with meeting(ours, "lower") as stage:
        peer = stage.peer
        await stage.both_active()
        peer.leave()
        peer.vanish()
        assert (await stage.event("dropped"))["reason"]["kind"] == "user_left"


@pytest.mark.slow
@on_the_loop
async def test_pings_every_thirty_seconds(ours: Daemon) -> None:
    """Spec 01 §8: the only frames of an idle link."""
    async with meeting(ours, "lower") as stage:
        peer = stage.peer
        await stage.both_active()
        await peer.alive()
        await peer.quiet(1)
        peer.announce = lambda **_: None  # type: ignore[method-assign]  # each would cause a ping of its own
        frames = len(peer.frames)
        times: list[float] = []
        peer.on_frame = lambda _: times.append(time.monotonic())
        await peer.until(lambda: len(times) >= 2, "two pings", 65)
        assert peer.kinds(frames) == ["ping", "ping"]
        assert times[1] - times[0] == pytest.approx(30, abs=1)
        now = time.time_ns() // 1_000_000
        assert all(abs(frame["t"] - now) < 40_000 for frame in peer.frames[frames:])
        row = await stage.row()
        assert row is not None
        assert row["rtt_ms"] is not None
