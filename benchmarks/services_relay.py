"""What the hosted relay costs beside bare sends of the same bytes: the rows of `bench_services.py --relay`.

Relay and clients are two processes on the loopback interface. A bare send is a loop of `socket.send` over as many
sockets of the same kind, read by the same clients, in the same run.
"""

from __future__ import annotations

import random
import resource
import select
import socket
import statistics
import time
from typing import TYPE_CHECKING, Final

from myownmesh.protocol.strict_json import compact_json
from myownmesh.relay.frames import text_frame
from myownmesh.signaling.nostr import NostrKey, decode_event, is_genuine
from support.relay_workers import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from myownmesh.signaling.nostr import NostrEvent

FANOUT: Final = 1000
FANOUT_EVENTS: Final = 10
"""In one round."""
ROUNDS: Final = 7
"""The relay and bare sends take turns: the machine drifts."""
ROOM: Final = 10
MANY: Final = 3000
BACK: Final = 4000
REQUEST: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING, PONG = b"\x89\x00", b"\x8a\x80" + bytes(4)
LIMIT_S: Final = 120.0
KEY: Final = NostrKey(b"\x07" * 32)


def said(*words: object) -> bytes:
    """A client's frame; its mask is all zeros."""
    return masked(compact_json(list(words)).encode())


def masked(payload: bytes) -> bytes:
    head = b"\x81" + (bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2))
    return head + bytes(4) + payload


def event(number: int, room: str, kind: int = 21077, content: str = "x" * 150, key: NostrKey = KEY) -> bytes:
    made = key.sign(created_at=number, kind=kind, tags=(("r", room), ("p", room)), content=content)
    return f'["EVENT",{made.json()}]'.encode()


def join_words(room: str, device: str) -> bytes:
    """What a client of v0.3.8 says first, and its announce."""
    presence = {"kinds": [1077], "#r": [room], "since": 0}
    tagged = {"kinds": [21077], "#r": [room], "#p": [device, room]}
    announce = compact_json({"from": device, "to": None, "kind": "announce", "peer_id": device, "caps": ["ptag"]})
    made = event(random.getrandbits(40), room, 1077, announce, NostrKey(random.randbytes(32)))
    return said("REQ", "mom-sig-1", presence, tagged, {"kinds": [21077], "#r": [room]}) + masked(made)


class Crowd:
    """Sockets of clients that count what comes."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.sockets = sockets
        self._epoll = select.epoll()
        self._by_number = {each.fileno(): each for each in sockets}
        self._got = dict.fromkeys(self._by_number, 0)
        for each in sockets:
            each.setblocking(False)
            self._epoll.register(each, select.EPOLLIN)

    def read_until(self, has_all: Callable[[bytes], int], each: int) -> None:
        """Until everybody has `each` of what `has_all` counts in the bytes that came."""
        end = time.monotonic() + LIMIT_S
        missing = {number for number in self._by_number if self._got[number] < each}
        while missing:
            assert time.monotonic() < end, f"{len(missing)} clients heard too little"
            for number, _ in self._epoll.poll(1):
                self._got[number] += has_all(self._read(number))
                if self._got[number] >= each:
                    missing.discard(number)
        self._got = dict.fromkeys(self._by_number, 0)

    def read_until_quiet(self) -> None:
        """Until nothing has come for three tenths of a second."""
        quiet = 0
        while quiet < 3:
            found = self._epoll.poll(0.1)
            quiet = 0 if found else quiet + 1
            for number, _ in found:
                self._read(number)

    def has_something(self) -> bool:
        """Something waits to be read."""
        return bool(self._epoll.poll(0))

    def read_what_is_there(self) -> None:
        """Read, and count nothing."""
        for number, _ in self._epoll.poll(0):
            self._read(number)

    def _read(self, number: int) -> bytes:
        data = self._by_number[number].recv(1 << 18)
        assert data, "the relay hung up"
        if PING in data:
            self._by_number[number].send(PONG)
        return data

    def close(self) -> None:
        self._epoll.close()
        for each in self.sockets:
            each.close()


def connected(port: int, count: int, words: Callable[[int], bytes]) -> Crowd:
    """So many clients at once; each asks for a WebSocket, says its words behind that, and has heard what was stored."""
    made = []
    for number in range(count):
        one = socket.socket()
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.connect(("127.0.0.1", port))
        one.send(REQUEST + words(number))
        made.append(one)
    return Crowd(made)


def eose(data: bytes) -> int:
    return data.count(b'["EOSE"')


def bare(sockets: Sequence[socket.socket], data: bytes, times: int, crowd: Crowd) -> float:
    """Seconds of this thread's processor for one send, everybody reading in between."""
    taken = 0.0
    for _ in range(times):
        began = time.thread_time()
        for each in sockets:
            each.send(data)
        taken += time.thread_time() - began
        crowd.read_until(lambda got: got.count(b"]}]"), 1)
    return taken / times / len(sockets)


def pairs(count: int) -> tuple[list[socket.socket], Crowd]:
    """The same kind of sockets without a relay: this process writes to one end and reads the other."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    theirs, ours = [], []
    for _ in range(count):
        theirs.append(socket.create_connection(listener.getsockname()))
        made, _ = listener.accept()
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        ours.append(made)
    listener.close()
    return ours, Crowd(theirs)


def loop_s() -> float:
    """The yardstick of a machine: ten million turns."""
    began = time.process_time()
    for _ in range(10**7):
        pass
    return time.process_time() - began


class Bare:
    """What a relay is beside: an event is sent to so many sockets, and read."""

    def __init__(self, count: int, text: bytes) -> None:
        self._frame = text_frame(b'["EVENT","mom-sig-1",' + text.partition(b",")[2])
        self._sockets, self._readers = pairs(count)

    def send_s(self, times: int) -> float:
        """Seconds of a processor for one send."""
        return bare(self._sockets, self._frame, times, self._readers)

    def close(self) -> None:
        self._readers.close()
        for each in self._sockets:
            each.close()


def fanout() -> Iterator[str]:
    texts = [event(number, "all") for number in range(FANOUT_EVENTS * ROUNDS)]
    sends = Bare(FANOUT, texts[0])
    relay = Relay()
    request = said("REQ", "mom-sig-1", {"#r": ["all"]})
    crowd = connected(relay.port, FANOUT, lambda _: request)
    crowd.read_until(eose, 1)
    seen = []
    for begin in range(0, len(texts), FANOUT_EVENTS):
        alone = sends.send_s(FANOUT_EVENTS)
        began = relay.cpu_s
        for text in texts[begin : begin + FANOUT_EVENTS]:
            crowd.sockets[0].send(masked(text))
            crowd.read_until(lambda got: got.count(b"]}]"), 1)
        seen.append(((relay.cpu_s - began) / FANOUT_EVENTS / FANOUT, alone))
    crowd.close()
    sends.close()
    relay.kill()
    yield row(f"one event to {FANOUT:,}", "µs for each delivery", seen, "a bare send", 2)


def many() -> Iterator[str]:
    rooms = MANY // ROOM
    texts = [event(number, f"room{number % rooms}") for number in range(rooms * ROUNDS)]
    made = decode_event_of(texts[0])
    relay = Relay()
    time.sleep(0.5)
    memory, cpu = relay.memory_kb, relay.cpu_s
    yield f"a worker without clients: {memory / 1024:.1f} MB (30)"
    crowd = connected(relay.port, MANY, lambda number: join_words(f"room{number // ROOM}", f"device{number}"))
    crowd.read_until(eose, 1)
    crowd.read_until_quiet()
    yield f"{MANY:,} joins, rooms of {ROOM}: {(relay.cpu_s - cpu) / MANY * 1e3:.2f} ms of a processor each (0.5)"
    yield f"memory for each socket: {(relay.memory_kb - memory) / MANY:.1f} KB (6)"
    sends = Bare(MANY, texts[0])
    seen = []
    for begin in range(0, len(texts), rooms):
        alone = ROOM * sends.send_s(1) + check_s(made)
        cpu = relay.cpu_s
        for number, text in enumerate(texts[begin : begin + rooms]):
            crowd.sockets[number * ROOM].send(masked(text))
        crowd.read_until_quiet()
        seen.append(((relay.cpu_s - cpu) / rooms, alone))
    crowd.close()
    sends.close()
    relay.kill()
    yield row(f"{MANY:,} sockets, rooms of {ROOM}", "µs for each event", seen, f"{ROOM} bare sends and a check", 3)


def check_s(made: NostrEvent) -> float:
    """Seconds of a processor for one check of a signature."""
    began = time.process_time()
    for _ in range(200):
        assert is_genuine(made)
    return (time.process_time() - began) / 200


def back() -> Iterator[str]:
    relay = Relay()
    words = [join_words(f"room{number // ROOM}", f"device{number}") for number in range(BACK)]
    began = time.monotonic()
    crowd = connected(relay.port, BACK, words.__getitem__)
    crowd.read_until(eose, 1)
    taken = time.monotonic() - began
    crowd.close()
    relay.kill()
    yield f"{BACK:,} clients join a relay at once: the last has what is stored after {taken:.1f} s (10)"


def decode_event_of(text: bytes) -> NostrEvent:
    import msgspec

    return decode_event(msgspec.Raw(text.partition(b",")[2][:-1]))


def row(what: str, figure: str, seen: list[tuple[float, float]], beside: str, most: int) -> str:
    """Medians of the rounds' seconds, ours and beside it, and of their ratios."""
    ours, alone = (statistics.median(each) * 1e6 for each in zip(*seen, strict=True))
    ratios = sorted(each / other for each, other in seen)
    told = f"{statistics.median(ratios):5.2f} times ({most}; {ratios[0]:.2f} to {ratios[-1]:.2f})"
    return f"{what:28} {figure:22} {ours:8.1f}, {beside} {alone:8.1f}, {told}"


def relay_rows() -> Iterator[str]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for part in (fanout, many, back):
        yield from part()
