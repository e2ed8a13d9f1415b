"""What a command prints and how it ends (spec 07 §6.1)."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.cli import main, tables
from myownmesh.cli.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unit.cli.fake_daemon import FakeDaemon

STATUS = {"version": "0.3.8", "device_id": "k-ABCDE", "joined_networks": ["b", "a"], "label": "Küche 🍲"}


def run(*argv: str) -> int:
    return main(list(argv))


def test_data_is_pretty_sorted_unescaped_json_with_one_line_feed(
    daemon: FakeDaemon, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    daemon.answer = lambda request: {"ok": True, "data": STATUS}
    assert run("ctl", "status") == 0
    out, err = capfdbinary.readouterr()
    assert out == (json.dumps(STATUS, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    assert err == b""


def test_absent_data_is_null(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.answer = lambda request: {"ok": True}
    assert run("ctl", "status") == 0
    assert capfd.readouterr().out == "null\n"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ([b'{"ok":false,"error":"unknown network: zz"}\n'], "daemon error: unknown network: zz"),
        ([b'{"ok":false}\n'], "daemon error: (no error message)"),
        ([b'{"ok":false,"error":null}\n'], "daemon error: (no error message)"),
        ([], "daemon closed connection without a response"),
        ([b'{"ok":1}\n'], "parse response: the answer has no boolean `ok`"),
        ([b"[]\n"], "parse response: the answer has no boolean `ok`"),
    ],
)
def test_a_failure_is_one_line_and_exit_1(
    daemon: FakeDaemon, reply: list[bytes], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.answer = lambda request: reply
    assert run("ctl", "status") == 1
    assert capfd.readouterr() == ("", f"error: {text}\n")


@pytest.mark.parametrize("reply", [[b"{\n"], [b"\n"], [b"\xff\n"]])
def test_an_answer_that_is_no_json_says_so(
    daemon: FakeDaemon, reply: list[bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.answer = lambda request: reply
    assert run("ctl", "status") == 1
    assert capfd.readouterr().err.startswith("error: parse response: ")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"ok":true,"data":{"a":1}}',
        b'{"ok":true,"data":{"a":1}}\r\n',
        b'{"ok":true,"x":[],"data":{"a":1}}\n{"ok":false}\n',
    ],
)
def test_only_the_first_line_counts_with_or_without_its_end(
    daemon: FakeDaemon, raw: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.answer = lambda request: [raw]
    assert run("ctl", "status") == 0
    assert capfd.readouterr().out == '{\n  "a": 1\n}\n'


def test_no_daemon_is_the_references_sentence(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("ctl", "status") == 1
    assert capfd.readouterr().err == (
        "error: connect daemon socket — is `myownmesh serve` running?: No such file or directory (os error 2)\n"
    )


def test_a_stale_socket_is_no_daemon(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(home / "daemon.sock"))
    assert run("ctl", "status") == 1
    assert "Connection refused (os error 111)" in capfd.readouterr().err


@contextmanager
def silent(daemon: FakeDaemon) -> Iterator[None]:
    """It takes what it is asked and says nothing, as one that was stopped."""
    release = threading.Event()

    def wait(_: dict[str, Any]) -> list[bytes]:
        release.wait(10)
        return []

    daemon.answer = wait
    yield
    release.set()


def test_a_silent_daemon_ends_with_the_timeout(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    with silent(daemon):
        assert run("ctl", "status", "--timeout", "0.05") == 1
    assert capfd.readouterr().err == "error: no answer from the daemon within 0.05 s\n"


@pytest.mark.parametrize("command", ["status", "networks leave home"])
def test_a_silent_daemon_is_not_waited_for_for_ever(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr("myownmesh.cli.ctl_base.ANSWER_S", 0.05)
    with silent(daemon):
        assert run("ctl", *command.split()) == 1
    assert capfd.readouterr().err == "error: no answer from the daemon within 0.05 s\n"


def test_a_call_ends_when_its_host_or_the_daemon_says_so(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myownmesh.cli.ctl_base.ANSWER_S", 0.0)  # any other command gives up at once
    daemon.answer = lambda _: [b'{"ok":true,"data":{}}\n']
    assert run("ctl", "status") == 1
    assert run("ctl", "rpc", "call", "home", "p", "m") == 0


def test_the_pinned_socket_is_used(home: Path, daemon: FakeDaemon) -> None:
    (home / "daemon.sock").rename(home / "pinned.sock")
    (home / "config.json").write_text(json.dumps({"daemon": {"control_socket": f"{home}/pinned.sock"}}))
    assert run("ctl", "status") == 0
    assert daemon.requests == [{"op": "status"}]


def test_a_corrupt_config_is_neither_fatal_nor_touched(home: Path, daemon: FakeDaemon) -> None:
    (home / "config.json").write_text("{")
    assert run("ctl", "status") == 0
    assert (home / "config.json").read_text() == "{"


def test_an_unknown_service_is_noticed_after_the_first_answer(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.answer = lambda request: {"ok": True, "data": {"status": {}, "config": {}}}
    assert run("ctl", "services", "enable", "foo") == 1
    expected = "error: unknown service 'foo' — expected node | relay | signaling | stun | turn\n"
    assert capfd.readouterr().err == expected
    daemon.answer = lambda request: {"ok": True, "data": {"status": {}}}
    assert run("ctl", "services", "enable", "stun") == 1
    assert capfd.readouterr().err == "error: daemon status missing services config\n"


def test_enabling_turn_adds_a_firewall_checklist(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.answer = lambda request: {"ok": True, "data": {"status": {}, "config": {"turn": {"tcp_enabled": True}}}}
    assert run("ctl", "services", "enable", "turn") == 0
    out = capfd.readouterr().out
    assert "UDP 3478" in out
    assert "TCP 3478" in out
    assert "public_ip is not set" in out
    block = {"tcp_enabled": True, "public_ip": "203.0.113.7", "tls": {"cert_file": "/c", "key_file": "/k"}}
    daemon.answer = lambda request: {"ok": True, "data": {"status": {}, "config": {"turn": block}}}
    assert run("ctl", "services", "enable", "turn") == 0
    out = capfd.readouterr().out
    assert "TCP 5349" in out
    assert "public_ip is not set" not in out


@pytest.mark.parametrize("payload", ["text", "NaN", "{", ""])
def test_a_payload_that_is_no_json_is_explained(home: Path, payload: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("ctl", "channel", "send-all", "a", "ch", payload) == 1
    assert capfd.readouterr().err.startswith("error: the payload is not JSON: ")


def test_a_record_must_be_an_object(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("ctl", "networks", "add", "[]") == 1
    assert capfd.readouterr().err == "error: the network record must be a JSON object\n"


def test_a_streamed_answer_is_printed_chunk_by_chunk(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any] | list[bytes]:
        if request["op"] == "rpc_call_stream":
            assert request["client_id"] == "c7"
            return {"ok": True, "data": {"request_id": "ipc-stream-1"}}
        frames: list[dict[str, Any]] = [
            {"kind": "event", "event": {}},
            {"kind": "rpc_call_stream_chunk", "request_id": "ipc-stream-0", "payload": "not ours"},
            {"kind": "rpc_call_stream_chunk", "request_id": "ipc-stream-1", "payload": {"n": 1}},
            {"kind": "rpc_call_stream_chunk", "request_id": "ipc-stream-1", "payload": "zwei"},
            {"kind": "rpc_call_stream_end", "request_id": "ipc-stream-1", "error": None},
        ]
        ack: dict[str, Any] = {"ok": True, "data": {"subscribed": True, "client_id": "c7"}}
        return [json.dumps(value).encode() + b"\n" for value in (ack, *frames)]

    daemon.answer = answer
    assert run("ctl", "rpc", "call-stream", "a", "p", "m") == 0
    assert capfd.readouterr().out == '{"n": 1}\n"zwei"\n'


def test_a_stream_that_fails_is_exit_1(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any] | list[bytes]:
        if request["op"] == "rpc_call_stream":
            return {"ok": True, "data": {"request_id": "s"}}
        return [
            b'{"ok":true,"data":{"client_id":"c0"}}\n',
            b'{"kind":"rpc_call_stream_end","request_id":"s","error":"network down"}\n',
        ]

    daemon.answer = answer
    assert run("ctl", "rpc", "call-stream", "a", "p", "m") == 1
    assert capfd.readouterr().err == "error: stream ended: network down\n"


def test_events_begin_with_the_client_id_and_pass_lines_verbatim(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.answer = lambda request: [
        b'{"ok":true,"data":{"subscribed":true,"client_id":"c3"}}\n',
        b'{"b":1,"a":"\xc3\xbc"}\n',
    ]
    assert run("ctl", "events") == 0
    assert capfd.readouterr().out == '{"subscribed": true, "client_id": "c3"}\n{"b":1,"a":"ü"}\n'


def test_a_refused_trace_is_exit_1_and_a_closed_one_0(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.answer = lambda request: {"ok": False, "error": "unknown network: zz"}
    assert run("ctl", "trace", "zz") == 1
    assert capfd.readouterr().err == "error: daemon error: unknown network: zz\n"
    daemon.answer = lambda request: [
        b'{"ok":true,"data":{"subscribed":true,"stream":"conn_trace","network":"home"}}\n',
        b'{"changed":["appeared"]}\n',
    ]
    assert run("ctl", "trace", "home") == 0
    assert capfd.readouterr() == ('{"changed":["appeared"]}\n', ""), "records alone"


def on_a_terminal(argv: list[str]) -> tuple[int, str]:
    """Run a command with a terminal as its output."""
    pid, terminal = pty.fork()
    if pid == 0:
        code = 70
        try:
            sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb"))
            code = main(argv)
            sys.stdout.flush()
        finally:
            os._exit(code)
    output = b""
    try:
        while chunk := os.read(terminal, 4096):
            output += chunk
    except OSError:  # what Linux reports at the end of a terminal
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.decode().replace("\r\n", "\n")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_terminal_gets_tables_unless_json_is_asked_for(daemon: FakeDaemon) -> None:
    networks = [
        {"config_id": "home", "network_id": "home", "label": "", "phase": "active", "topology": {"kind": "ring"}}
    ]
    daemon.answer = lambda request: {"ok": True, "data": {"networks": networks}}
    code, text = on_a_terminal(["ctl", "networks", "list"])
    assert code == 0
    assert text == "ID    NETWORK  LABEL  PHASE   TOPOLOGY\nhome  home            active  ring\n"
    code, text = on_a_terminal(["ctl", "networks", "list", "--json"])
    assert json.loads(text) == {"networks": networks}


def test_a_label_cannot_steer_the_terminal() -> None:
    peer = {
        "device_id": "k",
        "device_suffix": "ABCDE",
        "label": "\x1b[2Jevil\n\u202eok",
        "status": "active",
        "rtt_ms": 3,
    }
    text = tables.peers({"peers": [peer]})
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == 2


def test_passwords_in_a_link_are_not_on_the_screen() -> None:
    text = tables.invitation_taken({"label": "Home", "settings": {"turn_servers": [{"credential": "secret"}]}})
    assert "Home" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    "data", [None, [], 5, {"peers": 1}, {"peers": [None, {"label": 7, "rtt_ms": []}]}, {"roster": [{}]}]
)
@pytest.mark.parametrize(
    "table",
    [
        tables.status,
        tables.networks,
        tables.peers,
        tables.reasons,
        tables.roster,
        tables.services,
        tables.offers,
        tables.members,
        tables.invitation_taken,
    ],
)
def test_no_answer_of_a_foreign_daemon_breaks_a_table(table: Any, data: object) -> None:
    assert isinstance(table(data), str)


def test_offers_say_what_is_used_and_why_the_rest_is_not() -> None:
    row = {"network": "home", "device_id": "d", "kind": "turn", "urls": ["turn:a", "turn:b"], "adopted": True}
    waits = row | {"adopted": False, "why": "nobody here approved this device"}
    assert tables.offers({"offers": [row, waits]}) == (
        "NETWORK  DEVICE  SERVICE  USED  WHY NOT                           ADDRESSES\n"
        "home     d       turn     yes                                     turn:a turn:b\n"
        "home     d       turn     no    nobody here approved this device  turn:a turn:b"
    )


def test_approval_times_and_services_are_readable() -> None:
    roster = tables.roster({"roster": [{"device_id": "d", "label": "L", "role": "member", "approved_at": 1700000000}]})
    assert "2023-11-1" in roster
    report = {
        "status": {"signaling": {"enabled": True, "running": False, "error": "port in use"}, "node": {"enabled": True}}
    }
    assert "failed" in tables.services(report)
    assert "port in use" in tables.services(report)
    report["status"]["signaling"]["retry_in_ms"] = 3900
    assert "in 4 s" in tables.services(report)
    serves = {"enabled": True, "running": True, "problem": "the other relays cannot be reached"}
    assert "the other relays cannot be reached" in tables.services({"status": {"signaling": serves}})
    assert "running, 64 processes" in tables.services({"status": {"signaling": {**serves, "processes": 64}}})
    assert "process" not in tables.services({"status": {"signaling": {**serves, "processes": 1}}})


def test_a_network_tells_how_many_relays_serve_and_what_is_wrong_with_another() -> None:
    down = {"url": "wss://b", "state": "down", "reason": {"kind": "tls", "text": "expired"}}
    rows = [
        {"config_id": "1", "relays": [{"url": "wss://a", "state": "up"}, down]},
        {"config_id": "2", "relays": [{"url": "wss://a", "state": "up"}]},
        {"config_id": "3", "relays": None},
    ]
    text = tables.networks({"networks": rows})
    assert "1 of 2; wss://b down: expired" in text
    assert "1 of 1\n" in text


def test_the_daemon_of_the_system_service_is_found_last(
    home: Path, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MYOWNMESH_HOME")
    monkeypatch.setenv("HOME", str(home / "nobody"))
    monkeypatch.setattr("mesh_common.client.address.SYSTEM_SOCKET", str(home / "daemon.sock"))
    assert run("ctl", "status") == 0
    monkeypatch.setenv("MYOWNMESH_HOME", str(home / "elsewhere"))  # a named home means that one and no other
    assert run("ctl", "status") == 1


def test_the_reasons_of_devices_and_of_one_of_them() -> None:
    why = {
        "code": "waits_for_offer",
        "since_ms": 2400,
        "text": "it was seen",
        "next": {"what": "dial it", "in_ms": 600},
    }
    waiting = {"device_id": "a" * 52, "device_suffix": "ab123", "status": "sighted", "label": "Phone", "why": why}
    active = {"device_id": "b" * 52, "device_suffix": "cd123", "status": "active", "label": "Desk", "why": None}
    old = {"device_id": "c" * 52, "device_suffix": "ef123", "status": "active", "label": ""}
    data = {"peers": [waiting, active, old]}
    first = tables.reasons(data).splitlines()[1]
    assert first.split("  ")[0] == "a" * 52 + "-ab123"
    assert "2 s" in first
    assert first.endswith("dial it in 1 s")
    assert tables.only(data, "b" * 52) == {"peers": [active]}
    assert tables.only(data, "b" * 52 + "-cd123") == {"peers": [active]}
    with pytest.raises(CliError, match="was not seen in this network"):
        tables.only(data, "d")
    with pytest.raises(CliError):
        tables.only(None, "d")
