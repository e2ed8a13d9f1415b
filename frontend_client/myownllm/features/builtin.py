"""What `myownllm up` answers to approved peers by itself, so that two new devices can try each other out.

| name     | kind    | payload                                      | answer                                        |
|----------|---------|----------------------------------------------|-----------------------------------------------|
| `echo`   | single  | any JSON                                     | the same JSON                                 |
| `about`  | single  | ignored                                      | `{"app", "version", "device_id", "platform"}` |
| `count`  | stream  | `{"to": 1…1000 = 5, "delay_ms": 0…1000 = 0}` | one `{"n": i}` per number                     |
| `notice` | channel | any JSON                                     | shown on the receiver's screen                |
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any, Final

import trio

from myownllm.client import CallRefusedError, Method
from myownllm.coerce import as_object
from myownllm.features.releases import all_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from myownllm.client import InboundCall, MeshClient
    from myownllm.client.registry import ChannelHandler, Release
    from myownllm.coerce import JsonObject
    from myownllm.peers import PeerEntry

COUNT_MAX: Final = 1000
DELAY_MAX_MS: Final = 1000
NOTICE_CHANNEL: Final = "notice"
FEATURE_IDS: Final = ("capabilities_v1", "app_version", "ring_shelve")
"""The last one: a link that the network's shape lets rest is a connection, whichever daemon rests it."""


async def echo(call: InboundCall) -> Any:
    """Give the payload back."""
    return call.payload


async def count(call: InboundCall) -> AsyncIterator[JsonObject]:
    """Count upwards, one chunk per number. Refuses counts and delays out of range."""
    request = as_object(call.payload)
    last, delay_ms = request.get("to", 5), request.get("delay_ms", 0)
    if not _whole(last) or not 1 <= last <= COUNT_MAX:
        raise CallRefusedError(f"`to` must be a whole number from 1 to {COUNT_MAX}")
    if not _whole(delay_ms) or not 0 <= delay_ms <= DELAY_MAX_MS:
        raise CallRefusedError(f"`delay_ms` must be a whole number from 0 to {DELAY_MAX_MS}")
    for number in range(1, last + 1):
        yield {"n": number}
        await trio.sleep(delay_ms / 1000)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def install(
    client: MeshClient,
    app_version: str,
    on_call: Callable[[InboundCall], None],
    on_message: Callable[[PeerEntry, str, Any], None],
    channels: tuple[str, ...] = (),
) -> Release:
    """Serve them. `on_call` and `on_message` tell the screen; `channels` are heard besides `notice`."""

    async def about(_: InboundCall) -> JsonObject:
        return {
            "app": "myownllm",
            "version": app_version,
            "device_id": client.state.device_id,
            "platform": platform.system().lower(),
        }

    async def told_echo(call: InboundCall) -> Any:
        on_call(call)
        return await echo(call)

    async def told_about(call: InboundCall) -> JsonObject:
        on_call(call)
        return await about(call)

    async def told_count(call: InboundCall) -> AsyncIterator[JsonObject]:
        on_call(call)
        async for piece in count(call):
            yield piece

    def listener(channel: str) -> ChannelHandler:
        async def hear(peer: PeerEntry, payload: Any) -> None:
            on_message(peer, channel, payload)

        return hear

    return all_of(
        client.serve(Method("echo", answer=told_echo)),
        client.serve(Method("about", answer=told_about)),
        client.serve(Method("count", stream=told_count)),
        *(client.listen(name, listener(name)) for name in dict.fromkeys((NOTICE_CHANNEL, *channels))),
        client.add_features(*FEATURE_IDS),
    )
