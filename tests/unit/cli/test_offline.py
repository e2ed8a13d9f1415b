"""Commands that need no daemon: version, identity, config, help (spec 07 §6.2; vectors ``cli``)."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.cli import main
from myownmesh.cli.bare import find_gui, hand_over
from myownmesh.store.config import MeshConfig
from support.vectors import load

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.fake_daemon import FakeDaemon

OTHER_ROOMS = {"update", "serve"}  # the updater has its own tests; `serve` runs as a real process elsewhere
NEEDS_DAEMON = {"daemon", "daemon, network joined, nobody there"}
CASES: list[dict[str, Any]] = [
    case
    for case in load("control-socket", "cli")
    if case.get("given") not in NEEDS_DAEMON and (not case["argv"] or case["argv"][0] not in OTHER_ROOMS)
]

PREPARE = {
    "no identity yet": "",
    "EDITOR=false": "",
    "version 4 on disk": '{"version":4}',
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case["argv"]) + f" ({case.get('given', '')})")
def test_a_command_ends_as_the_reference_does(
    case: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = case.get("given", "")
    monkeypatch.setenv("EDITOR", "false")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if PREPARE.get(given):
        (home / "config.json").write_text(PREPARE[given])
    if case["argv"] == ["identity", "set-label", "x"] and not given:
        main(["identity", "show"])
        capfd.readouterr()
    assert main(case["argv"]) == case["exit"]
    out, err = capfd.readouterr()
    for stream, expected in ((out, case["stdout"]), (err, case["stderr"])):
        match expected:
            case "<usage>":
                assert "Usage: myownmesh" in stream
            case "<help>":
                assert "Commands:" in stream
            case "<hint>":
                assert "myownmesh serve" in stream
            case _ if "<key>" in expected:
                lines = [line.split(maxsplit=1) for line in stream.splitlines()]
                assert [line[0] for line in lines] == ["device_id:", "pubkey:", "label:"]
                assert all(
                    line.index(value) == 13
                    for line, (_, *rest) in zip(stream.splitlines(), lines, strict=True)
                    for value in rest
                )
            case _:
                assert stream == expected.replace("<data_dir>", str(home))


def test_the_label_is_given_to_the_running_daemon(home: Path, daemon: FakeDaemon) -> None:
    main(["identity", "show"])
    key = json.loads((home / ".secrets" / "identity.json").read_text())["public_key"]
    daemon.answer = lambda request: {"ok": True, "data": {"pubkey": key}}
    assert main(["identity", "set-label", "x"]) == 0
    assert daemon.requests[-1] == {"op": "identity_set_label", "label": "x"}
    assert json.loads((home / ".secrets" / "identity.json").read_text())["label"] == ""  # the daemon's to write


def test_another_identitys_daemon_is_not_asked(home: Path, daemon: FakeDaemon) -> None:
    main(["identity", "show"])
    daemon.answer = lambda request: {"ok": True, "data": {"pubkey": "somebody else"}}
    assert main(["identity", "set-label", "x"]) == 0
    assert [request["op"] for request in daemon.requests] == ["identity_show"]
    assert json.loads((home / ".secrets" / "identity.json").read_text())["label"] == "x"


def test_identity_show_as_json(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["identity", "show", "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert list(shown) == ["device_id", "pubkey", "label"]
    assert shown["device_id"].startswith(shown["pubkey"] + "-")


def test_config_show_prints_the_defaults_and_creates_nothing(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show"]) == 0
    assert capfd.readouterr().out == MeshConfig().text() + "\n"
    assert list(home.iterdir()) == []


def test_config_show_of_a_corrupt_file_leaves_it_and_keeps_stdout_json(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (home / "config.json").write_text('{"daemon":null}')
    assert main(["config", "show"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == json.loads(MeshConfig().text())
    assert "invalid type: null" in err
    assert [entry.name for entry in home.iterdir()] == ["config.json"]


def editor(home: Path, script: str) -> str:
    path = home / "my editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_config_edit_creates_the_file_and_runs_the_editor(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", editor(home, 'test -s "$1"'))
    assert main(["config", "edit"]) == 0
    assert (home / "config.json").read_text() == MeshConfig().text()


def test_an_editor_may_have_arguments(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.setenv("VISUAL", 'sh -c \'cp "$1" "$1.seen"\' sh')
    assert main(["config", "edit"]) == 0
    assert (home / "config.json.seen").exists()


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo '{' > \"$1\"", "EOF while parsing an object"),
        ('echo \'{"version":9}\' > "$1"', "config version 9 is from a newer build"),
        ('echo \'{"networks":[{}]}\' > "$1"', "networks[0]: missing field `id`"),
    ],
)
def test_a_bad_edit_is_said_at_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], script: str, text: str
) -> None:
    monkeypatch.setenv("EDITOR", editor(home, script))
    assert main(["config", "edit"]) == 1
    err = capfd.readouterr().err
    assert text in err
    assert str(home / "config.json") in err


def test_a_missing_editor_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDITOR", "/nowhere/ed")
    assert main(["config", "edit"]) == 1
    assert capfd.readouterr().err == "error: run editor /nowhere/ed: No such file or directory (os error 2)\n"


def test_version_tells_implementation_and_paths(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["version"] == "0.3.8"
    assert facts["implementation"] == "myownmesh-python"
    assert facts["libraries"]["trio"]
    assert facts["paths"]["control_socket"] == str(home / "daemon.sock")
    assert main(["version"]) == 0
    assert str(home) in capfd.readouterr().out


def test_version_facts_for_builders(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--version", "--json"]) == 0
    assert list(json.loads(capfd.readouterr().out)) == [
        "name",
        "version",
        "commit",
        "dirty",
        "target",
        "flavour",
        "python",
    ]


GROUPS = [
    [],
    ["identity"],
    ["config"],
    ["ctl"],
    *(
        ["ctl", name]
        for name in ("networks", "roster", "services", "identity", "config", "rpc", "channel", "capabilities")
    ),
    ["ctl", "governance"],
    ["ctl", "governance", "mfa"],
]


@pytest.mark.parametrize("group", GROUPS, ids=" ".join)
def test_help_works_at_every_level(group: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*group, "help"]) == 0
    by_word = capfd.readouterr().out
    assert main([*group, "--help"]) == 0
    assert capfd.readouterr().out == by_word
    assert "Usage: myownmesh" in by_word


@pytest.mark.parametrize("group", GROUPS[1:], ids=" ".join)
def test_a_group_alone_prints_its_help_to_stderr_and_ends_with_2(
    group: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(group) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "Commands:" in err


@pytest.mark.parametrize("command", [[], ["ctl"], ["ctl", "networks", "join"], ["serve"], ["config", "show"]])
def test_help_has_a_short_option_everywhere(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "-h"]) == 0
    assert capfd.readouterr().out.startswith("Usage: myownmesh ")


def test_output_that_cannot_be_written_is_one_line(home: Path) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        ended = subprocess.run(
            [sys.executable, "-m", "myownmesh.cli", "config", "show"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == b"error: write output: No space left on device (os error 28)\n"


def test_an_argument_that_is_no_text_is_a_usage_error(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["identity", "set-label", "\udcff"]) == 2
    assert capfd.readouterr().err == "error: an argument is not valid UTF-8\n"
    assert list(home.iterdir()) == []


def test_help_explains_a_command_further_down(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "ctl", "rpc", "call"]) == 0
    assert "Usage: myownmesh ctl rpc call" in capfd.readouterr().out
    assert main(["help", "ctl", "nothing"]) == 2
    assert "No such command 'nothing'" in capfd.readouterr().err


TOO_LONG = ["ctl", "networks", "connect", "home", "x", "--wait-ms", str(1 << 64)]


@pytest.mark.parametrize(
    "argv",
    [
        ["--bogus"],
        ["ctl", "nope"],
        ["ctl", "peers"],
        ["serve", "x"],
        ["--json"],
        ["ctl", "--timeout", "0", "status"],
        TOO_LONG,
    ],
)
def test_a_bad_command_line_is_exit_2(argv: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "Error" in err


def test_the_graphical_program_is_found_and_its_end_is_ours(home: Path) -> None:
    gui = home / "myownmesh-gui"
    gui.write_text("#!/bin/sh\nexit 3\n")
    gui.chmod(0o755)
    display = {"DISPLAY": ":0"}
    assert find_gui({"PATH": str(home)}) == str(gui)
    assert hand_over({**display, "PATH": str(home)}) == 1
    gui.write_text("#!/bin/sh\nkill -TERM $$\n")
    assert hand_over({**display, "MYOWNMESH_GUI_BIN": str(gui)}) == 0
    assert hand_over({**display, "PATH": ""}) == 1


def test_an_unset_home_is_explained(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("MYOWNMESH_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    assert main(["config", "path"]) == 1
    assert "set MYOWNMESH_HOME" in capfd.readouterr().err


def test_the_shell_completes_down_to_a_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_MYOWNMESH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "myownmesh ctl networks to")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert main([]) == 0
    assert capfd.readouterr().out.split() == ["topology", "topology-propose"]
