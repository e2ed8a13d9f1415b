"""Every command in surroundings that are wrong: variables, paths, streams, encodings, signals.

The rule for all of them: one of the documented statuses, a sentence that names what is wrong, no traceback, and with
`--json` one object on stdout.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from integration.bundler.bench import TRIPLE, Machine
from integration.bundler.fakes import Program, install, running
from mesh_bundler import cli
from support import warm

if TYPE_CHECKING:
    from pathlib import Path

MAIN = [sys.executable, "-c", "from mesh_bundler.cli import main; main()"]
COMMANDS: dict[str, list[str]] = {
    "ensure": ["ensure"],
    "stage": ["stage", "--require"],
    "ensure --check": ["ensure", "--check"],
    "explain": ["explain"],
    "check": ["check"],
    "cache-key": ["cache-key"],
    "cache-key --path": ["cache-key", "--path"],
    "lock": ["lock", "--platforms", "linux-x86_64"],
    "lock --check": ["lock", "--check"],
    "verify": ["verify", "somewhere"],
    "probe": ["probe", "somewhere"],
    "which": ["which"],
    "platforms": ["platforms"],
    "fetch": ["fetch", "--platform", "linux-x86_64", "-o", "seed"],
    "clean": ["clean"],
}
FETCHING = ("ensure", "stage", "lock", "fetch")
STATUSES = {0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
LONG = "x" * 300

# Variables that the HTTP library reads: all are looked at before the first request, so all are named.
HTTP = {
    "NO_PROXY": "localhost,[::1]",
    "no_proxy": "example.com, [fe80::1]",
    "HTTP_PROXY": "nonsense://127.0.0.1",
    "http_proxy": "http://[::1",
    "HTTPS_PROXY": "http://127.0.0.1:99999",
    "https_proxy": "http://ho st:1",
    "ALL_PROXY": "gopher://127.0.0.1",
    "all_proxy": "://",
    "SSL_CERT_FILE": "/proc/nonexistent/roots.pem",
    "SSLKEYLOGFILE": "/proc/nonexistent/keys",
}
OTHERS = {
    "HOME": ["", "~", "/proc/nonexistent", "{loop}", f"/{LONG}"],
    "XDG_CACHE_HOME": ["", "relative", "{loop}", f"/{LONG}"],
    "MYOWNMESH_CACHE_DIR": ["~nobody-of-this-name/c", "{loop}", f"/{LONG}", "/proc/cache", "{file}"],
    "MYOWNMESH_RELEASE_BASE": [
        "https://[::1",
        "http://127.0.0.1:99999",
        "https://a..b/",
        "file:///a%00b",
        "x",
        "https://",
    ],
    "MYOWNMESH_RELEASE_MIRRORS": ["https://[", "ftp://x"],
    "MYOWNMESH_REPO": ["a b", "../..", "\x01", "ü"],
    "MYOWNMESH_GITHUB_TOKEN": ["ü", "a\nb", "a\tb"],
    "MYOWNMESH_TRUSTED_KEYS": ["x", "ü"],
    "MYOWNLLM_MESH_BIN": ["{loop}", f"/{LONG}", "~nobody-of-this-name/m", "{file}/x", "{file}", "{folder}"],
    "PATH": [f"/{LONG}:{{loop}}", "", ":::", "{file}"],
    "TARGET": ["x", "ü", "../x"],
    "TMPDIR": ["/proc/nonexistent", "{file}"],
    "SSL_CERT_FILE": ["{file}"],
    "SSL_CERT_DIR": ["/proc/nonexistent", "{file}"],
}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Paths that are not what somebody hopes."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder").mkdir()
    return {name: str(tmp_path / name) for name in ("loop", "file", "folder")}


@pytest.fixture
def command(machine: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process, on a machine of its own."""
    return Command(machine, monkeypatch, capfd)


class Command:
    def __init__(self, machine: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.machine, self._patch, self._capture = machine, monkeypatch, capfd
        (machine.repo / "somewhere").write_bytes(b"#!/bin/sh\r\necho\r\n")
        (machine.repo / "somewhere").chmod(0o755)

    def __call__(self, words: list[str], env: dict[str, str] | None = None) -> tuple[int, Any]:
        """The status and the answer, after the rule has been held against both."""
        status = self.status([*words, "--json"], env)
        out, err = self._capture.readouterr()
        told = f"{words} {env}\n{out}\n{err}"
        assert status in STATUSES, told
        if status == 2 and not out:
            assert "Usage" in err, told
            return 2, None
        answer = json.loads(out)
        assert answer["format"] == 1, told
        return status, answer

    def status(self, words: list[str], env: dict[str, str] | None = None) -> int:
        """How the command ended."""
        with self._patch.context() as patch:
            patch.setattr(os, "environ", {**self.machine.env, "TARGET": TRIPLE, **(env or {})})
            patch.setattr(tempfile, "tempdir", None)
            patch.chdir(self.machine.repo)
            with pytest.raises(SystemExit) as end:
                cli.main(words)
        assert isinstance(end.value.code, int)
        return end.value.code


@pytest.mark.parametrize("variable", HTTP)
@pytest.mark.parametrize("name", FETCHING)
def test_a_variable_of_the_http_library_is_named(command: Command, name: str, variable: str) -> None:
    status, answer = command(COMMANDS[name], {variable: HTTP[variable]})
    assert (status, answer["error"]["code"]) == (2, "bad_variable")
    assert f"The variable {variable} cannot be used" in answer["error"]["message"]


@pytest.mark.parametrize("variable", OTHERS)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_variable_is_an_answer(command: Command, places: dict[str, str], name: str, variable: str) -> None:
    """Of the values each command meets two, the next one the next ones: each is met by several."""
    first, values = list(COMMANDS).index(name), OTHERS[variable]
    for value in {values[first % len(values)], values[(first + len(values) // 2) % len(values)]}:
        command(COMMANDS[name], {variable: value.format_map(places)})


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_path_is_an_answer(command: Command, places: dict[str, str], name: str) -> None:
    words = COMMANDS[name]
    for path in (places["loop"], places["file"] + "/x", f"/{LONG}", "~nobody-of-this-name/x", ""):
        for option in ("--repo-root", "--dest", "--seed-dir", "--pin-file", "--bin", "-o"):
            command([*words, option, path])
        if words[-1] in ("somewhere", "seed"):
            command([*words[:-1], path])


@pytest.mark.parametrize("path", ["{loop}", f"/{LONG}", "{file}/x"])
def test_an_override_that_leads_nowhere_is_refused_by_its_name(
    command: Command, places: dict[str, str], path: str
) -> None:
    for name in ("ensure", "explain", "check"):
        status, answer = command(COMMANDS[name], {"MYOWNLLM_MESH_BIN": path.format_map(places)})
        assert status == 4
        assert "MYOWNLLM_MESH_BIN names" in answer["error"]["message"]


def test_a_script_with_windows_line_ends_is_named_as_such(command: Command) -> None:
    assert command(COMMANDS["probe"])[1]["reason"] == "crlf_shebang"
    _, answer = command(["ensure"], {"MYOWNLLM_MESH_BIN": str(command.machine.repo / "somewhere")})
    assert "crlf_shebang" in answer["error"]["message"]


# ── streams and encodings ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "locale"),
    [
        ("check", {"LC_ALL": "C"}),
        ("explain", {"PYTHONIOENCODING": "ascii"}),
        ("which", {"PYTHONIOENCODING": "latin-1"}),
        ("clean", {"LC_ALL": "C"}),
        ("cache-key --path", {"PYTHONIOENCODING": "ascii"}),
    ],
)
def test_json_is_utf8_under_any_locale(tmp_path: Path, name: str, locale: dict[str, str]) -> None:
    machine = Machine(tmp_path / "größe 日本")
    done = subprocess.run(
        [*MAIN, *COMMANDS[name], "--json"],
        cwd=machine.repo,
        env={**machine.env, "TARGET": TRIPLE, **locale},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert "größe 日本" in json.dumps(json.loads(done.stdout.decode("utf-8")), ensure_ascii=False)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_what_cannot_be_said_does_not_change_the_status(
    command: Command, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that nobody reads, a full disk, no stream at all: each for stdout, for stderr and for both."""
    command.machine.run()
    command(COMMANDS[name])
    spoken = command(COMMANDS[name])[0]

    def broken_pipe() -> TextIO:
        reader, writer = os.pipe()
        os.close(reader)
        return os.fdopen(writer, "w")

    for make in (broken_pipe, lambda: open("/dev/full", "w"), lambda: None):  # noqa: SIM115, PTH123
        for names in (["stdout"], ["stderr"], ["stdout", "stderr"]):
            with monkeypatch.context() as patch:
                for stream in names:
                    patch.setattr(sys, stream, make())
                assert command.status(COMMANDS[name]) == spoken
                for stream in names:
                    getattr(sys, stream).close()


@pytest.mark.parametrize(
    ("words", "how"),
    [
        ("explain", "| true"),
        ("explain", ">/dev/full"),
        ("explain", ">&- 2>&-"),
        ("explain", "2>/dev/full --json"),
        ("--help", "| true"),
        ("--help", ">/dev/full"),
    ],
)
def test_the_last_flush_complains_to_nobody(machine: Machine, words: str, how: str) -> None:
    machine.run()
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {shlex.join(MAIN)} {words} {how}"],
        cwd=machine.repo,
        env={**machine.env, "TARGET": TRIPLE, "PATH": os.defpath},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")


# ── signals ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", ["ensure", "explain", "check", "probe", "verify"])
def test_ended_while_a_program_hangs(machine: Machine, tmp_path: Path, name: str, number: signal.Signals) -> None:
    """The program, what it started and its folder are gone; the status names the signal."""
    hanging = install(machine.sibling, Program().fork_and_hang().ignore_sigterm().hang().build())
    folder = tmp_path / "tmp"
    folder.mkdir()
    words = [*COMMANDS[name][:1], *([str(hanging)] if name in ("probe", "verify") else []), "--json"]
    process = subprocess.Popen(
        [*warm.words("mesh-bundler"), *words],
        cwd=machine.repo,
        env={**machine.env, "PATH": os.defpath, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while len(running(hanging)) < 2:
        assert time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number, err
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert b"Traceback" not in err
    while running(hanging):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert list(folder.iterdir()) == []
    assert not machine.dest.exists() or not list(machine.dest.glob(".*incoming*"))
