"""Does the WebRTC stack of this installation do what we need? Two sessions meet, restart and part in one process.

The transport composes private parts of pinned releases. This is the check behind the pins, for
`myownmesh version --self-test` and for packagers who changed them.
"""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import trio

from mesh_common.values import Value
from myownmesh.engine.links import (
    ChannelClosed,
    ChannelOpened,
    LocalCandidate,
    LocalDescription,
    NegotiationFailed,
    PathChanged,
    SdpType,
)
from myownmesh.protocol.limits import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine.links import LinkEvent
    from myownmesh.transport.session import Session, SessionFactory

LIMIT_SECONDS = 10.0
PINNED = {"aiortc": "1.16.0", "aioice": "0.13.0", "pyopenssl": "26.4.0"}
"""Releases whose private parts `ice`, `sctp` and `records` were written against (also in pyproject.toml)."""


class SelfTestFailed(Exception):
    """The stack does not work here; the text says which step failed."""


class SelfTestReport(Value, frozen=True):
    """Milliseconds that the steps took, and the library releases that they were taken with."""

    libraries: dict[str, str]
    open_ms: float
    restart_ms: float
    close_ms: float


async def self_test(factory: SessionFactory) -> SelfTestReport:
    """Open a link to ourselves, send the largest frame each way, restart ICE, send again, close.

    Works with any factory, on trio's thread. Raises `SelfTestFailed` within 10 s.
    """
    pair = _Pair(factory)
    step = "the link did not open"
    try:
        with trio.fail_after(LIMIT_SECONDS):
            started = trio.current_time()
            pair.sessions[0].make_offer()
            await pair.until(lambda: len(pair.bindings) == 2)
            opened = trio.current_time()
            step = "a frame was lost"
            await pair.exchange()
            step = "ICE did not restart"
            restarted = trio.current_time()
            pair.sessions[0].make_offer(restart=True)
            await pair.until(lambda: pair.ups == [2, 2])
            up = trio.current_time()
            step = "a frame was lost after the restart"
            await pair.exchange()
            step = "the end of the link was not noticed"
            closing = trio.current_time()
            pair.sessions[0].close()
            await pair.until(lambda: pair.ended)
            closed = trio.current_time()
    except trio.TooSlowError:
        raise SelfTestFailed(f"WebRTC self-test: {pair.failure or step} within {LIMIT_SECONDS:g} s") from None
    finally:
        for session in pair.sessions:
            session.close()
    if pair.bindings[0] != tuple(reversed(pair.bindings[1])) or None in pair.bindings[0]:
        raise SelfTestFailed("WebRTC self-test: the two ends name different certificates")
    libraries = {name: version(name) for name in PINNED}
    return SelfTestReport(libraries, (opened - started) * 1e3, (up - restarted) * 1e3, (closed - closing) * 1e3)


class _Pair:
    """Two sessions joined by hand."""

    def __init__(self, factory: SessionFactory) -> None:
        self.bindings: list[tuple[str | None, str | None]] = []
        self.frames: list[list[bytes]] = [[], []]
        self.ups = [0, 0]
        self.ended = False
        self.failure = ""
        self._changed = trio.Event()
        self.sessions: list[Session] = [
            factory.open(
                offerer=end == 0,
                ice_servers=(),
                on_event=partial(self._event, end),
                on_frame=partial(self._frame, end),
            )
            for end in (0, 1)
        ]

    def _event(self, end: int, event: LinkEvent) -> None:
        other = self.sessions[1 - end]
        match event:
            case LocalDescription(SdpType.OFFER, sdp):
                other.take_offer(sdp)
            case LocalDescription(SdpType.ANSWER, sdp):
                other.take_answer(sdp)
            case LocalCandidate(candidate):
                other.add_candidate(candidate)
            case ChannelOpened(local, remote):
                self.bindings.append((local, remote))
            case PathChanged(state) if state.is_up:
                self.ups[end] += 1
            case NegotiationFailed():
                self.failure = event.error
            case ChannelClosed():
                self.ended = True
        self._wake()

    def _frame(self, end: int, data: bytes) -> None:
        self.frames[end].append(data)
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    async def exchange(self) -> None:
        """The largest frame each way."""
        self.frames = [[], []]
        frames = [bytes([end + 1]) * MAX_FRAME_BYTES for end in (0, 1)]
        for session, frame in zip(self.sessions, frames, strict=True):
            session.send(frame)
        await self.until(lambda: self.frames == [[frames[1]], [frames[0]]])
