"""`myownllm ping` between daemons on machines of their own: over TURN, then over a cable; and `myownllm netcheck`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio

from support.daemons import MYOWNMESH, daemon, network_record
from support.namespaces import machines_around, needs_namespaces, plug_in
from support.warm import MACHINE, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.daemons import Daemon
    from support.namespaces import Machine

pytestmark = needs_namespaces

NETWORK: Final = "apart"
PUBLIC: Final = "203.0.113.1"
PATIENCE_S: Final = 60
FOR_EVER: Final = ("--wait", "3000", "--interval", "0.1")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mesh") as name:
        yield Path(name)


def environment(device: Daemon, machine: Machine) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MYOWNMESH_", "MYOWNLLM_"))}
    homes = {"MYOWNLLM_HOME": str(device.home.with_suffix(".app")), "MYOWNMESH_HOME": str(device.home)}
    return {**kept, **homes, "MYOWNLLM_MESH_BIN": str(MYOWNMESH), MACHINE: machine.name, "MYOWNMESH_MDNS": "off"}


async def app(device: Daemon, machine: Machine, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The status and the object of a command of the app."""
    done = await trio.run_process(
        [*words("myownllm"), *arguments, "--json"],
        env=environment(device, machine),
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert done.stderr == b"", done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, answer


def ping(peer: Daemon, *options: str) -> list[str]:
    return ["ping", "--network", NETWORK, *options, peer.device_id]


@pytest.mark.slow
async def test_a_path_over_turn_and_then_over_a_cable(folder: Path) -> None:
    with machines_around(PUBLIC) as (host, *outer):
        for number in range(2):  # what is relayed comes from the address that is lent, as it does on the internet
            host.ip("route", "replace", f"198.51.{number}.0/24", "dev", f"to{number}", "src", PUBLIC)
        async with (
            daemon(folder / "host", run_in=host.enter) as middle,
            daemon(folder / "a", run_in=outer[0].enter) as a,
            daemon(folder / "b", run_in=outer[1].enter) as b,
        ):
            status, answer = await app(a, outer[0], "netcheck")  # without a network: the servers of a new one
            assert (status, answer["networks"], answer["verdict"]) == (5, [], "nothing")

            serving = {"enabled": True, "bind": PUBLIC, "public_ip": PUBLIC, "port": 0, "tcp_enabled": True}
            relay = {"enabled": True, "bind": PUBLIC, "port": 0}
            report = (await middle.ask("services_set", services={"signaling": relay, "turn": serving}))["status"]
            assert report["signaling"]["running"], report
            assert report["turn"]["running"], report
            url, server = f"ws://{report['signaling']['listen']}", report["turn"]["listen"]
            turn = [{"urls": [f"turn:{server}"], "username": "guest", "credential": "theguestpassword"}]
            for device in (a, b):
                record = network_record(NETWORK, url, auto_approve=True, turn_servers=turn)
                await device.ask("network_add", config=record)
            for one, other in ((a, b), (b, a)):
                await one.wait_for_peer(NETWORK, other.device_id)

            ways = []
            for one, machine, other in ((a, outer[0], b), (b, outer[1], a)):
                status, answer = await app(one, machine, *ping(other, "--count", "1", "--wait", "0"))
                assert (status, answer["outcome"], answer["path"]) == (4, "relayed", "TURN"), answer
                assert (answer["sent"], answer["answered"], answer["loss_percent"]) == (1, 1, 0)
                assert 0 < answer["least_ms"] == answer["mean_ms"] == answer["most_ms"]
                ways.append(answer["way"])
            status, answer = await app(a, outer[0], "netcheck")
            assert (status, answer["code"], answer["nat"]["state"]) == (0, "turn_alone", "none"), answer
            assert f"at least over TURN by UDP, for nothing but {PUBLIC} answers here" in answer["sentence"]
            assert f"over TURN by UDP: {server}, configured here" in ways  # one end at least is lent by our server

            # With a cable between them there is a direct path, which a person is waiting for.
            said = [*words("myownllm"), *ping(b, *FOR_EVER)]
            waiting = await trio.lowlevel.open_process(
                said, env=environment(a, outer[0]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            output = Lines(waiting)
            assert "over TURN" in await output.line()
            plug_in(outer[0], outer[1])
            for number, machine in enumerate(outer, 1):
                machine.add_address("lan0", f"192.168.7.{number}/24")
            text = await output.rest()
            assert await waiting.wait() == 0, text
            assert "is reached directly, in the local network." in text
            assert " 0 % lost" in text

            await b.stop()
            status, answer = await app(a, outer[0], *ping(b, "--count", "1", "--wait", "0"))
            assert (status, answer["outcome"], answer["loss_percent"]) == (5, "silent", 100)
            assert answer["answers"][0]["ms"] is None

            # Nobody waits for ever: Ctrl-C, and the summary all the same.
            said = [*words("myownllm"), *ping(b, *FOR_EVER)]
            waiting = await trio.lowlevel.open_process(
                said, env=environment(a, outer[0]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            output = Lines(waiting)
            assert "no answer" in await output.line()
            waiting.send_signal(signal.SIGINT)
            text = await output.rest()
            assert await waiting.wait() == 5, text
            assert " 0 answered, 100 % lost" in text


class Lines:
    """What a command prints."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdout is not None
        self._stdout = process.stdout
        self._said = b""

    async def line(self) -> str:
        """All up to the end of the first line."""
        with trio.fail_after(PATIENCE_S):
            while b"\n" not in self._said:
                self._said += await self._stdout.receive_some()
        return self._said.decode()

    async def rest(self) -> str:
        """All until its end."""
        with trio.fail_after(PATIENCE_S):
            while chunk := await self._stdout.receive_some():
                self._said += chunk
        return self._said.decode()
