"""What hosted TURN costs beside coturn: the rows of `bench_services.py --turn` (root, Linux).

Server and load are on machines of their own (network namespaces), the two servers in turn. The load is a process of its
own and the same for both: `services_turn.py turns ALLOCATIONS PACKETS PORT:PID...` prints as JSON what it saw of the
servers at these ports, which take turns many times, because a busy machine delays each of them for tenths of a second;
`services_turn.py held PORT:PID` what allocations take that do nothing. A round trip has the load's own part in it: two
sends, and some microseconds until it sees what has come.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from mesh_client import busy_s  # noqa: E402
from myownmesh.turn import stun  # noqa: E402
from myownmesh.turn.credentials import long_term_key  # noqa: E402
from myownmesh.turn.limits import Limits  # noqa: E402
from myownmesh.turn.table import Settings  # noqa: E402
from myownmesh.turn_worker.messages import Job  # noqa: E402
from myownmesh.worker.messages import line  # noqa: E402
from support.namespaces import machines_apart, plug_in  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER: Final = "203.0.113.1"
LOADS: Final = ("203.0.113.2", "203.0.113.3")
PORT: Final = 3478
USER, PASSWORD, REALM = "bench", "a password", "bench"
PAYLOAD: Final = bytes(1200)
ON_THE_WAY: Final = 256
PACE_S: Final = 1e-4
PACED_S: Final = 0.25
LATE_S: Final = 0.2
"""What is not back this long after the last one was sent is lost."""
TURNS: Final = 30
HELD: Final = 1000
CORES: Final = sorted(os.sched_getaffinity(0))
LOADS_CORE, SERVERS_CORES = CORES[:1], CORES[1:] or CORES
"""It is luck otherwise which of them share one, and a server that shares the load's takes milliseconds."""
SERVERS: Final = ("ours", "coturn")
MUST: Final = {
    "packets/s": "at least 0.7 times",
    "µs each": "at most 1.8 times",
    "ms there and back": "at most 1.5 times",
    "sent/s": "",
    "% back": "",
    "KB each": "ours at most 8",
}


class Client:
    """One allocation with a channel to the peer."""

    _transactions = (number.to_bytes(12) for number in itertools.count(1))

    def __init__(
        self,
        source: str,
        server: tuple[str, int] = (SERVER, PORT),
        user: str = USER,
        password: str = PASSWORD,
    ) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.socket.connect(server)
        self.socket.settimeout(5.0)
        udp = (stun.A_TRANSPORT, bytes((17, 0, 0, 0)))
        challenge = self._ask(stun.encode(stun.ALLOCATE, next(self._transactions), [udp]))
        nonce, realm = challenge.get(stun.A_NONCE), challenge.get(stun.A_REALM)
        assert nonce is not None
        assert realm is not None
        self._signed_by = [(stun.A_USERNAME, user.encode()), (stun.A_REALM, realm), (stun.A_NONCE, nonce)]
        self._key = long_term_key(user, realm.decode(), password)
        answer = self._request(stun.ALLOCATE, udp)
        relayed = stun.read_address(answer.get(stun.A_RELAYED) or b"", answer.transaction)
        assert relayed is not None
        self.relayed = relayed
        self.send = self.socket.send
        self.frame = bytes((0x40, 0)) + len(PAYLOAD).to_bytes(2) + PAYLOAD

    def bind(self, peer: tuple[str, int]) -> None:
        """Channel 0x4000 goes to the peer from now on."""
        transaction = next(self._transactions)
        channel = (stun.A_CHANNEL, bytes((0x40, 0, 0, 0)))
        to = (stun.A_PEER, stun.xor_address(*peer, transaction))
        self._request(stun.CHANNEL_BIND, channel, to, transaction=transaction)

    def _request(self, method: int, *attributes: tuple[int, bytes], transaction: bytes | None = None) -> stun.Message:
        signed = stun.encode(
            method, transaction or next(self._transactions), [*attributes, *self._signed_by], key=self._key
        )
        answer = self._ask(signed)
        assert answer.get(stun.A_ERROR) is None, answer
        return answer

    def _ask(self, request: bytes) -> stun.Message:
        self.socket.send(request)
        answer = stun.decode(self.socket.recv(2000))
        assert answer is not None
        return answer


def memory_kb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def held(server: str) -> dict[str, float]:
    """Runs on the other machine, as `turns` does; a server is `PORT:PID`."""
    port, pid = map(int, server.split(":"))
    before = memory_kb(pid)
    clients = [Client(LOADS[number % 2], (SERVER, port)) for number in range(HELD)]
    time.sleep(0.5)
    return {"KB each": (memory_kb(pid) - before) / len(clients)}


def turns(allocations: str, packets: str, *servers: str) -> list[list[dict[str, float]]]:
    """What each turn saw of each server: packets as many as they carry, then single ones."""
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    peer.bind((LOADS[0], 0))
    parties: list[tuple[int, list[Client]]] = []
    for server in servers:
        port, pid = map(int, server.split(":"))
        clients = [Client(LOADS[number % 2], (SERVER, port)) for number in range(int(allocations))]
        for client in clients:
            client.bind(peer.getsockname())
        parties.append((pid, clients))
    return [
        [bulk(pid, clients, peer, int(packets)) | paced(clients, peer) for pid, clients in parties]
        for _ in range(TURNS)
    ]


def bulk(pid: int, clients: list[Client], peer: socket.socket, packets: int) -> dict[str, float]:
    peer.settimeout(LATE_S)
    for client in clients:
        client.socket.settimeout(5.0)
    in_turn = itertools.cycle(clients)
    got = on_the_way = 0
    began, cpu = time.monotonic(), busy_s(pid)
    while got < packets:
        while on_the_way < ON_THE_WAY:
            client = next(in_turn)
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
        "µs each": (busy_s(pid) - cpu) / got * 1e6,
    }
    with suppress(TimeoutError):
        while peer.recv(2000):  # what is on the way still
            pass
    return figures


def paced(clients: list[Client], peer: socket.socket) -> dict[str, float]:
    """Single packets at a fixed pace to the peer and back. What could not be sent in time is not made up for: a burst
    behind a pause would measure how long its own packets wait for each other."""
    by_descriptor = {client.socket.fileno(): client.socket for client in clients}
    peers = peer.fileno()
    took: list[float] = []
    in_turn = itertools.cycle(clients)
    with select.epoll() as poller:
        for one in (peer, *by_descriptor.values()):
            one.setblocking(False)
            with suppress(BlockingIOError):
                while one.recv(2000):  # what came too late for the turn before
                    pass
            poller.register(one, select.EPOLLIN)
        sent, due = 0, time.monotonic()
        end = due + PACED_S
        while (now := time.monotonic()) < end or (len(took) < sent and now < end + LATE_S):
            if due <= now < end:
                next(in_turn).send(b"\x40\x00" + len(PAYLOAD).to_bytes(2) + repr(now).encode().ljust(len(PAYLOAD)))
                sent += 1
                due = due + PACE_S if now < due + PACE_S else now + PACE_S
            for descriptor, _ in poller.poll(0.0):
                if descriptor == peers:
                    peer.sendto(*peer.recvfrom(2000))
                else:
                    data = by_descriptor[descriptor].recv(2000)
                    took.append(time.monotonic() - float(data[4:40]))
    return {
        "ms there and back": statistics.median(took) * 1000,
        "sent/s": sent / PACED_S,
        "% back": 100 * len(took) / sent,
    }


def start(name: str, enter: tuple[str, ...], folder: Path, port: int = PORT) -> tuple[subprocess.Popen[bytes], int]:
    """A server, and the id of its process."""
    if name == "ours":
        settings = Settings(public_ip=SERVER, realm=REALM, passwords={USER: PASSWORD})
        program = [sys.executable, "-P", "-m", "myownmesh.cli", "turn-worker"]
        server = subprocess.Popen([*enter, *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert server.stdin is not None
        assert server.stdout is not None
        # One prefix brings all clients here, and each begins as a stranger.
        limits = Limits(answers_per_prefix_s=10_000, answers_per_prefix_burst=10_000, answers_burst=10_000)
        server.stdin.write(line(Job(bind=SERVER, port=port, turn=settings, limits=limits)))
        server.stdin.flush()
        said = server.stdout.readline()
        assert b"listening" in said, said
    else:
        words = ["-n", "-L", SERVER, "-p", str(port), "-a", "-u", f"{USER}:{PASSWORD}", "-r", REALM, "--no-tls"]
        words += ["--no-dtls", "--no-cli", "--log-file", "/dev/null", "--pidfile", str(folder / "pid")]
        words += ["-b", str(folder / "db")]
        server = subprocess.Popen([*enter, "turnserver", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.5)
    return server, server.pid  # `ip netns exec` becomes what it runs


@contextmanager
def machines() -> Iterator[tuple[Any, Any, Path]]:
    """That of the servers, that of the load, and a folder."""
    with machines_apart(2) as (there, here), tempfile.TemporaryDirectory() as folder:
        plug_in(there, here)
        there.add_address("lan0", f"{SERVER}/24")
        for address in LOADS:
            here.add_address("lan0", f"{address}/24")
        yield there, here, Path(folder)


def told(enter: tuple[str, ...], *words: object) -> Any:
    """What this program says as the load."""
    program = [*enter, sys.executable, __file__, *map(str, words)]
    return json.loads(subprocess.run(program, stdout=subprocess.PIPE, check=True).stdout)


def seen(names: list[str], *words: object) -> Any:
    """What the load says of these servers, asked with these words."""
    with machines() as (there, here, folder), ExitStack() as opened:
        opened.callback(os.sched_setaffinity, 0, CORES)
        os.sched_setaffinity(0, SERVERS_CORES)  # whatever is started inherits it
        servers = []
        for port, name in enumerate(names, PORT):
            server, pid = start(name, there.enter, folder, port)
            opened.callback(server.wait)
            opened.callback(server.kill)
            servers.append(f"{port}:{pid}")
        os.sched_setaffinity(0, LOADS_CORE)
        return told(here.enter, *words, *servers)


def turn_rows(allocations: list[int], packets: int) -> Iterator[str]:
    """Medians of the turns; a ratio is the median of those of the turns, between the first and the last quarter."""
    names = [name for name in SERVERS if name == "ours" or shutil.which("turnserver")]
    for count in allocations:
        each_turn = seen(names, "turns", count, packets)
        yield from rows(f"TURN, {count} allocations", [dict(zip(names, turn, strict=True)) for turn in each_turn])
    yield from rows(f"TURN, {HELD} idle allocations", [{name: seen([name], "held") for name in names}])


def rows(what: str, seen: list[dict[str, dict[str, float]]]) -> Iterator[str]:
    names = list(seen[0])
    for figure in seen[0]["ours"]:
        values = " ".join(f"{name} {statistics.median(each[name][figure] for each in seen):10.2f}" for name in names)
        ratios = sorted(each["ours"][figure] / (each[names[-1]][figure] or 1) for each in seen)
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        ratio = f"{statistics.median(ratios):6.2f} times ({low:.2f} to {high:.2f})"
        yield f"{what:28} {figure:18} {values} {ratio if len(names) == 2 else '':28} {MUST[figure]}"


if __name__ == "__main__":
    print(json.dumps({"turns": turns, "held": held}[sys.argv[1]](*sys.argv[2:])))
