"""trio as a guest: results, errors, signals, and wake-ups from the loop's callbacks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from functools import partial
from typing import Any

import pytest
import trio
import trio.lowlevel

from myownmesh.transport import run_guest

LIMIT_SECONDS = 10.0


def run(async_fn: Any, *args: Any) -> Any:
    async def bounded() -> Any:
        with trio.fail_after(LIMIT_SECONDS):
            return await async_fn(*args)

    return run_guest(bounded)


def test_arguments_go_in_and_the_result_comes_out() -> None:
    async def main(a: int, b: int) -> int:
        await trio.lowlevel.checkpoint()
        return a + b

    assert run(main, 2, 3) == 5


def test_an_error_comes_out_as_it_is() -> None:
    async def main() -> None:
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"):
        run(main)


def test_it_can_run_again_and_leaves_no_loop_behind() -> None:
    async def main() -> Any:
        return asyncio.get_running_loop()

    first, second = run(main), run(main)
    assert first is not second
    assert first.is_closed()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_event_set_in_a_callback_of_the_loop_wakes_trio() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        event = trio.Event()
        started = trio.current_time()
        loop.call_later(0.02, event.set)
        await event.wait()
        return trio.current_time() - started

    assert 0.01 < run(main) < 1.0


def test_items_sent_from_callbacks_arrive_in_order() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        send, receive = trio.open_memory_channel[int](100)
        for n in range(50):
            loop.call_soon(send.send_nowait, n)
        with receive:
            return [await receive.receive() for _ in range(50)]

    assert run(main) == list(range(50))


def test_item_sent_while_trio_is_blocked_in_a_long_wait_arrives_at_once() -> None:
    """The guest must be woken although its own next deadline is far away."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        send, receive = trio.open_memory_channel[str](1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 3600)
            await trio.sleep(0.05)
            started = trio.current_time()
            loop.call_later(0.01, send.send_nowait, "now")
            assert await receive.receive() == "now"
            nursery.cancel_scope.cancel()
            return trio.current_time() - started

    assert run(main) < 1.0


def test_a_callback_may_cancel_a_scope() -> None:
    async def main() -> bool:
        scope = trio.CancelScope()
        asyncio.get_running_loop().call_later(0.01, scope.cancel)
        with scope:
            await trio.sleep_forever()
        return scope.cancelled_caught

    assert run(main)


def test_deadlines_and_threads_of_trio_work() -> None:
    async def main() -> str:
        with trio.move_on_after(0.01):
            await trio.sleep_forever()
        return await trio.to_thread.run_sync(lambda: threading.current_thread().name)

    assert run(main) != threading.current_thread().name


def test_tasks_of_the_loop_may_finish_after_the_main_function() -> None:
    finished = []
    kept: list[asyncio.Task[None]] = []

    async def slow() -> None:
        await asyncio.sleep(0.05)
        finished.append(True)

    async def main() -> None:
        kept.append(asyncio.ensure_future(slow()))

    run(main)
    assert finished == [True]


def test_a_bug_in_a_callback_is_logged_and_everything_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        event = trio.Event()
        loop.call_soon(lambda: 1 // 0)
        loop.call_soon(event.set)
        await event.wait()
        return "alive"

    assert run(main) == "alive"
    assert "ZeroDivisionError" in caplog.text


def script(text: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text)]


def test_signals_reach_trios_receiver() -> None:
    async def main() -> int:
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            asyncio.get_running_loop().call_later(0.02, partial(os.kill, os.getpid(), signal.SIGTERM))
            async for number in signals:
                return number
        return 0

    assert run(main) == signal.SIGTERM


@pytest.mark.heavy
def test_keyboard_interrupt_ends_the_run_with_cleanup() -> None:
    program = """
        import os, signal, threading, trio
        from myownmesh.transport import run_guest
        async def main():
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                await trio.sleep(30)
            finally:
                print("cleaned", flush=True)
        try:
            run_guest(main)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """
    done = subprocess.run(script(program), capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.split() == ["cleaned", "interrupted"], done.stderr


@pytest.mark.heavy
def test_the_package_imports_neither_trio_nor_webrtc_and_the_runner_no_webrtc() -> None:
    program = """
        import sys, myownmesh.transport as transport
        heavy = {"trio", "asyncio", "uvloop", "aiortc", "aioice", "OpenSSL", "cryptography"}
        print(sorted(heavy & set(sys.modules)))
        transport.run_guest
        transport.load_webrtc
        print(sorted(heavy & set(sys.modules) - {"trio", "asyncio", "uvloop"}))
        """
    done = subprocess.run(script(program), capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]


@pytest.mark.heavy
def test_a_daemon_without_networks_answers_before_it_loads_an_engine() -> None:
    program = """
        import sys, myownmesh.daemon.node
        later = {"myownmesh.engine.core", "myownmesh.mesh.switch", "myownmesh.signaling.client", "trio_websocket"}
        print(sorted(later & set(sys.modules)))
        from myownmesh.engine import Engine, EngineConfig, EngineError
        print(sorted(later & set(sys.modules)), Engine.__module__, EngineError.__module__)
        """
    done = subprocess.run(script(program), capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.splitlines() == [
        "[]",
        "['myownmesh.engine.core'] myownmesh.engine.engine myownmesh.engine.errors",
    ]


@pytest.mark.heavy
def test_webrtc_is_loaded_without_media_and_dns_while_the_program_goes_on() -> None:
    program = """
        import sys, trio
        from myownmesh.transport import load_webrtc, run_guest
        turns = 0
        async def count():
            global turns
            while True:
                await trio.sleep(0.001)
                turns += 1
        async def main():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(count)
                factory = await load_webrtc()
                await factory.aclose()
                nursery.cancel_scope.cancel()
        run_guest(main)
        print(turns > 5, [name for name in ("av", "dns", "pylibsrtp") if name in sys.modules])
        """
    done = subprocess.run(script(program), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "True []"


@pytest.mark.heavy
def test_an_application_may_import_all_of_aiortc_afterwards() -> None:
    program = """
        import sys
        from myownmesh.transport.loading import import_backend
        import_backend()
        assert "aiortc" not in sys.modules and "av" not in sys.modules
        import aiortc, av
        assert aiortc.VideoStreamTrack and aiortc.mediastreams.VideoFrame is av.VideoFrame
        assert aiortc.RTCSctpTransport is sys.modules["aiortc.rtcsctptransport"].RTCSctpTransport
        assert aiortc.RTCCertificate.generateCertificate().getFingerprints()
        print("whole")
        """
    done = subprocess.run(script(program), capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "whole", done.stderr
