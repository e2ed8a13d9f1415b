"""A TURN server with ports that are numbers, and clients that sign: tests read as conversations."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from myownmesh.protocol.clock import Instant
from myownmesh.turn import stun
from myownmesh.turn.credentials import limited_password, long_term_key
from myownmesh.turn.server import TurnServer
from myownmesh.turn.table import Settings

if TYPE_CHECKING:
    from myownmesh.turn.binding import BindingServer
    from myownmesh.turn.limits import Limits

PUBLIC_IP = "203.0.113.7"
REALM = "myownmesh"
PASSWORDS = {"guest": "theguestpassword", "alice": "s3cret"}
SECRET = "north"
WALL_MS = 1_700_000_000_000
PEER = ("198.51.100.9", 7000)


class ToPeer(NamedTuple):
    """From a relay port to a peer."""

    port: int
    data: bytes
    address: tuple[object, ...]


class ToClient(NamedTuple):
    """To the client whose port it is: it came from another allocation."""

    port: int
    data: bytes


Output = bytes | ToPeer | ToClient | None
"""Bytes are an answer to whoever spoke."""


class Ports:
    """Ports by number, `most` of them."""

    def __init__(self, first: int = 50000, most: int = 5000) -> None:
        self.open_ports: set[int] = set()
        self._range = range(first, first + most)

    def open(self, client: tuple[object, ...], *, even: bool) -> int | None:
        for port in self._range:
            if port not in self.open_ports and not (even and port % 2):
                self.open_ports.add(port)
                return port
        return None

    def close(self, port: int) -> None:
        self.open_ports.remove(port)


class Stage:
    """One server and the time."""

    def __init__(self, limits: Limits | None = None, *, ports: Ports | None = None, **settings: object) -> None:
        self.mono = 1000.0
        self.ports = ports or Ports()
        values = {"public_ip": PUBLIC_IP, "realm": REALM, "passwords": PASSWORDS, "secret": SECRET} | settings
        self.server = TurnServer(Settings(**values), self.ports, b"key of the nonces", limits)  # type: ignore[arg-type]  # names and types are those of the settings
        self.transactions = (number.to_bytes(12) for number in itertools.count(1))

    @property
    def now(self) -> Instant:
        return Instant(self.mono, WALL_MS + round((self.mono - 1000) * 1000))

    def client(self, ip: str = "192.0.2.1", port: int = 4000, **who: str) -> Client:
        return Client(self, ip, port, **who)

    def from_peer(self, port: int, data: bytes, address: tuple[str, int] = PEER) -> bytes | None:
        return self.server.from_peer(port, data, address, self.mono)


class Client:
    """One five-tuple; asks for a nonce when it has none."""

    def __init__(
        self, stage: Stage, ip: str, port: int, username: str = "guest", password: str | None = None, realm: str = REALM
    ) -> None:
        self.stage = stage
        self.address = (ip, port)
        self._username = username
        known = PASSWORDS.get(username)
        self.key = long_term_key(username, realm, password or known or limited_password(SECRET, username))
        self.nonce: bytes | None = None

    def says(self, data: bytes) -> Output:
        return output(self.stage.server, self.address, data, self.stage.now)

    def asks(self, method: int, *attributes: tuple[int, bytes], transaction: bytes | None = None) -> stun.Message:
        """The answer to a signed request."""
        if self.nonce is None:
            challenge = self.answer_to(stun.encode(stun.ALLOCATE, next(self.stage.transactions), []))
            self.nonce = challenge.get(stun.A_NONCE)
            assert self.nonce is not None
        return self.answer_to(self.signed(method, *attributes, transaction=transaction))

    def signed(self, method: int, *attributes: tuple[int, bytes], transaction: bytes | None = None) -> bytes:
        mine = [(stun.A_USERNAME, self._username.encode()), (stun.A_REALM, REALM.encode())]
        mine.append((stun.A_NONCE, self.nonce or b""))
        return stun.encode(method, transaction or next(self.stage.transactions), [*attributes, *mine], key=self.key)

    def answer_to(self, request: bytes) -> stun.Message:
        answer = self.says(request)
        assert isinstance(answer, bytes), answer
        message = stun.decode(answer)
        assert message is not None
        return message

    def allocates(self, *attributes: tuple[int, bytes]) -> int:
        """The port of a new allocation."""
        answer = self.asks(stun.ALLOCATE, UDP, *attributes)
        assert code(answer) is None, code(answer)
        relayed = stun.read_address(answer.get(stun.A_RELAYED) or b"", answer.transaction)
        assert relayed is not None
        assert relayed[0] == PUBLIC_IP
        return relayed[1]

    def permits(self, *ips: str) -> int | None:
        """Error code, or None."""
        transaction = next(self.stage.transactions)
        peers = [peer(ip, 9, transaction) for ip in ips]
        return code(self.asks(stun.CREATE_PERMISSION, *peers, transaction=transaction))

    def binds(self, number: int, ip: str = PEER[0], port: int = PEER[1]) -> int | None:
        """Error code, or None."""
        transaction = next(self.stage.transactions)
        channel = (stun.A_CHANNEL, number.to_bytes(2) + bytes(2))
        return code(self.asks(stun.CHANNEL_BIND, channel, peer(ip, port, transaction), transaction=transaction))

    def refreshes(self, lifetime_s: int) -> int | None:
        """Error code, or None."""
        return code(self.asks(stun.REFRESH, (stun.A_LIFETIME, lifetime_s.to_bytes(4))))

    def sends(self, data: bytes, ip: str = PEER[0], port: int = PEER[1]) -> Output:
        """By an indication."""
        transaction = next(self.stage.transactions)
        attributes = [peer(ip, port, transaction), (stun.A_DATA, data)]
        return self.says(stun.encode(stun.SEND | stun.INDICATION, transaction, attributes))

    def sends_on(self, number: int, data: bytes) -> Output:
        return self.says(channel_data(number, data))


def output(server: TurnServer | BindingServer, client: tuple[object, ...], data: bytes, now: Instant) -> Output:
    """What follows from one datagram."""
    parcel = server.from_client(data, client, now)
    if parcel is None:
        return None
    port, sent, to = parcel
    if port:
        return ToClient(port, sent) if to is None else ToPeer(port, sent, to)
    assert to == client
    return sent


UDP = (stun.A_TRANSPORT, bytes((17, 0, 0, 0)))


def peer(ip: str, port: int, transaction: bytes) -> tuple[int, bytes]:
    return stun.A_PEER, stun.xor_address(ip, port, transaction)


def channel_data(number: int, data: bytes) -> bytes:
    return number.to_bytes(2) + len(data).to_bytes(2) + data


def code(answer: stun.Message) -> int | None:
    value = answer.get(stun.A_ERROR)
    return None if value is None else value[2] * 100 + value[3]


def reaches(what: Output) -> bool:
    """Whether anything is relayed."""
    return isinstance(what, ToPeer | ToClient)
