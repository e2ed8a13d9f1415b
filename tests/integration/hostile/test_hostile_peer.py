"""A hostile peer against a real daemon: every attack gets its specified outcome, and an honest peer notices nothing."""

from __future__ import annotations

import json
import random
import re
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio

from integration.reference.test_mixed_pairs import NETWORK as MIXED
from integration.reference.test_mixed_pairs import Device
from myownmesh.protocol.frames import (
    Approve,
    Channel,
    Ping,
    Pong,
    RosterEntries,
    RosterEntry,
    RpcRequest,
    RpcResponse,
)
from support.daemons import daemon, host_relay, network_record
from support.probe import identity, probe
from support.reference import REFERENCE, needs_reference
from support.signaling import relay_server, url_of
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from support.daemons import Daemon
    from support.probe import Probe

NETWORK = "arena"
NULL = msgspec.Raw(b"null")


@asynccontextmanager
async def arena(root: Path, *, auto_approve: bool) -> AsyncIterator[tuple[Daemon, str]]:
    """A daemon that hosts its own relay and has joined one network."""
    async with daemon(root / "v") as victim:
        relay = await host_relay(victim)
        await victim.ask("network_add", config=network_record(NETWORK, relay, auto_approve=auto_approve))
        yield victim, relay


@asynccontextmanager
async def attacker(victim: Daemon, relay: str, *, seed: int = 1) -> AsyncIterator[Probe]:
    """A probe with the higher id, so that the victim dials it."""
    async with probe(NETWORK, relay, identity(seed, above=victim.device_id)) as made:
        made.only = victim.device_id
        yield made


async def echo_works(victim: Daemon, probe: Probe) -> None:
    """The victim still answers this peer at once."""
    probe.frames.clear()
    stamp = random.randrange(1 << 40)
    probe.send(Ping(t=stamp))
    await probe.sees(Pong, lambda pong: pong.t == stamp)


# ── before admission ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_frames_before_approval_change_nothing(tmp_path: Path) -> None:
    async with arena(tmp_path, auto_approve=False) as (victim, relay), attacker(victim, relay) as peer:
        events = await victim.control()
        client_id = (await events.ask("events_subscribe"))["client_id"]
        await victim.ask("rpc_register", client_id=client_id, network=NETWORK, method="m", streaming=False)
        await victim.ask("channel_subscribe", client_id=client_id, network=NETWORK, channel="c")
        await peer.channel()
        gated = [
            Ping(t=1),
            RpcRequest(request_id="r", method="m", payload=NULL),
            Channel(channel="c", payload=NULL),
            RosterEntries(entries=(RosterEntry(identity(9).device_id, "x", 1, "owner"),)),
        ]
        peer.send(*gated)
        await peer.authenticate()
        row = await victim.wait_for_peer(NETWORK, peer.device_id, "pending_approval")
        peer.send(*gated, Approve())
        with trio.fail_after(10):
            while not (row := await victim.peer(NETWORK, peer.device_id) or {}).get("remote_approve_seen"):
                await trio.sleep(0.01)
        assert row["status"] == "pending_approval"
        assert (await victim.ask("roster_list", network=NETWORK))["roster"] == []
        traffic = (await victim.ask("networks_list"))["networks"][0]["traffic"]
        assert traffic["app_rx"]["frames"] == traffic["keepalive_rx"]["frames"] == traffic["gossip_rx"]["frames"] == 0
        assert not any(isinstance(frame, Pong | RpcResponse) for frame in peer.frames)
        await victim.ask("roster_approve", network=NETWORK, device_id=peer.device_id)
        await victim.wait_for_peer(NETWORK, peer.device_id, "active")
        await echo_works(victim, peer)


async def test_a_forged_signature_is_dropped(tmp_path: Path) -> None:
    async with arena(tmp_path, auto_approve=True) as (victim, relay), attacker(victim, relay) as peer:
        events = await victim.control()
        await events.ask("events_subscribe")
        await peer.channel()
        peer.send(peer.my_hello(), peer.proof(identity=identity(2)))
        assert await drop_reason(events, peer.device_id) == "auth_failed"
        await peer.until(lambda: peer.closed is not None, "the close of the channel")


async def test_a_hello_in_another_name_is_dropped(tmp_path: Path) -> None:
    async with arena(tmp_path, auto_approve=True) as (victim, relay), attacker(victim, relay) as peer:
        events = await victim.control()
        await events.ask("events_subscribe")
        await peer.channel()
        peer.send(peer.my_hello(device_id=identity(2).device_id))
        assert await drop_reason(events, peer.device_id) == "auth_failed"


def fingerprint_of(sdp: str) -> str:
    found = re.search(r"a=fingerprint:(.*)\r\n", sdp)
    assert found is not None
    return found[1]


def session_names(sdp: str, named: str) -> str:
    """The application section names the presented certificate, the session names `named`."""
    own = fingerprint_of(sdp)
    return sdp.replace(f"a=fingerprint:{own}\r\n", f"a=fingerprint:{named}\r\n") + f"a=fingerprint:{own}\r\n"


def application_names(sdp: str, named: str) -> str:
    """The session names the presented certificate, the application section names `named`."""
    return f"{sdp}a=fingerprint:{named}\r\n"


def another_section_names(sdp: str, named: str) -> str:
    """A media section in front of the honest application section names `named`."""
    head, application = re.split(r"(?=^m=application)", sdp, maxsplit=1, flags=re.MULTILINE)
    ice = "".join(re.findall(r"a=ice-(?:ufrag|pwd):.*\r\n", application))
    media = (
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:9\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-mux\r\n"
        f"a=inactive\r\na=setup:actpass\r\n{ice}a=fingerprint:{named}\r\n"
    )
    return re.sub(r"(a=group:BUNDLE)", r"\1 9", head) + media + application


def without_media(sdp: str) -> str:
    """The answer as the probe's session expects it, which never offered the media section."""
    return re.sub(r"(?s)m=audio.*?(?=m=application)", "", sdp).replace("BUNDLE 9 ", "BUNDLE ")


@pytest.mark.parametrize("shape", [session_names, application_names, another_section_names])
@pytest.mark.parametrize("honest", [True, False], ids=["honest", "lying"])
async def test_every_section_must_name_the_presented_certificate(
    tmp_path: Path, shape: Callable[[str, str], str], honest: bool
) -> None:
    """An SDP that also names somebody else's certificate proves nothing; the same text with one certificate does."""
    other = "sha-256 " + ":".join(f"{byte:02X}" for byte in random.Random(5).randbytes(32))
    async with (
        arena(tmp_path, auto_approve=True) as (victim, relay),
        # The lower id, so that the victim waits for the offer that this test writes.
        probe(NETWORK, relay, identity(1, below=victim.device_id)) as peer,
    ):
        peer.only = victim.device_id
        peer.edit_sdp = lambda sdp: shape(sdp, fingerprint_of(sdp) if honest else other)
        peer.edit_answer = without_media
        await peer.until(lambda: victim.device_id in peer.announced, "an announce: from now on the victim hears offers")
        peer.dial(victim.device_id)
        if honest:
            await peer.become_active()
            await victim.wait_for_peer(NETWORK, peer.device_id)
            return
        with trio.move_on_after(2.5):  # before the victim dials by itself; honest links are up in a tenth of it
            await peer.authenticate()
        row = await victim.peer(NETWORK, peer.device_id)
        assert row is None or not row["authenticated"], row
        assert (await victim.ask("roster_list", network=NETWORK))["roster"] == []


# ── after admission ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_malformed_frame_is_discarded_and_the_link_stays(tmp_path: Path) -> None:
    cases = load("peer-protocol.json", "frames")["cases"]
    async with arena(tmp_path, auto_approve=True) as (victim, relay), attacker(victim, relay) as peer:
        await peer.become_active()
        await victim.wait_for_peer(NETWORK, peer.device_id)
        before = victim.memory_mb()
        sent = 0
        for case in cases:
            data = bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode("utf-8", "surrogatepass")
            if case["expect"]["outcome"] not in ("malformed", "unknown") or not 1 <= len(data) <= 65_535:
                continue
            peer.send_bytes(data)
            sent += 1
            if sent % 10 == 0:
                await echo_works(victim, peer)
        assert sent > 30
        await echo_works(victim, peer)
        row = await victim.peer(NETWORK, peer.device_id)
        assert row is not None
        assert row["status"] == "active"
        assert victim.memory_mb() - before < 10
        assert "Traceback" not in victim.log


async def test_an_honest_peer_notices_nothing_of_a_flood(tmp_path: Path) -> None:
    async with (
        arena(tmp_path, auto_approve=True) as (victim, relay),
        daemon(tmp_path / "h") as honest,
        attacker(victim, relay) as peer,
    ):
        await honest.ask("network_add", config=network_record(NETWORK, relay, auto_approve=True))
        await victim.wait_for_peer(NETWORK, honest.device_id)
        await honest.wait_for_peer(NETWORK, victim.device_id)
        events = await victim.control()
        client_id = (await events.ask("events_subscribe"))["client_id"]
        await victim.ask("rpc_register", client_id=client_id, network=NETWORK, method="echo", streaming=False)
        await peer.become_active()
        await victim.wait_for_peer(NETWORK, peer.device_id)
        before = victim.memory_mb()
        answered: list[float] = []

        async def answer() -> None:
            replies = await victim.control()
            while True:
                frame = await events.frame()
                if frame["kind"] == "rpc_inbound" and frame["from"] == honest.device_id:
                    await replies.ask("rpc_respond", request_id=frame["request_id"], ok=frame["payload"])

        async def flood() -> None:
            junk = json.dumps({"kind": "channel", "channel": "x", "payload": "y" * 4000}).encode()
            malformed = b'{"kind":"rpc_request"' + b" " * 200
            for _ in range(400):
                if peer.closed is not None:
                    return
                for _ in range(5):
                    peer.send_bytes(junk)
                    peer.send_bytes(malformed)
                await trio.sleep(0.005)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            nursery.start_soon(flood)
            control = await honest.control()
            for number in range(20):
                began = trio.current_time()
                answer_ = await control.ask(
                    "rpc_call", network=NETWORK, peer=victim.device_id, method="echo", payload=number
                )
                assert answer_ == {"response": number}
                answered.append(trio.current_time() - began)
                await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        assert max(answered) < 2.0, answered
        assert victim.memory_mb() - before < 25
        row = await victim.peer(NETWORK, honest.device_id)
        assert row is not None
        assert row["status"] == "active"


async def test_ids_outside_the_pattern_are_refused_wherever_a_frame_carries_one(tmp_path: Path) -> None:
    bad = ["é" * 26, "a" * 51 + "ı", "ſ" + "a" * 51, "", "a" * 5000, "../../../etc/passwd", "\ud83d\ude00" * 13]
    bad.append("a" * 11 + "é")  # v0.3.8 cuts a proposer or signer behind its twelfth byte, and ends there (02 FIX 24)
    async with arena(tmp_path, auto_approve=True) as (victim, relay), attacker(victim, relay) as peer:
        await peer.become_active()
        await victim.wait_for_peer(NETWORK, peer.device_id)
        for text in bad:
            entries = [{"device_id": text, "label": "x", "approved_at": 1, "role": "member"}]
            frames: list[dict[str, Any]] = [
                {"kind": "roster_entries", "entries": entries},
                {"kind": "channel", "channel": "__mesh_relay__/v1",
                 "payload": {"dst": text, "src": text, "payload": 1}},
                {"kind": "network_state_propose", "proposal_id": "p", "variant": {"kind": "evict", "target": text},
                 "proposer": text, "created_at": 1, "signature": "s"},
                {"kind": "network_state_ack", "proposal_id": "p", "signer": text, "decision": "sign", "at": 1,
                 "signature": "s"},
                {"kind": "network_state_split", "parent_proposal_id": "p", "new_network_id": text, "members": [text],
                 "proposer": text, "at": 1, "signature": "s"},
            ]  # fmt: skip
            for frame in frames:
                peer.send_bytes(json.dumps(frame, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        await echo_works(victim, peer)
        roster = (await victim.ask("roster_list", network=NETWORK))["roster"]
        assert [row["device_id"] for row in roster] == [peer.device_id]
        assert "Traceback" not in victim.log


@pytest.mark.slow
@needs_reference
@pytest.mark.parametrize("kind", ["propose", "ack"])
async def test_v038_ends_at_such_an_id(tmp_path: Path, kind: str) -> None:
    """What the test above sends among others is what ends v0.3.8 (02 W24)."""
    text = "a" * 11 + "é"
    frame = {
        "propose": {"variant": {"kind": "evict", "target": text}, "proposer": text, "created_at": 1},
        "ack": {"signer": text, "decision": "sign", "at": 1},
    }[kind]
    theirs = Device(REFERENCE, tmp_path / "t")
    async with relay_server() as server:
        try:
            theirs.start()
            theirs.join(url_of(server))
            async with probe(MIXED, url_of(server), identity(1, above=theirs.device_id)) as peer:
                await peer.become_active()
                whole = {"kind": f"network_state_{kind}", "proposal_id": "p", "signature": "s", **frame}
                peer.send_bytes(json.dumps(whole, ensure_ascii=False).encode())
                assert theirs.process is not None
                with trio.fail_after(20):
                    while theirs.process.poll() is None:
                        await trio.sleep(0.05)
                assert theirs.process.returncode == -signal.SIGABRT
        finally:
            theirs.close()


async def test_a_hello_with_a_bad_id_ends_only_its_own_link(tmp_path: Path) -> None:
    async with arena(tmp_path, auto_approve=True) as (victim, relay), attacker(victim, relay) as peer:
        events = await victim.control()
        await events.ask("events_subscribe")
        await peer.channel()
        peer.send_bytes(json.dumps({
            "kind": "hello", "protocol": 1, "device_id": "é" * 26, "nonce": "n", "verification_code": "é" * 100,
        }, ensure_ascii=False).encode())  # fmt: skip
        assert await drop_reason(events, peer.device_id) == "auth_failed"
        await victim.ask("status")
        assert "Traceback" not in victim.log


@pytest.mark.parametrize(
    "op", ["roster_approve", "roster_remove", "network_connect_peer", "rpc_call", "channel_send_to"]
)
async def test_ids_outside_the_pattern_are_refused_on_the_socket(tmp_path: Path, op: str) -> None:
    async with arena(tmp_path, auto_approve=True) as (victim, _):
        for text in ("é" * 26, "a" * 51 + "ı", "", "x" * 10_000):
            name = "device_id" if op.startswith("roster") else "peer"
            members: dict[str, Any] = {"network": NETWORK, name: text}
            if op == "rpc_call":
                members |= {"method": "m", "payload": None}
            if op == "channel_send_to":
                members |= {"channel": "c", "payload": None}
            with pytest.raises(Exception, match=r"not found|not a device id|device id"):
                await victim.ask(op, **members)
        assert (await victim.ask("roster_list", network=NETWORK))["roster"] == []


async def drop_reason(events: Any, device_id: str) -> str:
    while True:
        frame = await events.frame()
        event = frame.get("event", {})
        if event.get("kind") == "dropped" and event["device_id"] == device_id:
            reason: str = event["reason"]["kind"]
            return reason
