"""The screen of an app that has two hundred peers, for `bench_ui.py`: real server and publisher, no mesh behind them.

python benchmarks/ui_crowd.py HOME    prints a link, then changes a tenth of the peers five times a second
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import trio
from msgspec.structs import replace

from mesh_common.views import PeerInfo
from myownllm.catalog.model import Catalog
from myownllm.catalog.network import SavedNetwork
from myownllm.client import ClientState
from myownllm.home import AppHome
from myownllm.peers import peer_entry
from myownllm.remote.state import RemoteState
from myownllm.supervisor import SupervisorState
from myownllm.ui import serving
from myownllm.ui.guard import Place
from myownllm.ui.port import open_port
from myownllm.ui.sessions import Sessions
from myownllm.watch import Watch

PEERS = 200
CHANGED = 20
EVERY_S = 0.2
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def peers(rng: random.Random) -> list[Any]:
    return [
        attrs.evolve(
            peer_entry(
                PeerInfo(
                    device_id="".join(rng.choice(LETTERS) for _ in range(52)),
                    status="active",
                    label=f"Device {number}",
                )
            ),
            path=rng.choice(("LAN", "STUN", "TURN")),
            rtt_ms=rng.randrange(200),
        )
        for number in range(PEERS)
    ]


def app_at(folder: Path, state: ClientState) -> Any:
    """What the screen asks of a running app, without one."""

    async def load() -> Catalog:
        await trio.lowlevel.checkpoint()
        return Catalog(networks=(SavedNetwork(id="net-1", network_id="home"),), active_network_id="net-1")

    return SimpleNamespace(
        home=AppHome.at(folder / "app", folder / "daemon"),
        client=SimpleNamespace(state=state, diag=deque(maxlen=400), on_state=[], on_diag=[], on_name=[]),
        sharing=SimpleNamespace(kept=Watch(0)),
        live=SimpleNamespace(load=load, on_sections=[]),
        supervisor=SimpleNamespace(watch=Watch(SupervisorState("up")), connection=None),
        models=SimpleNamespace(
            asking=SimpleNamespace(pins=SimpleNamespace(all=dict)),
            gate=SimpleNamespace(prompts=Watch(())),
            api=SimpleNamespace(watch=Watch(SimpleNamespace(url="", reason=""))),
        ),
        files=SimpleNamespace(
            sender=SimpleNamespace(jobs={}),
            changes=Watch(None),
            receiver=SimpleNamespace(settings=SimpleNamespace(folder=folder)),
        ),
    )


async def main(folder: Path) -> None:
    rng = random.Random(1)
    present = peers(rng)
    app = app_at(folder, ClientState(phase="peer-active", network="home", peers=tuple(present)))
    app.home.root.mkdir(parents=True)
    listener = open_port(0)
    place = Place(listener.getsockname()[1])
    sessions = Sessions(app.home.sessions_file, time.time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serving.serve, app, place, sessions, Watch(RemoteState()), listener)
        print(json.dumps({"url": f"{place.origin}/#key={sessions.link_token()}"}), flush=True)
        while True:
            await trio.sleep(EVERY_S)
            for number in rng.sample(range(PEERS), CHANGED):
                present[number] = attrs.evolve(present[number], rtt_ms=rng.randrange(200))
            app.client.state = replace(app.client.state, peers=tuple(present))
            for tell in app.client.on_state:
                tell(app.client.state)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
