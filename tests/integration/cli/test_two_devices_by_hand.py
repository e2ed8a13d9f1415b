"""Two devices driven by nothing but the command line: meet, approve, talk, call, stream."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.lifecycle.process import PATIENCE_S, PROGRAM, DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


class Device:
    """A daemon, and its `ctl`."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.daemon = daemon
        self.environ = {**os.environ, "MYOWNMESH_HOME": str(daemon.home)}
        self.id: str = self("identity", "show")["pubkey"]

    def __call__(self, *argv: str) -> Any:
        done = self.run(*argv)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, "ctl", *argv], env=self.environ, capture_output=True, encoding="utf-8", timeout=30, check=False
        )

    @contextmanager
    def following(self, *argv: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [PROGRAM, "ctl", *argv], env=self.environ, stdout=subprocess.PIPE, encoding="utf-8"
        ) as process:
            yield process
            process.kill()

    def wait_for_peer(self, status: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while [peer["status"] for peer in self("peers", "home")["peers"]] != [status]:
            assert time.monotonic() < deadline, f"no peer became {status}: {self('peers', 'home')}"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def devices() -> Iterator[tuple[Device, Device]]:
    with (
        tempfile.TemporaryDirectory(prefix="mesh") as one,
        tempfile.TemporaryDirectory(prefix="mesh") as two,
        DaemonProcess(Path(one)) as first,
        DaemonProcess(Path(two)) as second,
    ):
        for daemon in (first, second):
            daemon.ready()
        alice, bob = Device(first), Device(second)
        block = alice("services", "status")["config"]
        block["signaling"] |= {"enabled": True, "bind": "127.0.0.1", "port": 0}
        relay = alice("services", "set", json.dumps(block))["status"]["signaling"]["listen"]
        record = {
            "id": "home",
            "network_id": "home",
            "signaling": {"servers": [f"ws://{relay}"], "public_fallback": False, "mdns": False},
            "stun_servers": [],
            "turn_servers": [],
        }
        for device in (alice, bob):
            device("networks", "add", json.dumps(record))
        for device, other in ((alice, bob), (bob, alice)):
            device.wait_for_peer("pending_approval")
            device("roster", "approve", "home", other.id)
        for device in (alice, bob):
            device.wait_for_peer("active")
        yield alice, bob


def line(process: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    """The next line of this kind."""
    assert process.stdout is not None
    for text in process.stdout:
        value: dict[str, Any] = json.loads(text)
        if value.get("kind") == kind:
            return value
    raise AssertionError(f"the output ended without {kind}")


def test_a_message_arrives(devices: tuple[Device, Device]) -> None:
    alice, bob = devices
    with bob.following("events") as events:
        assert events.stdout is not None
        client = json.loads(events.stdout.readline())["client_id"]
        bob("channel", "subscribe", "home", "chat", "--client", client)
        assert alice("channel", "send", "home", bob.id, "chat", '{"hi":"ü"}') == {"sent": True}
        frame = line(events, "channel_inbound")
        assert (frame["from"], frame["payload"]) == (alice.id, {"hi": "ü"})
        assert alice("channel", "send-all", "home", "chat", "[1]") == {"dispatched_to": 1}
        assert line(events, "channel_inbound")["payload"] == [1]


def test_a_call_is_answered_by_hand(devices: tuple[Device, Device]) -> None:
    alice, bob = devices
    with bob.following("events") as events:
        assert events.stdout is not None
        client = json.loads(events.stdout.readline())["client_id"]
        bob("rpc", "register", client, "home", "greet")
        with alice.following("rpc", "call", "home", bob.id, "greet", '"Bob"') as call:
            inbound = line(events, "rpc_inbound")
            assert (inbound["from"], inbound["payload"]) == (alice.id, "Bob")
            bob("rpc", "respond", inbound["request_id"], '"hello Bob"')
            assert call.stdout is not None
            assert json.loads(call.stdout.read()) == {"response": "hello Bob"}


def test_a_stream_is_answered_by_hand(devices: tuple[Device, Device]) -> None:
    alice, bob = devices
    with bob.following("events") as events:
        assert events.stdout is not None
        client = json.loads(events.stdout.readline())["client_id"]
        bob("rpc", "register", client, "home", "count", "--streaming")
        with alice.following("rpc", "call-stream", "home", bob.id, "count", "2") as call:
            request_id = line(events, "rpc_inbound")["request_id"]
            for chunk in ("1", '{"n":2}'):
                bob("rpc", "stream-chunk", request_id, chunk)
            bob("rpc", "stream-end", request_id)
            assert call.stdout is not None
            assert call.stdout.read() == '1\n{"n": 2}\n'
            assert call.wait(PATIENCE_S) == 0


def test_a_call_to_nobody_fails_with_the_peers_words(devices: tuple[Device, Device]) -> None:
    alice, bob = devices
    done = alice.run("rpc", "call", "home", bob.id, "nope", "1")
    assert (done.returncode, done.stderr) == (
        1,
        "error: daemon error: handler returned error: no handler for 'nope'\n",
    )


def test_a_reconnect_keeps_the_link(devices: tuple[Device, Device]) -> None:
    alice, bob = devices
    assert alice("networks", "reconnect", "home", "--peer", bob.id) == {"reconnecting": "home"}
    connected = alice("networks", "connect", "home", bob.id, "--wait-ms", "10000")
    assert connected["active"] is True
