"""What a supervisor gets to know, whatever it passed (spec 07 §10.4)."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from myownmesh.daemon.lifeline import wait_for_end
from myownmesh.daemon.supervision import Supervision

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_one_line_and_the_descriptor_is_closed(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    environ = {"MYOWNMESH_READY_FD": str(writer)}
    supervision = Supervision(environ)
    assert environ == {}
    assert not os.get_inheritable(writer)
    supervision.ready(version="0.3.8", socket_path="/s", instance="00112233445566ff")
    line = os.read(reader, 4096)
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "ready": True,
        "pid": os.getpid(),
        "version": "0.3.8",
        "socket": "/s",
        "instance": "00112233445566ff",
    }
    assert os.read(reader, 1) == b""
    supervision.failed("too late to matter")


def test_a_failed_start_says_why(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    Supervision({"MYOWNMESH_READY_FD": f" {writer} "}).failed("load config: …")
    assert os.read(reader, 4096) == '{"ready":false,"error":"load config: …"}\n'.encode()


@pytest.mark.parametrize("value", ["", "x", "-1", "3.0", "999999", "9" * 30, "٣"])
def test_a_senseless_descriptor_is_one_warning(value: str, caplog: pytest.LogCaptureFixture) -> None:
    supervision = Supervision({"MYOWNMESH_READY_FD": value})
    supervision.ready(version="0.3.8", socket_path="/s", instance="0")
    assert len(caplog.records) == 1


def test_a_parent_that_has_gone_is_a_warning(pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = pipe
    supervision = Supervision({"MYOWNMESH_READY_FD": str(writer)})
    os.close(reader)
    supervision.ready(version="0.3.8", socket_path="/s", instance="0")
    assert "Broken pipe" in caplog.text


def test_a_parent_that_never_reads_does_not_block(pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    _, writer = pipe
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(writer, True)
    Supervision({"MYOWNMESH_READY_FD": str(writer)}).failed("x")
    assert "could not be written" in caplog.text


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_of_start_and_stop(abstract: bool) -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        name = f"@{Path(directory).name}" if abstract else f"{directory}/notify"
        notified.bind("\0" + name[1:] if abstract else name)
        notified.settimeout(5)
        supervision = Supervision({"NOTIFY_SOCKET": name})
        supervision.ready(version="0.3.8", socket_path="/s", instance="0")
        assert notified.recv(64) == b"READY=1"
        supervision.stopping()
        assert notified.recv(64) == b"STOPPING=1"


def test_a_dead_notification_socket_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    Supervision({"NOTIFY_SOCKET": "/nowhere/notify"}).stopping()
    assert "NOTIFY_SOCKET" in caplog.text


async def test_the_end_of_the_lifeline_is_noticed_and_its_bytes_are_not(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    ended: list[bool] = []

    async def watch() -> None:
        ended.append(await wait_for_end(reader))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        os.write(writer, b"noise" * 3000)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert ended == []
        os.close(writer)
    assert ended == [True]


async def test_a_file_cannot_be_a_lifeline(caplog: pytest.LogCaptureFixture) -> None:
    with tempfile.TemporaryFile() as file:
        assert not await wait_for_end(file.fileno())
    assert "cannot be watched" in caplog.text


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, None),  # nobody listens
        ({"NOTIFY_SOCKET": "/n"}, None),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000"}, 30.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),  # meant for somebody else
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_what_systemd_grants_between_two_signs_of_life(environ: dict[str, str], seconds: float | None) -> None:
    supervision = Supervision(environ)
    assert environ == {}
    assert supervision.watchdog_s == seconds
