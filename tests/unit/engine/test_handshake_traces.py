"""The handshake, step by step (vectors: peer-protocol.json `handshake_traces`, `transcripts`)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from myownmesh.engine import Engine, EngineConfig
from myownmesh.engine.actions import OpenSession, SendFrame
from myownmesh.engine.links import ChannelOpened
from myownmesh.identity import Identity, sign_handshake, verify_handshake
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import decode_frame
from myownmesh.protocol.frames import Approve, AuthResponse, Deny, Hello
from myownmesh.protocol.signals import OfferReceived
from myownmesh.roster import Roster
from support.vectors import load
from unit.engine.bench import OUR_BINDING, Bench, sdp

CASES: list[dict[str, Any]] = load("peer-protocol", "handshake_traces")["cases"]
TRANSCRIPTS: list[dict[str, Any]] = load("peer-protocol", "transcripts")["cases"]
EARLY_FRAME = "frame in the turn of the channel event"
"""Our sessions report the open channel before its first frame, so a frame that does come earlier is kept for it."""


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_trace(case: dict[str, Any]) -> None:
    bench = Bench("lower", EngineConfig(auto_approve=case["given"]["auto_approve"])).up_to("connecting")
    for step in case["steps"]:
        sent = [word for word in do(bench, step["in"]) if not word.startswith("close")]
        expected = [word.split()[0] for word in step["send"]]
        if case["name"] == EARLY_FRAME and step["in"] == "hello n1":
            assert sent == []
            continue
        if case["name"] == EARLY_FRAME and step["in"] == "channel_open":
            expected = ["hello", "auth_response"]
        assert sent == expected, step
        assert bench.status == step["state"], step
        check_proofs(bench, step)


def do(bench: Bench, words: str) -> list[str]:
    match words.split():
        case ["channel_open"]:
            return bench.open_channel()
        case ["hello", nonce]:
            return bench.hello(nonce)
        case ["auth_response", word]:
            return bench.proof(good=word == "ok")
        case ["approve"]:
            return bench.frame(Approve())
        case ["user_approves"]:
            return bench.approve()
        case ["wait", seconds]:
            return [word for word in bench.wait(float(seconds)) if word != "announce"]
        case ["deny", *_]:
            return bench.frame(Deny(reason="evicted"))
        case _:
            raise AssertionError(words)


def check_proofs(bench: Bench, step: dict[str, Any]) -> None:
    """`auth_response n2` answers the nonce n2, over our certificate."""
    for word in step["send"]:
        if word.startswith("auth_response"):
            proof = [frame for frame in bench.frames if isinstance(frame, AuthResponse)][-1]
            nonce = word.split()[1]
            assert verify_handshake(nonce, bench.us.device_id, bench.peer_id, OUR_BINDING, proof.signature)


@pytest.mark.parametrize("case", TRANSCRIPTS, ids=[f"offerer {case['offerer']}" for case in TRANSCRIPTS])
def test_we_bring_a_link_up_with_a_recorded_daemon(case: dict[str, Any]) -> None:
    """Feed the daemon's recorded frames; its proof is bound to a nonce of that day, so that one frame is re-signed."""
    us = Identity.from_seed(bytes.fromhex(case["probe"]["seed_hex"]), "Probe")
    daemon = Identity.from_seed(bytes.fromhex(case["daemon"]["seed_hex"]))
    assert daemon.device_id == case["daemon"]["device_id"]
    now = Instant(0.0, 1_795_499_283_000)
    engine = Engine(us, "home", EngineConfig(), Roster("home"), random.Random(1))
    engine.receive_signal(OfferReceived(daemon.device_id, sdp("B1")), now)
    epoch = next(action.epoch for action in engine.actions() if isinstance(action, OpenSession))
    engine.receive_link_event(
        daemon.device_id, epoch, ChannelOpened(case["probe"]["binding"], case["daemon"]["binding"]), now
    )
    ours: list[SendFrame] = []

    def collect() -> None:
        ours.extend(action for action in engine.actions() if isinstance(action, SendFrame))

    collect()
    nonce = next(frame.nonce for frame in map(decode_frame, [ours[0].data]) if isinstance(frame, Hello))
    for line in case["frames"]:
        data = line["text"].encode()
        if line["from"] == "probe":
            if '"approve"' in line["text"]:
                engine.approve(daemon.device_id, "", now)
                collect()
            continue
        if '"auth_response"' in line["text"]:
            signature = sign_handshake(daemon, nonce, us.device_id, case["daemon"]["binding"])
            data = f'{{"kind":"auth_response","signature":"{signature}"}}'.encode()
        engine.receive_frame(daemon.device_id, epoch, data, now)
        collect()
    [peer] = engine.peers(now)
    assert peer.status == "active"
    assert peer.label == "Rust"
    assert [frame.kind for frame in ours] == [
        "hello",
        "auth_response",
        "approve",
        "roster_summary",
        "network_state",
    ], "its root shows that its roster holds just us: there is nothing to pull"
    recorded = next(line for line in case["frames"] if line["from"] == "probe" and '"hello"' in line["text"])
    theirs, mine = decode_frame(recorded["text"].encode()), decode_frame(ours[0].data)
    assert isinstance(theirs, Hello)
    assert isinstance(mine, Hello)
    assert (mine.protocol, mine.device_id, mine.label, mine.app_version) == (
        theirs.protocol,
        theirs.device_id,
        theirs.label,
        theirs.app_version,
    )
    assert mine.features == (*theirs.features, "governance_checked_v1"), "what we add, and nothing else"
