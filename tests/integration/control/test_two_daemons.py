"""The control protocol end to end: two daemons, real WebRTC, plain sockets as clients."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mesh_common.client.errors import ControlError, ErrorKind
from support.contention import Contention
from support.devices import NETWORK, RECORD_ID, two_devices
from unit.control.vectors import VECTORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.devices import Device, Pair, Wire


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with two_devices() as pair:
        yield pair


class Served:
    """A method served by a client of `device`: events on one connection, answers on another."""

    def __init__(self, device: Device, method: str, *, streaming: bool = False, alias: str = NETWORK) -> None:
        self.events, self.client_id = device.subscribe()
        self.requests = device.wire()
        names = {"client_id": self.client_id, "network": alias}
        self.requests.data("rpc_register", **names, method=method, streaming=streaming)

    def call(self) -> Any:
        return self.events.frame("rpc_inbound")


def calling(wire: Wire, **members: object) -> None:
    wire.post("rpc_call", network=NETWORK, **members)


def read_to_the_end(wire: Wire) -> None:
    while True:
        wire.answer()


# ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_and_its_answer(pair: Pair) -> None:
    served = Served(pair.b, "square", alias=RECORD_ID)
    caller = pair.a.wire()
    calling(caller, peer=pair.b.key, method="square", payload={"n": 7, "text": 'é"\\\n', "big": 12345678901234567890})
    call = served.call()
    assert call["network"] == RECORD_ID
    assert call["from"] == pair.a.key
    assert call["streaming"] is False
    assert call["payload"] == {"n": 7, "text": 'é"\\\n', "big": 12345678901234567890}
    assert served.requests.data("rpc_respond", request_id=call["request_id"], ok={"n_squared": 49}) == {
        "resolved": True
    }
    assert caller.answer() == {"ok": True, "data": {"response": {"n_squared": 49}}}


def test_the_trace_of_a_linked_peer(pair: Pair) -> None:
    """Spec 05 §10.6: subscribing tells how it stands."""
    trace = pair.a.wire()
    assert trace.ask("trace_subscribe", network=NETWORK)["ok"] is True
    record = trace.answer()
    assert (record["device_id"], record["changed"], record["status"]) == (pair.b.key, ["appeared"], "active")
    assert (record["ice_state"], record["pc_state"], record["pair_class"]) == ("Connected", "Connected", "lan")
    assert "why" not in record


def test_what_happened_is_recorded_and_played_again(pair: Pair) -> None:
    """`ctl record`, from the state before the devices met on; the replay comes to the same end (docs/simulator.md)."""
    told = pair.a.wire().data("network_record", network=NETWORK)
    recording = Path(told["path"])
    assert recording.stat().st_mode & 0o777 == 0o600
    assert told["inputs"] > 10
    text = recording.read_text()
    assert pair.a.key not in text
    assert pair.b.key not in text
    done = subprocess.run(
        [sys.executable, "-m", "myownmesh.simulator", "replay", told["path"]],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1].endswith(": active, steady")


def test_errors_of_calls_in_the_words_of_the_protocol(pair: Pair) -> None:
    caller = pair.a.wire()
    nobody = "a" * 52
    for op, members in (("rpc_call", {}), ("rpc_call_stream", {"client_id": pair.a.subscribe()[1]})):
        answer = caller.ask(op, network=NETWORK, peer=nobody, method="m", payload=None, **members)
        assert answer["error"] == f"peer peer not found: {nobody} not in active set"
    calling(caller, peer=pair.b.key, method="never-registered", payload=None)
    assert caller.answer()["error"] == "handler returned error: no handler for 'never-registered'"
    served = Served(pair.b, "fails")
    calling(caller, peer=pair.b.key, method="fails", payload=None)
    served.requests.data("rpc_respond", request_id=served.call()["request_id"], error="busy")
    assert caller.answer()["error"] == "handler returned error: busy"
    assert served.requests.data("rpc_unregister", client_id=served.client_id, network=NETWORK, method="fails") == {
        "released": True
    }
    calling(caller, peer=pair.b.key, method="fails", payload=None)
    assert caller.answer()["error"] == (f"handler returned error: no IPC client holds method 'fails' on '{NETWORK}'")
    calling(caller, peer=pair.b.key, method="x", payload=None, timeout_ms=-1)
    assert caller.answer()["error"] == "parse: invalid value: integer `-1`, expected u64"


def test_a_call_that_nobody_answers_ends_at_its_time(pair: Pair) -> None:
    served = Served(pair.b, "silent")
    caller = pair.a.wire()
    began, contention = time.monotonic(), Contention()
    calling(caller, peer=pair.b.key, method="silent", payload=None, timeout_ms=300)
    assert caller.answer()["ok"] is False
    assert 0.25 < time.monotonic() - began < contention.stretched(5)
    served.call()


def test_a_call_whose_server_goes_away_fails_at_once(pair: Pair) -> None:
    served = Served(pair.b, "leaving")
    caller = pair.a.wire()
    calling(caller, peer=pair.b.key, method="leaving", payload=None)
    served.call()
    served.events.close()
    assert caller.answer()["error"] == "handler returned error: handler owner client disconnected"


def test_a_stream(pair: Pair) -> None:
    served = Served(pair.b, "count", streaming=True)
    events, client_id = pair.a.subscribe()
    caller = pair.a.wire()
    names = {"client_id": client_id, "network": NETWORK}
    request_id = caller.data("rpc_call_stream", **names, peer=pair.b.key, method="count", payload={"n": 3})[
        "request_id"
    ]
    assert request_id.startswith("ipc-stream-")
    call = served.call()
    assert call["streaming"] is True
    for i in range(3):
        served.requests.data("rpc_stream_chunk", request_id=call["request_id"], payload={"i": i})
    assert served.requests.data("rpc_stream_end", request_id=call["request_id"]) == {"closed": True}
    for i in range(3):
        chunk = events.frame("rpc_call_stream_chunk")
        assert chunk == {"kind": "rpc_call_stream_chunk", "request_id": request_id, "payload": {"i": i}}
    assert events.frame("rpc_call_stream_end")["error"] is None


def test_the_error_of_a_stream_reaches_the_caller(pair: Pair) -> None:
    served = Served(pair.b, "breaks", streaming=True)
    events, client_id = pair.a.subscribe()
    caller = pair.a.wire()
    names = {"client_id": client_id, "network": NETWORK, "peer": pair.b.key, "payload": None}
    caller.data("rpc_call_stream", **names, method="breaks")
    served.requests.data("rpc_stream_end", request_id=served.call()["request_id"], error="out of memory")
    assert events.frame("rpc_call_stream_end")["error"] == "out of memory"
    caller.data("rpc_call_stream", **names, method="breaks")
    served.call()
    served.events.close()
    assert events.frame("rpc_call_stream_end")["error"] == "handler owner client disconnected"
    caller.data("rpc_call_stream", **names, method="breaks")
    assert events.frame("rpc_call_stream_end")["error"] == (
        f"no IPC client holds streaming method 'breaks' on '{NETWORK}'"
    )


def test_frames_that_are_too_large_are_errors_for_everybody(pair: Pair) -> None:
    served = Served(pair.b, "large")
    stream = Served(pair.b, "large-stream", streaming=True)
    events, client_id = pair.a.subscribe()
    caller = pair.a.wire()
    big = "x" * 70_000
    calling(caller, peer=pair.b.key, method="large", payload=big)
    refused = caller.answer()["error"]
    assert refused.startswith("transport: frame of 70")
    assert refused.endswith(" bytes exceeds the 65535-byte limit")
    calling(caller, peer=pair.b.key, method="large", payload=None)
    answer = served.requests.ask("rpc_respond", request_id=served.call()["request_id"], ok=big)
    assert answer["error"].endswith(" bytes exceeds the 65535-byte limit")
    assert caller.answer()["error"] == f"handler returned error: {answer['error']}"
    names = {"client_id": client_id, "network": NETWORK, "peer": pair.b.key, "payload": None}
    caller.data("rpc_call_stream", **names, method="large-stream")
    answer = stream.requests.ask("rpc_stream_chunk", request_id=stream.call()["request_id"], payload=big)
    assert answer["error"].endswith(" bytes exceeds the 65535-byte limit")
    assert events.frame("rpc_call_stream_end")["error"] == answer["error"]
    send = {"network": NETWORK, "channel": "c", "payload": big}
    assert caller.ask("channel_send_to", peer=pair.b.key, **send)["error"].endswith("exceeds the 65535-byte limit")
    assert caller.ask("channel_send_all", **send)["error"].endswith("exceeds the 65535-byte limit")


# ── channels ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_channels_to_one_and_to_all(pair: Pair) -> None:
    events, client_id = pair.b.subscribe()
    wire, sender = pair.b.wire(), pair.a.wire()
    wire.data("channel_subscribe", client_id=client_id, network=RECORD_ID, channel="catalog")
    to_one = {"network": NETWORK, "channel": "catalog", "peer": pair.b.key, "payload": {"hello": "bob"}}
    assert sender.data("channel_send_to", **to_one) == {"sent": True}
    frame = events.frame("channel_inbound")
    assert frame == {
        "kind": "channel_inbound",
        "network": RECORD_ID,
        "from": pair.a.key,
        "channel": "catalog",
        "payload": {"hello": "bob"},
    }
    all_of_them = {"network": NETWORK, "channel": "catalog", "payload": None}
    assert sender.data("channel_send_all", **all_of_them) == {"dispatched_to": 1}
    assert events.frame("channel_inbound")["payload"] is None
    wire.data("channel_unsubscribe", client_id=client_id, network=NETWORK, channel="catalog")
    sender.data("channel_send_all", **all_of_them)
    nobody = "a" * 52
    assert (
        sender.ask("channel_send_to", **{**to_one, "peer": nobody})["error"] == f"peer {nobody} not found in active set"
    )


def test_a_reliable_send_is_acknowledged_or_told_why_not(pair: Pair) -> None:
    events, client_id = pair.b.subscribe()
    pair.b.wire().data("channel_subscribe", client_id=client_id, network=NETWORK, channel="sure")
    sender, target = pair.a.wire(), {"network": NETWORK, "channel": "sure", "peer": pair.b.key}
    for number in range(5):
        assert sender.data("channel_send_reliable", **target, payload=number) == {"delivered": True}
    assert [events.frame("channel_inbound")["payload"] for _ in range(5)] == list(range(5))
    nobody = "a" * 52
    expired = sender.ask("channel_send_reliable", **{**target, "peer": nobody}, payload=1, ttl_ms=100)
    assert expired == {"ok": False, "error": f"transport: reliable send to {nobody} expired before delivery"}
    too_large = sender.ask("channel_send_reliable", **target, payload="x" * 65_535)
    assert too_large["error"].endswith("exceeds the 65535-byte limit")


def test_a_display_id_names_a_peer_too(pair: Pair) -> None:
    display = pair.b.wire().data("identity_show")["device_id"]
    wire = pair.a.wire()
    assert wire.data("channel_send_to", network=NETWORK, channel="c", peer=display, payload=1) == {"sent": True}
    connected = wire.data("network_connect_peer", network=NETWORK, peer=display, wait_ms=5000)
    assert connected == {"connecting": display, "network": NETWORK, "pinned": False, "active": True}


def test_bulk_arrives_whole_and_in_order(pair: Pair) -> None:
    events, client_id = pair.b.subscribe()
    pair.b.wire().data("channel_subscribe", client_id=client_id, network=NETWORK, channel="bulk")
    sender = pair.a.wire()
    count = 200
    body = "x" * 49_152

    def pour() -> None:
        for number in range(count):
            sender.post("channel_send_to", network=NETWORK, channel="bulk", peer=pair.b.key, payload=f"{number}:{body}")

    thread = threading.Thread(target=pour)
    thread.start()
    for _ in range(count):
        assert sender.answer() == {"ok": True, "data": {"sent": True}}
    thread.join()
    for number in range(count):
        payload = events.frame("channel_inbound")["payload"]
        assert payload == f"{number}:{body}"


# ── this device and its networks ──────────────────────────────────────────────────────────────────────────────────────


def test_snapshots_have_the_members_of_the_vectors(pair: Pair) -> None:
    wire = pair.a.wire()
    wanted = {case["op"]: case["success"]["data"] for case in VECTORS["ops"]}
    status = wire.data("status")
    assert set(wanted["status"]) < set(status)
    assert status["joined_networks"] == [NETWORK]
    assert status["home"] == str(pair.a.home)
    assert status["instance"] != pair.b.wire().data("status")["instance"]
    network = wire.data("networks_list")["networks"][0]
    assert set(network) == {*wanted["networks_list"]["networks"][0], "relays", "left_out"}  # ours: spec 10 §2.2
    assert [relay["state"] for relay in network["relays"]] == ["up"]
    assert set(network["traffic"]) == set(wanted["networks_list"]["networks"][0]["traffic"])
    peer = wire.data("peers_list", network=NETWORK)["peers"][0]
    assert set(peer) == {*wanted["peers_list"]["peers"][0], "why", "sealed", "turn"}  # ours: spec 10 §2.2
    assert set(peer["capabilities"]) == {"tags", "app_version", "max_connections", "extra"}
    row = wire.data("roster_list", network=NETWORK)["roster"][0]
    assert set(row) == {"device_id", "label", "approved_at", "role"}
    config = wire.data("config_show")["config"]
    assert set(config) == set(wanted["config_show"]["config"])
    assert set(config["networks"][0]) == set(wanted["config_show"]["config"]["networks"][0])
    report = wire.data("services_status")
    assert set(report["status"]) == set(wanted["services_status"]["status"])
    assert set(report["status"]["signaling"]["activity"]) == {
        "connections",
        "connections_total",
        "rooms",
        "events_relayed",
    }


def test_refusals_of_network_ops(pair: Pair) -> None:
    wire = pair.a.wire()
    record = pair.record()
    assert wire.ask("network_add", config=record)["error"] == f"config id '{RECORD_ID}' already in use"
    other = {**record, "id": "other"}
    assert wire.ask("network_add", config=other)["error"] == (
        f"network id '{NETWORK}' already joined under a different config"
    )
    short = {"id": "short", "network_id": "ab"}
    assert wire.ask("network_add", config=short)["error"] == "join: identity: network id must be at least 3 characters"
    unknown = {"id": "x", "network_id": "never"}
    assert wire.ask("network_update", config=unknown)["error"] == "unknown network 'x' — join it with network_add first"
    assert wire.ask("network_remove", network="nope")["error"] == "unknown network: nope"


def test_capabilities_reach_the_peer_as_an_event(pair: Pair) -> None:
    events, _ = pair.b.subscribe()
    pair.a.wire().data("capabilities_set", network=NETWORK, capabilities={"tags": ["infer"], "extra": {"k": [1]}})
    advert = events.event("capabilities_changed")["capabilities"]
    assert "infer" in advert["tags"]
    assert advert["extra"]["k"] == [1]


def test_a_network_that_is_left_ends_what_waits_on_it_and_keeps_claims(pair: Pair) -> None:
    served = Served(pair.a, "kept")
    peer_side = Served(pair.b, "waits")
    caller = pair.a.wire()
    calling(caller, peer=pair.b.key, method="waits", payload=None)
    peer_side.call()
    wire = pair.a.wire()
    began, contention = time.monotonic(), Contention()
    assert wire.data("network_remove", network=NETWORK) == {"removed": RECORD_ID}
    assert time.monotonic() - began < contention.stretched(5)
    assert caller.answer()["error"] == "network down"
    assert wire.data("networks_list") == {"networks": []}
    added = wire.data("network_add", config=pair.record())["added"]
    assert (added["config_id"], added["network_id"]) == (RECORD_ID, NETWORK)
    pair.wait_active()
    back = pair.b.wire()
    calling(back, peer=pair.a.key, method="kept", payload=5)
    call = served.call()
    assert call["payload"] == 5
    served.requests.data("rpc_respond", request_id=call["request_id"], ok=None)
    assert back.answer() == {"ok": True, "data": {"response": None}}


def test_hostile_local_clients_do_not_disturb_calls(pair: Pair) -> None:
    served = Served(pair.b, "steady")
    caller = pair.a.wire()
    stop = threading.Event()

    def noise() -> None:
        while not stop.is_set():
            for data in (b"x" * 9_000_000, b"\xff\xfe\n" * 1000, b'{"op":"status"}\n' * 2000, b"[" * 1_000_000 + b"\n"):
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(str(pair.a.home / "daemon.sock"))
                sock.settimeout(1)
                with contextlib.suppress(OSError):
                    sock.sendall(data)
                sock.close()

    thread = threading.Thread(target=noise)
    thread.start()
    try:
        for number in range(50):
            calling(caller, peer=pair.b.key, method="steady", payload=number)
            call = served.call()
            served.requests.data("rpc_respond", request_id=call["request_id"], ok=call["payload"])
            assert caller.answer()["data"]["response"] == number
    finally:
        stop.set()
        thread.join()


def test_the_end_of_a_daemon_is_seen_by_its_clients_and_its_peers() -> None:
    with two_devices() as pair:
        events, _ = pair.a.subscribe()
        own_events, _ = pair.b.subscribe()
        caller = pair.a.wire()
        served = Served(pair.b, "waits")
        calling(caller, peer=pair.b.key, method="waits", payload=None)
        served.call()
        assert pair.b.stop() == 0
        assert not (pair.b.home / "daemon.sock").exists()
        assert caller.answer()["error"] == "network down"
        assert events.event("dropped")["reason"]["kind"] == "user_left"
        with pytest.raises(ControlError) as ended:
            read_to_the_end(own_events)
        assert ended.value.kind is ErrorKind.CLOSED
        assert json.loads((pair.b.home / "config.json").read_text())["networks"][0]["id"] == RECORD_ID
