"""The app by itself: what it takes while nothing happens, how fast it is online, and how little it tells."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from features_files import NETWORK, PROGRAM, App
from mesh_client import Control, Pair, free_port
from myownllm.catalog.file import CatalogFile
from myownllm.catalog.network import SavedNetwork
from myownllm.door.client import ask
from myownllm.errors import DoorError

MODEL = Path(__file__).parents[1] / "scripts" / "demo_model.py"
MOVES = 20
QUIET_S = 3.0
"""Longer than any broadcast is held back."""


def idle(seconds: float) -> dict[str, Any]:
    """An app with a peer, once without a model server and once beside one: resident memory, CPU per second."""
    root = Path(tempfile.mkdtemp(prefix="idle-bench-"))
    apps: list[App] = []
    with Pair() as pair:
        try:
            pair.start()
            pair.join(NETWORK)
            keys = [pair.peer_of(daemon) for daemon in (pair.a, pair.b)]
            port = free_port()
            server = subprocess.Popen([sys.executable, str(MODEL), str(port)])
            try:
                plain, asking = App(root / "a", pair, pair.a.home, []), App(root / "b", pair, pair.b.home, [])
                apps += [plain, asking]
                _runtime(plain, {"kind": "none"})
                _runtime(asking, {"kind": "ollama", "base_url": f"http://127.0.0.1:{port}"})
                plain.wait_for(keys[0])
                asking.wait_for(keys[1])
                _until(lambda: ask(asking.door, "models", timeout_s=5)["models"], "the model of the model server")
                time.sleep(QUIET_S)
                before = [app.cpu_s() for app in apps]
                time.sleep(seconds)
                used = [(app.cpu_s() - start) / seconds * 1000 for app, start in zip(apps, before, strict=True)]
                memory = [app.memory_mb()[0] for app in apps]
            finally:
                server.kill()
                server.wait()
        finally:
            for app in apps:
                app.stop()
            shutil.rmtree(root)
    return {
        "memory_mb": memory[0],
        "cpu_ms_per_s": used[0],
        "with_models_memory_mb": memory[1],
        "with_models_cpu_ms_per_s": used[1],
    }


def boot(rounds: int) -> dict[str, Any]:
    """Seconds from the start of `myownllm up` to "Online" on its screen; the network was saved before.

    Medians: beside a daemon that runs, and cold, where the app starts its own, which has an identity.
    """
    root = Path(tempfile.mkdtemp(prefix="boot-bench-"))
    with Pair() as pair:
        try:
            pair.start()
            pair.join(NETWORK)
            for name in ("warm", "cold"):
                _saved(root / name, pair)
            warm = {"MYOWNLLM_HOME": str(root / "warm"), "MYOWNMESH_HOME": str(pair.a.home)}
            cold = {"MYOWNLLM_HOME": str(root / "cold")}
            _online_after(cold)  # the first start of all makes an identity
            _online_after(warm)
            times = [(_online_after(warm), _online_after(cold)) for _ in range(rounds)]
        finally:
            shutil.rmtree(root)
    running, cold_starts = zip(*times, strict=True)
    return {
        "running_daemon_s": statistics.median(running),
        "running_daemon_best_s": min(running),
        "cold_s": statistics.median(cold_starts),
        "cold_best_s": min(cold_starts),
    }


def moves() -> dict[str, Any]:
    """How many broadcasts another device hears while conversations are moved here."""
    root = Path(tempfile.mkdtemp(prefix="moves-bench-"))
    with Pair() as pair:
        pair.start()
        pair.join(NETWORK)
        app = App(root / "a", pair, pair.a.home, [])
        try:
            _until(lambda: ask(app.door, "state", timeout_s=5)["status"] == "online", "network")
            made = [_change(app, action="new", title=f"Talk {n}")["conversations"][0]["id"] for n in range(MOVES)]
            time.sleep(2 * QUIET_S)
            events, control = Control(pair.b.home), Control(pair.b.home)
            client = events.subscribe()
            control.request("channel_subscribe", client_id=client, network=NETWORK, channel="catalog/announce")
            heard: list[bytes] = []

            def listen() -> None:
                heard.extend(line for line in events.lines() if b'"catalog/announce"' in line)

            threading.Thread(target=listen, daemon=True).start()
            began = time.perf_counter()
            for each in made:
                _change(app, action="move", ids=[each], folder="Archive")
            took = time.perf_counter() - began
            time.sleep(2 * QUIET_S)
            told = json.dumps([json.loads(line) for line in heard])
            if told.count("Archive") < MOVES:
                raise RuntimeError("the other device was not told of every move")
        finally:
            app.stop()
            shutil.rmtree(root)
    return {"moves": MOVES, "took_s": took, "broadcasts": len(heard)}


def _change(app: App, **request: Any) -> Any:
    return ask(app.door, "conversations", timeout_s=10, **request)


def _runtime(app: App, runtime: dict[str, str]) -> None:
    """Name a model server; the running app takes it over."""
    path = app.home / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "runtime": runtime, "api": {"port": 0}}))


def _saved(home: Path, pair: Pair) -> None:
    home.mkdir(mode=0o700)
    relay = f"ws://127.0.0.1:{pair.port}"
    record = SavedNetwork("net-1", NETWORK, auto_approve=True, signaling_servers=(relay,), stun_servers=())
    file = CatalogFile(home / "config.json")
    file.mutate(lambda catalog: catalog.add_network(record, activate=True))
    config = json.loads((home / "config.json").read_text())
    (home / "config.json").write_text(json.dumps({**config, "runtime": {"kind": "none"}, "api": {"enabled": False}}))


def _online_after(homes: dict[str, str]) -> float:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MYOWNMESH_", "MYOWNLLM_", "PYTHON"))}
    began = time.perf_counter()
    with subprocess.Popen(
        [PROGRAM, "up", "--json"],
        env={**kept, **homes, "MYOWNMESH_MDNS": "off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "pill" and event["status"] == "online":
                    return time.perf_counter() - began
        finally:
            process.terminate()
            process.stdout.read()
            process.wait(10)
    raise RuntimeError("the app ended before it was online")


def _until(check: Any, what: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if check():
                return
        except DoorError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {what}")
        time.sleep(0.05)
