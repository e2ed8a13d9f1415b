"""Routes about other devices: let in, turn away, connect anew, pin as a host."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from myownllm.errors import NoNetworkError, PeerSelectorError
from myownllm.ids import DEVICE_ID, device_suffix
from myownllm.ui import words
from myownllm.ui.calls import route
from myownllm.ui.daemon import Daemon
from myownllm.ui.failures import UiError

if TYPE_CHECKING:
    from starlette.routing import Route

    from myownllm.peers import PeerEntry
    from myownllm.ui.calls import Call
    from myownllm.ui.desk import ScreenDesk


def all_of(desk: ScreenDesk) -> list[Route]:
    return [
        route(desk, "POST", "/api/peers/{key}/approve", words.Approve, _approve),
        route(desk, "POST", "/api/peers/{key}/deny", words.Nothing, _remove),
        route(desk, "POST", "/api/peers/{key}/remove", words.Nothing, _remove),
        route(desk, "POST", "/api/peers/{key}/reconnect", words.Nothing, _reconnect, status=202),
        route(desk, "POST", "/api/peers/{key}/pin", words.Purpose, partial(_pin, desk)),
    ]


def peer_of(call: Call) -> PeerEntry:
    """The device that the path names. Raises PeerSelectorError."""
    key = call.part("key")
    found = call.app.client.state.peer(key) if DEVICE_ID.match(key) else None
    if found is None:
        raise PeerSelectorError("no device with this id is known in the active network")
    return found


async def _approve(call: Call, asked: words.Approve) -> dict[str, Any]:
    """Only the device that the person has compared: codes change with every knock."""
    peer = peer_of(call)
    if asked.code != peer.verification_code:
        raise UiError(409, "conflict", "the device shows another code by now; compare both screens again")
    done = await call.app.operations.approve(peer.device_pubkey)
    waits_for = [{"id": device, "label": _label(call, device)} for device in done.waits_for]
    return {"approved": peer.device_pubkey, "effective": done.effective, "waits_for": waits_for}


def _label(call: Call, device: str) -> str:
    known = call.app.client.state.peer(device)
    return f"{device[:8]}…-{device_suffix(device)}" if known is None else f"{known.label} ({known.display[-5:]})"


async def _remove(call: Call, _: words.Nothing) -> dict[str, Any]:
    """Turn a device away, or take an approval back."""
    peer = peer_of(call)
    await call.app.operations.remove(peer.device_pubkey)
    return {"removed": peer.device_pubkey}


async def _reconnect(call: Call, _: words.Nothing) -> None:
    peer, network = peer_of(call), call.app.client.state.network
    if not network:
        raise NoNetworkError
    await Daemon(call.app).command("network_reconnect", network=network, peer=peer.device_pubkey)


async def _pin(desk: ScreenDesk, call: Call, asked: words.Purpose) -> Any:
    peer = peer_of(call)
    await trio.lowlevel.checkpoint()
    pins = await call.app.door.ask("pin", {"purpose": asked.purpose, "peer": peer.device_pubkey if asked.on else None})
    desk.publisher.changed()
    return pins
