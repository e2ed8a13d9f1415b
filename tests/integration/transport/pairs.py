"""Two sessions in one process, joined by an in-memory signaling that a test can bend."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from myownmesh.engine.links import (
    ChannelOpened,
    LocalCandidate,
    LocalDescription,
    NegotiationFailed,
    PathChanged,
    PathState,
    SdpType,
)
from myownmesh.transport import load_webrtc, run_guest
from myownmesh.transport.udp import UdpSocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from myownmesh.engine.links import (
        LinkEvent,
    )
    from myownmesh.transport.session import IceServer, Session, SessionFactory

TEST_SECONDS = 90.0

E = TypeVar("E")


def guest_test(async_fn: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that gets a session factory and runs as a guest, bounded in time."""

    @wraps(async_fn)
    def test(**fixtures: Any) -> None:
        async def main() -> None:
            with trio.fail_after(TEST_SECONDS):
                factory = await load_webrtc()
                try:
                    await async_fn(factory, **fixtures)
                finally:
                    await factory.aclose()

        run_guest(main)

    signature = inspect.signature(async_fn)
    _, *fixtures = signature.parameters.values()  # pytest would look for a fixture named factory
    test.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]  # pytest reads it
    return test


class Sockets:
    """Every socket that the sessions of this process open from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[UdpSocket] = []
        start = UdpSocket.start

        def noted(socket: UdpSocket, *callbacks: Any) -> None:
            self.made.append(socket)
            start(socket, *callbacks)

        monkeypatch.setattr(UdpSocket, "start", noted)

    @property
    def open(self) -> list[UdpSocket]:
        return [socket for socket in self.made if not socket.is_closing()]


class End:
    """One side: its session, everything that it reported, and where its signals go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session: Session
        self.events: list[LinkEvent] = []
        self.frames: list[bytes] = []
        self.on_frame: Callable[[bytes], object] | None = None
        self.signal: Callable[[LinkEvent], None] = lambda event: None
        self._changed = trio.Event()

    def open(self, factory: SessionFactory, *, offerer: bool, ice_servers: tuple[IceServer, ...] = ()) -> None:
        self.session = factory.open(
            offerer=offerer, ice_servers=ice_servers, on_event=self._event, on_frame=self._frame
        )

    def _event(self, event: LinkEvent) -> None:
        self.events.append(event)
        self.signal(event)
        self._wake()

    def _frame(self, data: bytes) -> None:
        self.frames.append(data)
        self._wake()
        if self.on_frame is not None:
            self.on_frame(data)

    def _wake(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind: type[E]) -> E:
        (event,) = self.all(kind)
        return event

    @property
    def path(self) -> PathState:
        changes = self.all(PathChanged)
        return changes[-1].state if changes else PathState.NEW

    async def until(self, condition: Callable[[], object], what: str, seconds: float = 5.0) -> None:
        with trio.move_on_after(seconds):
            while not condition():
                await self._changed.wait()
        assert condition(), f"{self.name}: {what} did not come within {seconds} s; events: {self.events}"

    async def event(self, kind: type[E], seconds: float = 5.0, count: int = 1) -> E:
        await self.until(lambda: len(self.all(kind)) >= count, kind.__name__, seconds)
        return self.all(kind)[count - 1]

    async def frames_until(self, count: int, seconds: float = 10.0) -> None:
        await self.until(lambda: len(self.frames) >= count, f"frame {count}", seconds)


class Pair:
    """`a` offers. `mangle` sees every description on its way and may change it or, with None, lose it."""

    def __init__(
        self,
        factory: SessionFactory,
        *,
        mangle: Callable[[End, SdpType, str], str | None] | None = None,
        candidates: bool = True,
        ice_servers: tuple[IceServer, ...] = (),
    ) -> None:
        self.a = End("a")
        self.b = End("b")
        self.mangle = mangle
        self.candidates = candidates
        self.a.signal = lambda event: self._carry(self.a, self.b, event)
        self.b.signal = lambda event: self._carry(self.b, self.a, event)
        self.a.open(factory, offerer=True, ice_servers=ice_servers)
        self.b.open(factory, offerer=False, ice_servers=ice_servers)

    def _carry(self, sender: End, receiver: End, event: LinkEvent) -> None:
        if isinstance(event, LocalDescription):
            text = self.mangle(sender, event.type, event.sdp) if self.mangle is not None else event.sdp
            if text is None:
                return
            if event.type is SdpType.OFFER:
                receiver.session.take_offer(text)
            else:
                receiver.session.take_answer(text)
        elif isinstance(event, LocalCandidate) and self.candidates:
            receiver.session.add_candidate(event.candidate)

    async def connect(self) -> None:
        self.a.session.make_offer()
        await self.a.event(ChannelOpened)
        await self.b.event(ChannelOpened)
        assert not self.a.all(NegotiationFailed)
        assert not self.b.all(NegotiationFailed)

    async def check_traffic(self) -> None:
        """A frame each way arrives."""
        for sender, receiver in ((self.a, self.b), (self.b, self.a)):
            receiver.frames.clear()
            sender.session.send(b"ping of " + sender.name.encode())
            await receiver.frames_until(1)
            assert receiver.frames == [b"ping of " + sender.name.encode()]
