"""The command line against a real daemon (spec 07 §6; vectors ``cli``)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.lifecycle.process import PROGRAM, DaemonProcess
from integration.surroundings.commands import COMMANDS
from myownmesh.cli import main
from myownmesh.protocol.ids import display_id
from support.ports import free_port
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL: dict[str, Any] = {"signaling": {"strategy": "none"}, "stun_servers": [], "turn_servers": []}
CASES: list[dict[str, Any]] = [
    case for case in load("control-socket", "cli") if case.get("given", "").startswith("daemon")
]


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    with tempfile.TemporaryDirectory(prefix="mesh") as directory:
        home = Path(directory)
        (home / "config.json").write_text(json.dumps({"networks": [{"id": "home", "network_id": "home", **LOCAL}]}))
        with DaemonProcess(home) as running:
            running.ready()
            yield running


def run(daemon: DaemonProcess, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *argv],
        env={**os.environ, "MYOWNMESH_HOME": str(daemon.home)},
        capture_output=True,
        encoding="utf-8",
        timeout=20,
        check=False,
    )


def data(daemon: DaemonProcess, *argv: str) -> Any:
    done = run(daemon, *argv)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case["argv"]))
def test_a_command_ends_as_the_references(daemon: DaemonProcess, case: dict[str, Any]) -> None:
    done = run(daemon, *case["argv"])
    assert (done.returncode, done.stdout, done.stderr) == (case["exit"], case["stdout"], case["stderr"])


def test_a_network_from_joining_to_leaving(daemon: DaemonProcess) -> None:
    assert data(daemon, "ctl", "networks", "normalize-id", " Work-Net ") == {"network_id": "work-net"}
    record = {"id": "work", "network_id": "Work-Net", **LOCAL}
    added = data(daemon, "ctl", "networks", "add", json.dumps(record))["added"]
    assert (added["config_id"], added["network_id"]) == ("work", "work-net")
    listed = data(daemon, "ctl", "networks", "list")["networks"]
    assert [network["config_id"] for network in listed] == ["home", "work"]
    updated = data(daemon, "ctl", "networks", "update", json.dumps({**record, "label": "Office"}))
    assert updated["restarted"] is False
    assert data(daemon, "ctl", "networks", "topology", "work", "full_mesh")["topology"] == "full_mesh"
    assert data(daemon, "ctl", "networks", "remove", "work-net") == {"removed": "work"}
    assert run(daemon, "ctl", "networks", "leave", "work").stderr == "error: daemon error: unknown network: work\n"


def test_the_roster_by_hand(daemon: DaemonProcess) -> None:
    device = "5jfgyy7ctrjavpxvkb5rglwf7gkuo5vox27hxescd3vgsfcg2iwa"
    assert data(daemon, "ctl", "roster", "approve", "home", device, "--label", "Küche") == {"approved": device}
    [row] = data(daemon, "ctl", "roster", "list", "home")["roster"]
    assert (row["device_id"], row["label"], row["role"]) == (device, "Küche", "member")
    assert data(daemon, "ctl", "roster", "approve", "home", device) == {"approved": device}
    [row] = data(daemon, "ctl", "roster", "list", "home")["roster"]
    assert row["label"] == "Küche", "approved again, it keeps the name that a person gave it"
    data(daemon, "ctl", "roster", "approve", "home", device, "--label", "")
    [row] = data(daemon, "ctl", "roster", "list", "home")["roster"]
    assert row["label"] == ""
    assert data(daemon, "ctl", "roster", "remove", "home", device) == {"removed": device}


def test_a_label_set_beside_the_daemon_reaches_it(daemon: DaemonProcess) -> None:
    assert run(daemon, "identity", "set-label", "Küche 🍲").stdout == "ok\n"
    assert data(daemon, "ctl", "identity", "show")["label"] == "Küche 🍲"
    assert run(daemon, "identity", "show").stdout.endswith("label:       Küche 🍲\n")
    assert json.loads((daemon.home / ".secrets" / "identity.json").read_text("utf-8"))["label"] == "Küche 🍲"


def test_services_are_switched_and_shown(daemon: DaemonProcess) -> None:
    block = data(daemon, "ctl", "services", "status")["config"]
    block["signaling"] |= {"bind": "127.0.0.1", "port": 0}
    data(daemon, "ctl", "services", "set", json.dumps(block))
    running = data(daemon, "ctl", "services", "enable", "signaling")["status"]["signaling"]
    assert running["running"] is True
    assert data(daemon, "ctl", "services", "disable", "signaling")["status"]["signaling"]["running"] is False
    assert json.loads((daemon.home / "config.json").read_text())["services"]["signaling"]["bind"] == "127.0.0.1"
    assert "user=guest:theguestpassword" in run(daemon, "ctl", "services", "coturn").stdout.splitlines()


@pytest.mark.slow
def test_the_commands_of_the_page_on_hosting_do_what_it_says(daemon: DaemonProcess) -> None:
    page = (Path(__file__).parents[3] / "docs" / "hosting.md").read_text()
    commands = [
        line.removeprefix("$ myownmesh ").split() for line in page.splitlines() if line.startswith("$ myownmesh ")
    ]
    assert len(commands) >= 4
    here = {"bind": "127.0.0.1", "port": 0}
    relay = here | {"port": free_port()}
    data(daemon, "ctl", "services", "set", json.dumps({"signaling": relay, "turn": here | {"public_ip": "127.0.0.1"}}))
    try:
        for words in commands:
            done = run(daemon, *words)
            assert (done.returncode, done.stderr) == (0, ""), (words, done.stderr)
        status = data(daemon, "ctl", "services", "status")["status"]
        assert status["signaling"]["running"]
        assert status["turn"]["running"]
        assert data(daemon, "ctl", "services", "offers") == {"offers": []}
        caddyfile = daemon.home / "Caddyfile"
        caddyfile.write_text(run(daemon, "ctl", "services", "caddy", "mesh.example.org").stdout)
        again = run(daemon, "ctl", "services", "caddy", "wss://mesh.example.org/", "--caddyfile", str(caddyfile))
        assert again.stdout == caddyfile.read_text()
        assert "caddy reload --config" in run(daemon, "install", "caddy").stdout
        assert (
            "+mesh.example.org {"
            in run(daemon, "install", "caddy", "mesh.example.org", "--relay-only", "--dry-run").stdout
        )
        assert "error: 'a b' is no domain" in run(daemon, "ctl", "services", "caddy", "a b").stderr
        assert "realm=myownmesh" in run(daemon, "ctl", "services", "coturn").stdout.splitlines()
        assert (daemon.home / ".secrets" / "turn.json").exists()
    finally:
        data(daemon, "ctl", "services", "set", "{}")


def test_what_the_daemon_reads_is_what_config_show_prints(daemon: DaemonProcess) -> None:
    shown = json.loads(run(daemon, "config", "show").stdout)
    assert data(daemon, "ctl", "config", "show")["config"] == shown


def test_events_are_followed_and_methods_served_by_hand(daemon: DaemonProcess) -> None:
    with subprocess.Popen(
        [PROGRAM, "ctl", "events"],
        env={**os.environ, "MYOWNMESH_HOME": str(daemon.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        client = json.loads(follower.stdout.readline())["client_id"]
        assert data(daemon, "ctl", "rpc", "register", client, "home", "echo") == {"registered": True}
        assert data(daemon, "ctl", "rpc", "unregister", client, "home", "echo") == {"released": True}
        assert data(daemon, "ctl", "channel", "subscribe", "home", "chat", "--client", client) == {"subscribed": True}
        assert data(daemon, "ctl", "channel", "unsubscribe", client, "home", "chat") == {"unsubscribed": True}
        data(daemon, "ctl", "networks", "add", json.dumps({"id": "x", "network_id": "events-net", **LOCAL}))
        event = json.loads(follower.stdout.readline())
        assert event["kind"] == "event"
        data(daemon, "ctl", "networks", "leave", "x")
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == -signal.SIGINT  # as any tool that is interrupted: no traceback, no words
        assert follower.stderr.read() == ""


def test_calls_and_messages_to_nobody_fail_clearly(daemon: DaemonProcess) -> None:
    nobody = "5jfgyy7ctrjavpxvkb5rglwf7gkuo5vox27hxescd3vgsfcg2iwa"
    assert f"not found: {nobody}" in run(daemon, "ctl", "rpc", "call", "home", nobody, "m").stderr
    assert "no in-flight inbound RPC for 'r'" in run(daemon, "ctl", "rpc", "respond", "r", "1").stderr
    assert run(daemon, "ctl", "channel", "send", "home", nobody, "ch", "1").returncode == 1
    assert data(daemon, "ctl", "channel", "send-all", "home", "ch", "1") == {"dispatched_to": 0}
    assert data(daemon, "ctl", "capabilities", "set", "home", '{"tags":["x"]}') == {"advertised": True}


def test_a_closed_pipe_is_no_traceback(daemon: DaemonProcess) -> None:
    command = f"'{PROGRAM}' ctl config show | head -c 1"
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "MYOWNMESH_HOME": str(daemon.home)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{", "")


def test_the_self_test_proves_the_webrtc_stack_of_this_installation() -> None:
    done = subprocess.run(
        [PROGRAM, "version", "--self-test", "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["self_test"]) == {"open_ms", "restart_ms", "close_ms"}


def test_every_command_about_signed_decisions_answers_a_program(
    daemon: DaemonProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """JSON, or one sentence; 0 is done, 3 waits for somebody, 1 was refused (docs/governance.md)."""
    monkeypatch.setenv("MYOWNMESH_HOME", str(daemon.home))
    for name, kind in (("governed", "open"), ("unfounded", "closed")):
        data(daemon, "ctl", "networks", "add", json.dumps({"id": name, "network_id": name, "kind": kind, **LOCAL}))
    left = {command.path[2:] for command in COMMANDS if command.path[:2] == ("ctl", "governance")}
    device, new = (display_id(letter * 51 + "q") for letter in "ab")
    export, wrong_key = tmp_path / "export.json", tmp_path / "key"
    wrong_key.write_text("aaaa-bbbb")

    def ends(line: str, code: int) -> Any:
        words = line.split()
        left.difference_update({(words[0],), (words[0], words[1])})
        ended = main(["ctl", "governance", *words, "--json"])
        out, err = capfd.readouterr()
        assert ended == code, (line, out, err)
        if out:
            return json.loads(out)
        assert (code, err.count("\n"), err[:7]) == (1, 1, "error: "), (line, err)
        return None

    ends("propose-kind governed closed", 0)
    ends("propose-kind governed closed", 1)
    for line in ("state", "pending", "who", "log", "doctor", "mfa status"):
        ends(f"{line} governed", 0)
    ends(f"who governed {device}", 0)
    ends(f"grant-role governed {device} controller", 0)
    ends(f"revoke-role governed {device} --dry-run", 0)
    ends(f"revoke-role governed {device}", 0)
    ends(f"revoke-role governed {device}", 1)
    ends(f"grant-role governed {device} member", 0)
    ends(f"replace governed {device} {new}", 0)
    ends(f"evict governed {new}", 0)
    waiting = ends(f"evict unfounded {device}", 3)["proposal_id"]
    ends(f"sign unfounded {waiting} --digest x", 1)
    ends(f"withdraw unfounded {waiting}", 0)
    ends(f"deny unfounded {waiting}", 1)
    ends(f"settle unfounded {waiting}", 1)
    ends(f"export governed {export}", 0)
    ends(f"import governed {export}", 0)
    ends(f"import governed {tmp_path}/nothing", 1)
    ends("recovery-key governed", 0)
    ends(f"recover governed --key {wrong_key}", 1)
    codes = ends("mfa enroll governed", 0)["recovery_codes"]
    ends("mfa disable governed 1", 1)
    ends(f"mfa disable governed {codes[0]}", 0)
    assert not left
    for name in ("governed", "unfounded"):
        data(daemon, "ctl", "networks", "remove", name)
