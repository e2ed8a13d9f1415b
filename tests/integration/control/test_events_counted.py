"""Every event of a meeting, a return and a departure, on both sides: none is missing and none comes twice.

The reference emits the same ones (spec 04 §9.2, §5.2), except for `phase`, of which it tells fewer (04 §15.1 no. 5).
"""

from __future__ import annotations

import math
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import trio

from support.daemons import PATIENCE_S, daemon, host_relay, network_record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.daemons import Control, Daemon

NETWORK = "counted"
QUIET_S = 1.5
"""Nothing follows after so much time without an event: longer than every timer that a meeting starts."""

MEETING = ["sighted", "authenticated", "approved"]
PHASES = [("joining", "alone"), ("alone", "discovering"), ("discovering", "active")]


Told = tuple[list[str], list[tuple[str, str]]]
"""Events of peers, and turns of the phase."""


class Events:
    """What one daemon tells of one network, in its order."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._peers: list[str] = []
        self._phases: list[tuple[str, str]] = []
        self.last_at = -math.inf
        """when something came last"""

    @classmethod
    async def of(cls, device: Daemon) -> Events:
        control = await device.control()
        await control.ask("events_subscribe")
        return cls(control)

    async def hear(self) -> None:
        """Take in what comes."""
        while True:
            frame: dict[str, Any] = await self._control.frame()
            event: dict[str, Any] = frame["event"]
            if event["event_kind"] == "diag":
                continue
            self.last_at = trio.current_time()
            match event["event_kind"]:
                case "peer" if event["kind"] == "dropped":
                    self._peers.append(f"dropped {event['reason']['kind']}")
                case "peer":
                    self._peers.append(event["kind"])
                case "phase":
                    self._phases.append((event["prev"], event["next"]))

    def has_told(self, peer_event: str) -> bool:
        """Whether it is among what came since `take`."""
        return peer_event in self._peers

    def take(self) -> Told:
        told = self._peers, self._phases
        self._peers, self._phases = [], []
        return told


async def rest(*those: Events, after: Callable[[], Awaitable[bool]]) -> list[Told]:
    """What comes until it has come about, and until nothing comes any more at any of them."""
    async with trio.open_nursery() as nursery:
        for events in those:
            nursery.start_soon(events.hear)
        with trio.fail_after(PATIENCE_S):
            while not await after():
                await trio.sleep(0.05)
        came_about = trio.current_time()
        while (left := max(came_about, *(events.last_at for events in those)) + QUIET_S - trio.current_time()) > 0:
            await trio.sleep(left)
        nursery.cancel_scope.cancel()
    return [events.take() for events in those]


async def count(home: Path) -> None:
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(daemon(home / "relay"))
        relay = await host_relay(host)
        pair = [await stack.enter_async_context(daemon(home / name)) for name in ("one", "other")]
        low, high = sorted(pair, key=lambda device: device.device_id)
        record = network_record(NETWORK, relay, auto_approve=True)
        heard = {device: await Events.of(device) for device in (low, high)}

        async def met() -> bool:
            lists = [(await device.ask("peers_list", network=NETWORK))["peers"] for device in (low, high)]
            return all([row["status"] for row in rows] == ["active"] for rows in lists)

        async def met_anew() -> bool:
            return heard[survivor].has_told("approved") and await met()

        async def alone() -> bool:
            return heard[survivor].has_told("dropped user_left")

        for device in (low, high):
            await device.ask("network_add", config=record)
        assert await rest(*heard.values(), after=met) == [(MEETING, PHASES)] * 2, "the meeting"
        for how, loss in ((signal.SIGKILL, "ice_failed"), (signal.SIGTERM, "user_left")):
            for victim in (high, low):
                survivor = low if victim is high else high
                await victim.stop(how)
                if how == signal.SIGTERM:
                    assert await rest(heard[survivor], after=alone) == [([f"dropped {loss}"], [("active", "alone")])]
                await victim.start()
                heard[victim] = await Events.of(victim)
                (peers, phases), returned = await rest(heard[survivor], heard[victim], after=met_anew)
                expected = MEETING if how == signal.SIGTERM else [f"dropped {loss}", *MEETING]
                assert peers == expected, f"the survivor of {how.name}"
                if how == signal.SIGTERM:
                    assert phases == PHASES[1:]
                else:  # the new link was made beside the dead one, so nobody was ever alone
                    assert phases == [("active", "discovering"), PHASES[-1]]
                peers, phases = returned
                # It may have met its peer before we asked for its events.
                assert peers == MEETING[len(MEETING) - len(peers) :], f"the returned one after {how.name}"
                assert phases == PHASES[len(PHASES) - len(phases) :]
        survivor = low
        await high.ask("network_remove", network=NETWORK)
        left, gone = await rest(heard[low], heard[high], after=alone)
        assert left == (["dropped user_left"], [("active", "alone")])
        assert gone == ([], []), "spec 04 §1.2: entries vanish without events"


@pytest.mark.slow
def test_every_event_of_a_whole_life_is_told_once_on_both_sides(tmp_path: Path) -> None:
    trio.run(count, tmp_path)
