"""The embedder's factory: plain trio, the loop in a helper thread."""

from __future__ import annotations

import threading

import pytest
import trio

from integration.transport.pairs import Pair
from myownmesh.engine.links import ChannelClosed, LocalDescription
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.transport import SessionNotOpen, open_threaded_factory

LIMIT_SECONDS = 20.0


def helper_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "myownmesh-transport"]


async def test_two_sessions_meet_and_every_callback_is_on_trios_thread() -> None:
    with trio.fail_after(LIMIT_SECONDS):
        async with open_threaded_factory() as factory:
            assert len(helper_threads()) == 1
            pair = Pair(factory)
            seen: set[int] = set()
            pair.b.on_frame = lambda data: seen.add(threading.get_ident())
            await pair.connect()
            await pair.check_traffic()
            frames = [bytes([n]) * size for n, size in enumerate((1, 20_000, MAX_FRAME_BYTES))] * 20
            pair.b.frames.clear()
            for frame in frames:
                pair.a.session.send(frame)
            await pair.b.frames_until(len(frames))
            assert pair.b.frames == frames
            assert seen == {threading.get_ident()}
    assert not helper_threads()


async def test_restart_and_close() -> None:
    with trio.fail_after(LIMIT_SECONDS):
        async with open_threaded_factory() as factory:
            pair = Pair(factory)
            await pair.connect()
            pair.a.session.make_offer(restart=True)
            await pair.a.event(LocalDescription, count=2)
            await pair.check_traffic()
            events = len(pair.a.events)
            pair.a.session.close()
            await pair.b.event(ChannelClosed)
            assert len(pair.a.events) == events
            for end in (pair.a, pair.b):
                with pytest.raises(SessionNotOpen):
                    end.session.send(b"late")


async def test_backlog_and_drain() -> None:
    with trio.fail_after(LIMIT_SECONDS):
        async with open_threaded_factory() as factory:
            pair = Pair(factory)
            await pair.connect()
            for _ in range(30):
                pair.a.session.send(bytes(60_000))
            assert pair.a.session.buffered_bytes > 1_000_000
            drained = trio.Event()
            pair.a.session.when_drained(drained.set)
            await drained.wait()
            assert pair.a.session.buffered_bytes <= 65_536
            with pytest.raises(ValueError, match="frame of 0 bytes"):
                pair.a.session.send(b"")


async def test_sessions_left_open_are_closed_with_the_block() -> None:
    with trio.fail_after(LIMIT_SECONDS):
        async with open_threaded_factory() as other:
            async with open_threaded_factory() as factory:
                pair = Pair(factory)
                third = Pair(other)
                await pair.connect()
                await third.connect()
            with pytest.raises(SessionNotOpen):
                pair.a.session.send(b"late")
            await third.check_traffic()
    assert not helper_threads()


async def test_cancelled_block_leaves_no_thread() -> None:
    with trio.move_on_after(0.5):
        async with open_threaded_factory() as factory:
            pair = Pair(factory)
            await pair.connect()
            await trio.sleep_forever()
    assert not helper_threads()


async def test_an_error_in_a_callback_is_logged_and_the_others_are_made(caplog: pytest.LogCaptureFixture) -> None:
    with trio.fail_after(LIMIT_SECONDS):
        async with open_threaded_factory() as factory:
            pair = Pair(factory)
            await pair.connect()
            pair.b.on_frame = lambda data: 1 // 0
            pair.a.session.send(b"one")
            pair.a.session.send(b"two")
            await pair.b.until(lambda: len(pair.b.frames) == 2, "both frames", 2.0)
    assert caplog.text.count("ZeroDivisionError") == 2
