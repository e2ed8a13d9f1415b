"""The LAN driver where multicast fails it: the network goes on without."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing

from myownmesh.mesh import clock
from myownmesh.protocol.signals import Announce, Leave, StandAside
from myownmesh.signaling.gate import ContentGate
from myownmesh.signaling.lan import AGAIN_S, LanSignaling
from support.probe import identity

if TYPE_CHECKING:
    from trio.testing import MockClock

    from myownmesh.signaling.lan_responder import Responder


class Failing:
    """A responder that has no way for the first times, and then says no goodbye."""

    networks = ()

    def __init__(self, times: int) -> None:
        self.times = times
        self.attached = 0
        self.advertised = 0

    async def attach(self, _: object) -> None:
        self.attached += 1
        if self.attached <= self.times:
            raise OSError("no multicast here")

    async def advertise(self, *_: object) -> None:
        self.advertised += 1
        if self.advertised == 1:
            raise OSError("not now")

    async def withdraw(self, _: object) -> None:
        raise OSError("the multicast part does not answer")

    detach = moved = withdraw

    def ask(self, questions: object) -> None:
        """There is nobody to ask."""


def driver(responder: Failing) -> LanSignaling:
    return LanSignaling(
        device_id=identity(1).device_id,
        network_id="n",
        app_id="app",
        now=clock.now,
        gate=ContentGate(),
        responder=cast("Responder", responder),
        desk=None,
    )


@pytest.mark.heavy
async def test_it_tries_again_and_ends_in_peace(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    autojump_clock.autojump_threshold = 0.05  # sockets are real
    responder, ups = Failing(2), list[float]()
    lan = driver(responder)
    lan.on_up = lambda: ups.append(trio.current_time())
    lan.publish(Announce())
    lan.network_moved(offline=True)
    met = [lan.is_met_locally]
    with caplog.at_level(logging.WARNING):
        async with trio.open_nursery() as nursery:
            await nursery.start(lan.run, print)
            with trio.fail_after(math.inf):
                while responder.advertised < 2:
                    await trio.sleep(1)
            met.append(lan.is_met_locally)
            lan.network_moved(offline=False)
            await trio.sleep(1)
            met.append(lan.is_met_locally)
            lan.publish(StandAside(True))
            met.append(lan.is_met_locally)
            lan.publish(Announce())
            lan.publish(StandAside(False))
            met.append(lan.is_met_locally)
            lan.publish(Leave())
            met.append(lan.is_met_locally)
            lan.publish(Announce())
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
    assert ups
    assert ups[0] >= 2 * AGAIN_S
    assert met == [False, False, True, False, True, False], "opening, offline, well, standing aside, back, left"
    assert not lan.is_met_locally
    assert lan.report() == ()
    told = caplog.text
    assert told.count("no signaling in the local network") == 1
    for what in ("cannot be seen", "cannot be followed", "no goodbye"):
        assert what in told
