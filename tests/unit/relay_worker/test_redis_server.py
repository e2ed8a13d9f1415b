"""The words of a relay's bus in the relay's loop, with a scripted server at the other end."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from coredis.exceptions import RedisError, ResponseError
from coredis.parser import Parser

from myownmesh.relay_worker import redis_server
from myownmesh.relay_worker.redis_server import Server, TooLong, Wire
from myownmesh.worker.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bench:
    def __init__(self) -> None:
        self.loop = Loop()
        mine, self.theirs = socket.socketpair()
        mine.setblocking(False)
        self.theirs.setblocking(False)
        self.heard: list[bytes] = []
        self.broken: list[BaseException | str] = []
        self.answers: list[Any] = []
        self.now = 0.0
        self.server = Server(Wire(mine), self.loop, self.heard.append, self.broken.append, lambda: self.now)

    def close(self) -> None:
        self.server.close()
        self.theirs.close()
        self.loop.close()

    def runs(self, *said: bytes) -> None:
        """What the server says, piece by piece, is read."""
        for each in said:
            self.theirs.sendall(each)
            self.turns()

    def turns(self) -> None:
        end = time.monotonic() + 0.01
        self.loop.run(lambda _now: self.loop.end() if time.monotonic() > end else None, lambda: 0.005)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def message(data: bytes) -> bytes:
    return b">4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n$%d\r\n%b\r\n" % (len(data), data)


def test_answers_come_in_order_and_what_others_publish_between_them(bench: Bench) -> None:
    for command in (b"SUBSCRIBE", b"GET", b"XADD"):
        bench.server.ask(bench.answers.append, command, "c", 1)
    assert bench.server.due() == redis_server.LIMIT_S
    bench.server.flush()
    assert bench.theirs.recv(100).startswith(b"*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n$1\r\n1\r\n*3")
    bench.runs(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n" + message(b"one")[:20], message(b"one")[20:])
    bench.runs(b"$3\r\nyes\r\n" + message(b"two") + b"-NOPERM no\r\n")
    subscribed, answer, refused = bench.answers
    assert (subscribed[0], answer) == (b"subscribe", b"yes")
    assert isinstance(refused, RedisError)
    assert bench.heard == [b"one", b"two"]
    assert bench.server.due() is None
    assert not bench.broken


def test_messages_are_heard_once_wherever_they_are_cut(bench: Bench) -> None:
    said = message(b"one") + message(b"\r\n") + message(b"three")
    for cut in range(len(said)):
        bench.server.ask(bench.answers.append, b"PING")
        bench.runs(said[:cut], said[cut:] + b"+PONG\r\n")
        assert bench.heard == [b"one", b"\r\n", b"three"], cut
        assert bench.answers.pop() == b"PONG"
        bench.heard.clear()


def test_a_channel_whose_name_looks_like_a_message_is_a_name(bench: Bench) -> None:
    name = b"c\r\n$5\r\nhello\r\n"
    words = b">4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$%d\r\n%b\r\n$3\r\nyes\r\n" % (len(name), name)
    bench.runs(words + message(b"and"))
    assert bench.heard == [b"yes", b"and"]


def test_what_is_only_told_is_not_answered_and_what_is_asked_then_is(bench: Bench) -> None:
    server = bench.server
    for number in range(2):
        server.tell_packed(b"TELL %d;" % number)
    assert server.due() is None
    server.ask_packed(bench.answers.append, b"ASK;")
    server.tell_packed(b"TELL AGAIN;")
    server.flush()
    off, on = (redis_server.packed(b"CLIENT", b"REPLY", word) for word in (b"OFF", b"ON"))
    assert bench.theirs.recv(1000) == off + b"TELL 0;TELL 1;" + on + b"ASK;" + off + b"TELL AGAIN;"
    bench.runs(b"+OK\r\n" + message(b"heard") + b":1\r\n")
    assert (bench.answers, bench.heard, server.due()) == ([1], [b"heard"], None)


def test_a_server_is_late_only_if_it_says_nothing_while_it_owes_an_answer(bench: Bench) -> None:
    server = bench.server
    server.ask_packed(bench.answers.append, b"ASK;")
    server.flush()
    bench.now = redis_server.LIMIT_S - 1
    bench.runs(message(b"much"))
    bench.now = redis_server.LIMIT_S
    assert not server.is_late(), "it is alive, and what others say may stand before the answer"
    bench.now = 2 * redis_server.LIMIT_S
    bench.theirs.sendall(message(b"more"))
    assert not server.is_late(), "nobody has looked"
    assert bench.heard == [b"much", b"more"]
    bench.now = 3 * redis_server.LIMIT_S
    assert server.is_late()
    bench.theirs.close()
    assert not server.is_late(), "it has hung up"
    assert len(bench.broken) == 1


def test_an_answer_that_is_longer_than_any_of_ours_ends_the_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server, "ANSWER_BYTES", 1000)
    bench.runs(*(message(bytes(900)) for _ in range(3)))
    assert bench.heard == [bytes(900)] * 3
    bench.runs(b"*1000\r\n" + b":1\r\n" * 300)
    (why,) = bench.broken
    assert isinstance(why, TooLong)
    assert not bench.server.is_open


def test_what_was_read_is_not_kept_also_if_something_always_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = Parser()
    monkeypatch.setattr(redis_server, "Parser", lambda: parser)
    bench = Bench()
    monkeypatch.setattr(redis_server, "READ_MOST", 1000)
    text = message(bytes(400))
    for number in range(20):
        bench.runs(text[5:] + text[:5] if number else text + text[:5])
    assert bench.heard == [bytes(400)] * 20
    assert len(parser.localbuffer.getvalue()) < 3000
    bench.close()


@pytest.mark.parametrize("said", [b"*1\r\nwhat\r\n", b"HTTP/1.1 400\r\n", b"*x\r\n"])
def test_whoever_speaks_something_else_is_parted_from(bench: Bench, said: bytes) -> None:
    bench.runs(said)
    assert len(bench.broken) == 1


def test_one_that_hangs_up_or_takes_no_more(bench: Bench) -> None:
    bench.server.ask(bench.answers.append, b"SET", bytes(2**20))
    bench.server.flush()
    read = 0
    while read < 2**20:
        read += len(bench.theirs.recv(2**16))
        bench.turns()
    bench.theirs.close()
    bench.turns()
    assert len(bench.broken) == 1
    bench.server.flush()
    assert not isinstance(bench.broken[0], ResponseError)
