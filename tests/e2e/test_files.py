"""Files between two devices, with real apps and daemons: whole, refused, cancelled, broken, gone on with (08 §9.5)."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from e2e.devices import demo, eventually
from myownllm.door.client import ask, asking
from myownllm.errors import DoorError
from support.examples import few

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2e.devices import Pair

MEGABYTE = 2**20


def door(device: Any) -> Path:
    path: Path = device.home / ".myownllm" / "app.sock"
    return path


def file_of(device: Any, name: str, megabytes: int) -> Path:
    path: Path = device.home / name
    path.write_bytes(os.urandom(megabytes * MEGABYTE))
    return path


def downloads(device: Any) -> dict[str, bytes]:
    folder: Path = device.home / "Downloads"
    return {p.name: p.read_bytes() for p in folder.iterdir()} if folder.exists() else {}


@contextlib.contextmanager
def sending(device: Any, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`myownllm send … --json` in another terminal."""
    process = subprocess.Popen(
        [str(demo.BIN / "myownllm"), "send", *arguments, "--json"],
        env=device.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def last_word(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=60)
    assert out, errors
    word: dict[str, Any] = json.loads(out.splitlines()[-1])
    return word


def is_up(device: Any) -> bool:
    try:
        ask(door(device), "files_list", timeout_s=10)
    except DoorError:
        return False
    return True


def accept(device: Any, *options: str) -> None:
    offer = eventually(lambda: ask(door(device), "inbox_list", timeout_s=10), "an offer")[0]
    device.run("inbox", "accept", offer["id"][:6], *options)


def watch(device: Any, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first transfer of the device that meets the condition."""
    eventually(lambda: is_up(device), "the app answers")
    with asking(door(device), "files_watch", timeout_s=60) as answer:
        for listed in answer:
            for transfer in listed:
                if condition(transfer):
                    found: dict[str, Any] = transfer
                    return found
    raise AssertionError("the app ended")


def half_way(transfer: dict[str, Any]) -> bool:
    return transfer["status"] == "receiving" and transfer["bytes_received"] > 3 * MEGABYTE


def remembered(device: Any) -> list[str]:
    names = (p.name for p in (device.home / ".myownllm" / "transfers").glob("*"))
    return sorted(name for name in names if not name.startswith("done-"))  # what came whole is remembered for a week


def nothing_is_remembered(pair: Pair) -> None:
    eventually(lambda: remembered(pair.anna) == remembered(pair.boris) == [], "nothing is left")


@pytest.fixture
def pair(friends: Pair) -> Pair:
    """The two, connected, with nothing received yet."""
    for device in friends.both:
        shutil.rmtree(device.home / "Downloads", ignore_errors=True)
        eventually(
            lambda d=device: [p["status"] for p in d.run("peers")["peers"]] == ["active"],  # type: ignore[misc]  # mypy knows no default of a lambda
            f"{device.name} is connected",
        )
    return friends


def test_files_go_from_device_to_device(pair: Pair) -> None:
    """S12, S13, FE-9.20 to 9.25."""
    anna, boris = pair.both
    big, small = file_of(anna, "big.bin", 30), file_of(anna, "small.txt", 1)
    mark = boris.mark()
    with sending(anna, str(big), str(small), "Boris") as command:
        offers = eventually(lambda: len(o := ask(door(boris), "inbox_list", timeout_s=10)) == 2 and o, "two offers")
        told = boris.wait("an offer on the screen", lambda e: e["event"] == "offer", mark)
        assert (told["peer_label"], told["filename"] in ("big.bin", "small.txt")) == ("Anna", True)
        for offer in offers:
            boris.run("inbox", "accept", offer["id"][:6])
        assert watch(anna, lambda t: t["status"] == "sending" and t["bytes_sent"] > 0)
        assert last_word(command)["status"] == "sent"
    assert downloads(boris) == {"big.bin": big.read_bytes(), "small.txt": small.read_bytes()}
    assert boris.wait("the file on the screen", lambda e: e["event"] == "file", mark)["status"] == "received"

    with sending(anna, str(small), "Boris") as command:
        offer = eventually(lambda: ask(door(boris), "inbox_list", timeout_s=10), "an offer")[0]
        boris.run("inbox", "decline", offer["id"])
        assert last_word(command)["detail"] == "peer declined: receiver declined"
        assert command.returncode == 1

    with sending(anna, str(big), "Boris") as command:  # Ctrl-C while a person is being asked, and in the middle
        eventually(lambda: ask(door(boris), "inbox_list", timeout_s=10), "an offer")
        command.send_signal(signal.SIGINT)
        eventually(lambda: not ask(door(boris), "inbox_list", timeout_s=10), "the offer is withdrawn")
        assert command.wait(10) == 130
    with sending(anna, str(big), "Boris") as command:
        accept(boris)
        watch(boris, half_way)
        command.send_signal(signal.SIGINT)
        aborted = watch(boris, lambda t: t["status"] == "aborted")
        assert (aborted["filename"], aborted["detail"]) == ("big.bin", "aborted")
    assert sorted(downloads(boris)) == ["big.bin", "small.txt"]
    nothing_is_remembered(pair)


@pytest.mark.parametrize("who", few(["sender", "receiver"], every=2))
def test_a_killed_app_goes_on_where_it_stopped(pair: Pair, who: str) -> None:
    """10 §2.5: SIGKILL for the app and its daemon in the middle; the person who accepted is not asked again."""
    anna, boris = pair.both
    path, began_ms = file_of(anna, "big.bin", 24), time.time() * 1000
    with sending(anna, str(path), "Boris") as command:
        accept(boris)
        watch(boris, half_way)
        killed = anna if who == "sender" else boris
        killed.kill()
        if who == "sender":
            assert command.wait(20) == 1
        else:
            assert watch(anna, lambda t: t["status"] == "waiting")
        assert list(downloads(boris)) == ["big.bin.part"]
        killed.up()
        done = watch(boris, lambda t: t["started_at_ms"] >= began_ms and t["status"] == "received")
        assert done["filename"] == "big.bin"
        nothing_is_remembered(pair)
    assert downloads(boris) == {"big.bin": path.read_bytes()}


@pytest.mark.slow
def test_a_file_that_is_given_up_while_its_receiver_is_dead_leaves_no_half_one(pair: Pair) -> None:
    """10 §2.5: the receiver hears it when it is back, also from a sender that was killed after that."""
    anna, boris = pair.both
    with sending(anna, str(file_of(anna, "big.bin", 24)), "Boris") as command:
        accept(boris)
        watch(boris, half_way)
        boris.kill()
        assert watch(anna, lambda t: t["status"] == "waiting")
        command.send_signal(signal.SIGINT)
        assert command.wait(10) == 130
    assert list(downloads(boris)) == ["big.bin.part"]
    anna.kill()
    for device in pair.both:
        device.up()
    nothing_is_remembered(pair)
    assert downloads(boris) == {}


@pytest.mark.slow
def test_a_disk_that_is_full_ends_it_for_both(pair: Pair) -> None:
    anna, boris = pair.both
    path = file_of(anna, "big.bin", 20)
    resource.prlimit(boris.pid, resource.RLIMIT_FSIZE, (5 * MEGABYTE, resource.RLIM_INFINITY))
    with sending(anna, str(path), "Boris") as command:
        accept(boris, "--to", str(boris.home / "in"))
        said = last_word(command)
    assert (said["status"], said["detail"]) == ("failed", "cannot write the file: File too large")
    assert list((boris.home / "in").iterdir()) == []
    nothing_is_remembered(pair)
    resource.prlimit(boris.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with sending(anna, str(path), "Boris") as command:
        accept(boris, "--to", str(boris.home / "in"))
        assert last_word(command)["status"] == "sent"
    assert (boris.home / "in" / "big.bin").read_bytes() == path.read_bytes()
