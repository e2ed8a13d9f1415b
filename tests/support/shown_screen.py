"""The real screen of an app that sees whatever a test wants it to see: real server and publisher, no mesh behind them.

python -m support.shown_screen HOME    prints a link, then reads one object a line: members of `ClientState`, its peers
as rows of `peers_list`; what is absent stays as it was. `diag` is what is noted from then on
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio
from msgspec import convert
from msgspec.structs import replace

from mesh_common.views import RelayRow
from myownllm.client import ClientState, Diag
from myownllm.client.state import DaemonUpdate, Settings
from myownllm.client.work import FileOffer, FileWork
from myownllm.peers import peer_entry, peer_info
from myownllm.policy import Permissions
from myownllm.prompts import Prompts
from myownllm.remote.state import RemoteState
from myownllm.supervisor import Connection, SupervisorState
from myownllm.ui import serving
from myownllm.ui.guard import Place
from myownllm.ui.port import open_port
from myownllm.ui.sessions import Sessions
from myownllm.watch import Watch
from ui_crowd import app_at

CLASSES = {
    "settings": Settings,
    "daemon_update": DaemonUpdate,
    "relays": tuple[RelayRow, ...],
    "files": tuple[FileWork, ...],
    "inbound_offers": tuple[FileOffer, ...],
}


def changed(app: Any, told: dict[str, Any]) -> None:
    for line in told.pop("diag", ()):
        for hear in app.client.on_diag:
            hear(Diag(**line))
    members = {name: convert(value, CLASSES.get(name, Any)) for name, value in told.items()}
    if "peers" in told:
        members["peers"] = tuple(peer_entry(peer_info(row)) for row in told["peers"])
    app.client.state = replace(app.client.state, **members)
    for tell in app.client.on_state:
        tell(app.client.state)


async def main(folder: Path) -> None:
    app = app_at(folder, ClientState(phase="signaling-up", network="home", handle="home"))
    app.sharing = SimpleNamespace(
        kept=Watch(0), policy=SimpleNamespace(read=Permissions), prompts=SimpleNamespace(read=Prompts)
    )
    connection = Connection(1, "own_llm", folder / "daemon.sock", True, "0.3.8", "", None)
    app.supervisor.watch = Watch(SupervisorState("up", connection=connection))
    app.home.root.mkdir(parents=True)
    listener = open_port(0)
    place = Place(listener.getsockname()[1])
    sessions = Sessions(app.home.sessions_file, time.time)
    lines = trio.lowlevel.FdStream(sys.stdin.fileno())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serving.serve, app, place, sessions, Watch(RemoteState()), listener)
        print(json.dumps({"url": f"{place.origin}/#key={sessions.link_token()}"}), flush=True)
        rest = b""
        async for chunk in lines:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                changed(app, json.loads(line))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
