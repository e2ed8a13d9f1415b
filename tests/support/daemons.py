"""Real daemons as subprocesses, and a control client for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from mesh_common.client.connection import Connection
from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import answer_data, parse_object, request_line
from support.namespaces import entered
from support.warm import MACHINE, TrioForked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

START_S = 15.0
PATIENCE_S = 20.0
"""Every wait for something that has to happen; generous, for these machines are shared."""

MYOWNMESH = Path(sys.executable).with_name("myownmesh")


class Refused(Exception):
    """The daemon answered `ok: false`; the text is its error."""


class Control(Connection):
    """One control connection of a test."""

    async def frame(self) -> dict[str, Any]:
        """The next line of an event connection. Raises `ControlError` CLOSED at its end."""
        with trio.fail_after(PATIENCE_S):
            return parse_object(await self.receive())

    async def ask(self, op: str, **members: Any) -> Any:
        """One request, one answer. Raises `Refused`."""
        with trio.fail_after(PATIENCE_S):
            answer = await self.exchange(request_line(op, members))
        try:
            return answer_data(answer)
        except ControlError as error:
            raise Refused(error.text) from error


class Daemon:
    """A running `myownmesh serve` in its own home."""

    def __init__(self, home: Path, *, run_in: Sequence[str] = ()) -> None:
        """`run_in` precedes the command, for a daemon in another namespace."""
        self.home = home
        self._run_in = run_in
        self.process: trio.Process | TrioForked | None = None
        self.device_id = ""
        self._controls: list[Control] = []

    @property
    def socket(self) -> Path:
        return self.home / "daemon.sock"

    @property
    def log(self) -> str:
        return (self.home / "log.txt").read_text()

    async def start(self, **environ: str) -> None:
        """Start it and wait until it says that its socket answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        readable, writable = os.pipe()
        settings = {"MYOWNMESH_HOME": str(self.home), "MYOWNMESH_LOG_EXTRA": "debug", **environ}
        try:
            with (self.home / "log.txt").open("ab") as log:
                machine = entered(self._run_in)
                if (self._run_in and not machine) or "LD_PRELOAD" in environ:  # another system than the warm process's
                    self.process = await trio.lowlevel.open_process(
                        [*self._run_in, str(MYOWNMESH), "serve"],
                        env={**os.environ, **settings, "MYOWNMESH_READY_FD": str(writable)},
                        pass_fds=(writable,),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )
                else:
                    if machine:
                        settings[MACHINE] = machine
                    self.process = await trio.to_thread.run_sync(TrioForked, {**os.environ, **settings}, log, writable)
        finally:
            os.close(writable)
        async with trio.lowlevel.FdStream(readable) as ready:
            with trio.fail_after(START_S):
                said = b""
                while not said.endswith(b"\n") and (chunk := await ready.receive_some()):
                    said += chunk
        told = json.loads(said) if said else {"ready": False, "error": f"nothing said; log:\n{self.log}"}
        assert told["ready"], told["error"]
        self.device_id = (await self.ask("identity_show"))["pubkey"]

    async def stop(self, sig: int = signal.SIGTERM) -> int:
        """Signal it and return its exit status."""
        assert self.process is not None
        self.process.send_signal(sig)
        with trio.fail_after(PATIENCE_S):
            return await self.process.wait()

    async def until_governed(self, network: str, what: str, holds: Callable[[Any], Any], seconds: float = 80.0) -> Any:
        """Wait for something of its signed state; the value that holds."""
        with trio.move_on_after(seconds):
            while not (found := holds(await self.ask("governance_state", network=network))):
                await trio.sleep(0.02)
            return found
        raise AssertionError(f"never: {what}")

    async def control(self) -> Control:
        """A connection that is closed with the daemon's block, if the test does not close it."""
        control = await Control.open(self.socket)
        self._controls.append(control)
        return control

    async def close_controls(self) -> None:
        for control in self._controls:
            await control.aclose()

    async def ask(self, op: str, **members: Any) -> Any:
        """One request on a connection of its own."""
        control = await Control.open(self.socket)
        try:
            return await control.ask(op, **members)
        finally:
            await control.aclose()

    async def peer(self, network: str, device_id: str) -> dict[str, Any] | None:
        peers = (await self.ask("peers_list", network=network))["peers"]
        return next((peer for peer in peers if peer["device_id"] == device_id), None)

    async def wait_for_peer(
        self, network: str, device_id: str, *statuses: str, patience: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Until it has one of these, `active` if none is named."""
        wanted = statuses or ("active",)
        found: dict[str, Any] | None = None
        with trio.move_on_after(patience):
            began = trio.current_time()
            while (found := await self.peer(network, device_id)) is None or found["status"] not in wanted:
                took = trio.current_time() - began
                await trio.sleep(max(0.01, min(4 * took, 0.1)))  # the socket tells statuses only when asked
                began = trio.current_time()
        assert found is not None, f"never saw {device_id}; log:\n{self.log}"
        assert found["status"] in wanted, f"still {found['status']}, not {' or '.join(wanted)}; log:\n{self.log}"
        return found

    def memory_mb(self) -> float:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


@asynccontextmanager
async def daemon(
    home: Path, *, environ: Mapping[str, str] | None = None, run_in: Sequence[str] = ()
) -> AsyncIterator[Daemon]:
    """A daemon for the length of the block; it is killed at the end if the test did not stop it."""
    running = Daemon(home, run_in=run_in)
    try:
        await running.start(**(environ or {}))
        yield running
    finally:
        with trio.CancelScope(shield=True):
            await running.close_controls()
            if running.process is not None and running.process.returncode is None:
                running.process.kill()
                await running.process.wait()


async def host_relay(host: Daemon, *, bind: str = "127.0.0.1") -> str:
    """Let a daemon host the relay; returns its URL."""
    services = {"signaling": {"enabled": True, "bind": bind, "port": 0}}
    status = (await host.ask("services_set", services=services))["status"]["signaling"]
    assert status["running"], status
    return f"ws://{status['listen']}"


def network_record(name: str, relay: str, *, auto_approve: bool = False, **members: Any) -> dict[str, Any]:
    """A network on our relay alone: no STUN, no TURN, no mDNS, no public relays."""
    return {
        "id": name,
        "network_id": name,
        "signaling": {"servers": [relay], "mdns": False, "public_fallback": False},
        "stun_servers": [],
        "turn_servers": [],
        "auto_approve": auto_approve,
        **members,
    }


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that has no event of its own."""
    with trio.move_on_after(PATIENCE_S) as scope:
        while not condition():
            await trio.sleep(0.01)
    assert not scope.cancelled_caught, f"never happened: {what}"
