"""Every command of the three programs, read from their command trees, and a place to run them in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import attrs
import click
import typer.main

import mesh_bundler.cli
import mesh_bundler.commands
import myownllm.cli
import myownllm.cli.tree
import myownmesh.cli
import myownmesh.cli.app

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest

RUNNING = ("up", "serve")  # they run until they are told to stop, so they need a process of their own
_SAMPLES = {"FILE": "settings.json", "TEXT": "some-name", "JSON": '{"a": 1}', "ID": "some-name", "INTEGER": "1"}
_STATUSES = {
    "myownllm": {0, 1, 2, *range(10, 19)},
    "myownmesh": {0, 1, 2},
    "mesh-bundler": {*range(12)} - {1},
}
_OWN_STATUSES = {("ping",): {4, 5}}
"""Documented for one command."""
_MORE = {("networks", "use"): ("--none",), ("lock",): ("--platforms", "linux-x86_64")}
"""What a command needs that its parameters do not say."""

SOMEBODY = 54321
"""A user id that no user database knows."""


@attrs.frozen
class Command:
    """One command: its words, with something plausible for every argument that it needs."""

    program: str
    path: tuple[str, ...]
    arguments: tuple[str, ...]
    speaks_json: bool

    @property
    def words(self) -> list[str]:
        return [*self.path, *(("--json",) if self.speaks_json else ()), *self.arguments]

    @property
    def runs_on(self) -> bool:
        return self.path in tuple((name,) for name in RUNNING)

    def __str__(self) -> str:
        return " ".join((self.program, *self.path))


def _commands(program: str, command: Any, path: tuple[str, ...], *, always_json: bool = False) -> Iterator[Command]:
    context = click.Context(command)
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            yield from _commands(program, command.get_command(context, name), (*path, name), always_json=always_json)
        if not path or not command.invoke_without_command:
            return
    needed = [p for p in command.params if p.param_type_name == "argument" and p.required]
    options = {name for p in command.params for name in p.opts}
    required = [p.opts[0] for p in command.params if p.param_type_name == "option" and p.required]
    yield Command(
        program,
        path,
        (*_MORE.get(path, ()), *(word for option in required for word in (option, "x")), *(_sample(p) for p in needed)),
        "--json" in options or (always_json and path[0] == "ctl"),
    )


def _sample(parameter: Any) -> str:
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return str(next(iter(choices)))
    if parameter.name in ("payload", "response", "chunk"):
        return "null"
    kind = (parameter.metavar or parameter.type.name).upper().strip("[]").split(".")[0]
    return (
        "settings.json"
        if "FILE" in kind or kind == "PATH"
        else _SAMPLES.get(kind, "1" if "INT" in kind else "some-name")
    )


COMMANDS = [
    *_commands("myownllm", typer.main.get_command(myownllm.cli.tree.app), ()),
    *_commands("myownmesh", typer.main.get_command(myownmesh.cli.app.app), (), always_json=True),
    *_commands("mesh-bundler", typer.main.get_command(mesh_bundler.commands.app), ()),
]
ENDING = [c for c in COMMANDS if not c.runs_on and c.path != ("netcheck",)]
"""`netcheck` asks servers outside: the tests of its own give it a network to look at."""
MAINS: dict[str, Any] = {
    "myownllm": myownllm.cli.main,
    "myownmesh": myownmesh.cli.main,
    "mesh-bundler": mesh_bundler.cli.main,
}


@attrs.define
class Place:
    """A home, a folder with a build's files, and an environment that reaches nothing outside."""

    root: Path
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __attrs_post_init__(self) -> None:
        for folder in (self.home, self.work, self.root / "tmp", self.root / "bin"):
            folder.mkdir(exist_ok=True)
        (self.work / ".myownmesh-rev").write_text("v0.3.8\n")
        settings = {"kind": "myownllm.network-settings", "version": 1, "network_id": "some-name"}
        (self.work / "settings.json").write_text(json.dumps(settings))

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def app_config(self) -> Path:
        return self.home / ".myownllm" / "config.json"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": str(self.root / "bin"),
            "TMPDIR": str(self.root / "tmp"),
            "EDITOR": "/bin/true",
            "MYOWNMESH_RELEASE_BASE": "file:///nonexistent",
            "LC_ALL": "C.UTF-8",
        }

    def run(self, command: Command, changes: Mapping[str, str | None] | None = None) -> tuple[int, str, str]:
        """Run it in this process; status, stdout, stderr. The rule that holds for every end is checked here."""
        status = self.status(command, changes)
        out, err = self.capture.readouterr()
        self.check(command, status, out, err)
        return status, out, err

    def status(self, command: Command, changes: Mapping[str, str | None] | None = None) -> int:
        """How it ended."""
        environ = {**self.environment, **(changes or {})}
        with self.patch.context() as patch:
            for name in set(os.environ) - set(environ):
                patch.delenv(name)
            for name, value in environ.items():
                patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)
            patch.setattr(sys, "argv", [command.program, *command.words])
            patch.setattr(tempfile, "tempdir", None)
            for name in ("stdin", "stdout", "stderr"):  # commands may replace them
                patch.setattr(sys, name, getattr(sys, name))
            patch.chdir(self.work)
            absent = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
            try:
                code = MAINS[command.program]()
            except SystemExit as end:
                code = end.code
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for name in absent:  # what the command has put in their place
                getattr(sys, name).close()
        assert isinstance(code, int | None), command
        return code or 0

    def check(self, command: Command, status: int, out: str, err: str) -> None:
        """A status that is documented, a sentence, no traceback; with `--json` an object (of ours) on stdout."""
        told = f"{command} → {status}\n{out}\n{err}"
        assert status in _STATUSES[command.program] | _OWN_STATUSES.get(command.path, set()), told
        assert "Traceback" not in err, told
        assert "Group" not in err, told
        if status and status != 2 and command.program != "myownmesh" and command.speaks_json:
            assert isinstance(json.loads(out.splitlines()[-1] if command.program == "myownllm" else out), dict), told
        elif status:
            assert err.strip() or out.strip(), told

    def started(self, command: Command, *, under: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """A process of its own, started by the command line `under`."""
        package = {"myownllm": "myownllm", "myownmesh": "myownmesh", "mesh-bundler": "mesh_bundler"}[command.program]
        code = f"import sys; from {package}.cli import main; sys.exit(main())"
        return subprocess.Popen(
            [*under, sys.executable, "-c", code, *command.words],
            cwd=self.work,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
