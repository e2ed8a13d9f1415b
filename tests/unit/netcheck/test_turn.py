"""Asking a TURN server for an address, and one socket for many servers: what others may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from myownmesh.netcheck.asking import Refused, datagrams, over_stream
from myownmesh.netcheck.turn import lend
from myownmesh.turn import stun
from myownmesh.turn.credentials import long_term_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.turn.stun import Message

KEY = long_term_key("user", "realm", "word")
NONCE = (stun.A_NONCE, b"nonce")
REALM = (stun.A_REALM, b"realm")
LENT = ("203.0.113.1", 50_000)


class Server:
    """Answers one request after the other with what a test says; None grants it."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)
        self.asked: list[Message] = []

    async def __call__(
        self, kind: int, attributes: Sequence[tuple[int, bytes]] = (), *, key: bytes | None = None
    ) -> tuple[Message, float]:
        transaction = bytes([len(self.asked)]) * 12
        request = stun.decode(stun.encode(kind, transaction, list(attributes), key=key))
        assert request is not None
        self.asked.append(request)
        code = self.answers.pop(0) if self.answers else None
        granted = [(stun.A_RELAYED, stun.xor_address(*LENT, transaction))]
        told = granted if code is None else [stun.error(code), REALM, NONCE]
        answer = stun.decode(stun.encode(kind | (stun.SUCCESS if code is None else stun.ERROR), transaction, told))
        assert answer is not None
        return answer, 1.0


async def test_an_address_is_lent_and_given_back() -> None:
    server = Server(401)
    assert await lend(server, "user", "word") == LENT
    assert [request.kind for request in server.asked] == [stun.ALLOCATE, stun.ALLOCATE, stun.REFRESH]
    first, *signed = server.asked
    assert first.get(stun.A_USERNAME) is None
    assert all(request.is_signed_with(KEY) for request in signed)
    assert server.asked[-1].get(stun.A_LIFETIME) == bytes(4)


async def test_a_nonce_may_become_stale_once() -> None:
    assert await lend(Server(401, 438), "user", "word") == LENT
    with pytest.raises(Refused, match="stale"):
        await lend(Server(*[438] * 9), "user", "word")


@pytest.mark.parametrize(
    ("answers", "who", "reason"),
    [
        ((401, 401), ("user", "wrong"), "does not know this user name and password"),
        ((401,), (None, None), "none are configured"),
        ((401, 486), ("user", "word"), "all the addresses that it may have"),
        ((403,), ("user", "word"), "forbids"),
        ((300,), ("user", "word"), "error 300"),
        ((799,), ("user", "word"), "error 799"),
    ],
)
async def test_what_a_server_refuses_is_said(answers: Any, who: Any, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        await lend(Server(*answers), *who)


async def test_a_datagram_that_is_lost_is_sent_again_and_only_the_asked_server_answers() -> None:
    with (
        trio.socket.socket(type=trio.socket.SOCK_DGRAM) as server,
        trio.socket.socket(type=trio.socket.SOCK_DGRAM) as liar,
    ):
        for each in (server, liar):
            await each.bind(("127.0.0.1", 0))

        async def serve() -> None:
            await server.recvfrom(2000)  # the first one is lost
            data, client = await server.recvfrom(2000)
            message = stun.decode(data)
            assert message is not None
            for noise in (b"", b"\0" * 20, data[:19], b"\xff" * 40):
                await server.sendto(noise, client)
            answers = [
                stun.encode(
                    stun.BINDING | stun.SUCCESS,
                    message.transaction,
                    [(stun.A_MAPPED, stun.xor_address(*seen, message.transaction))],
                )
                for seen in (("192.0.2.1", 1), ("127.0.0.1", client[1]))
            ]
            await liar.sendto(answers[0], client)
            await server.sendto(stun.encode(stun.BINDING | stun.SUCCESS, bytes(12), []), client)
            await server.sendto(answers[1], client)

        async with trio.open_nursery() as nursery, datagrams(trio.socket.AF_INET) as socket:
            nursery.start_soon(serve)
            answer, took_ms = await socket.of(server.getsockname())(stun.BINDING)
            value = answer.get(stun.A_MAPPED)
            assert value is not None
            assert stun.read_address(value, answer.transaction) == ("127.0.0.1", socket.port)
            assert took_ms >= 0


async def test_a_stream_of_anything_is_no_answer() -> None:
    for said, reason in ((b"\xc0\xff\xff\xff", "broke the connection"), (b"", "closed the connection")):
        here, there = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_say, there, said)
            with pytest.raises(Refused, match=reason):
                await over_stream(here)(stun.ALLOCATE)


async def _say(stream: trio.StapledStream[Any, Any], said: bytes) -> None:
    await stream.receive_some()
    await stream.send_all(said)
    await stream.aclose()
