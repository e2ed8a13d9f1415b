"""Crashes, returns and reconnects of the daemon itself, and its own relay, beside a v0.3.8 peer."""

from __future__ import annotations

import json
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from integration.interop.stage import meeting, on_both_sides, on_the_loop
from support.contention import Contention
from support.daemons import daemon, host_relay, network_record
from support.reference_peer import ReferencePeer, first_fingerprint, room_of, seed_for
from support.reference_relay import ReferenceRelay
from support.signaling import bare_client, ws_frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.interop.stage import Side
    from support.daemons import Daemon
    from support.signaling import BareSocket


@on_both_sides
async def test_a_killed_daemon_is_linked_again_in_seconds_without_a_new_approval(tmp_path: Path, side: Side) -> None:
    """Spec 04 §7.12: as lower we offer at once; as higher DIAL_ANYWAY brings the link back in three seconds."""
    async with daemon(tmp_path / side) as mortal, meeting(mortal, side, auto_approve=False) as stage:
        peer = stage.peer
        await stage.wait_for("pending_approval")
        await stage.ask("roster_approve", device_id=peer.device_id)
        await stage.both_active()
        await peer.alive()
        await mortal.stop(signal.SIGKILL)
        began, contention = time.monotonic(), Contention()
        await mortal.start()
        await peer.until(lambda: peer.opened == 2, "a second channel", 8)
        await peer.becomes_active()
        await stage.wait_for("active")
        await peer.alive()
        assert time.monotonic() - began < contention.stretched(4.5 if side == "lower" else 2.5)


@pytest.mark.parametrize("whole", [True, False], ids=["network", "peer"])
@on_both_sides
async def test_a_reconnect_by_command_keeps_the_healthy_link(ours: Daemon, side: Side, whole: bool) -> None:
    """Spec 04 §7.8, §13 "reconnect in place": no leave, and the other side keeps the link."""
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await stage.both_active()
        await peer.alive()
        await stage.ask("network_reconnect", **({} if whole else {"peer": peer.device_id}))
        await peer.quiet(1.5)
        assert peer.left == 0
        assert peer.closes == 0
        await peer.alive()
        assert await stage.status() == "active"


@on_the_loop
async def test_a_silent_network_dials_nobody_and_answers_everybody(ours: Daemon) -> None:
    """Spec 04 §6.6, 01 §15.4: links by command or offer only, and no roster gossip."""
    async with meeting(ours, "higher", record={"kind": "silent"}) as stage:
        peer = stage.peer
        await peer.quiet(1.0)
        assert peer.descriptions == []
        await peer.run(peer.dial())
        await stage.both_active()
        peer.send("roster_request", include_all=True, subtree_hashes=[])
        await peer.alive()
        assert not {"roster_summary", "roster_entries", "network_state"} & set(peer.kinds())


@on_both_sides
async def test_a_connect_command_dials_whatever_the_role(ours: Daemon, side: Side) -> None:
    """Spec 04 §6.5."""
    async with meeting(ours, side, dials=False, record={"kind": "silent"}) as stage:
        peer = stage.peer
        answer = await stage.ask("network_connect_peer", peer=peer.device_id, wait_ms=8000)
        assert answer["active"] is True
        assert [kind for kind, _ in peer.descriptions] == ["offer"]
        await peer.alive()


@on_the_loop
async def test_transports_never_share_a_certificate_or_a_session_number(ours: Daemon) -> None:
    """Spec 04 §5.10, 12 no. 3."""
    async with meeting(ours, "lower") as stage:
        peer = stage.peer
        await stage.both_active()
        for number in (2, 3):
            await peer.run(peer.dial())
            await peer.until(lambda: peer.opened == number, "another channel")  # noqa: B023
            await stage.both_active()
        prints = [first_fingerprint(sdp) for _, sdp in peer.descriptions]
        assert len(set(prints)) == len(prints) == 3
        assert len({sdp.split("\r\n")[1].split()[1] for _, sdp in peer.descriptions}) == 3


# ── a v0.3.8 client on our own relay ──────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def client_of(port: int, device: str, network: str) -> AsyncIterator[tuple[ReferenceRelay, BareSocket]]:
    """A socket to our hosted relay with the subscription that v0.3.8 makes (spec 03 §7), as a relay to attach to."""
    async with bare_client(port) as socket, trio.open_nursery() as nursery:
        outbox, inbox = trio.open_memory_channel[bytes](1024)
        relay = ReferenceRelay()

        def publish(event: dict[str, Any]) -> None:
            outbox.send_nowait(ws_frame(json.dumps(["EVENT", event]).encode(), masked=True))

        relay.publish = publish  # type: ignore[method-assign,assignment]  # the test's own in its place

        async def write() -> None:
            async for data in inbox:
                await socket.send(data)

        async def read() -> None:
            while True:
                opcode, payload = await socket.read_frame()
                if opcode == 9:
                    outbox.send_nowait(ws_frame(payload, 10, masked=True))
                if opcode == 1 and (frame := json.loads(payload))[0] == "EVENT":
                    assert frame[1] == "mom-sig-1"
                    relay.events.append((time.monotonic(), frame[2]))
                    for listener in relay.listeners:
                        listener(frame[2])

        room, since = room_of(network), int(time.time()) - 120
        filters: list[dict[str, Any]] = [
            {"#r": [room], "kinds": [1077], "since": since},
            {"#p": [device, room], "#r": [room], "kinds": [21077]},
            {"#r": [room], "kinds": [21077]},
        ]
        await socket.send(ws_frame(json.dumps(["REQ", "mom-sig-1", *filters]).encode(), masked=True))
        nursery.start_soon(write)
        nursery.start_soon(read)
        yield relay, socket
        nursery.cancel_scope.cancel()


@on_both_sides
async def test_a_v038_client_meets_us_on_our_own_relay(tmp_path: Path, side: Side) -> None:
    async with daemon(tmp_path / side) as host:
        port = int((await host_relay(host)).rpartition(":")[2])
        await host.ask("network_add", config=network_record("hosted", f"ws://127.0.0.1:{port}", auto_approve=True))
        seed = seed_for(11, **({"below": host.device_id} if side == "lower" else {"above": host.device_id}))
        device = ReferencePeer(seed, "hosted", ReferenceRelay(), host.device_id).device_id
        async with client_of(port, device, "hosted") as (relay, socket):
            peer = ReferencePeer(seed, "hosted", relay, host.device_id)
            try:
                peer.join()
                await peer.becomes_active()
                await host.wait_for_peer("hosted", device)
                await peer.alive()
                room = room_of("hosted")
                narrowed = [
                    {"#r": [room], "kinds": [1077], "since": int(time.time()) - 120},
                    {"#p": [device, room], "#r": [room], "kinds": [21077]},
                ]
                await socket.send(ws_frame(json.dumps(["REQ", "mom-sig-1", *narrowed]).encode(), masked=True))
                known = len(peer.descriptions)
                peer.plain_reoffer()
                await peer.until(lambda: len(peer.descriptions) > known, "an answer through the narrowed subscription")
                await host.ask("network_remove", network="hosted")
                await peer.until(lambda: peer.left, "a leave through the narrowed subscription")
            finally:
                with trio.CancelScope(shield=True), trio.move_on_after(5):
                    await peer.stop()
