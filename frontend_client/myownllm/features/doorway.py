"""What every running app answers at its door: where it stands, news of it, and what a person may do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from myownllm.client import view
from myownllm.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from myownllm.client import MeshClient
    from myownllm.coerce import JsonObject
    from myownllm.door.server import Door

SPACING_S: Final = 0.1
"""Between two news of one subscription, at least."""
FOLLOW_S: Final = 30.0


def install(door: Door, client: MeshClient) -> None:
    """Answer `follow`, `state`, `subscribe`, `diag`, `cancel`, `renamed`, `rediscover`."""

    async def follow(members: JsonObject) -> JsonObject:
        """Follow the saved networks; answers when the client neither starts nor switches any more.

        With `may_disrupt` edits are brought in also if they cut off what runs (FE-8.6).
        """
        with trio.move_on_after(FOLLOW_S):
            await client.reconcile(may_disrupt=members.get("may_disrupt") is True)
            await client.watch.until(
                lambda s: s.status != "connecting" or (s.handle is None and s.subscription != "live")
            )
        state = client.state
        status = "off" if state.handle is None else state.status
        settings = {"state": state.settings.state, "text": state.settings.text}
        return {"network": state.network, "status": status, "error": state.error, "settings": settings}

    async def state(_: JsonObject) -> JsonObject:
        await trio.lowlevel.checkpoint()
        return view.to_json(client.state)

    async def subscribe(_: JsonObject) -> AsyncGenerator[JsonObject, None]:
        """A snapshot, then what has changed since the last item; who reads slowly misses nothing but steps between."""
        told = view.to_json(client.state)
        yield {"rev": told["rev"], "snapshot": told}
        while True:
            while client.state.rev == told["rev"]:
                await client.watch.changed()
            await trio.sleep(SPACING_S)
            now = view.to_json(client.state)
            yield {"rev": now["rev"], "patch": view.patch(told, now)}
            told = now

    async def diag(_: JsonObject) -> list[Any]:
        await trio.lowlevel.checkpoint()
        return [{"ts": line.ts, "level": line.level, "message": line.message} for line in client.diag]

    async def cancel(members: JsonObject) -> None:
        await trio.lowlevel.checkpoint()
        wanted = members.get("id")
        if not isinstance(wanted, str) or not client.work.cancel(wanted):
            raise DoorError("not_found", f"nothing under way is called '{wanted}'")

    async def renamed(_: JsonObject) -> None:
        """The daemon calls this device otherwise: peers are told soon."""
        await trio.lowlevel.checkpoint()
        client.name_changed()

    async def rediscover(_: JsonObject) -> None:
        await client.rediscover()

    for handler in (follow, state, subscribe, diag, cancel, renamed, rediscover):
        door.operation(handler.__name__, handler)
