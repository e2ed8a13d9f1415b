"""How a silent, dead or resumed path is told apart, with the clock of the product shortened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from integration.transport.pairs import Pair, guest_test
from myownmesh.engine.links import ChannelClosed, ChannelOpened, LocalDescription, PathChanged, PathState, SdpType
from myownmesh.transport.addresses import HostAddresses, LocalAddress
from myownmesh.transport.lean_imports import data_channels_only
from myownmesh.transport.udp import UdpSocket

with data_channels_only():
    from myownmesh.transport import aiortc_factory, paths

if TYPE_CHECKING:
    from integration.transport.pairs import End
    from myownmesh.transport.session import SessionFactory


CLOCK_SLACK_S = 0.05
"""Between a packet that leaves and the loop that takes it, and between trio's clock and the loop's."""


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty times faster: probe after 0.1 s, Disconnected after 0.2 s, Failed after 1.5 s."""
    monkeypatch.setattr(aiortc_factory, "TICK_SECONDS", 0.025)
    monkeypatch.setattr(aiortc_factory, "FROZEN_SECONDS", 0.3)
    for name in ("PROBE_AFTER_SECONDS", "PROBE_EVERY_SECONDS", "DISCONNECTED_SECONDS", "FAILED_SECONDS"):
        monkeypatch.setattr(paths, name, getattr(paths, name) / 20)


class Cable:
    """Cuts what the sessions of this process send."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cut = False
        self.sent = 0
        self.carried_at = 0.0
        """When the last packet came through, by trio's clock."""
        original = UdpSocket.sendto

        def sendto(socket: UdpSocket, data: bytes, address: tuple[str, int]) -> None:
            self.sent += 1
            if not self.cut:
                self.carried_at = trio.current_time()
                original(socket, data, address)

        monkeypatch.setattr(UdpSocket, "sendto", sendto)


@pytest.fixture
def cable(monkeypatch: pytest.MonkeyPatch) -> Cable:
    return Cable(monkeypatch)


def states(end: End) -> list[PathState]:
    return [change.state for change in end.all(PathChanged)]


@pytest.mark.usefixtures("fast")
@guest_test
async def test_a_quiet_link_stays_connected_with_few_packets(factory: SessionFactory, cable: Cable) -> None:
    pair = Pair(factory)
    await pair.connect()
    await trio.sleep(0.1)
    before = cable.sent
    await trio.sleep(1.0)
    assert states(pair.a) == states(pair.b) == [PathState.CHECKING, PathState.CONNECTED]
    assert cable.sent - before <= 24  # a request and its answer per 0.1 s of silence


@pytest.mark.usefixtures("fast")
@guest_test
async def test_a_cut_path_is_disconnected_and_recovers_by_itself(factory: SessionFactory, cable: Cable) -> None:
    pair = Pair(factory)
    await pair.connect()
    cable.cut = True
    cut_at = trio.current_time()
    for end in (pair.a, pair.b):
        await end.until(lambda end=end: end.path is PathState.DISCONNECTED, "Disconnected")  # type: ignore[misc]  # its default has no type
    now = trio.current_time()
    assert now - cable.carried_at > paths.DISCONNECTED_SECONDS - CLOCK_SLACK_S, "silence counts from the last packet"
    assert now - cut_at < 1.0
    pair.a.session.send(b"sent into the hole")
    cable.cut = False
    for end in (pair.a, pair.b):
        await end.until(lambda end=end: end.path is PathState.CONNECTED, "Connected")  # type: ignore[misc]  # its default has no type
    await pair.b.frames_until(1)
    await pair.check_traffic()
    assert not pair.a.all(ChannelClosed)


@pytest.mark.usefixtures("fast")
@guest_test
async def test_a_dead_path_fails_but_does_not_close_the_channel(factory: SessionFactory, cable: Cable) -> None:
    pair = Pair(factory)
    await pair.connect()
    cable.cut = True
    await pair.a.until(lambda: pair.a.path is PathState.FAILED, "Failed")
    assert states(pair.a)[-2:] == [PathState.DISCONNECTED, PathState.FAILED]
    assert not pair.a.all(ChannelClosed)
    cable.cut = False
    pair.a.session.make_offer(restart=True)
    await pair.a.until(lambda: pair.a.path is PathState.CONNECTED, "the restarted path")
    await pair.check_traffic()
    pair.a.one(ChannelOpened)


@pytest.mark.usefixtures("fast")
@guest_test
async def test_an_unanswered_restart_fails_and_can_be_repeated(factory: SessionFactory, cable: Cable) -> None:
    pair = Pair(factory)
    await pair.connect()
    pair.mangle = lambda sender, kind, text: None
    pair.a.session.make_offer(restart=True)
    await pair.a.until(lambda: pair.a.path is PathState.CHECKING, "Checking")
    await pair.check_traffic()  # the old path still carries
    await pair.a.until(lambda: pair.a.path is PathState.FAILED, "Failed")
    await pair.check_traffic()
    pair.mangle = None
    pair.a.session.make_offer(restart=True)
    await pair.a.until(lambda: pair.a.path is PathState.CONNECTED, "the restarted path")
    await pair.check_traffic()
    assert len({event.sdp for event in pair.a.all(LocalDescription)}) == 3


@pytest.mark.usefixtures("fast")
@guest_test
async def test_a_first_attempt_without_a_path_fails(factory: SessionFactory, cable: Cable) -> None:
    pair = Pair(factory)
    cable.cut = True
    pair.a.session.make_offer()
    for end in (pair.a, pair.b):
        await end.until(lambda end=end: end.path is PathState.FAILED, "Failed")  # type: ignore[misc]  # its default has no type
        assert states(end) == [PathState.CHECKING, PathState.FAILED]


@pytest.mark.usefixtures("fast")
@guest_test
async def test_silence_while_this_process_slept_blames_nobody(factory: SessionFactory) -> None:
    import time

    pair = Pair(factory)
    await pair.connect()
    time.sleep(1.0)  # noqa: ASYNC251 - the process is frozen, loop and all
    await trio.sleep(0.3)
    assert states(pair.a) == states(pair.b) == [PathState.CHECKING, PathState.CONNECTED]


@guest_test
async def test_lost_handshake_packets_are_repeated(factory: SessionFactory, cable: Cable) -> None:
    """The path dies for a moment right when DTLS begins."""
    pair = Pair(factory)
    pair.a.session.make_offer()
    await pair.b.until(lambda: pair.b.path is PathState.CONNECTED, "the path")
    cable.cut = True
    await trio.sleep(0.05)
    cable.cut = False
    await pair.a.event(ChannelOpened, seconds=6.0)
    await pair.b.event(ChannelOpened, seconds=6.0)
    await pair.check_traffic()


@guest_test
async def test_a_machine_with_nothing_but_loopback(factory: SessionFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        paths, "host_addresses", lambda sources: HostAddresses((), loopback=(LocalAddress("lo", "127.0.0.1"),))
    )
    pair = Pair(factory)
    await pair.connect()
    assert " 127.0.0.1 " in pair.a.one(LocalDescription).sdp
    assert pair.a.one(LocalDescription).type is SdpType.OFFER
    await pair.check_traffic()


@guest_test
async def test_a_machine_without_any_address_reports_a_failed_path(
    factory: SessionFactory, monkeypatch: pytest.MonkeyPatch, fast: None
) -> None:
    monkeypatch.setattr(paths, "host_addresses", lambda sources: HostAddresses(()))
    pair = Pair(factory)
    pair.a.session.make_offer()
    await pair.a.until(lambda: pair.a.path is PathState.FAILED, "Failed")
