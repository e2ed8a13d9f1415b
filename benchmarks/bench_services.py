"""What this device hosts for others, beside coturn where it is installed (`turnserver`).

    sudo .venv/bin/python benchmarks/bench_services.py [--packets 40000] [--allocations 1 200]

Server and load are on machines of their own (network namespaces, tests/support/namespaces.py). Rows per number of
allocations: packets of 1,200 bytes a second from clients to a peer with at most 256 on the way; µs of the server's
processor for each; ms of a round trip at 10,000 packets a second (p50), and what share came back; KB of the server's
memory for each of 1,000 allocations. `--lan N` joins two devices in a local network without relays, N times in each
order of their ids, and prints the seconds from the second join to ACTIVE at both, beside two daemons of v0.3.8 if
MYOWNMESH_REFERENCE names one. `--relay` (no root) prints what the signaling relay costs beside bare sends in the same
run: processor time of a delivery to 1,000, of an event among 3,000 sockets in rooms of 10 and of a join, memory of a
socket, and how long 4,000 clients take that come at once. Milliseconds and packets a second drift with the machine:
compare ratios of a run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from myownmesh.turn import stun  # noqa: E402
from myownmesh.turn.credentials import long_term_key  # noqa: E402
from myownmesh.turn.limits import Limits  # noqa: E402
from myownmesh.turn.table import Settings  # noqa: E402
from myownmesh.turn_worker.messages import Job  # noqa: E402
from myownmesh.worker.messages import line  # noqa: E402
from services_relay import relay_rows  # noqa: E402
from support.lan import OURS, devices_beside, join, until_active, with_wire  # noqa: E402
from support.namespaces import machines_apart, plug_in  # noqa: E402
from support.reference import REFERENCE  # noqa: E402

SERVER: Final = "203.0.113.1"
LOADS: Final = ("203.0.113.2", "203.0.113.3")
PORT: Final = 3478
USER, PASSWORD, REALM = "bench", "a password", "bench"
PAYLOAD: Final = bytes(1200)
ON_THE_WAY: Final = 256
PACE_S: Final = 1e-4
PACED_S: Final = 2.0
HELD: Final = 1000
SERVERS: Final = ("ours", "coturn")
LAN_SETTLES_S: Final = 3.0
"""Until the first device's advert is out."""


class Client:
    """One allocation with a channel to the peer."""

    _transactions = (number.to_bytes(12) for number in itertools.count(1))

    def __init__(self, source: str, peer: tuple[str, int] | None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.socket.connect((SERVER, PORT))
        self.socket.settimeout(5.0)
        udp = (stun.A_TRANSPORT, bytes((17, 0, 0, 0)))
        challenge = self._ask(stun.encode(stun.ALLOCATE, next(self._transactions), [udp]))
        nonce, realm = challenge.get(stun.A_NONCE), challenge.get(stun.A_REALM)
        assert nonce is not None
        assert realm is not None
        self._signed_by = [(stun.A_USERNAME, USER.encode()), (stun.A_REALM, realm), (stun.A_NONCE, nonce)]
        self._key = long_term_key(USER, realm.decode(), PASSWORD)
        self._request(stun.ALLOCATE, udp)
        if peer is not None:
            transaction = next(self._transactions)
            channel = (stun.A_CHANNEL, bytes((0x40, 0, 0, 0)))
            to = (stun.A_PEER, stun.xor_address(*peer, transaction))
            self._request(stun.CHANNEL_BIND, channel, to, transaction=transaction)
        self.send = self.socket.send
        self.frame = bytes((0x40, 0)) + len(PAYLOAD).to_bytes(2) + PAYLOAD

    def _request(self, method: int, *attributes: tuple[int, bytes], transaction: bytes | None = None) -> None:
        signed = stun.encode(
            method, transaction or next(self._transactions), [*attributes, *self._signed_by], key=self._key
        )
        answer = self._ask(signed)
        assert answer.get(stun.A_ERROR) is None, answer

    def _ask(self, request: bytes) -> stun.Message:
        self.socket.send(request)
        answer = stun.decode(self.socket.recv(2000))
        assert answer is not None
        return answer


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def load(pid: int, allocations: int, packets: int) -> dict[str, float]:
    """Runs on the other machine; `pid` is the server's."""
    if not allocations:
        before = memory_kb(pid)
        held = [Client(LOADS[number % 2], None) for number in range(HELD)]
        time.sleep(0.5)
        return {"KB each": (memory_kb(pid) - before) / len(held)}
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    peer.bind((LOADS[0], 0))
    clients = [Client(LOADS[number % 2], peer.getsockname()) for number in range(allocations)]
    return bulk(pid, clients, peer, packets) | paced(clients, peer)


def bulk(pid: int, clients: list[Client], peer: socket.socket, packets: int) -> dict[str, float]:
    peer.settimeout(0.2)
    turns = itertools.cycle(clients)
    got = on_the_way = 0
    began, cpu = time.monotonic(), processor_s(pid)
    while got < packets:
        while on_the_way < ON_THE_WAY:
            client = next(turns)
            client.send(client.frame)
            on_the_way += 1
        try:
            for _ in range(ON_THE_WAY // 2):
                peer.recv(2000)
                got += 1
                on_the_way -= 1
        except TimeoutError:
            on_the_way = 0  # lost
    figures = {
        "packets/s": got / (time.monotonic() - began),
        "µs each": (processor_s(pid) - cpu) / got * 1e6,
    }
    with suppress(TimeoutError):
        while peer.recv(2000):  # what is on the way still
            pass
    return figures


def paced(clients: list[Client], peer: socket.socket) -> dict[str, float]:
    peer.setblocking(False)
    for client in clients:
        client.socket.setblocking(False)
    took: list[float] = []
    sent, due = 0, time.monotonic()
    end = due + PACED_S
    turns = itertools.cycle(clients)
    waiting: list[Client] = []
    while (now := time.monotonic()) < end + 0.2:
        if now >= due and now < end:
            client = next(turns)
            client.send(b"\x40\x00" + len(PAYLOAD).to_bytes(2) + repr(now).encode().ljust(len(PAYLOAD)))
            waiting.append(client)
            sent, due = sent + 1, due + PACE_S
        try:
            data, source = peer.recvfrom(2000)
        except BlockingIOError:
            pass
        else:
            peer.sendto(data, source)
        for client in waiting[:4]:
            try:
                took.append(time.monotonic() - float(client.socket.recv(2000)[4:40]))
            except BlockingIOError:
                if sent - len(took) > 400:
                    waiting.remove(client)  # lost
                break
            waiting.remove(client)
    return {"ms there and back": statistics.median(took) * 1000, "% back": 100 * len(took) / sent}


def start(name: str, enter: tuple[str, ...], folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A server, and the id of its process."""
    if name == "ours":
        settings = Settings(public_ip=SERVER, realm=REALM, passwords={USER: PASSWORD})
        program = [sys.executable, "-P", "-m", "myownmesh.cli", "turn-worker"]
        server = subprocess.Popen([*enter, *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert server.stdin is not None
        assert server.stdout is not None
        # One prefix brings all clients here, and each begins as a stranger.
        limits = Limits(answers_per_prefix_s=10_000, answers_per_prefix_burst=10_000, answers_burst=10_000)
        server.stdin.write(line(Job(bind=SERVER, port=PORT, turn=settings, limits=limits)))
        server.stdin.flush()
        said = server.stdout.readline()
        assert b"listening" in said, said
    else:
        words = ["-n", "-L", SERVER, "-p", str(PORT), "-a", "-u", f"{USER}:{PASSWORD}", "-r", REALM, "--no-tls"]
        words += ["--no-dtls", "--no-cli", "--log-file", "/dev/null", "--pidfile", str(folder / "pid")]
        words += ["-b", str(folder / "db")]
        server = subprocess.Popen([*enter, "turnserver", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.5)
    return server, server.pid  # `ip netns exec` becomes what it runs


def measured(name: str, allocations: int, packets: int) -> dict[str, float]:
    with machines_apart(2) as (there, here), tempfile.TemporaryDirectory() as folder:
        plug_in(there, here)
        there.add_address("lan0", f"{SERVER}/24")
        for address in LOADS:
            here.add_address("lan0", f"{address}/24")
        server, pid = start(name, there.enter, Path(folder))
        try:
            words = [sys.executable, __file__, "--load", str(pid), "--allocations", str(allocations)]
            done = subprocess.run([*here.enter, *words, "--packets", str(packets)], stdout=subprocess.PIPE, check=True)
        finally:
            server.kill()
            server.wait()
        figures: dict[str, float] = json.loads(done.stdout)
        return figures


def lan_joins(program: Path, times: int, *, second_is_lower: bool) -> list[float]:
    """Seconds from the second join until both tell of an active link; the first time loads what is loaded late."""
    seconds = []
    with devices_beside(program, program) as (_, (low, high)):
        first, second = (high, low) if second_is_lower else (low, high)
        for number in range(times + 1):
            network = f"bench-{number}"
            join(first, network)
            time.sleep(LAN_SETTLES_S)
            began = time.monotonic()
            join(second, network)
            until_active(low, high, network)
            seconds.append(time.monotonic() - began)
            for device in (first, second):
                with_wire(device, "network_remove", network=network)
    return seconds[1:]


def lan_rows(times: int) -> None:
    for name, program in (("ours", OURS), ("v0.3.8", Path(REFERENCE))):
        if not program.is_file():
            continue
        for second_is_lower in (True, False):
            taken = sorted(lan_joins(program, times, second_is_lower=second_is_lower))
            p95 = taken[min(len(taken) - 1, int(0.95 * len(taken)))]
            order = "lower" if second_is_lower else "higher"
            what = f"LAN, second joins, {order} id"
            print(f"{what:28} {name:8} p50 {statistics.median(taken):6.2f} p95 {p95:6.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=40_000)
    parser.add_argument("--allocations", type=int, nargs="+", default=[1, 200])
    parser.add_argument("--lan", type=int, metavar="N", help="only the local network, so many joins each")
    parser.add_argument("--relay", action="store_true", help="only the signaling relay")
    parser.add_argument("--load", type=int, help=argparse.SUPPRESS)
    asked: Any = parser.parse_args()
    if asked.load is not None:
        print(json.dumps(load(asked.load, asked.allocations[0], asked.packets)))
        return
    if asked.relay:
        relay_rows()
        return
    if asked.lan is not None:
        lan_rows(asked.lan)
        return
    names = [name for name in SERVERS if name == "ours" or shutil.which("turnserver")]
    for allocations in (*asked.allocations, 0):
        rows = {name: measured(name, allocations, asked.packets) for name in names}
        what = f"TURN, {allocations} allocations" if allocations else f"TURN, {HELD} idle allocations"
        for figure in rows["ours"]:
            values = [rows[name][figure] for name in names]
            ratio = f"{values[0] / values[1]:8.2f}" if len(values) == 2 and values[1] else ""
            told = " ".join(f"{name} {value:10.2f}" for name, value in zip(names, values, strict=True))
            print(f"{what:28} {figure:18} {told} {ratio}", flush=True)


if __name__ == "__main__":
    main()
