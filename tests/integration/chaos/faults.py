"""The faults: each happens to one device, or to its model server, and has ended when its function returns."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.devices import eventually
from support.model_servers import scripted

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from support.model_servers import ModelServer
    from support.moods import Moods


def daemons(home: Path) -> list[int]:
    """Processes that serve in this home, zombies not counted."""
    found = []
    mark = f"MYOWNMESH_HOME={home / '.myownllm' / '.myownmesh'}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or b"serve" not in (entry / "cmdline").read_bytes().split(b"\0"):
                continue
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


class Models:
    """Boris's model server, which can be killed and comes back at the same address."""

    def __init__(self, **behaviour: Any) -> None:
        self._behaviour = behaviour
        self._stack = ExitStack()
        self.server = self._start(0)

    def _start(self, port: int) -> ModelServer:
        return self._stack.enter_context(scripted(port, **self._behaviour))

    def restart(self, away_s: float) -> None:
        self.server.kill()
        time.sleep(away_s)
        self.server = self._start(self.server.port)

    def stop(self) -> None:
        self._stack.close()


class Faults:
    """`rng` decides about details, so a seed is a story."""

    def __init__(self, rng: random.Random, models: Models, moods: dict[str, Moods]) -> None:
        self._rng, self._models, self._moods = rng, models, moods
        self.kinds: list[Callable[[Any], None]] = [
            self.kill_daemon, self.kill_app, self.freeze_daemon, self.freeze_app, self.write_half_a_config,
            self.delete_the_socket, self.replace_the_program, self.fill_the_disk, self.move_the_clock,
            self.kill_the_model_server,
        ]  # fmt: skip

    def kill_daemon(self, device: Any) -> None:
        os.kill(daemons(device.home)[0], signal.SIGKILL)

    def kill_app(self, device: Any) -> None:
        """It ends with the first words of the next one; until then the screen is that of a dead app."""
        mark = device.mark()
        device.kill_app()
        device.up("--label", device.name)
        device.wait("the screen of the new app", lambda event: event["event"] == "pill", mark)

    def freeze_daemon(self, device: Any) -> None:
        """Sometimes for longer than the app waits: then there is another one."""
        self._freeze(daemons(device.home)[0], self._rng.choice([0.5, 1.0, 2.5, 9.0]))

    def freeze_app(self, device: Any) -> None:
        self._freeze(device.pid, self._rng.choice([0.5, 3.0]))

    @staticmethod
    def _freeze(pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return

    def write_half_a_config(self, device: Any) -> None:
        path = device.home / ".myownllm" / "config.json"
        whole = path.read_text()
        path.write_text(whole[: self._rng.randrange(len(whole))])
        time.sleep(self._rng.choice([0.1, 1.2, 2.5]))
        path.write_text(whole)

    def delete_the_socket(self, device: Any) -> None:
        """It ends when the daemon has made it anew; until then nobody can be told anything."""
        path = device.home / ".myownllm" / ".myownmesh" / "daemon.sock"
        path.unlink(missing_ok=True)
        eventually(path.exists, "a new socket", 15)

    def replace_the_program(self, device: Any) -> None:
        """An upgrade underneath: another file of that name, and the daemon that ran from the old one ends."""
        program = device.home / "daemon"
        program.with_name("daemon.new").write_text(program.read_text() + "# newer\n")
        program.with_name("daemon.new").chmod(0o755)
        program.with_name("daemon.new").rename(program)
        os.kill(daemons(device.home)[0], signal.SIGTERM)

    def fill_the_disk(self, device: Any) -> None:
        """Sometimes it has to start anew meanwhile."""
        self._moods[device.name].set(is_full=True)
        if self._rng.random() < 0.3:
            os.kill(daemons(device.home)[0], signal.SIGKILL)
        time.sleep(self._rng.choice([0.5, 2.0]))
        self._moods[device.name].set()

    def move_the_clock(self, device: Any) -> None:
        """To another hour, and back: both are jumps."""
        self._moods[device.name].set(wrong_by_s=self._rng.choice([-86_400, -3600, -5, 5, 3600, 86_400]))
        time.sleep(self._rng.choice([0.3, 1.5]))
        self._moods[device.name].set()

    def kill_the_model_server(self, _: Any) -> None:
        self._models.restart(self._rng.choice([0.0, 1.0]))
