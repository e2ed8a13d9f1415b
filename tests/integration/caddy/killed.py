"""The program behind `test_killed`: installs before a Caddy that a file stands for, and is killed at each step.

What Caddy serves is a copy of what it was last told; a kill leaves file and copy each as the old text or the new one.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest

from mesh_common.tools import Ended
from myownmesh.caddy.caddyfile import merged_for_relay
from myownmesh.caddy.installer import Installer
from myownmesh.caddy.machine import Machine
from myownmesh.caddy.plan import Wanted
from myownmesh.caddy.swap import Swap
from myownmesh.caddy.tools import PATIENCE_S, CaddyError
from myownmesh.store.services_config import ServicesConfig
from support.killed_swaps import killed_before

OLD = "other.example {\n\trespond 200\n}\n"
NEW = merged_for_relay(OLD, "mesh.example", 4848)


class Box:
    """One machine. `refuses`: its Caddy does not take the new file, though it is valid."""

    def __init__(self, folder: Path, *, refuses: bool) -> None:
        self.file = folder / "Caddyfile"
        self.serves = folder / "serves"
        self._refuses = refuses
        self.file.write_text(OLD)
        self.serves.write_text(OLD)

    def finds(self, program: str) -> str | None:
        return program if program == "caddy" else None

    def __call__(self, *words: str, limit_s: float = PATIENCE_S) -> Ended:
        if words[1] == "reload":
            if self._refuses and self.file.read_text() != OLD:
                return Ended(1, "address already in use")
            self.serves.write_text(self.file.read_text())
        return Ended(0)

    def install(self) -> None:
        """One installation. Raises what it raises."""
        with patch.object(Machine, "runs", lambda _: True):
            swap = Swap(self.file)
            with swap.alone(0.0):
                Installer(self, Machine(self, self.file), swap, 1700000000.0).install(
                    Wanted("mesh.example", None), Hosted(), str
                )


class Hosted:
    """Nothing that can fail."""

    def read(self) -> ServicesConfig:
        return ServicesConfig()

    def write(self, services: ServicesConfig) -> str:
        return ""


def box(*, refuses: bool = False) -> Box:
    return Box(Path(tempfile.mkdtemp(dir=BASE)), refuses=refuses)


def taken() -> int:
    """A Caddy that takes it: the file is old or new, and the next installation ends in the new one, served."""
    step = 0
    while killed_before(step, (one := box()).install):
        assert one.file.read_text() in (OLD, NEW), step
        assert one.serves.read_text() in (OLD, NEW, ""), step  # "": Caddy of this test was killed at its own write
        one.install()
        assert one.file.read_text() == one.serves.read_text() == NEW, step
        assert not Swap(one.file).unfinished
        step += 1
    return step


def refused() -> int:
    """A Caddy that does not take it: the next installation, which fails, too, ends in the old file."""

    def fails(one: Box) -> None:
        with pytest.raises(CaddyError, match="address already in use"):
            one.install()

    step = 0
    while killed_before(step, partial(fails, one := box(refuses=True))):
        assert one.file.read_text() in (OLD, NEW), step
        fails(one)
        assert one.file.read_text() == one.serves.read_text() == OLD, step
        step += 1
    return step


BASE = sys.argv[1] if __name__ == "__main__" else ""
if __name__ == "__main__":
    print(f"{taken()} steps where it is taken, {refused()} where it is refused")
    shutil.rmtree(BASE)
