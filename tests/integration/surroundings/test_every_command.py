"""Every command of the three programs where something around it is wrong: variables, homes, files, streams.

The rule for all of them (`Place.check`): a documented status, a sentence that names what is wrong, no traceback. The
commands are read from the programs' command trees, so a new one is covered by itself.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

import pytest

from integration.surroundings.commands import COMMANDS, ENDING, SOMEBODY, Place
from support.examples import few

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from integration.surroundings.commands import Command

T = TypeVar("T")

LONG = "x" * 300
ON_PATHS = [
    "{loop}",
    f"/{LONG}",
    "{file}",
    "{file}/x",
    "/nonexistent/x",
    "",
    "relative",
    "~nobody-of-this-name/x",
    "no-text-\udcff/x",
]
PATHS = {
    "HOME": ON_PATHS,
    "MYOWNLLM_HOME": ON_PATHS,
    "MYOWNMESH_HOME": ON_PATHS,
    "XDG_CACHE_HOME": ON_PATHS,
    "TMPDIR": ON_PATHS,
    "PATH": [f"/{LONG}:{{loop}}", "", ":::", "{file}"],
    "MYOWNLLM_MESH_BIN": ON_PATHS,
    "MYOWNMESH_BIN": ON_PATHS,
    "MYOWNMESH_GUI_BIN": ON_PATHS,
    "EDITOR": ["{loop}", f"/{LONG}", "'"],
}
OTHERS = {
    "NO_PROXY": ["localhost,[::1]"],
    "HTTPS_PROXY": ["http://127.0.0.1:99999", "nonsense://"],
    "SSL_CERT_FILE": ["/nonexistent/roots.pem"],
    "MYOWNMESH_READY_FD": ["x", "-1", "99999", "9" * 30, ""],
    "MYOWNMESH_LIFELINE_FD": ["x", "-1", "99999", "9" * 30, ""],
    "MYOWNMESH_LOG": ["x=y=z", "=,,=", "\udcff"],
    "NOTIFY_SOCKET": ["/nonexistent", "@", LONG],
    "COLUMNS": ["x", "-1"],
    "LC_ALL": ["xx_YY", ""],
}
FILES = {
    "the app's settings": "home/.myownllm/config.json",
    "the app's lock": "home/.myownllm/app.lock",
    "the lock of the app's settings": "home/.myownllm/config.json.lock",
    "the app's door": "home/.myownllm/app.sock",
    "the own daemon's home": "home/.myownllm/.myownmesh",
    "the own daemon's settings": "home/.myownllm/.myownmesh/config.json",
    "the own daemon's socket": "home/.myownllm/.myownmesh/daemon.sock",
    "the note of the own daemon": "home/.myownllm/.myownmesh/owner.json",
    "the own daemon's lock": "home/.myownllm/.myownmesh/spawn.lock",
    "the list of own networks": "home/.myownllm/mesh_owned.json",
    "the app's log": "home/.myownllm/logs/daemon.log",
    "the daemon's settings": "home/.myownmesh/config.json",
    "the lock of the daemon's settings": "home/.myownmesh/config.json.lock",
    "the identity": "home/.myownmesh/.secrets/identity.json",
    "the folder of the identity": "home/.myownmesh/.secrets",
    "the daemon's lock": "home/.myownmesh/daemon.lock",
    "the daemon's socket": "home/.myownmesh/daemon.sock",
    "the pin": "work/.myownmesh-rev",
    "the lock of the digests": "work/.myownmesh-lock.json",
    "the bundler's settings": "work/mesh-bundler.toml",
    "the project's settings": "work/pyproject.toml",
    "the note beside the slot": "work/binaries/.bundled-x86_64-unknown-linux-gnu.json",
    "the mark beside the slot": "work/binaries/.bundled-rev",
    "who answers what": "home/.myownllm/pins.json",
    "the argument": "work/settings.json",
}
READ = [
    "the app's settings",
    "the list of own networks",
    "the own daemon's settings",
    "the daemon's settings",
    "the identity",
    "the pin",
    "the argument",
]
"""Those whose content a command looks at."""

OPENED = [
    *READ,
    *(name for name, path in FILES.items() if path.startswith("work/") and name not in READ),
    *("the app's lock", "the daemon's lock", "the note of the own daemon", "who answers what"),
]
"""Those that a command opens."""

CONTENTS = {
    "a byte-order mark": b'\xef\xbb\xbf{"version": 3}',
    "UTF-16": '{"version": 3}'.encode("utf-16"),
    "UTF-32": '{"version": 3}'.encode("utf-32"),
    "Latin-1": '{"label": "Gerät"}'.encode("latin-1"),
    "nothing": b"",
    "zeros": bytes(64),
    "half": b'{"networks": [',
    "a list": b"[]",
    "a number": b"7",
    "depth": b"[" * 100_000,
    "no numbers": b'{"version": NaN, "networks": -Infinity, "cloud_mesh": 1e999}',
    "wrong types": b'{"networks": {}, "cloud_mesh": [], "daemon": 7, "version": "x", "label": []}',
    "digits without an end": b'{"version": ' + b"9" * 5000 + b"}",
    "NUL in a path": rb'{"daemon": {"control_socket": "/tmp/a\u0000b"}}',
    "half a surrogate in a path": rb'{"daemon": {"control_socket": "/tmp/\ud800"}}',
    "carriage returns": b'{\r\n"version": 3\r\n}\r\n',
}


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="m") as folder:  # the path of a socket is short
        # Whoever has no HOME is sent to the user database: not to the home of whoever runs the tests.
        registered = pwd.struct_passwd(
            ("somebody", "x", os.getuid(), os.getgid(), "", f"{folder}/registered", "/bin/sh")
        )
        monkeypatch.setattr(pwd, "getpwuid", lambda _: registered)
        yield Place(Path(folder), monkeypatch, capfd)


@pytest.fixture
def wrong(tmp_path: Path) -> dict[str, str]:
    """Paths that are not what somebody hopes."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("not a folder")
    return {name: str(tmp_path / name) for name in ("loop", "file")}


# ── variables ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", few(ENDING, every=5), ids=str)
def test_a_wrong_variable_is_an_answer(place: Place, wrong: dict[str, str], command: Command) -> None:
    for variable, values in {**PATHS, **OTHERS}.items():
        for value in share(command, values):
            place.run(command, {variable: value.format_map(wrong)})


def share(command: Command, values: list[T], size: int = 1) -> list[T]:
    """Some of the values, the next ones for the next command: each program meets each value."""
    first = ENDING.index(command) * size
    return [values[(first + step) % len(values)] for step in range(min(size, len(values)))]


@pytest.mark.parametrize("command", ENDING, ids=str)
def test_a_user_without_a_home_is_told_so(place: Place, command: Command) -> None:
    """A container's uid: no HOME, no entry in the user database. What names its home in a variable needs neither."""

    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    place.patch.setattr(pwd, "getpwuid", nobody)
    at_home = place.run(command)
    named = place.run(command, {"HOME": None, **_named(place)})
    if command.path[0] == "service":  # a person's service stands in the person's home
        assert named[0] == 1
        assert "home directory" in named[2]
    else:
        assert named[0] == at_home[0]
    status, out, err = place.run(command, {"HOME": None})
    if status and not at_home[0]:
        assert "home directory" in out + err


def _named(place: Place) -> dict[str, str]:
    return {
        "MYOWNLLM_HOME": str(place.home / ".myownllm"),
        "MYOWNMESH_HOME": str(place.home / ".myownmesh"),
        "XDG_CACHE_HOME": str(place.root / "cache"),
    }


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", few(ENDING, every=5), ids=str)
def test_a_directory_where_a_file_should_be_is_an_answer(place: Place, command: Command) -> None:
    for name in _of_concern(command, FILES):
        path = place.root / FILES[name]
        before = path.read_bytes() if path.is_file() else None
        _clear(path)
        path.mkdir(parents=True)
        place.run(command)
        _clear(path)
        if before is not None:
            path.write_bytes(before)


@pytest.mark.parametrize("command", few(ENDING, every=5), ids=str)
def test_a_file_that_is_not_what_it_should_be_is_an_answer(place: Place, command: Command) -> None:
    for name in _of_concern(command, READ):
        path = place.root / FILES[name]
        before = path.read_bytes() if path.is_file() else None
        for content in share(command, list(CONTENTS.values()), 2):
            _clear(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            place.run(command)
        _clear(path)
        if before is not None:
            path.write_bytes(before)


@pytest.mark.parametrize("command", few(ENDING, every=5), ids=str)
def test_a_pipe_or_a_device_where_a_file_should_be_holds_nobody_up(place: Place, command: Command) -> None:
    """Nobody ever writes into the one, the other never ends. What is named by hand may be a pipe: shells make them."""
    for name in _of_concern(command, OPENED):
        path = place.root / FILES[name]
        before = path.read_bytes() if path.is_file() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
        if name != "the argument":
            os.mkfifo(path)
            place.run(command)
            path.unlink()
        path.symlink_to("/dev/zero")
        place.run(command)
        path.unlink()
        if before is not None:
            path.write_bytes(before)


def _of_concern(command: Command, names: Iterable[str]) -> list[str]:
    """The files that the program of a command has to do with."""
    folder = {"myownllm": "home/", "myownmesh": "home/.myownmesh", "mesh-bundler": "work/"}[command.program]
    named = "settings.json" in command.arguments
    return [name for name in names if (named if name == "the argument" else FILES[name].startswith(folder))]


def _clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _broken_pipe() -> TextIO:
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


def _full_disk() -> TextIO:
    return open("/dev/full", "w")  # noqa: PTH123 - a device


@pytest.mark.parametrize("command", few(ENDING, every=5), ids=str)
def test_what_cannot_be_said_does_not_change_the_status(place: Place, command: Command) -> None:
    """No stream at all, a pipe that nobody reads, a full disk: each for stdout, for stderr and for both.

    A full disk behind stdout fails those commands alone whose words are all that was asked for.
    """
    place.run(command)
    spoken = place.run(command)[0]
    for make in (None, _broken_pipe, _full_disk):
        for names in (["stdout"], ["stderr"], ["stdout", "stderr"]):
            with place.patch.context() as patch:
                streams = [None if make is None else make() for _ in names]
                for name, stream in zip(names, streams, strict=True):
                    patch.setattr(sys, name, stream)
                status = place.status(command)
            for stream in streams:
                if stream is not None:
                    stream.close()
            expected = {spoken, 1} if make is _full_disk and "stdout" in names and not spoken else {spoken}
            assert status in expected, (names, make)
    with place.patch.context() as patch:
        patch.setattr(sys, "stdin", None)
        assert place.status(command) == spoken


@pytest.mark.parametrize("how", few(["| true", ">/dev/full", "<&- >&- 2>&-", "2>/dev/full", "<&-"], every=5))
@pytest.mark.parametrize(
    "words", ["myownllm networks add home", "myownllm networks list", "myownmesh ctl status", "myownmesh --version"]
)
def test_the_last_flush_complains_to_nobody(place: Place, words: str, how: str) -> None:
    """In processes of their own, for what the interpreter does at its end. Work that was done counts as done."""
    program, _, rest = words.partition(" ")
    package = "myownmesh" if program == "myownmesh" else "myownllm"
    start = f"{sys.executable} -c 'import sys; from {package}.cli import main; sys.exit(main())'"
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {start} {rest} {how}"],
        env=place.environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    lost = how == ">/dev/full" and rest in ("networks list", "--version")
    assert done.returncode == (1 if lost or rest == "ctl status" else 0), done
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if "add" in rest:
        assert '"home"' in place.app_config.read_text()


# ── settings edited by hand ──────────────────────────────────────────────────────────────────────────────────────────

SETTINGS = {
    "cloud_mesh": {"networks": [{"id": "n", "network_id": "my-network"}], "active_network_id": "n"},
}


@pytest.mark.parametrize("command", [c for c in ENDING if c.program == "myownllm"], ids=str)
def test_settings_with_a_mark_are_read_and_keep_their_line_ends(place: Place, command: Command) -> None:
    place.app_config.parent.mkdir()
    text = json.dumps(SETTINGS, indent=2).replace("\n", "\r\n")
    place.app_config.write_bytes(text.encode("utf-8-sig"))
    _, out, err = place.run(command)
    assert "damaged" not in out + err
    kept = place.app_config.read_bytes()
    assert b"my-network" in kept
    assert kept.count(b"\n") == kept.count(b"\r\n") > 1
    assert not list(place.app_config.parent.glob("*corrupt*"))


@pytest.mark.parametrize("command", [c for c in ENDING if c.program == "myownllm"], ids=str)
def test_settings_of_another_encoding_are_left_alone(place: Place, command: Command) -> None:
    place.app_config.parent.mkdir()
    place.app_config.write_text(json.dumps(SETTINGS), encoding="utf-16")
    before = place.app_config.read_bytes()
    status, out, err = place.run(command)
    assert place.app_config.read_bytes() == before
    if command.path in READERS:
        assert status
        assert "is UTF-16 text; save it as UTF-8" in out + err


READERS = {("health",), ("status",), ("peers",), ("networks", "list"), ("networks", "use"), ("settings", "quiet")}
"""Some of those that look at the settings; others ask the running app, or find their words wrong before they look."""


@pytest.mark.parametrize("command", [c for c in ENDING if c.program == "myownllm"], ids=str)
def test_a_repair_is_told_on_the_spot_and_by_health_until_seen(place: Place, command: Command) -> None:
    place.app_config.parent.mkdir()
    place.app_config.write_text('{\n  "cloud_mesh": {\n')
    place.app_config.with_name("config.json.bak").write_text(json.dumps(SETTINGS))
    status, out, err = place.run(command)
    if command.path not in READERS and not list(place.app_config.parent.glob("*corrupt*")):
        assert place.app_config.read_text() == '{\n  "cloud_mesh": {\n'
        return
    assert "was damaged (line 3 column 1: " in err
    if command.speaks_json and not status and command.path[-1] != "export":  # that document is for another device
        assert "was damaged" in str(json.loads(out))
    (kept,) = place.app_config.parent.glob("config.json.corrupt-*")
    assert kept.read_text() == '{\n  "cloud_mesh": {\n'
    health = next(c for c in ENDING if str(c) == "myownllm health")
    told = [place.run(health)[1] for _ in range(2)]
    assert ["was damaged" in each for each in told] == [command != health, False]


SET_ASIDE = [
    ".myownllm/pins.json.corrupt",
    ".myownllm/transfers/in-abc.json.corrupt",
    ".myownllm/.myownmesh/config.json.corrupt",
    ".myownllm/.myownmesh/mesh/rosters/home.json.corrupt.1",
    ".myownmesh/mesh/states/home.json.corrupt",
]


def test_what_was_set_aside_is_told_by_health_until_seen(place: Place) -> None:
    """By the app, by its own daemon and by one that it shares; told again when there is another copy."""
    health = next(c for c in ENDING if str(c) == "myownllm health")
    for name in SET_ASIDE:
        path = place.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
        told = [place.run(health)[1] for _ in range(2)]
        assert [f"was damaged: kept as {path.name}" in each for each in told] == [True, False], told
    (place.home / SET_ASIDE[0]).unlink()
    (place.home / SET_ASIDE[0]).write_text("{{")
    assert "pins.json was damaged" in place.run(health)[1]


@pytest.mark.parametrize("closed", ["", "<&- >&- 2>&-"])
def test_without_a_terminal_no_editor_waits_for_keys(place: Place, closed: str) -> None:
    """And a program that we start finds the streams that were closed: no file of its own takes their numbers."""
    start = f"{sys.executable} -c 'import sys; from myownmesh.cli import main; sys.exit(main())'"
    command = f"{start} config edit </dev/null {closed}"
    without = {name: value for name, value in place.environment.items() if name not in ("EDITOR", "VISUAL")}
    done = subprocess.run(["/bin/bash", "-c", command], env=without, capture_output=True, timeout=20, check=False)
    assert done.returncode == 1
    assert closed or b"there is no terminal for an editor; set EDITOR" in done.stderr
    editor = place.home / "editor"
    editor.write_text("#!/bin/sh\ntrue <&0 && true <&1 && true <&2\n")
    editor.chmod(0o700)
    with_editor = {**without, "EDITOR": str(editor)}
    done = subprocess.run(["/bin/bash", "-c", command], env=with_editor, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", [".myownllm/.myownmesh", ".myownmesh"])
def test_a_damaged_identity_is_named_by_health_until_it_is_mended(place: Place, folder: str) -> None:
    health = next(c for c in ENDING if str(c) == "myownllm health")
    path = place.home / folder / ".secrets" / "identity.json"
    path.parent.mkdir(parents=True)
    for text, damage in [
        ('{"version": 1, "secret', "line 1 column 16: "),
        ("{}", "it holds no secret_key"),
        ("[]", "it holds no secret_key"),
        ('{"secret_key": "s"}', "its secret_key is no key"),
        ('{"secret_key": ["s"]}', "its secret_key is no key"),
    ]:
        path.write_text(text)
        told = [place.run(health)[1] for _ in range(2)]
        assert [f"is damaged ({damage}" in each for each in told] == [True, True], told
    path.write_text(json.dumps({"secret_key": "a" * 52}))
    assert "is damaged" not in place.run(health)[1]


@pytest.mark.parametrize("target", [None, "/dev/null", "nowhere"])
def test_a_home_that_is_no_folder_is_what_health_names(place: Place, target: str | None) -> None:
    home = place.home / ".myownllm"
    home.write_text("") if target is None else home.symlink_to(target)
    status, out, err = place.run(next(c for c in ENDING if str(c) == "myownllm health"))
    assert status
    assert f"{home} is no directory" in out + err
    assert "damaged" not in out + err


@pytest.mark.parametrize(
    ("name", "command"), [("config.json", "config show"), (".secrets/identity.json", "identity show")]
)
def test_what_is_no_utf8_is_told_with_its_place(place: Place, name: str, command: str) -> None:
    path = place.home / ".myownmesh" / name
    path.parent.mkdir(parents=True)
    path.write_bytes('{\n"label": "Gerät"}'.encode("latin-1"))
    status, _, err = place.run(next(c for c in ENDING if str(c) == f"myownmesh {command}"))
    assert status == 1
    assert "line 2 column 14: not UTF-8" in err


def test_a_damaged_file_of_pins_is_kept_before_another_takes_its_place(place: Place) -> None:
    pins = place.home / ".myownllm" / "pins.json"
    pins.parent.mkdir()
    pins.write_text('{"half": ')
    pin = next(c for c in ENDING if str(c) == "myownllm pin")
    place.run(pin)
    assert pins.with_name("pins.json.corrupt").read_text() == '{"half": '


@pytest.mark.parametrize("command", ["config show", "ctl config show", "identity show", "ctl status", "config edit"])
def test_a_daemons_settings_with_a_mark_lose_nothing(place: Place, command: str) -> None:
    config = place.home / ".myownmesh" / "config.json"
    config.parent.mkdir()
    network = {"id": "n", "network_id": "my-network"}
    config.write_bytes(json.dumps({"networks": [network]}, indent=2).replace("\n", "\r\n").encode("utf-8-sig"))
    place.run(next(c for c in ENDING if str(c) == f"myownmesh {command}"))
    _, out, _ = place.run(next(c for c in ENDING if str(c) == "myownmesh config show"))
    assert "my-network" in out
    assert not list(config.parent.glob("*corrupt*"))


# ── programs that run on ─────────────────────────────────────────────────────────────────────────────────────────────

SETPRIV = shutil.which("setpriv")
RUN_ON = [c for c in COMMANDS if c.runs_on]


@pytest.mark.parametrize("settings", ["home/.myownllm/config.json", "home/.myownmesh/config.json"])
@pytest.mark.parametrize("command", RUN_ON, ids=str)
def test_a_start_that_fails_says_why(place: Place, command: Command, settings: str) -> None:
    """A directory in the place of the settings: one sentence, an object with `--json`, no group of exceptions."""
    if ("llm" in command.program) != ("llm" in settings):
        return
    (place.root / settings).mkdir(parents=True)
    process = place.started(command)
    out, err = process.communicate(timeout=60)
    place.check(command, process.returncode, out.decode(), err.decode())
    assert process.returncode == 1
    assert b"config.json: Is a directory" in out + err


@pytest.mark.skipif(os.getuid() != 0 or SETPRIV is None, reason="root can give up its rights to files")
@pytest.mark.parametrize("command", [c for c in COMMANDS if c.path[-1] in ("up", "serve", "health", "show")], ids=str)
def test_settings_that_belong_to_somebody_else_are_an_answer(place: Place, command: Command) -> None:
    """What `sudo` leaves behind, seen from the other side: a file that we may not read."""
    for folder in (place.home / ".myownllm", place.home / ".myownmesh"):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "config.json").chmod(0o600)
        os.chown(folder / "config.json", SOMEBODY, SOMEBODY)
    process = place.started(command, under=[str(SETPRIV), "--bounding-set", "-dac_override,-dac_read_search"])
    out, err = process.communicate(timeout=60)
    place.check(command, process.returncode, out.decode(), err.decode())
    if command.path[0] != "identity":
        assert process.returncode
        assert b"config.json: Permission denied" in out + err or command.path[0] == "ctl"


@pytest.mark.parametrize("value", ["{loop}", f"/{LONG}", "{file}/x"])
def test_an_override_that_leads_nowhere_is_told_by_health(place: Place, wrong: dict[str, str], value: str) -> None:
    health = next(c for c in ENDING if str(c) == "myownllm health")
    _, out, _ = place.run(health, {"MYOWNLLM_MESH_BIN": value.format_map(wrong), "PATH": f"/{LONG}"})
    notes = [f["text"] for f in json.loads(out)["findings"] if f["name"] == "override_unusable"]
    assert len(notes) == 1
    assert notes[0].startswith("$MYOWNLLM_MESH_BIN names ")
