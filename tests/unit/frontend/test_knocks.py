"""Who wants in is said once, when it stands; while nobody looks also on the desktop (spec 08 FE-10.2)."""

from __future__ import annotations

import math
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from msgspec.structs import replace

from mesh_common.views import PeerInfo
from myownllm import desktop
from myownllm.cli import screen as shows
from myownllm.cli.up import Output
from myownllm.client import ClientState
from myownllm.knocks import NOTIFIED_MAX, NOTIFY_GAP_S, STANDS_S, Interruptions, Knocks, Waits
from myownllm.peers import peer_entry
from myownllm.supervisor import SupervisorState
from myownllm.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from myownllm.peers import PeerEntry

HOSTILE = '"; do shell script "touch /tmp/x" <b>&amp;'


def knock(device: str = "a", label: str = "Boris") -> PeerEntry:
    info = PeerInfo(device_id=device * 52, status="pending_approval", label=label)
    return attrs.evolve(peer_entry(info), code_received="abc123", code_sent="def456")


def test_a_knock_is_due_once_when_it_has_stood() -> None:
    knocks = Knocks()
    assert knocks.next() is None
    assert knocks.due([knock()], 0.0) == []
    assert knocks.next() == STANDS_S
    assert knocks.due([knock()], STANDS_S) == [knock()]
    assert knocks.next() is None
    assert knocks.due([knock()], 100.0) == []


def test_who_is_let_in_meanwhile_has_asked_nobody() -> None:
    knocks = Knocks()
    knocks.due([knock()], 0.0)
    assert knocks.due([attrs.evolve(knock(), status="active")], 0.5) == []
    assert knocks.next() is None
    assert knocks.due([attrs.evolve(knock(), code_received=None)], 100.0) == [], "its hello has not come"


def test_who_left_may_knock_again() -> None:
    knocks = Knocks()
    for began in (0.0, 50.0):
        assert knocks.due([knock()], began) == []
        assert knocks.due([knock()], began + STANDS_S) == [knock()]
        assert knocks.due([], began + 10.0) == []


def test_a_link_that_comes_back_sends_nobody_to_the_other_device() -> None:
    """Its handshake passes through the state of a device that is still to be approved there."""
    waits, there = Waits(), attrs.evolve(knock(), status="pending_remote")
    [shown] = waits.settled([there], 5.0)
    assert (shown.status, waits.next(5.0)) == ("handshaking", 5.0 + STANDS_S)
    assert waits.settled([attrs.evolve(there, status="active")], 5.2)[0].status == "active"
    assert waits.next(5.2) == math.inf
    waits.settled([there], 7.0)
    assert waits.settled([there], 7.0 + STANDS_S) == (there,), "it stands"
    assert waits.next(7.0 + STANDS_S) == math.inf


async def test_up_says_who_has_to_approve_once_that_stands(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    output = Output(as_json=False)
    said: list[str] = []
    monkeypatch.setattr(output.lines, "put", said.append)
    state = ClientState(phase="peer-discovered", network="home", handle="home")
    client = SimpleNamespace(state=state, watch=Watch(None))
    app: Any = SimpleNamespace(client=client, supervisor=SimpleNamespace(watch=Watch(SupervisorState("up"))))

    def now(status: Any) -> None:
        client.state = replace(state, peers=(attrs.evolve(knock(), status=status),))
        client.watch.set(None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shows.show_client, app, shows.Screen(output, verbose=False))
        for status in ("handshaking", "pending_remote", "active"):
            now(status)
            await trio.sleep(STANDS_S / 2)
        assert "Boris is connected" in "".join(said)
        assert "approval" not in "".join(said)
        now("pending_remote")
        await trio.sleep(STANDS_S * 2)
        nursery.cancel_scope.cancel()
    assert "Boris is approved here; waiting for its approval" in "".join(said)


def test_a_person_is_called_once_in_ten_minutes_for_a_device_and_for_a_few_in_all() -> None:
    interruptions = Interruptions()
    assert [interruptions.may("a", at) for at in (0.0, 1.0, NOTIFY_GAP_S - 1, NOTIFY_GAP_S)] == [
        True,
        False,
        False,
        True,
    ]
    assert sum(interruptions.may(f"stranger {n}", 700.0) for n in range(1000)) == NOTIFIED_MAX - 1


# ── the desktop ───────────────────────────────────────────────────────────────────────────────────────────────────────


def programs(folder: Path, *names: str) -> dict[str, str]:
    for name in names:
        program = folder / name
        program.write_text('#!/bin/sh\nfor each in "$@"; do printf "%s\\n" "$each"; done > "$SAID"\n')
        program.chmod(0o755)
    return {"PATH": f"{folder}", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x", "SAID": str(folder / "said")}


def test_a_label_is_an_argument_and_no_part_of_a_script_or_of_markup(tmp_path: Path) -> None:
    environment = programs(tmp_path, "notify-send", "osascript")
    linux = desktop.command("Title", HOSTILE, environment, "linux")
    assert linux is not None
    assert linux[-3:] == ["--", "Title", '"; do shell script "touch /tmp/x" &lt;b&gt;&amp;amp;']
    mac = desktop.command("Title", HOSTILE, environment, "darwin")
    assert mac is not None
    assert mac[-2:] == ["Title", HOSTILE]
    assert not any(HOSTILE in word for word in mac[:-1])


@pytest.mark.parametrize(
    ("platform", "names", "bus"), [("linux", (), "x"), ("linux", ("notify-send",), ""), ("darwin", (), "x")]
)
def test_without_a_desktop_there_is_no_command(tmp_path: Path, platform: str, names: tuple[str, ...], bus: str) -> None:
    environment = {**programs(tmp_path, *names), "DBUS_SESSION_BUS_ADDRESS": bus}
    assert desktop.command("a", "b", environment, platform) is None


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="the program of another system")
def test_the_desktops_program_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in programs(tmp_path, "notify-send").items():
        monkeypatch.setenv(name, value)
    assert desktop.notify("A device", "Boris · A1B2C")
    assert (tmp_path / "said").read_text().splitlines()[-2:] == ["A device", "Boris · A1B2C"]
    (tmp_path / "notify-send").write_text("#!/bin/sh\nexit 1\n")
    assert not desktop.notify("A device", "Boris")
    (tmp_path / "notify-send").unlink()
    assert not desktop.notify("A device", "Boris")


@pytest.mark.parametrize("away", [True, False])
async def test_up_says_each_knock_once_and_calls_only_who_looks_at_nothing(
    away: bool, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    called: list[tuple[str, str]] = []
    is_called = trio.Event()

    def notify(title: str, body: str) -> None:
        called.append((title, body))
        trio.from_thread.run_sync(is_called.set)

    monkeypatch.setattr(shows, "notify", notify)
    client = SimpleNamespace(state=SimpleNamespace(peers=(knock(),)), watch=Watch(None))
    app: Any = SimpleNamespace(client=client)
    page: Any = SimpleNamespace(should_call=away)
    output = Output(as_json=True)
    screen = shows.Screen(output, verbose=False)
    said: list[str] = []
    monkeypatch.setattr(output.lines, "put", said.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shows.show_knocks, app, screen, page)
        await trio.sleep(STANDS_S + 1)
        client.watch.set(None)
        await trio.sleep(10)
        if away:
            await is_called.wait()
        nursery.cancel_scope.cancel()
    assert len(said) == 1
    assert '"event":"knock"' in said[0].replace(" ", "")
    assert called == ([(shows.KNOCK_TITLE, f"Boris · {knock().device_suffix}")] if away else [])
