"""What the daemon writes to a relay, and relays that misbehave (spec 03)."""

from __future__ import annotations

import json
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from integration.interop.stage import meeting, on_both_sides, on_the_loop
from support.contention import Contention
from support.daemons import daemon, network_record
from support.reference_peer import FIRST_OFFER, ReferencePeer, base32, compact, room_of, seed_for
from support.reference_relay import reference_relay

if TYPE_CHECKING:
    from pathlib import Path

    from integration.interop.stage import Side, Stage
    from support.daemons import Daemon

OFFER_ID = re.compile(r"[a-z2-7]{13}")


def written(stage: Stage, kind: str) -> list[dict[str, Any]]:
    """Events of the daemon whose envelope is of that kind."""
    return [event for _, event in stage.relay.events if json.loads(event["content"])["kind"] == kind]


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_both_sides
async def test_every_event_is_written_as_the_reference_writes_it(ours: Daemon, side: Side) -> None:
    """Spec 03 §5.2 kinds and tags in order, §6 members in order, nulls written, compact JSON."""
    async with meeting(ours, side) as stage:
        me, other, room = ours.device_id, stage.peer.device_id, room_of(stage.network)
        await stage.both_active()
        await stage.relay.until(lambda: written(stage, "candidate"), "a candidate")
        announce = written(stage, "announce")[0]
        assert announce["kind"] == 1077
        assert announce["tags"] == [["r", room]]
        said = {"from": me, "to": None, "kind": "announce", "peer_id": me, "caps": ["ptag", "eseal1", "esig1"]}
        signed = json.loads(announce["content"])["esig"]  # which is ours (spec 11 §2.1)
        assert signed["t"] == announce["created_at"]
        assert announce["content"] == compact({**said, "esig": signed})
        directed = [event for _, event in stage.relay.events if event["kind"] == 21077]
        kinds = {json.loads(event["content"])["kind"] for event in directed}
        assert kinds == {"answer" if side == "lower" else "offer", "candidate"}
        for event in directed:
            assert event["tags"] == [["r", room], ["p", other]]
            envelope = json.loads(event["content"])
            head = {"from": me, "to": other, "kind": envelope["kind"], "peer_id": me}
            assert list(envelope)[:4] == list(head)
            assert {name: envelope[name] for name in head} == head
            assert event["content"] == compact(envelope)
            match envelope["kind"]:
                case "offer":
                    assert list(envelope)[4:] == ["offer_id", "sdp"]
                    assert OFFER_ID.fullmatch(envelope["offer_id"])
                case "answer":
                    assert list(envelope)[4:] == ["offer_id", "sdp"]
                case "candidate":
                    assert list(envelope)[4:] == ["candidate", "sdp_mid", "sdp_mline_index", "username_fragment"]
        assert len({event["pubkey"] for _, event in stage.relay.events}) == 1
        now = time.time()
        assert all(abs(event["created_at"] - now) < 30 for _, event in stage.relay.events)
        stamps = [event["created_at"] for event in written(stage, "announce")]
        assert stamps == sorted(set(stamps)), "two announces of one second would be one (5.2)"


@on_the_loop
async def test_subscriptions_come_first_and_cover_the_table(ours: Daemon) -> None:
    """Spec 03 §7.2, §8.1."""
    async with meeting(ours, "lower", join=False) as stage:
        frames = stage.relay.connections[0].frames()
        texts = [text for _, text in stage.relay.connections[0].texts]
        first_event = next(number for number, frame in enumerate(frames) if frame[0] == "EVENT")
        requests = [frame for frame in frames[:first_event] if frame[0] == "REQ"]
        assert len(requests) == first_event, "nothing but REQ before the first event"
        filters = [wanted for request in requests for wanted in request[2:]]
        room, me, now = room_of(stage.network), ours.device_id, time.time()
        presence = [wanted for wanted in filters if 1077 in wanted["kinds"]]
        assert any(wanted["#r"] == [room] and now - 310 <= wanted["since"] <= now - 110 for wanted in presence)
        ephemeral = [wanted for wanted in filters if wanted["kinds"] == [21077]]
        assert all("since" not in wanted for wanted in ephemeral)
        assert any(sorted(wanted.get("#p", [])) == sorted([me, room]) for wanted in ephemeral)
        assert any("#p" not in wanted and wanted["#r"] == [room] for wanted in ephemeral)
        assert all(": " not in text and ", " not in text for text in texts), "compact"
        assert all("permessage" not in text for text in texts)


@pytest.mark.parametrize("caps", [["ptag"], [], None])
@on_the_loop
async def test_the_catch_all_stays_while_a_peer_may_write_no_p_tags(ours: Daemon, caps: list[str] | None) -> None:
    """Spec 03 §7.1; a peer of 0.1.4 to 0.2.33 announces no caps and writes no `p` tags."""
    async with meeting(ours, "lower", join=False) as stage:
        peer, room = stage.peer, room_of(stage.network)
        content: dict[str, Any] = {"from": peer.device_id, "to": None, "kind": "announce", "peer_id": peer.device_id}
        if caps is not None:
            content["caps"] = caps
        stage.relay.attach(peer.on_event)
        peer.publish(1077, [["r", room]], content)
        connection = stage.relay.connections[0]

        def open_catch_all() -> bool:
            filters = [wanted for sub in connection.subs.values() for wanted in sub]
            return any(wanted["kinds"] == [21077] and "#p" not in wanted for wanted in filters)

        if caps == ["ptag"]:
            await stage.relay.until(lambda: not open_catch_all(), "the catch-all closed")
            await stage.both_active()
            return
        await trio.sleep(0.4)
        assert open_catch_all()
        plain = peer.publish
        peer.publish = lambda kind, tags, content: plain(kind, tags[:1], content)  # type: ignore[method-assign]  # the test's own in its place
        await peer.run(peer.dial())
        await stage.both_active()


@on_the_loop
async def test_members_that_tomorrow_adds_are_ignored(ours: Daemon) -> None:
    """Spec 03 §6: extra members are the extension point; an absent `to` is allowed."""
    async with meeting(ours, "lower", join=False) as stage:
        peer = stage.peer
        plain = peer.publish

        def more(kind: int, tags: list[list[str]], content: dict[str, Any]) -> None:
            if content["to"] is None:
                content = {name: value for name, value in content.items() if name != "to"}
            plain(kind, [*tags, ["x", "y", "z"], ["expiration", "99999999999"]], {"new": {"a": [1]}, **content})

        peer.publish = more  # type: ignore[method-assign]  # the test's own in its place
        peer.join()
        await stage.both_active()


# ── pace ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_the_loop
async def test_strangers_are_reflected_at_most_once_a_second(ours: Daemon) -> None:
    """Spec 03 §10.1, 04 §5.8: the surplus is dropped, never deferred."""
    async with meeting(ours, "lower", join=False) as stage:
        await trio.sleep(1.1)
        before = len(written(stage, "announce"))
        strangers = [
            ReferencePeer(seed_for(number, below=ours.device_id), stage.network, stage.relay, ours.device_id)
            for number in range(6)
        ]
        for stranger in strangers:
            stranger.announce(force=True)
            await trio.sleep(0.05)
        await trio.sleep(1.3)
        assert len(written(stage, "announce")) - before == 1
        strangers[0].announce(force=True)
        await trio.sleep(0.9)
        assert len(written(stage, "announce")) - before == 2


@on_the_loop
async def test_two_linked_members_stop_reflecting_each_other(ours: Daemon) -> None:
    """Spec 03 §10.2–10.3: a reflection of a healthy link's announce is not due."""
    async with meeting(ours, "lower") as stage:
        await stage.both_active()
        await stage.peer.alive()
        await trio.sleep(1.2)
        before = len(written(stage, "announce"))
        for _ in range(3):
            stage.peer.announce(force=True)
            await trio.sleep(0.3)
        assert len(written(stage, "announce")) == before


@pytest.mark.slow
@on_the_loop
async def test_the_announce_is_repeated_after_thirty_seconds(ours: Daemon) -> None:
    """Spec 03 §10.1."""
    async with meeting(ours, "lower", join=False) as stage:
        began, before = time.monotonic(), len(written(stage, "announce"))
        await stage.relay.until(lambda: len(written(stage, "announce")) > before, "the next announce", 40)
        assert time.monotonic() - began == pytest.approx(30, abs=2)


# ── departures ────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_both_sides
async def test_sigterm_leaves_at_once_says_nothing_more_and_exits_clean(tmp_path: Path, side: Side) -> None:
    """Spec 04 §1.2, 03 §13: leave within milliseconds, ABORT at about 250 ms, exit status 0; redials are in vain."""
    async with daemon(tmp_path / side) as leaver, meeting(leaver, side) as stage:
        peer = stage.peer
        await stage.both_active()
        await peer.alive()
        process = leaver.process
        assert process is not None
        seen = len(stage.relay.events)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        await peer.until(lambda: peer.left, "a leave")
        assert peer.left_at - began < 0.15
        peer.announce(force=True)
        await peer.run(peer.dial())
        assert await process.wait() == 0
        ended = time.monotonic()
        assert 0.24 < ended - began < 1.5
        after = [json.loads(event["content"])["kind"] for _, event in stage.relay.events[seen:]]
        assert after == ["leave"]
        leave = stage.relay.events[-1][1]
        room = room_of(stage.network)
        assert leave["kind"] == 21077
        assert leave["tags"] == [["r", room], ["p", room]]
        said = {"from": leaver.device_id, "to": None, "kind": "leave", "peer_id": leaver.device_id}
        signed = json.loads(leave["content"])["esig"]  # which is ours (spec 11 §2.1)
        assert signed["t"] == leave["created_at"]
        assert leave["content"] == compact({**said, "esig": signed})


@on_the_loop
async def test_the_channel_of_a_leaver_closes_a_quarter_of_a_second_after_the_leave(tmp_path: Path) -> None:
    """Spec 01 §7.9 "what its own SIGTERM looks like": 253 ms."""
    async with daemon(tmp_path / "home") as leaver, meeting(leaver, "lower") as stage:
        peer = stage.peer
        await stage.both_active()
        await peer.alive()
        peer.drop = lambda: None  # type: ignore[method-assign]  # keeps its side open
        process = leaver.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        await peer.until(lambda: peer.closes, "the close of the channel")
        assert 0.2 < peer.closed_at - peer.left_at < 0.6
        assert await process.wait() == 0


@on_the_loop
async def test_a_removed_network_leaves_its_room(ours: Daemon) -> None:
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        await stage.both_active()
        stage.relay.room = None
        await ours.ask("network_add", config=network_record(stage.network + "-b", stage.relay.url))
        await stage.relay.until(lambda: len({event["pubkey"] for event in stage.relay.presence}) == 3, "the other room")
        await ours.ask("network_remove", network=stage.network + "-b")
        leaves = written(stage, "leave")
        assert [event["tags"][1] for event in leaves] == [["p", room_of(stage.network + "-b")]]
        await peer.alive()


# ── relays that misbehave ─────────────────────────────────────────────────────────────────────────────────────────────


MISBEHAVIOUR: dict[str, dict[str, Any]] = {
    "never says EOSE": {"eose": False},
    "echoes what we wrote": {"echo": True},
    "refuses every event but forwards it": {"ok": False},
    "never says OK": {"ok": None},
    "all of it": {"eose": False, "echo": True, "ok": None},
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
@on_both_sides
async def test_peers_meet_through_a_strange_relay(ours: Daemon, side: Side, name: str) -> None:
    """Spec 03 §8.4, 23-L, 23-O: v0.3.8 meets through such relays too (*measured* for the missing EOSE)."""
    async with meeting(ours, side, relay=MISBEHAVIOUR[name]) as stage:
        began, contention = time.monotonic(), Contention()
        await stage.both_active()
        await stage.peer.alive()
        assert time.monotonic() - began < contention.stretched(3)


@on_the_loop
async def test_old_ephemeral_events_of_a_relay_that_stores_them_do_no_harm(tmp_path: Path, ours: Daemon) -> None:
    """Spec 03 23-B, §11: an old offer and an old leave are replayed to a joiner; neither counts."""
    async with reference_relay() as old:
        peer = ReferencePeer(seed_for(77, below=ours.device_id), "interop-old", old, ours.device_id)
        room, hour = room_of("interop-old"), int(time.time()) - 3600
        head = {"from": peer.device_id, "to": ours.device_id, "peer_id": peer.device_id}
        link = peer.new_link(offerer=True)
        await peer.run(link.start_offer())
        offer = {**head, "kind": "offer", "offer_id": base32(bytes(8)), "sdp": link.paint(FIRST_OFFER)}
        leave = {"from": peer.device_id, "to": None, "kind": "leave", "peer_id": peer.device_id}
        old.stored_ephemerals = [
            old.event(21077, [["r", room], ["p", ours.device_id]], compact(offer), created_at=hour),
            old.event(21077, [["r", room], ["p", room]], compact(leave), created_at=hour),
        ]
        record = network_record("interop-old", old.url, auto_approve=True)
        try:
            await ours.ask("network_add", config=record)
            await old.until(lambda: old.presence, "an announce")
            await trio.sleep(0.5)
            assert old.contents("answer") == []
            assert await ours.peer("interop-old", peer.device_id) is None
            peer.drop()
            peer.join()
            await peer.becomes_active()
        finally:
            await peer.stop()
            await ours.ask("network_remove", network="interop-old")


@on_the_loop
async def test_events_that_are_not_for_us_or_not_genuine_are_ignored(ours: Daemon) -> None:
    """Spec 03 §11: another room, another recipient, a wrong kind, a broken signature, somebody else's id.

    Whoever speaks in our own name without our signature is answered by one of ours, once in four minutes (11 §2.1).
    """
    async with meeting(ours, "lower", join=False) as stage:
        peer, relay, room = stage.peer, stage.relay, room_of(stage.network)
        await trio.sleep(1.1)
        before = len(written(stage, "announce"))
        good = {"from": peer.device_id, "to": None, "kind": "announce", "peer_id": peer.device_id, "caps": ["ptag"]}
        broken = relay.event(1077, [["r", room]], compact(good))
        flipped = {**broken, "sig": ("0" if broken["sig"][0] != "0" else "1") + broken["sig"][1:]}
        bad = [
            relay.event(1077, [["r", room_of("other")]], compact(good)),
            relay.event(21077, [["r", room], ["p", room]], compact(good)),
            relay.event(1077, [["r", room]], compact({**good, "to": peer.device_id})),
            relay.event(1077, [["r", room]], compact({**good, "peer_id": "x" * 52})),
            relay.event(1077, [["r", room]], compact({**good, "kind": "hello"})),
            relay.event(1077, [["r", room]], "no json"),
            relay.event(1077, [["r", room]], compact({**good, "from": ours.device_id, "peer_id": ours.device_id})),
            flipped,
            {**broken, "created_at": -1},
        ]
        for event in bad:
            relay.connections[0].say("EVENT", "mom-sig-1", event)
        relay.connections[0].say("NOTICE", "hello")
        relay.connections[0].say("AUTH", "challenge")
        relay.connections[0].say("EVENT")
        relay.connections[0].say()
        await trio.sleep(0.4)
        assert await stage.row() is None
        assert len(written(stage, "announce")) == before + 1
        peer.join()
        await stage.both_active()


@on_the_loop
async def test_two_daemons_meet_through_every_strange_relay(tmp_path: Path, ours: Daemon) -> None:
    async with daemon(tmp_path / "other") as other:
        for number, behaviour in enumerate(MISBEHAVIOUR.values()):
            async with reference_relay(**behaviour) as relay:
                name = f"interop-two-{number}"
                for each in (ours, other):
                    await each.ask("network_add", config=network_record(name, relay.url, auto_approve=True))
                await ours.wait_for_peer(name, other.device_id)
                await other.wait_for_peer(name, ours.device_id)
                for each in (ours, other):
                    await each.ask("network_remove", network=name)
