"""Thousands of clients of relays, all in one thread: what they are told, and what of it was lost or told twice.

Each is one device in one room. Who is cut off comes back after about a second, to the next relay in its list, as
clients do behind one address. Rooms say numbered things all the time, half of them stored ones; what each client has
heard of them, and who left, is noted with its time.
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.protocol.strict_json import compact_json
from myownmesh.signaling.nostr import KIND_EPHEMERAL, KIND_PRESENCE, NostrKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOM: Final = 10
RETRY_S: Final = 1.0
"""Half of it is left to chance."""
AT_ONCE: Final = 250
REQUEST: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_AWAY, _CONNECTING, _JOINING, _IN = range(4)


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """A client's frame; its mask is all zeros."""
    head = bytes((0x80 | opcode,))
    head += bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return head + bytes(4) + payload


class Member:
    """One client: it connects, asks, announces itself, and listens."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.number = number
        self.room = f"room{number // ROOM}"
        self.device = f"device{number}"
        self.key = NostrKey.generate(rng)
        self.ports: Sequence[int] = ()
        self.at = 0
        """Which of them is its turn."""
        self.state = _AWAY
        self.since = 0.0
        """When it came in by the connection that it has now."""
        self.socket: socket.socket | None = None
        self.stays_away = False
        self.held = b""
        self.heard: set[int] = set()
        """Numbers of what was said."""
        self.twice = 0
        self.left: dict[str, float] = {}
        """Who left by what it was told last, and when."""
        self.told_left: list[tuple[str, float]] = []
        self.here: set[int] = set()
        """Numbers that came over this connection."""

    @property
    def is_in(self) -> bool:
        return self.state == _IN

    def said(self, kind: int, content: str) -> bytes:
        tags = (("r", self.room), ("p", self.room))
        made = self.key.sign(created_at=int(time.time()), kind=kind, tags=tags, content=content)
        return masked(f'["EVENT",{made.json()}]'.encode())

    def first_words(self) -> bytes:
        presence = {"kinds": [KIND_PRESENCE], "#r": [self.room], "since": 0}
        tagged = {"kinds": [KIND_EPHEMERAL], "#r": [self.room], "#p": [self.device, self.room]}
        everything = {"kinds": [KIND_EPHEMERAL], "#r": [self.room]}
        request = compact_json(["REQ", "mom-sig-1", presence, tagged, everything]).encode()
        who = {"from": self.device, "to": None, "kind": "announce", "peer_id": self.device, "caps": ["ptag"]}
        return REQUEST + masked(request) + self.said(KIND_PRESENCE, compact_json(who))


class Crowd:
    """All members. Nothing happens but in `run`."""

    def __init__(self, count: int, seed: int = 1) -> None:
        rng = random.Random(seed)  # nothing here is a secret
        self.rng = rng
        self.members = [Member(number, rng) for number in range(count)]
        self.rooms = [self.members[begin : begin + ROOM] for begin in range(0, count, ROOM)]
        self._epoll = select.epoll()
        self._by_number: dict[int, Member] = {}
        self._due: list[tuple[float, int]] = []
        self._next = 0
        self.sent: dict[int, tuple[float, int, int]] = {}
        """What was said: when, in which room, by whom."""
        self.delays: list[float] = []
        self.rate = 0.0
        """Things said in a second, all rooms together."""
        self._say_at = time.monotonic()
        self.away = set(self.members)

    def close(self) -> None:
        for member in self.members:
            self.hang_up(member)
        self._epoll.close()

    # ── what they do ──────────────────────────────────────────────────────────────────────────────────────────────────

    def comes(self, member: Member, ports: Sequence[int], at: int = 0) -> None:
        """By these relays in turn, from the `at`-th on."""
        member.ports, member.at, member.stays_away = ports, at, False
        self._due.append((0.0, member.number))

    def hang_up(self, member: Member) -> None:
        if member.socket is not None:
            number = member.socket.fileno()
            self._epoll.unregister(number)
            del self._by_number[number]
            member.socket.close()
            member.socket = None
        member.state = _AWAY
        self.away.add(member)

    def go_home(self, ports: Sequence[int], limit_s: float) -> bool:
        """Whoever is at another relay than at first comes to it again, some at a time: so none is away for long."""
        moved = [each for each in self.members if not each.stays_away and (each.at - each.number) % len(ports)]
        for begin in range(0, len(moved), AT_ONCE):
            for member in moved[begin : begin + AT_ONCE]:
                self.hang_up(member)
                self.comes(member, ports, member.number)
            if not self.run(self.are_all_in, limit_s):
                return False
        return True

    def goes(self, member: Member) -> None:
        """For good."""
        member.stays_away = True
        self.hang_up(member)

    def run(self, until: Callable[[], bool], limit_s: float) -> bool:
        """Whether it came true in time."""
        end = time.monotonic() + limit_s
        while not until():
            if time.monotonic() > end:
                return False
            self._turn()
        return True

    def run_for(self, seconds: float) -> None:
        self.run(lambda: False, seconds)

    def are_all_in(self) -> bool:
        return all(each.stays_away for each in self.away)

    def _turn(self) -> None:
        now = time.monotonic()
        if self._due:
            due, self._due = self._due, []
            for at, number in due:
                if at > now:
                    self._due.append((at, number))
                elif not self.members[number].stays_away and self.members[number].socket is None:
                    self._connect(self.members[number])
        if self.rate and now >= self._say_at:
            self._say_at = max(self._say_at + 1 / self.rate, now - 1.0)
            self._say(now)
        for number, events in self._epoll.poll(0.002 if self.rate else 0.02, 256):
            if (member := self._by_number.get(number)) is not None:
                self._ready(member, events)

    def _say(self, now: float) -> None:
        room = self.rng.randrange(len(self.rooms))
        there = [each for each in self.rooms[room] if each.is_in]
        if not there:
            return
        member = self.rng.choice(there)
        self._next += 1
        kind = KIND_PRESENCE if self._next % 2 else KIND_EPHEMERAL
        assert member.socket is not None
        try:
            member.socket.send(member.said(kind, f"said {self._next}"))
        except OSError:
            return
        self.sent[self._next] = now, room, member.number

    # ── their connections ─────────────────────────────────────────────────────────────────────────────────────────────

    def _connect(self, member: Member) -> None:
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.connect_ex(("127.0.0.1", member.ports[member.at % len(member.ports)]))
        member.socket, member.state, member.held, member.here = made, _CONNECTING, b"", set()
        self._by_number[made.fileno()] = member
        self._epoll.register(made, select.EPOLLOUT)

    def _lost(self, member: Member) -> None:
        self.hang_up(member)
        member.at += 1
        self._due.append((time.monotonic() + RETRY_S * self.rng.uniform(0.5, 1.5), member.number))

    def _ready(self, member: Member, events: int) -> None:
        assert member.socket is not None
        try:
            if member.state == _CONNECTING:
                if member.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._lost(member)
                    return
                member.socket.send(member.first_words())
                member.state = _JOINING
                self._epoll.modify(member.socket, select.EPOLLIN)
            elif events:
                data = member.socket.recv(1 << 16)
                if not data:
                    self._lost(member)
                    return
                self._take(member, member.held + data)
        except BlockingIOError:
            pass
        except OSError:
            self._lost(member)

    def _take(self, member: Member, data: bytes) -> None:
        at = 0
        if data.startswith(b"HTTP"):
            head, blank, _ = data.partition(b"\r\n\r\n")
            if not blank:
                member.held = data
                return
            at = len(head) + 4
        while len(data) - at >= 2:
            opcode, size, start = data[at] & 15, data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[start : start + 2]), start + 2
            elif size == 127:
                size, start = int.from_bytes(data[start : start + 8]), start + 8
            if len(data) < start + size:
                break
            at = start + size
            if opcode == 9:
                assert member.socket is not None
                member.socket.send(masked(b"", 10))
            elif opcode == 1:
                self._hear(member, data[start:at])
        member.held = data[at:]

    def _hear(self, member: Member, text: bytes) -> None:
        if text.startswith(b'["EOSE"'):
            if member.state != _IN:
                member.state, member.since = _IN, time.monotonic()
            self.away.discard(member)
        if not text.startswith(b'["EVENT"'):
            return
        content: str = msgspec.json.decode(text)[2]["content"]
        if content.startswith("said "):
            number = int(content[5:])
            if number in member.here:
                member.twice += 1
            elif number not in member.heard and number in self.sent:
                self.delays.append(time.monotonic() - self.sent[number][0])
            member.here.add(number)
            member.heard.add(number)
            return
        found = msgspec.json.decode(content)
        if found["kind"] == "leave":
            member.told_left.append((found["from"], time.monotonic()))
            member.left[found["from"]] = time.monotonic()
        elif found["kind"] == "announce":
            member.left.pop(found["from"], None)

    # ── what became of it ─────────────────────────────────────────────────────────────────────────────────────────────

    def missing(self) -> dict[int, list[Member]]:
        """What was said, and who of its room has not heard it though it is in now."""
        found = defaultdict[int, list[Member]](list)
        for number, (_, room, _) in self.sent.items():
            for member in self.rooms[room]:
                if member.is_in and number not in member.heard:
                    found[number].append(member)
        return found

    def losses(self) -> tuple[int, int, int]:
        """Deliveries that were missed: by who was in all the time, by who should have heard it by a replay, others.

        What somebody said whose own connection ended at any time afterwards is among the others.
        """
        missed = unreplayed = cut = 0
        for number, those in self.missing().items():
            at, _, who = self.sent[number]
            for member in those:
                if self.members[who].since > at:
                    cut += 1
                elif member.since <= at:
                    missed += 1
                elif number % 2:
                    unreplayed += 1
                else:
                    cut += 1
        return missed, unreplayed, cut

    def wrongly_left(self) -> int:
        """How often somebody believes of another one who is in that it is not."""
        present = {each.device for each in self.members if each.is_in}
        return sum(1 for each in self.members if each.is_in for who in each.left if who in present)

    def forget(self) -> None:
        """What was said before is no longer looked at."""
        self.sent.clear()
        self.delays.clear()
        for each in self.members:
            each.heard.clear()
            each.told_left.clear()
            each.twice = 0
