"""Each command sends exactly the request of the reference (spec 07 §6.3; vectors ``cli_to_request``)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.cli import main
from support.vectors import load

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.fake_daemon import FakeDaemon

CASES: list[dict[str, Any]] = load("control-socket", "cli_to_request")


def default_services() -> dict[str, Any]:
    [case] = [case for case in CASES if case["request"]["op"] == "services_set"]
    services: dict[str, Any] = case["request"]["services"]
    return {**services, "turn": {**services["turn"], "enabled": False}}


def answer(request: dict[str, Any]) -> dict[str, Any] | list[bytes]:
    if request["op"] == "trace_subscribe":
        return [b'{"ok":true,"data":{}}\n{"t":1}\n{"t":2}\n']
    if request["op"] == "services_status":
        return {"ok": True, "data": {"status": {}, "config": default_services()}}
    return {"ok": True, "data": {"done": True}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case["argv"]))
def test_the_request_is_the_references(
    daemon: FakeDaemon, case: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.answer = answer
    assert main(case["argv"]) == 0, capfd.readouterr().err
    assert daemon.requests[-1] == case["request"]
    assert json.dumps(daemon.requests[-1]) == json.dumps(case["request"])  # member order too


OURS: list[tuple[str, dict[str, Any]]] = [
    ("networks generate-id", {"op": "network_id_generate"}),
    ("networks normalize-id X", {"op": "network_id_normalize", "input": "X"}),
    ('networks add {"id":"a","network_id":"abc"}', {"op": "network_add", "config": {"id": "a", "network_id": "abc"}}),
    ('networks update {"id":"a"}', {"op": "network_update", "config": {"id": "a"}}),
    ("networks remove a", {"op": "network_remove", "network": "a", "purge": False}),
    ("networks remove a --purge", {"op": "network_remove", "network": "a", "purge": True}),
    ("networks connect a p", {"op": "network_connect_peer", "network": "a", "peer": "p", "pin": False, "wait_ms": 0}),
    ("record a", {"op": "network_record", "network": "a", "for_ms": 0}),
    ("record a --for 30s", {"op": "network_record", "network": "a", "for_ms": 30_000}),
    ("record a --for 10m", {"op": "network_record", "network": "a", "for_ms": 600_000}),
    ("record a --for 2h", {"op": "network_record", "network": "a", "for_ms": 7_200_000}),
    ("identity show", {"op": "identity_show"}),
    ("identity set-label me", {"op": "identity_set_label", "label": "me"}),
    ("config show", {"op": "config_show"}),
    ('services set {"stun":{}}', {"op": "services_set", "services": {"stun": {}}}),
    (
        'capabilities set a {"tags":["x"]}',
        {"op": "capabilities_set", "network": "a", "capabilities": {"tags": ["x"]}},
    ),
    ("rpc call a p m", {"op": "rpc_call", "network": "a", "peer": "p", "method": "m", "payload": None}),
    (
        "rpc call a p m [1] --timeout-ms 50",
        {"op": "rpc_call", "network": "a", "peer": "p", "method": "m", "payload": [1], "timeout_ms": 50},
    ),
    (
        "rpc register c0 a m --streaming",
        {"op": "rpc_register", "client_id": "c0", "network": "a", "method": "m", "streaming": True},
    ),
    ("rpc unregister c0 a m", {"op": "rpc_unregister", "client_id": "c0", "network": "a", "method": "m"}),
    ("rpc respond r 5", {"op": "rpc_respond", "request_id": "r", "ok": 5}),
    ("rpc respond r --error no", {"op": "rpc_respond", "request_id": "r", "error": "no"}),
    ("rpc stream-chunk r {}", {"op": "rpc_stream_chunk", "request_id": "r", "payload": {}}),
    ("rpc stream-end r", {"op": "rpc_stream_end", "request_id": "r", "error": None}),
    (
        "channel subscribe a ch --client c0",
        {"op": "channel_subscribe", "client_id": "c0", "network": "a", "channel": "ch"},
    ),
    ("channel unsubscribe c0 a ch", {"op": "channel_unsubscribe", "client_id": "c0", "network": "a", "channel": "ch"}),
    (
        'channel send a p ch "hi"',
        {"op": "channel_send_to", "network": "a", "channel": "ch", "peer": "p", "payload": "hi"},
    ),
    (
        "channel send a p ch 1 --reliable --ttl-ms 500",
        {"op": "channel_send_reliable", "network": "a", "channel": "ch", "peer": "p", "payload": 1, "ttl_ms": 500},
    ),
    (
        "channel send a p ch 1 --reliable",
        {"op": "channel_send_reliable", "network": "a", "channel": "ch", "peer": "p", "payload": 1},
    ),
    ("channel send-all a ch null", {"op": "channel_send_all", "network": "a", "channel": "ch", "payload": None}),
]


@pytest.mark.parametrize(("line", "request_"), OURS, ids=[line for line, _ in OURS])
def test_ops_without_a_command_in_the_reference_have_one_here(
    daemon: FakeDaemon, line: str, request_: dict[str, Any]
) -> None:
    assert main(["ctl", *line.split()]) == 0
    assert daemon.requests == [request_]


@pytest.mark.parametrize(("device", "label"), [("d", "Desk"), ("d-ABCDE", "Desk"), ("e", None)])
def test_a_device_that_is_approved_again_keeps_its_name(daemon: FakeDaemon, device: str, label: str | None) -> None:
    roster = [{"device_id": "c-CCCCC", "label": "Car"}, {"device_id": "d-ABCDE", "label": "Desk"}]
    daemon.answer = lambda _: {"ok": True, "data": {"roster": roster}}
    assert main(["ctl", "roster", "approve", "a", device]) == 0
    approval = {"op": "roster_approve", "network": "a", "device_id": device, "label": label}
    assert daemon.requests == [{"op": "roster_list", "network": "a"}, approval]


def test_options_of_ctl_may_stand_anywhere(daemon: FakeDaemon) -> None:
    for argv in (
        ["ctl", "--json", "--timeout", "5", "status"],
        ["ctl", "status", "--json", "--timeout=5"],
        ["ctl", "status", "--timeout", "5", "--json"],
    ):
        assert main(argv) == 0
    assert daemon.requests == [{"op": "status"}] * 3


def test_what_follows_two_hyphens_is_payload(daemon: FakeDaemon) -> None:
    assert main(["ctl", "identity", "set-label", "--", "--json"]) == 0
    assert daemon.requests == [{"op": "identity_set_label", "label": "--json"}]


def test_a_services_block_of_an_older_daemon_is_completed(daemon: FakeDaemon) -> None:
    daemon.answer = lambda request: {"ok": True, "data": {"status": {}, "config": {"stun": {"enabled": False}}}}
    assert main(["ctl", "services", "enable", "stun"]) == 0
    sent = daemon.requests[-1]["services"]
    assert sent == {**default_services(), "stun": {"enabled": True, "bind": "0.0.0.0", "port": 3478}}


def test_where_others_reach_this_device_is_said_with_the_service(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.answer = lambda request: {"ok": True, "data": {"status": {}, "config": {}}}
    assert main(["ctl", "services", "enable", "signaling", "--public-ip", "203.0.113.7"]) == 0
    sent = daemon.requests[-1]["services"]
    assert (sent["signaling"]["enabled"], sent["turn"]["enabled"]) == (True, False)
    assert sent["turn"]["public_ip"] == "203.0.113.7"
    daemon.requests.clear()
    for wrong in ("2001:db8::1", "home.example", ""):
        assert main(["ctl", "services", "enable", "turn", "--public-ip", wrong]) == 1
        assert f"'{wrong}' is no IPv4 address" in capfd.readouterr().err
    assert not daemon.requests


def test_a_file_may_hold_the_payload(daemon: FakeDaemon, home: Path) -> None:
    (home / "p.json").write_text('{"x": "ü"}', "utf-8")
    assert main(["ctl", "channel", "send-all", "a", "ch", f"@{home}/p.json"]) == 0
    assert daemon.requests[0]["payload"] == {"x": "ü"}


@pytest.mark.parametrize("span", ["", "10", "m", "0s", "-1s", "1.5m", "25h", "10x"])
def test_a_span_that_is_none_is_told(daemon: FakeDaemon, span: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["ctl", "record", "a", f"--for={span}"]) == 1
    assert "say 30s, 10m or 1h, a day at most" in capfd.readouterr().err
    assert not daemon.requests
