"""Files: what `myownllm send` moves, beside bare `channel_send_to` of the same chunks between the same two daemons."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from mesh_client import Control, Pair
from myownllm.catalog.file import CatalogFile
from myownllm.catalog.network import SavedNetwork
from myownllm.door.client import ask, asking
from myownllm.errors import DoorError
from myownllm.transfers.offer import CHUNK_BYTES

NETWORK = "files-bench"
IN_FLIGHT = 64
PROGRAM = str(Path(sys.executable).with_name("myownllm"))


class App:
    """`myownllm up` beside a daemon of the pair, which it shares."""

    def __init__(self, home: Path, pair: Pair, daemon_home: Path, accept_from: list[str]) -> None:
        self.home = home
        home.mkdir()
        file = CatalogFile(home / "config.json")
        relay = f"ws://127.0.0.1:{pair.port}"
        record = SavedNetwork("net-1", NETWORK, auto_approve=True, signaling_servers=(relay,), stun_servers=())
        file.mutate(lambda catalog: catalog.add_network(record, activate=True))
        config = json.loads((home / "config.json").read_text())
        config["files"] = {"folder": str(home / "in"), "accept_from": accept_from}
        (home / "config.json").write_text(json.dumps(config))
        self.process = subprocess.Popen(
            [PROGRAM, "up", "--json"],
            env={**os.environ, "MYOWNLLM_HOME": str(home), "MYOWNMESH_HOME": str(daemon_home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    @property
    def door(self) -> Path:
        return self.home / "app.sock"

    def memory_mb(self) -> tuple[float, float]:
        """Resident now, and the most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in status.splitlines() if "kB" in line}
        return sizes["VmRSS"], sizes["VmHWM"]

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_for(self, peer: str) -> None:
        """Until it sees the other device, and that it takes files."""
        deadline = time.monotonic() + 60
        while True:
            try:
                peers = ask(self.door, "state", timeout_s=5)["peers"]
            except DoorError:
                peers = []
            features = [p["capabilities"]["features"] for p in peers if p["device_pubkey"] == peer]
            if features and "file_resume_v1" in features[0]:
                return
            if time.monotonic() > deadline:
                raise RuntimeError("the apps do not see each other")
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def bare(pair: Pair, size: int) -> float:
    """MB/s of the chunks of such a file over one connection with 64 requests in flight, to one subscriber."""
    peer = pair.peer_of(pair.a)
    chunks = -(-size // CHUNK_BYTES)
    text = base64.b64encode(os.urandom(CHUNK_BYTES)).decode()
    head = json.dumps({"op": "channel_send_to", "network": NETWORK, "channel": "bare", "peer": peer})[:-1]
    events, control, sender = Control(pair.b.home), Control(pair.b.home), Control(pair.a.home)
    control.request("channel_subscribe", client_id=events.subscribe(), network=NETWORK, channel="bare")
    window = threading.Semaphore(IN_FLIGHT)

    def send() -> None:
        for index in range(chunks):
            window.acquire()
            payload = f'{{"index":{index},"bytes_b64":"{text}","is_final":false}}'
            sender.send(f'{head},"payload":{payload}}}\n'.encode())

    def collect() -> None:
        for _ in range(chunks):
            answer = sender.receive()
            if not answer.startswith(b'{"ok":true'):
                raise RuntimeError(answer.decode())
            window.release()

    began = time.perf_counter()
    tasks = [threading.Thread(target=task, daemon=True) for task in (send, collect)]
    for task in tasks:
        task.start()
    received = 0
    while received < chunks:
        received += len(events.receive()) > CHUNK_BYTES
    took = time.perf_counter() - began
    for task in tasks:
        task.join()
    for connection in (events, control, sender):
        connection.close()
    return chunks * CHUNK_BYTES / took / 1e6


def sent(sender: App, path: Path, peer: str) -> float:
    """MB/s from the accepted offer to the receiver's last word."""
    began = 0.0
    with asking(sender.door, "files_send", timeout_s=600, paths=[str(path)], peer=peer) as answer:
        for item in answer:
            if item["status"] == "sending" and not began:
                began = time.perf_counter()
            if item["status"] == "failed":
                raise RuntimeError(item["detail"])
    return path.stat().st_size / (time.perf_counter() - began) / 1e6


def measure(megabytes: int, pairs: int) -> dict[str, Any]:
    """Bare, file, bare, file …: the ratio is of the times that all of one run took.

    What else the machine does weighs on both alike where they alternate often: many pairs of small files, then.
    """
    root = Path(tempfile.mkdtemp(prefix="files-bench-"))
    apps: list[App] = []
    try:
        with Pair() as pair:
            pair.start()
            pair.join(NETWORK)
            keys = {d: pair.peer_of(d) for d in (pair.a, pair.b)}  # of the other one
            apps += [
                App(root / "a", pair, pair.a.home, []),
                App(root / "b", pair, pair.b.home, [keys[pair.b]]),
            ]
            apps[0].wait_for(keys[pair.a])
            apps[1].wait_for(keys[pair.b])
            rates: dict[str, list[float]] = {"bare": [], "file": []}
            cpu = {"bare": 0.0, "file": 0.0}
            before = [app.memory_mb()[0] for app in apps]
            for number in range(pairs):
                path = root / f"{number}.bin"
                with path.open("wb") as file:
                    for _ in range(megabytes):
                        file.write(os.urandom(2**20))
                for kind in ("bare", "file"):
                    began = sum(u.cpu_s() for u in (pair.a, pair.b, *apps)) + time.process_time()
                    size = path.stat().st_size
                    rate = bare(pair, size) if kind == "bare" else sent(apps[0], path, keys[pair.a])
                    rates[kind].append(rate)
                    cpu[kind] += sum(u.cpu_s() for u in (pair.a, pair.b, *apps)) + time.process_time() - began
            grown = [app.memory_mb()[1] - start for app, start in zip(apps, before, strict=True)]
            return {
                "megabytes": megabytes,
                "bare_mb_per_s": rates["bare"],
                "file_mb_per_s": rates["file"],
                "ratio": sum(1 / rate for rate in rates["bare"]) / sum(1 / rate for rate in rates["file"]),
                "cpu_s_bare": cpu["bare"],
                "cpu_s_file": cpu["file"],
                "cpu_ratio": cpu["bare"] / cpu["file"],
                "cpu_s_apps": [app.cpu_s() for app in apps],
                "sender_grew_mb": grown[0],
                "receiver_grew_mb": grown[1],
            }
    finally:
        for app in apps:
            app.stop()
        shutil.rmtree(root)
