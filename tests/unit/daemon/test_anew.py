"""How a daemon becomes the next one (spec 05 W26)."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from myownmesh.daemon import anew
from myownmesh.daemon.supervision import Supervision
from myownmesh.updates.installation import Installation

if TYPE_CHECKING:
    from pathlib import Path


def test_the_program_that_was_started_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "myownmesh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["./myownmesh", "serve"])
    assert anew.command_line() == (str(program), [str(program), "serve"])


@pytest.mark.parametrize("started", ["", "myownmesh", __file__])
def test_what_is_no_program_is_started_by_its_interpreter(started: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [started, "serve"])
    assert anew.command_line() == (sys.executable, [sys.executable, "-P", "-m", "myownmesh.cli", "serve"])


def test_a_packed_daemon_is_its_own_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/gone/myownmesh", "serve"])
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert anew.command_line() == ("/proc/self/exe", ["myownmesh", "serve"])


def test_a_packed_daemon_becomes_what_is_in_place_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `/proc/self/exe` names is the version that an update has replaced."""
    program = tmp_path / "myownmesh"
    program.write_bytes(b"")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", ["myownmesh", "serve"])
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr("myownmesh.updates.installation.find", lambda _: Installation("file", program))
    assert anew.command_line() == (str(program), [str(program), "serve"])


def test_whoever_supervises_this_daemon_supervises_the_next(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        given = {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "MYOWNMESH_LIFELINE_FD": str(reader),
            "MYOWNMESH_READY_FD": str(writer),
            "WATCHDOG_USEC": "30000000",
            "WATCHDOG_PID": str(os.getpid()),
        }
        environ = dict(given)
        supervision = Supervision(environ)
        assert environ == {}
        assert not os.get_inheritable(reader)
        supervision.begin_anew(environ)
        del given["MYOWNMESH_READY_FD"]
        assert environ == given
        assert os.get_inheritable(reader)
        told = dict(line.split("=") for line in notify.recv(4096).decode().split("\n"))
        assert told.keys() == {"RELOADING", "MONOTONIC_USEC"}
        assert told["RELOADING"] == "1"
        assert int(told["MONOTONIC_USEC"]) > 0
    os.close(reader)
    os.close(writer)


def test_a_program_that_is_gone_ends_as_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(BaseException):
        pass

    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(anew, "command_line", lambda: ("/nowhere/myownmesh", ["myownmesh", "serve"]))
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(Ended, match="1"):
        anew.begin_anew(Supervision({}))
