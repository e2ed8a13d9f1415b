"""What a running app answers at its door, asked over a real socket of a client with a scripted daemon (FE-5.2)."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing

from myownllm.client.work import Resource
from myownllm.door import client as door_client
from myownllm.door.server import Door
from myownllm.errors import DoorError
from myownllm.features import doorway
from unit.frontend.fakes import DEVICE_B, peer_info
from unit.frontend.test_client import HOME, active, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from unit.frontend.test_client import World


@asynccontextmanager
async def open_door(w: World) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fe-") as folder:
        path = Path(folder) / "app.sock"
        door = Door()
        doorway.install(door, w.client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(door.keep, path)
            await trio.testing.wait_all_tasks_blocked()
            yield path
            nursery.cancel_scope.cancel()


async def ask(path: Path, operation: str, **members: Any) -> Any:
    return await trio.to_thread.run_sync(lambda: door_client.ask(path, operation, timeout_s=10, **members))


async def test_the_state_and_the_log_are_there_to_read(tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w, open_door(w) as path:
        w.daemon.peers = [peer_info()]
        await w.client.start()
        w.client.note("warn", "look here")
        state = await ask(path, "state")
        assert (state["status"], state["network"], state["peers"][0]["label"]) == ("online", "home", "Pi")
        assert state["rev"] == w.client.state.rev
        assert (await ask(path, "diag"))[-1] == {"ts": 1, "level": "warn", "message": "look here"}


async def test_work_is_cancelled_by_its_id(tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w, open_door(w) as path:
        cancelled: list[str] = []
        entry = Resource("i1", DEVICE_B, "Pi", "outbound_infers")
        w.client.work.begin(entry, lambda: cancelled.append("i1"))
        await ask(path, "cancel", id="i1")
        assert cancelled == ["i1"]
        for nobody in ("i2", None, ["i1"], {"x": 1}):
            with pytest.raises(DoorError, match="nothing under way") as raised:
                await ask(path, "cancel", id=nobody)
            assert raised.value.kind == "not_found"


UNEDITED = {"state": "", "text": ""}
COMPARED = {"state": "applied", "text": ""}
"""The clock jumps while a thread asks: a look at all settings may have come between."""


async def test_follow_answers_where_the_client_stands_then(tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w, open_door(w) as path:
        await w.client.start()
        w.catalog.put(lambda c: attrs.evolve(c, diag_quiet=True))
        w.client.note("info", "chatter")
        told = await ask(path, "follow")
        assert told.pop("settings") in (UNEDITED, COMPARED)
        assert told == {"network": "home", "status": "online", "error": ""}
        assert w.client.state.diag_quiet
        assert "chatter" not in w.diag, "quiet forgets what it would not have kept"
        w.catalog.put(lambda c: c.set_active_network(None))
        told = await ask(path, "follow")
        assert told.pop("settings") in (UNEDITED, COMPARED)
        assert told == {"network": "", "status": "off", "error": ""}
        with pytest.raises(DoorError):
            await ask(path, "rediscover")
