"""The control connection over a real socket: one request each, one event stream, and what breaks them."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from mesh_common.client import blocking, protocol, session
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.frames import Lagged, read_frame
from mesh_common.client.session import open_session
from unit.frontend.fakes import FakeDaemon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def daemon_at_socket() -> AsyncIterator[tuple[FakeDaemon, Path]]:
    daemon = FakeDaemon()
    with tempfile.TemporaryDirectory(prefix="fe-") as folder:
        path = Path(folder) / "daemon.sock"
        async with trio.open_nursery() as nursery:
            await nursery.start(daemon.listen, path)
            yield daemon, path
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def something_at_socket(answer: bytes | None) -> AsyncIterator[Path]:
    """A program that is no daemon: it answers everything with the same bytes and closes, or says nothing."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(4096)
            if answer is None:
                await trio.sleep_forever()
            else:
                await stream.send_all(answer)

    with tempfile.TemporaryDirectory(prefix="fe-") as folder:
        path = Path(folder) / "daemon.sock"
        listener = trio.socket.socket(trio.socket.AF_UNIX)
        await listener.bind(str(path))
        listener.listen(8)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(listener)])
            yield path
            nursery.cancel_scope.cancel()


async def test_each_command_has_its_own_connection_and_carries_its_members() -> None:
    """FE-4.1."""
    async with daemon_at_socket() as (daemon, path):
        await session.command(path, "identity_set_label", label="Desk é")
        assert daemon.log == [{"op": "identity_set_label", "label": "Desk é"}]
        assert daemon.label == "Desk é"
        with pytest.raises(ControlError, match=r"^unknown network: nope$") as raised:
            await session.command(path, "peers_list", network="nope")
        assert raised.value.kind is ErrorKind.UNKNOWN_NETWORK


async def test_an_operation_that_the_daemon_lacks_is_told_apart() -> None:
    async with daemon_at_socket() as (_, path):
        with pytest.raises(ControlError) as raised:
            await session.command(path, "no_such_op")
        assert raised.value.kind is ErrorKind.UNSUPPORTED


async def test_nobody_there() -> None:
    """FE-4.2."""
    with pytest.raises(
        ControlError, match=r"connect daemon socket at /nonexistent.sock — is `myownmesh serve` running\?"
    ):
        await session.command(Path("/nonexistent.sock"), "status")
    assert await session.probe(Path("/nonexistent.sock")) is None


@pytest.mark.parametrize("answer", [b"", b"220 mail server\r\n", b"{}\n", b'{"ok":false,"error":"no"}\n', b"[1]\n"])
async def test_other_programs_on_the_socket_are_absent_daemons(answer: bytes) -> None:
    """FE-3.1, FE-12.15."""
    async with something_at_socket(answer) as path:
        assert await session.probe(path) is None


async def test_a_silent_program_costs_the_probe_800_ms_and_no_more(autojump_clock: Any) -> None:
    """FE-3.1, FE-12.14."""
    autojump_clock.autojump_threshold = 0.02
    async with something_at_socket(None) as path:
        began = trio.current_time()
        assert await session.probe(path) is None
        assert trio.current_time() - began == pytest.approx(0.8, abs=0.1)


async def test_an_answer_without_line_end_counts_when_the_daemon_closes() -> None:
    async with something_at_socket(b'{"ok":true,"data":{"version":"0.3.8"}}') as path:
        assert await session.probe(path) == {"version": "0.3.8"}


async def test_an_endless_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """FE-4.4."""
    monkeypatch.setattr(protocol.LineBuffer.__init__, "__defaults__", (1000,))
    async with something_at_socket(b"x" * 5000) as path:
        with pytest.raises(ControlError, match="no end"):
            await session.command(path, "status")


async def test_frames_reach_the_sink_in_order_also_those_before_it_was_there() -> None:
    """FE-4.6, FE-4.7."""
    async with daemon_at_socket() as (daemon, path), open_session(path, 1) as opened:
        assert opened.client_id == "c0"
        for n in range(3):
            await daemon.emit({"kind": "lagged", "skipped": n})
        await daemon.emit({"kind": "hologram"})
        await trio.testing.wait_all_tasks_blocked(0.02)
        seen: list[Any] = []
        opened.attach(seen.append)
        await daemon.emit({"kind": "lagged", "skipped": 3})
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert seen == [Lagged(n) for n in range(4)]


async def test_more_early_frames_than_fit_are_counted_not_kept() -> None:
    """FE-4.8."""
    async with daemon_at_socket() as (daemon, path), open_session(path, 1) as opened:
        for n in range(session.EARLY_FRAMES + 5):
            await daemon.emit({"kind": "channel_inbound", "network": "n", "from": "p", "channel": str(n)})
        await trio.testing.wait_all_tasks_blocked(0.02)
        seen: list[Any] = []
        opened.attach(seen.append)
        assert seen[0] == Lagged(5)
        assert len(seen) == session.EARLY_FRAMES + 1


async def test_a_lost_event_connection_fails_pending_commands_at_once() -> None:
    async with daemon_at_socket() as (daemon, path), open_session(path, 1) as opened:
        daemon.hang.add("networks_list")
        raised: list[ControlError] = []

        async def ask() -> None:
            with pytest.raises(ControlError) as caught:
                await opened.command("networks_list")
            raised.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.02)
            await daemon.drop_events()
        assert raised[0].kind is ErrorKind.CONNECTION_LOST
        assert opened.lost.is_set()
        with pytest.raises(ControlError, match="was lost"):
            await opened.command("status")


async def test_a_timeout_ends_only_its_own_connection(autojump_clock: Any) -> None:
    """FE-4.3."""
    autojump_clock.autojump_threshold = 0.02
    async with daemon_at_socket() as (daemon, path), open_session(path, 1) as opened:
        daemon.hang.add("networks_list")
        with pytest.raises(ControlError, match="daemon response timed out"):
            await opened.command("networks_list")
        assert not opened.lost.is_set()
        assert await opened.command("status")


async def test_a_rejected_subscription_says_so() -> None:
    """FE-4.6."""
    async with daemon_at_socket() as (daemon, path):
        daemon.refuse["events_subscribe"] = ["too many clients"]
        with pytest.raises(ControlError, match=r"^too many clients$"):
            async with open_session(path, 1):
                pass
        daemon.answer["events_subscribe"] = {"subscribed": True}
        with pytest.raises(ControlError, match="without a client id"):
            async with open_session(path, 1):
                pass


async def test_the_blocking_client_speaks_the_same() -> None:
    async with daemon_at_socket() as (daemon, path):
        ask = trio.to_thread.run_sync
        assert (await ask(blocking.request, path, "status"))["version"] == "0.3.8"  # type: ignore[index]  # it is JSON
        with pytest.raises(ControlError, match="unknown network: x"):
            await ask(lambda: blocking.request(path, "peers_list", network="x"))
        daemon.hang.add("networks_list")
        with pytest.raises(ControlError, match="timed out"):
            await ask(lambda: blocking.request(path, "networks_list", timeout=0.05))
        with pytest.raises(ControlError, match="is `myownmesh serve` running"):
            await ask(blocking.request, path.with_name("none"), "status")

        with blocking.Connection(path, 5) as events:
            await ask(events.subscribe)
            await daemon.emit({"kind": "nonsense"})
            await daemon.emit({"kind": "lagged", "skipped": 2})
            assert [read_frame(await ask(events.receive)) for _ in range(2)] == [None, Lagged(2)]
            events.timeout = 0.01
            with pytest.raises(ControlError, match="timed out"):
                await ask(events.receive)
