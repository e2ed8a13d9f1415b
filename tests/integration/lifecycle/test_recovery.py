"""A daemon that stands still, as its peer sees it (docs/recovery.md): two real daemons, real signals."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from mesh_common.client.errors import ControlError
from support.contention import Contention
from support.devices import NETWORK, PATIENCE_S, Wire, two_devices

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.devices import Device

NOTICED_S = 6.0


def row(wire: Wire) -> dict[str, Any]:
    """What a device knows of the other one."""
    [peer] = wire.data("peers_list", network=NETWORK)["peers"]
    assert isinstance(peer, dict)
    return peer


def until(condition: Callable[[], bool], what: str) -> float:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < PATIENCE_S, f"never happened: {what}"
        time.sleep(0.05)
    return time.monotonic() - begin


def told(log: Wire) -> list[str]:
    """What an event connection has heard of drops and restarts by now; it gives up when nothing comes for a second."""
    heard = []
    with contextlib.suppress(ControlError):
        while True:
            event = log.frame("event")["event"]
            if event.get("kind") == "dropped":
                heard.append("dropped")
            elif "ice_before" in (event.get("detail") or {}):
                heard.append(event["detail"]["trigger"])
    return heard


def say(one: Device, other: Device, listener: Wire) -> None:
    """A message from one device to the other."""
    one.wire().data("channel_send_to", network=NETWORK, channel="c", peer=other.key, payload="hi")
    assert listener.frame("channel_inbound")["payload"] == "hi"


def test_a_stopped_daemon_is_noticed_and_keeps_its_link_when_it_goes_on() -> None:
    with two_devices() as pair:
        wire, log = pair.a.wire(), Wire(pair.a.socket, 1.0)
        log.subscribe()
        listener, client_id = pair.b.subscribe()
        pair.b.wire().data("channel_subscribe", client_id=client_id, network=NETWORK, channel="c")
        say(pair.a, pair.b, listener)
        assert pair.b.process is not None
        contention = Contention()
        os.kill(pair.b.process.pid, signal.SIGSTOP)
        try:
            took = until(lambda: row(wire)["why"] is not None, "a reason")
            assert took < contention.stretched(NOTICED_S)
            assert row(wire)["why"]["code"] == "path_down"
            time.sleep(max(0.0, NOTICED_S - took))
        finally:
            os.kill(pair.b.process.pid, signal.SIGCONT)
        until(lambda: row(wire)["why"] is None, "the link to be well again")
        say(pair.a, pair.b, listener)
        heard = told(log)
        log.close()
        assert "ice-disconnected-watchdog" in heard
        assert "dropped" not in heard
