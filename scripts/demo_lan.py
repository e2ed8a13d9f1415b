"""The demo without any way out: three devices on one switch find each other in their local network.

Each device is a machine of its own (a network namespace) with one cable; there is no relay, no server, no route to
anywhere else. Nobody needs to be root: the machines are made inside a user namespace. Linux only; needs `unshare`,
`nsenter` and `ip`. Everything goes through the commands that a person has: `up`, `networks add`, `approve`, `call`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from demo import (
    STEP_TIMEOUT_S,
    DemoError,
    Device,
    Reporter,
    configure,
    peer_becomes,
    stop_all,
    temporary_base,
    timed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

INSIDE = "MESH_DEMO_LAN_INSIDE"
NAMES = ("Anna", "Boris", "Clara")
PULLED_S = 4.0
TOOLS = ("unshare", "nsenter", "ip")


class Machine:
    """A network namespace, held open by a process in it, with one cable to the switch."""

    def __init__(self, number: int) -> None:
        self.address = f"10.78.0.{number + 1}"
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        here = Path("/proc/self/ns/net").stat().st_ino
        _until_there(lambda: Path(f"/proc/{self._holder.pid}/ns/net").stat().st_ino != here)
        port = f"port{number}"
        ip("link", "add", port, "type", "veth", "peer", "name", "lan0", "netns", str(self._holder.pid))
        ip("link", "set", port, "master", "switch0", "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", "lan0")
        self.plug()

    @property
    def enter(self) -> tuple[str, ...]:
        return ("nsenter", "--target", str(self._holder.pid), "--net", "--")

    def run(self, *command: str) -> str:
        return subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True).stdout

    def plug(self) -> None:
        self.run("ip", "link", "set", "lan0", "up")

    def pull(self) -> None:
        self.run("ip", "link", "set", "lan0", "down")

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()


class LanDevice(Device):
    """A device on a machine of its own."""

    def __init__(self, name: str, home: Path, machine: Machine, daemon: str | None) -> None:
        super().__init__(name, home, daemon)
        self.machine = machine
        self.program = (*machine.enter, *self.program)

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "MYOWNMESH_MDNS": "on"}

    def launch(self, command: list[str], output: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        return super().launch([*self.machine.enter, *command], output, errors)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _until_there(check: Any) -> None:
    deadline = time.monotonic() + STEP_TIMEOUT_S
    while not check():
        if time.monotonic() > deadline:
            raise DemoError("a network namespace was not made")
        time.sleep(0.005)


def switch() -> list[Machine]:
    """A switch without an uplink, and a machine for each device."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "switch0", "type", "bridge")
    ip("link", "set", "switch0", "up")
    return [Machine(number) for number in range(len(NAMES))]


def knock_of(name: str) -> Any:
    return lambda event: event["event"] == "knock" and event.get("label") == name


def play(devices: Sequence[LanDevice], out: Reporter) -> None:
    """The whole story. Raises DemoError at the first step that does not happen."""
    routes = {device.machine.run("ip", "route", "show", "default").strip() for device in devices}
    if routes != {""}:
        raise DemoError(f"there is a way out: {routes}")
    out.say("Three machines on one switch. None of them has a route to anywhere else, and nobody hosts a relay.")
    began = time.monotonic()
    for device in devices:
        configure(device, {"kind": "none"})
        device.up("--label", device.name)
    for device in devices:
        device.id = device.wait("daemon", lambda e: e["event"] == "daemon" and e.get("state") == "up")["device_id"]
    out.done("start", "three apps started their daemons", timed(began))

    began, network = time.monotonic(), f"home-{os.getpid()}"
    for device, command in [(d, d.start("networks", "add", network, "--no-stun")) for d in devices]:
        device.finish(command)
    pairs = list(itertools.permutations(devices, 2))
    knocks = {(one.name, other.name): one.wait("knock", knock_of(other.name)) for one, other in pairs}
    out.done("knock", f"each sees the others knock in {network}", timed(began))
    for one, other in itertools.combinations(devices, 2):
        ours, theirs = knocks[one.name, other.name], knocks[other.name, one.name]
        if (ours["code_received"], ours["code_sent"]) != (theirs["code_sent"], theirs["code_received"]):
            raise DemoError(f"the codes do not match: {ours} / {theirs}")
    began = time.monotonic()
    for one, other in pairs:
        one.run("approve", other.name, "--code", knocks[one.name, other.name]["code_received"])
    for one, other in pairs:
        one.wait("connected peer", lambda e, name=other.name: peer_becomes("active")(e) and e.get("label") == name)
    out.done("approve", "all have approved each other, all are connected", timed(began))

    began = time.monotonic()
    for one, other in pairs:
        call(one, other, {"hello": other.name})
    out.done("call", "each has called each", timed(began))

    _, boris, clara = devices
    boris.machine.pull()
    out.say(f"Boris's cable is pulled, for {PULLED_S:.0f} s.")
    time.sleep(PULLED_S)
    call(clara, devices[0], {"without": "Boris"})
    boris.machine.plug()
    began = time.monotonic()
    again(devices[0], boris)
    again(boris, clara)
    out.done("cable", "the cable is back: Anna reaches Boris, and Boris Clara, without a new approval", timed(began))


def call(one: Device, other: Device, payload: dict[str, str]) -> None:
    answer = one.run("call", other.name, "echo", json.dumps(payload))["response"]
    if answer != payload:
        raise DemoError(f"{one.name} called {other.name} and got {answer}")


def again(one: Device, other: Device) -> None:
    """The first call that goes through."""
    deadline = time.monotonic() + STEP_TIMEOUT_S
    while True:
        try:
            call(one, other, {"again": other.name})
        except DemoError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo --lan", description=__doc__)
    parser.add_argument("--lan", action="store_true", help="this demo")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--daemon", metavar="PATH", help="run this daemon, for example a staged release")
    options = parser.parse_args()
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"demo failed: {', '.join(missing)} not installed (Linux: util-linux and iproute2)", file=sys.stderr)
        return 1
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-Urn", "--", sys.executable, *sys.argv])
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    base = temporary_base()
    machines: list[Machine] = []
    devices: list[LanDevice] = []
    out = Reporter(as_json=options.json)
    try:
        machines += switch()
        devices += [
            LanDevice(name, base / name[0].lower(), machine, options.daemon)
            for name, machine in zip(NAMES, machines, strict=True)
        ]
        play(devices, out)
        out.table()
    except (DemoError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or ""
        print(f"demo failed: {error} {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; cleaning up", file=sys.stderr)
        return 130
    finally:
        stop_all(devices)
        for machine in machines:
            machine.close()
        shutil.rmtree(base, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
