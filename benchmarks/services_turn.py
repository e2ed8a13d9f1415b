"""What hosted TURN costs beside coturn: the rows of `bench_services.py --turn` (root, Linux).

Server and load are on machines of their own (network namespaces), the two servers in turn. The load is a process of its
own: `services_turn.py load PID ALLOCATIONS PACKETS` prints what it saw as JSON, and so does `services_turn.py paced
ALLOCATIONS PORT...` of round trips through the servers at these ports, which take turns many times: a busy machine
delays each of them for tenths of a second.
"""

from __future__ import annotations

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
PACED_S: Final = 0.5
TURNS: Final = 12
HELD: Final = 1000
SERVERS: Final = ("ours", "coturn")
MUST: Final = {
    "packets/s": "at least 0.7 times",
    "µs each": "at most 1.8 times",
    "ms there and back": "at most 1.5 times",
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


def load(pid: int, allocations: int, packets: int) -> dict[str, float]:
    """Runs on the other machine; `pid` is the server's."""
    if not allocations:
        before = memory_kb(pid)
        held = [Client(LOADS[number % 2]) for number in range(HELD)]
        time.sleep(0.5)
        return {"KB each": (memory_kb(pid) - before) / len(held)}
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    peer.bind((LOADS[0], 0))
    clients = [Client(LOADS[number % 2]) for number in range(allocations)]
    for client in clients:
        client.bind(peer.getsockname())
    return bulk(pid, clients, peer, packets)


def paced_in_turns(allocations: int, *ports: int) -> list[dict[str, list[float]]]:
    """Runs on the other machine; what each turn saw of each server."""
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    peer.bind((LOADS[0], 0))
    servers = [[Client(LOADS[number % 2], (SERVER, port)) for number in range(allocations)] for port in ports]
    for client in itertools.chain(*servers):
        client.bind(peer.getsockname())
    turns = [[paced(clients, peer) for clients in servers] for _ in range(TURNS)]
    return [{figure: [turn[at][figure] for turn in turns] for figure in turns[0][at]} for at in range(len(ports))]


def bulk(pid: int, clients: list[Client], peer: socket.socket, packets: int) -> dict[str, float]:
    peer.settimeout(0.2)
    turns = itertools.cycle(clients)
    got = on_the_way = 0
    began, cpu = time.monotonic(), busy_s(pid)
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
        "µs each": (busy_s(pid) - cpu) / got * 1e6,
    }
    with suppress(TimeoutError):
        while peer.recv(2000):  # what is on the way still
            pass
    return figures


def paced(clients: list[Client], peer: socket.socket) -> dict[str, float]:
    peer.setblocking(False)
    for client in clients:
        client.socket.setblocking(False)
    for one in (peer, *(client.socket for client in clients)):
        with suppress(BlockingIOError):
            while one.recv(2000):  # what came too late for the turn before
                pass
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


def measured(name: str, allocations: int, packets: int) -> dict[str, float]:
    with machines() as (there, here, folder):
        server, pid = start(name, there.enter, folder)
        try:
            figures: dict[str, float] = told(here.enter, "load", pid, allocations, packets)
        finally:
            server.kill()
            server.wait()
        return figures


def seen_in_turns(names: list[str], allocations: int) -> list[dict[str, dict[str, float]]]:
    """The round trips of each turn."""
    with machines() as (there, here, folder), ExitStack() as opened:
        ports = range(PORT, PORT + len(names))
        for name, port in zip(names, ports, strict=True):
            server, _ = start(name, there.enter, folder, port)
            opened.callback(server.wait)
            opened.callback(server.kill)
        found = told(here.enter, "paced", allocations, *ports)
    return [
        {name: {figure: values[at] for figure, values in each.items()} for name, each in zip(names, found, strict=True)}
        for at in range(TURNS)
    ]


def turn_rows(allocations: list[int], packets: int, rounds: int) -> Iterator[str]:
    """Medians of the rounds; a ratio is the median of those of the rounds, in each of which the servers take turns, and
    for round trips the median of the turns."""
    names = [name for name in SERVERS if name == "ours" or shutil.which("turnserver")]
    for count in (*allocations, 0):
        what = f"TURN, {count} allocations" if count else f"TURN, {HELD} idle allocations"
        seen = [{name: measured(name, count, packets) for name in names} for _ in range(rounds if count else 1)]
        yield from rows(what, names, seen)
        if count:
            yield from rows(what, names, seen_in_turns(names, count))


def rows(what: str, names: list[str], seen: list[dict[str, dict[str, float]]]) -> Iterator[str]:
    for figure in seen[0]["ours"]:
        values = " ".join(f"{name} {statistics.median(each[name][figure] for each in seen):10.2f}" for name in names)
        ratios = sorted(each["ours"][figure] / (each[names[-1]][figure] or 1) for each in seen)
        ratio = f"{statistics.median(ratios):6.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        yield f"{what:28} {figure:18} {values} {ratio if len(names) == 2 else '':28} {MUST[figure]}"


if __name__ == "__main__":
    figures = {"load": load, "paced": paced_in_turns}[sys.argv[1]](*map(int, sys.argv[2:]))
    print(json.dumps(figures))
