"""Devices for end-to-end tests: the demo's own, so that what is tested is what is shown."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from support.ports import free_port
from support.warm import Forked, words

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "scripts" / "demo.py"


def _load_demo() -> Any:
    spec = importlib.util.spec_from_file_location("myownllm_demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


demo: Any = _load_demo()


def bare_app(device: Any) -> tuple[Path, dict[str, str]]:
    """An app that finds no mesh daemon: nothing beside it, nothing on its path, nothing fetched. With its environment.

    A `myownmesh` that is put beside it later is one that it finds.
    """
    folder = device.home / "bin"
    folder.mkdir()
    app: Path = folder / "myownllm"
    app.write_text(
        f"#!{sys.executable}\nimport sys\nsys.executable = {str(folder / 'python')!r}\n"
        "from myownllm.cli import main\nmain()\n"
    )
    app.chmod(0o755)
    environment = {**device.environment(), "PATH": f"{folder}:/usr/bin:/bin", "MYOWNMESH_OFFLINE": "1"}
    return app, environment | {"XDG_CACHE_HOME": str(device.home)}


def fork(device: Any, app: str, start: Any, command: list[str], output: IO[bytes], errors: IO[bytes]) -> Any:
    """The device's app without its start, unless it is to be another program by now."""
    if command[0] != app:
        return start(command, output, errors)
    return Forked(device.environment(), output, command=("myownllm", *command[1:]), errors=errors)


class Pair:
    """Two devices, the first of which hosts the relay; both apps are up, no network is saved yet."""

    def __init__(self, base: Path, *, screen: bool = False, forked: bool = True) -> None:
        """With `forked` an app is not started but forked from a process that has its modules."""
        self.base = base
        self.port: int = free_port()
        self.anna: Any = demo.Device("Anna", base / "a")
        self.boris: Any = demo.Device("Boris", base / "b")
        demo.host_relay(self.anna, self.port)
        for device in self.both:
            device.program = words("myownllm")
            if forked:
                device.launch = partial(fork, device, device.app, device.launch)
            # The default ports are one for all of them.
            folder = device.home / ".myownllm"
            folder.mkdir(mode=0o700, exist_ok=True)
            settings = {"api": {"port": 0}, "ui": {"enabled": screen, "port": 0}}
            (folder / "config.json").write_text(json.dumps(settings))

    @property
    def both(self) -> tuple[Any, Any]:
        return self.anna, self.boris

    def up(self) -> None:
        self.anna.up("--label", "Anna")
        self.boris.up("--label", "Boris")
        for device in self.both:
            device.wait("daemon", lambda e: e["event"] == "daemon" and e.get("state") == "up")

    def add(self, device: Any, network: str, *arguments: str) -> Any:
        """`myownllm networks add`, with the relay of this pair."""
        relay = f"ws://127.0.0.1:{self.port}"
        return device.run("networks", "add", network, "--relay", relay, "--no-stun", *arguments)

    def meet(self, network: str = "home") -> None:
        """Both on one network, both approved, both connected."""
        marks = [d.mark() for d in self.both]
        for device in self.both:
            self.add(device, network)
        for device, mark in zip(self.both, marks, strict=True):
            device.wait("knock", lambda e: e["event"] == "knock", mark)
        self.anna.run("approve", "Boris")
        self.boris.run("approve", "Anna")
        for device, mark in zip(self.both, marks, strict=True):
            device.wait("connected peer", demo.peer_becomes("active"), mark)

    def part(self) -> None:
        """Both on no network, and what they have said is forgotten."""
        for device in self.both:
            for network in device.run("networks", "list")["networks"]:
                mark = device.mark()
                device.run("networks", "remove", network["network_id"])
                if network["active"]:
                    device.wait("leave", lambda e: e["event"] == "pill" and "No active network" in e["text"], mark)
        for device in self.both:
            device.mark()
            device.events.clear()

    def stop(self) -> None:
        demo.stop_all(self.both)


def eventually(check: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first true result of a check that is repeated until then; a command that fails counts as "not yet".

    Checking takes a fifth of the time at most: six of these share two processors, and a command is work for three
    programs.
    """
    deadline = time.monotonic() + seconds
    while True:
        said, began = "", time.monotonic()
        try:
            result = check()
        except demo.DemoError as error:
            result, said = None, f"; {error}"
        if result:
            return result
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s{said}"
        time.sleep(max(0.05, min(4 * (time.monotonic() - began), 1.0)))


def answer(device: Any, *arguments: str) -> Any:
    """What a peer answers to `call`, as soon as one goes through.

    Right after a reconnection one side may know of it a moment before the other, whose call then still takes the dead
    link and fails with "network down"; a person calls again.
    """
    return eventually(lambda: [device.run("call", *arguments)["response"]], "an answer")[0]


def ask(device: Any, operation: str, **members: Any) -> Any:
    """One operation at the device's daemon, as any other local program could send it."""
    from mesh_common.client import blocking

    return blocking.request(device.home / ".myownllm" / ".myownmesh" / "daemon.sock", operation, timeout=45, **members)


def daemon_pid(device: Any) -> int:
    return int(device.run("status")["daemon"]["pid"])


def daemon_config(device: Any) -> tuple[int, Any]:
    """Inode and content of the daemon's own configuration: both change with every save."""
    path = device.home / ".myownllm" / ".myownmesh" / "config.json"
    return path.stat().st_ino, json.loads(path.read_text())


def is_alive(pid: int) -> bool:
    """Does the process run? A zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def myownllm(home: Path, *arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command in a home that need not belong to a running device."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MYOWNMESH_", "MYOWNLLM_"))}
    return subprocess.run(
        [*words("myownllm"), *arguments],
        env={**kept, "HOME": str(home), "MYOWNMESH_MDNS": "off", **(environ or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
