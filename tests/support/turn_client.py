"""A TURN client of one five-tuple: it signs what it asks, and asks again when nothing comes (RFC 8656)."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Final

from myownmesh.turn import stun
from myownmesh.turn.credentials import long_term_key
from support.devices import PATIENCE_S

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

UDP: Final = (stun.A_TRANSPORT, bytes((17, 0, 0, 0)))
AGAIN_S: Final = 0.1
"""Until a question that may be lost, or was one too many of its prefix, is sent again."""
TOGETHER: Final = 64
"""Questions under way; more would be lost in front of a server that is busy."""


class TurnClient:
    """Over a connected UDP socket, which is the caller's."""

    _transactions = (number.to_bytes(12) for number in itertools.count(1))

    def __init__(self, sock: socket.socket, user: str = "guest", password: str = "theguestpassword") -> None:
        self.socket = sock
        sock.settimeout(AGAIN_S)
        self._user, self._password = user, password
        self._signed_by: list[tuple[int, bytes]] = []
        self._key = b""
        self._asked = b""
        self.relayed: tuple[str, int] | None = None
        """Its address at the server, once there is one."""

    def allocate(self) -> int | None:
        """The code of the refusal, or None."""
        [code] = allocate_all([self])
        return code

    def permit(self, ip: str) -> int | None:
        """The code of the refusal, or None."""
        transaction = next(self._transactions)
        self._ask_signed(stun.CREATE_PERMISSION, transaction, _peer(ip, 9, transaction))
        return _code(self._answer())

    def bind(self, number: int, peer: tuple[str, int]) -> int | None:
        """The code of the refusal, or None: the channel goes to the peer from now on."""
        transaction = next(self._transactions)
        channel = (stun.A_CHANNEL, number.to_bytes(2) + bytes(2))
        self._ask_signed(stun.CHANNEL_BIND, transaction, channel, _peer(*peer, transaction))
        return _code(self._answer())

    def ask_for_a_nonce(self) -> None:
        """`take_the_nonce` must follow."""
        self._ask(stun.encode(stun.ALLOCATE, next(self._transactions), [UDP]))

    def take_the_nonce(self) -> None:
        challenge = self._answer()
        nonce, realm = challenge.get(stun.A_NONCE), challenge.get(stun.A_REALM)
        assert nonce is not None
        assert realm is not None
        self._signed_by = [(stun.A_USERNAME, self._user.encode()), (stun.A_REALM, realm), (stun.A_NONCE, nonce)]
        self._key = long_term_key(self._user, realm.decode(), self._password)

    def ask_for_an_allocation(self) -> None:
        """`take_the_allocation` must follow."""
        self._ask_signed(stun.ALLOCATE, next(self._transactions), UDP)

    def take_the_allocation(self) -> int | None:
        """The code of the refusal, or None."""
        answer = self._answer()
        self.relayed = stun.read_address(answer.get(stun.A_RELAYED) or b"", answer.transaction)
        return _code(answer)

    def _ask_signed(self, method: int, transaction: bytes, *attributes: tuple[int, bytes]) -> None:
        self._ask(stun.encode(method, transaction, [*attributes, *self._signed_by], key=self._key))

    def _ask(self, request: bytes) -> None:
        self._asked = request
        self.socket.send(request)

    def _answer(self) -> stun.Message:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                answer = stun.decode(self.socket.recv(2000))
            except TimeoutError:
                self.socket.send(self._asked)
            else:
                if answer is not None and answer.transaction == self._asked[8:20]:
                    return answer
        raise AssertionError("the server does not answer")


def allocate_all(clients: Sequence[TurnClient]) -> list[int | None]:
    """An allocation for each, asked for together; the code of each one's refusal, or None."""
    codes: list[int | None] = []
    for at in range(0, len(clients), TOGETHER):
        some = clients[at : at + TOGETHER]
        for client in some:
            client.ask_for_a_nonce()
        for client in some:
            client.take_the_nonce()
        for client in some:
            client.ask_for_an_allocation()
        codes += [client.take_the_allocation() for client in some]
    return codes


def _peer(ip: str, port: int, transaction: bytes) -> tuple[int, bytes]:
    return stun.A_PEER, stun.xor_address(ip, port, transaction)


def _code(answer: stun.Message) -> int | None:
    error = answer.get(stun.A_ERROR)
    return None if error is None else error[2] * 100 + error[3]
