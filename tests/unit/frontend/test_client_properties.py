"""Whatever happens to the app and the daemon, in whatever order: once it is quiet, the mesh is what the catalog says.

This is the seed's bug as a property: a healthy daemon with other networks than the app shows must be impossible.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mesh_common.client.errors import ControlError
from support.examples import examples
from support.virtual_time import standing_still_for_threads
from unit.frontend.test_client import HOME, WORK, active, world

if TYPE_CHECKING:
    from unit.frontend.test_client import World

STEPS = (
    "start", "stop", "reconcile", "use home", "use work", "use none", "kill daemon", "connect", "drop events",
    "forget networks", "foreign network", "stopped event", "joining event", "hang once", "wait",
)  # fmt: skip


async def step(w: World, name: str) -> None:
    assert w.nursery is not None
    match name:
        case "start":
            w.nursery.start_soon(_start, w)
        case "stop":
            w.nursery.start_soon(w.client.stop)
        case "reconcile":
            w.nursery.start_soon(w.client.reconcile)
        case "use home" | "use work":
            config_id = "net-1" if name == "use home" else "net-2"
            w.catalog.put(lambda c: c.set_active_network(config_id))
        case "use none":
            w.catalog.put(lambda c: c.set_active_network(None))
        case "kill daemon":
            await w.daemon.die()
        case "connect":
            if w.client.state.subscription != "live":
                await w.connect()
        case "drop events":
            await w.daemon.drop_events()
        case "forget networks":
            w.daemon.networks = []
        case "foreign network":
            if not w.daemon.joined.count("other"):
                w.daemon.networks.append({**HOME.to_daemon(), "id": "net-9", "network_id": "other"})
        case "stopped event" | "joining event":
            await w.daemon.event(w.client.state.network, event_kind="phase", kind="changed", next=name.split()[0])
        case "hang once":
            w.daemon.refuse["peers_list"] = ["network: engine busy"]
        case "wait":
            await trio.sleep(0.3)


async def _start(w: World) -> None:
    try:
        await w.client.start()
    except ControlError:
        return  # the state says so; what matters is where it ends


async def live_through(steps: list[str], folder: Path) -> None:
    async with world(active(HOME, WORK), folder) as w:
        assert w.nursery is not None
        w.nursery.start_soon(w.follow)
        for name in steps:
            await step(w, name)
            await trio.lowlevel.checkpoint()
        # quiet: a daemon is there, the app is wanted, nobody interferes any more
        await trio.sleep(20)
        if w.client.state.subscription != "live":
            await w.connect()
        await _start(w)
        await trio.sleep(20)
        catalog = await w.catalog.load()
        state = w.client.state
        wanted = [] if catalog.active is None else [catalog.active.wire_id]
        assert w.daemon.joined == wanted
        assert state.network == (wanted[0] if wanted else "")
        assert state.status == ("online" if wanted else "off"), (state.status, state.error)
        assert set(w.daemon.claims) == ({"echo", "count"} if wanted else set())
        assert set(w.daemon.channels) == ({"notice", "rpc/cancel", "blob/v1"} if wanted else set())
        registered = [r["network"] for r in w.daemon.log if r["op"] == "rpc_register"]
        assert not wanted or registered[-1] == wanted[0]


@pytest.mark.heavy
@pytest.mark.timeout(300)  # hundreds of starts, and the machine may have other work
@example(["start", "wait", "use none", "forget networks", "stopped event"])  # the check reads the file before the watch
@given(st.lists(st.sampled_from(STEPS), max_size=12))
@settings(max_examples=examples(75), deadline=None)
def test_once_it_is_quiet_the_mesh_is_what_the_catalog_says(steps: list[str]) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    with tempfile.TemporaryDirectory() as folder, standing_still_for_threads(clock):
        trio.run(live_through, steps, Path(folder), clock=clock)
