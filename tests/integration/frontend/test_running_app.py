"""A running `myownllm up` and its door: settings that take effect at once, and programs that misbehave there."""

from __future__ import annotations

import contextlib
import json
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from integration.frontend.test_commands import desk, save
from myownllm.door import client as door

if TYPE_CHECKING:
    from integration.frontend.test_commands import Desk, Up

__all__ = ["desk"]


def app_socket(desk: Desk) -> Path:
    return desk.home / ".myownllm" / "app.sock"


async def ask(desk: Desk, operation: str, **members: Any) -> Any:
    return await trio.to_thread.run_sync(lambda: door.ask(app_socket(desk), operation, timeout_s=10, **members))


async def until(condition: Any) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.02)


async def test_settings_reach_peers_and_the_screen_without_a_restart(desk: Desk) -> None:
    """FE-9.13: triggers of a push."""
    save(desk, "home")
    assert (await desk.json("settings", "accepting", "limited")) == {"accepting": "limited", "applied": None}
    up = await desk.up()
    await up.online()
    assert desk.daemon.capabilities["extra"]["accepting"] == "limited"
    joins = len(desk.daemon.mutations)
    assert (await desk.json("settings", "accepting", "busy")) == {"accepting": "busy", "applied": True}
    await until(lambda: desk.daemon.capabilities["extra"]["accepting"] == "busy")
    await desk.run("label", "Study")
    await until(lambda: desk.daemon.capabilities["extra"]["label"] == "Study")
    await desk.run("up", "--label", "Attic")
    await until(lambda: desk.daemon.capabilities["extra"]["label"] == "Attic")
    assert "taken it over" in await desk.run("settings", "gossip", "off")
    assert "quiet: on" in await desk.run("settings", "quiet", "on")
    state = await ask(desk, "state")
    assert (state["accepting"], state["auto_gossip"], state["diag_quiet"]) == ("busy", False, True)
    assert desk.daemon.mutations[joins:] == ["identity_set_label"] * 2, "nothing is joined anew"
    assert await desk.json("settings", "accepting") == {"accepting": "busy", "applied": None}
    assert await up.stop() == 0


async def test_a_subscription_gets_a_snapshot_and_then_what_changes(desk: Desk) -> None:
    """FE-5.2."""
    save(desk, "home")
    up = await desk.up()
    await up.online()
    async with await trio.open_unix_socket(str(app_socket(desk))) as stream:
        await stream.send_all(b'{"op":"subscribe"}\n')
        with trio.fail_after(10):
            async with aclosing(_items(stream)) as items:
                first = await anext(items)
                assert first["snapshot"]["status"] == "online"
                await desk.run("settings", "accepting", "busy")
                while "accepting" not in (item := await anext(items))["patch"]:
                    pass
        assert item["rev"] > first["rev"]
        assert item["patch"]["accepting"] == "busy"
        assert "peers" not in item["patch"], "only what is different"
    assert await up.stop() == 0


async def _items(stream: trio.SocketStream) -> Any:
    buffer = b""
    async for data in stream:
        *lines, buffer = (buffer + bytes(data)).split(b"\n")
        for line in lines:
            yield json.loads(line)["item"]


async def test_hostile_programs_at_the_socket_cost_little_and_keep_nobody_out(desk: Desk) -> None:
    save(desk, "home")
    up = await desk.up()
    await up.online()
    before = _memory_kib(up)
    block = b'{"op":"' + b"x" * 2**20

    async def flood() -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            async with await trio.open_unix_socket(str(app_socket(desk))) as stream:
                for _ in range(100):
                    await stream.send_all(block)

    deaf = await trio.open_unix_socket(str(app_socket(desk)))
    await deaf.send_all(b'{"op":"subscribe"}\n')
    slow = [await trio.open_unix_socket(str(app_socket(desk))) for _ in range(150)]
    for stream in slow:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(b'{"op":"st')
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(flood)
        for _ in range(20):
            await desk.daemon.event(event_kind="peer", kind="sighted", device_id="x")
            assert (await ask(desk, "state"))["status"] == "online"
    assert _memory_kib(up) - before < 20_000
    for stream in (*slow, deaf):
        await stream.aclose()
    assert await up.stop() == 0


def _memory_kib(up: Up) -> int:
    status = Path(f"/proc/{up.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


async def test_a_reconnection_goes_through_the_running_app_which_knows_a_way_for_old_daemons(desk: Desk) -> None:
    """FE-5.26."""
    save(desk, "home")
    up = await desk.up()
    await up.online()
    await desk.run("reconnect")
    assert desk.daemon.ops("network_reconnect", "network_remove") == ["network_reconnect"]
    desk.daemon.refuse["network_reconnect"] = ["parse: unknown variant `network_reconnect`, expected `status`"]
    await desk.run("reconnect")
    assert desk.daemon.mutations[-2:] == ["network_remove", "network_add"]
    await up.online(len(up.events) - 1)
    assert await up.stop() == 0
