"""The distribution as the index would hand it out, and empty environments that it is installed into."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
_LOCKED = re.compile(r"^[A-Za-z0-9._-]+==[^\\\n]+", re.MULTILINE)
"""A package of the lock with its version and marker, without its hashes."""
_PIP_LIMIT_S = 240
"""Some forty packages over a slow line; from pip's cache it takes ten."""
_UP_LIMIT_S = 60


RUNNER = {"GITHUB_SERVER_URL": "https://code.example", "GITHUB_REPOSITORY": "some/where"}
"""What the runner of the publishing workflow says of the repository."""


class Environment:
    """A virtual environment that nothing but pip has put anything into: the pip of this checkout."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder)
        self.bin = folder / "bin"

    def pip(self, *arguments: str) -> None:
        """Have pip do something to it; pip's words are in the failure."""
        command = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "--disable-pip-version-check"]
        command += ["--quiet", *arguments]
        done = subprocess.run(command, env=clean(), capture_output=True, text=True, timeout=_PIP_LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr + done.stdout

    def install(self, wheel: Path, extra: str | None) -> None:
        """Install the wheel as a person does, with the versions of the lock."""
        constraints = self.bin.parent / "constraints.txt"
        constraints.write_text("\n".join(_LOCKED.findall((ROOT / "requirements.lock").read_text())))
        # What no test imports need not be compiled.
        self.pip(
            "install", "--no-compile", "--constraint", str(constraints), str(wheel) + (f"[{extra}]" if extra else "")
        )

    def run(self, program: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.bin / program), *arguments]
        return subprocess.run(command, env=clean(**env), capture_output=True, text=True, timeout=60, check=False)

    def up(self, home: Path, *, until: str, **env: str) -> list[dict[str, Any]]:
        """The events of `myownllm up` until the daemon is in this state; then it is asked to end, and has ended."""
        events: list[dict[str, Any]] = []
        command = [str(self.bin / "myownllm"), "up", "--json"]
        with subprocess.Popen(
            command,
            env=clean(HOME=str(home), **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            deadline = time.monotonic() + _UP_LIMIT_S
            for line in process.stdout:
                assert time.monotonic() < deadline, events
                events.append(json.loads(line))
                assert "event" in events[-1], events
                if events[-1]["event"] == "daemon" and events[-1]["state"] == until:
                    process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0, events
        return events


def clean(**more: str) -> dict[str, str]:
    """An environment without this checkout, its tools and its daemon; how to reach the registry is kept."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MYOWN", "PYTHON", "VIRTUAL_ENV"))
    }
    return kept | {"PATH": os.defpath, **more}


def build(folder: Path) -> None:
    """Put sdist and wheel into its `dist`, as the publishing workflow does.

    What builds stands in one environment, with what the project says it needs for that and nothing else. The workflow
    has it made for the sdist and again for the wheel, which takes pip three times as long.
    """
    builder = Environment(folder / "builder")
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    builder.pip("install", "--no-compile", "build", *needed)
    command = [str(builder.bin / "python"), "-m", "build", "--no-isolation", "--outdir", str(folder / "dist")]
    done = subprocess.run(
        [*command, str(ROOT)], env=clean(**RUNNER), capture_output=True, text=True, timeout=_PIP_LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
