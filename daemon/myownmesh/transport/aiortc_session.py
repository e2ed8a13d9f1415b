"""One WebRTC connection: negotiation, and the wiring of ICE, DTLS and SCTP below it.

The session owns what belongs to a transport for its whole life (certificate, `o=` line, DTLS role, ICE role) and a
short list of ICE generations. All of it is synchronous on the loop's thread; callbacks leave through `_emit`, never
from within a call into the session.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from typing import TYPE_CHECKING, Any

from myownmesh.engine.links import (
    ChannelClosed,
    ChannelOpened,
    GatheringDone,
    LocalCandidate,
    LocalDescription,
    NegotiationFailed,
    PairSelected,
    PathChanged,
    PathState,
    RemoteApplied,
    SdpType,
)
from myownmesh.protocol.binding import agreed_binding
from myownmesh.protocol.signals import Candidate
from myownmesh.transport import sdp as descriptions
from myownmesh.transport.addresses import host_addresses
from myownmesh.transport.candidates import parse_candidate
from myownmesh.transport.dtls import DtlsLink
from myownmesh.transport.ice import Generation
from myownmesh.transport.sctp import DataAssociation
from myownmesh.transport.sdp import BadSdp
from myownmesh.transport.session import MAX_FRAME_BYTES, SessionNotOpen

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from myownmesh.engine.links import (
        LinkEvent,
    )
    from myownmesh.transport.dtls import Certificate
    from myownmesh.transport.resolving import Resolver
    from myownmesh.transport.servers import StunServer, TurnServer

logger = logging.getLogger(__name__)

LOW_WATER_BYTES = 64 * 1024
OLD_GENERATION_SECONDS = 3.0
"""A replaced generation still receives this long: packets of the old path are under way."""
PROBE_AFTER_SECONDS = 2.0
"""Silence after which the path is probed; v0.3.8 does it every 2 s."""
PROBE_EVERY_SECONDS = 1.0
DISCONNECTED_SECONDS = 5.0
FAILED_SECONDS = 30.0
EARLY_DATAGRAMS = 16
"""Datagrams kept for a DTLS association that has not begun: the peer may be a round trip ahead."""


class AiortcSession:
    """A `Session` (see `transport.session`) out of aioice's and aiortc's parts."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        certificate: Certificate,
        *,
        offerer: bool,
        stun_servers: tuple[StunServer, ...],
        turn_servers: tuple[TurnServer, ...],
        resolver: Resolver,
        on_event: Callable[[LinkEvent], None],
        on_frame: Callable[[bytes], None],
        on_closed: Callable[[AiortcSession, list[asyncio.Task[None]]], None],
    ) -> None:
        self._loop = loop
        self._certificate = certificate
        self._stun_servers = stun_servers
        self._turn_servers = turn_servers
        self._resolver = resolver
        self._on_event = on_event
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._controlling = offerer
        self._closed = False
        self._channel_ended = False
        # negotiation
        self._session_id = secrets.randbits(62)
        self._version = 0
        self._sections: tuple[descriptions.Section, ...] = (descriptions.DATA_SECTION,)
        self._remote: descriptions.Description | None = None
        self._remote_text = ""
        self._offer_open = False
        # path
        self._pending: Generation | None = None
        """Generation of an own offer that is not answered yet."""
        self._current: Generation | None = None
        """Newest generation whose remote credentials are known."""
        self._sending: Generation | None = None
        self._path = PathState.NEW
        self._kinds: tuple[str, str] | None = None
        # association
        self._dtls = DtlsLink(
            loop, certificate, send=self._send_datagram, on_connected=self._dtls_connected, on_closed=self._ended
        )
        self._dtls_role: str | None = None
        self._sctp: DataAssociation | None = None
        self._open = False
        self._early: list[bytes] = []
        # events
        self._events: deque[LinkEvent] = deque()
        self._flush_scheduled = False
        self._flushing = False
        self._drained: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._generations: list[Generation] = []

    # Session.

    @property
    def buffered_bytes(self) -> int:
        return self._sctp.unsent_bytes if self._sctp is not None else 0

    def make_offer(self, *, restart: bool = False) -> None:
        if self._closed:
            return
        if self._pending is None and (self._current is None or restart):
            self._pending = self._new_generation()
        if self._pending is not None and self._current is not None:
            self._pending.created_at = self._loop.time()
            self._set_path(PathState.CHECKING)
        generation = self._pending or self._current
        assert generation is not None
        self._offer_open = True
        self._describe(SdpType.OFFER, generation, "actpass")

    def take_offer(self, sdp: str) -> None:
        if self._closed:
            return
        try:
            remote = self._read(sdp)
        except BadSdp as error:
            self._emit(NegotiationFailed(SdpType.OFFER, local=False, error=str(error)))
            return
        self._roll_back()
        restart = self._remote is None or remote.ice_ufrag != self._remote.ice_ufrag
        if self._dtls_role is None:
            self._dtls_role = "server" if remote.setup == "active" else "client"
        self._applied(SdpType.OFFER, sdp, remote)
        self._sections = descriptions.mirror(remote.sections)
        if restart:
            generation = self._new_generation()
            self._adopt(generation, remote)
        assert self._current is not None
        self._add_lines(remote.candidates)
        self._describe(SdpType.ANSWER, self._current, "active" if self._dtls_role == "client" else "passive")
        if restart:
            self._start(self._current)

    def take_answer(self, sdp: str) -> None:
        if self._closed:
            return
        try:
            if not self._offer_open:
                raise BadSdp("no offer of ours is waiting for an answer")
            remote = self._read(sdp)
            self._check_answer(remote)
        except BadSdp as error:
            self._emit(NegotiationFailed(SdpType.ANSWER, local=False, error=str(error)))
            return
        self._offer_open = False
        if self._dtls_role is None:
            self._dtls_role = "client" if remote.setup == "passive" else "server"
        pending, self._pending = self._pending, None
        self._applied(SdpType.ANSWER, sdp, remote)
        if pending is not None:
            self._adopt(pending, remote)
        elif self._current is not None:
            self._current.set_remote(remote.ice_ufrag, remote.ice_pwd)
        self._add_lines(remote.candidates)
        if pending is not None:
            self._start(pending)

    def add_candidate(self, candidate: Candidate) -> None:
        if not self._closed:
            self._add_lines((candidate.candidate,))

    def send(self, data: bytes) -> None:
        if self._sctp is None or not self._open or self._channel_ended or self._closed:
            raise SessionNotOpen
        limit = self._remote.max_message_bytes if self._remote is not None else MAX_FRAME_BYTES
        if not 1 <= len(data) <= limit:
            raise ValueError(f"frame of {len(data)} bytes: the peer takes 1 to {limit}")
        self._sctp.send_message(data)

    def when_drained(self, callback: Callable[[], None]) -> None:
        if self._closed:
            return
        self._drained.append(callback)
        if self.buffered_bytes <= LOW_WATER_BYTES:
            self._loop.call_soon(self.sctp_drained)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._events.clear()
        self._drained.clear()
        if self._sctp is not None:
            self._sctp.end()
        self._dtls.close()
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        closing = [generation.close_soon() for generation in self._generations]
        self._generations.clear()
        self._pending = self._current = self._sending = None
        self._on_closed(self, closing)

    # Negotiation.

    def _read(self, text: str) -> descriptions.Description:
        """Parse a remote description and hold it against what is established. Raises `BadSdp`."""
        remote = descriptions.parse(text)
        if self._remote is not None and remote.fingerprint != self._remote.fingerprint:
            raise BadSdp("the certificate changed: that is another connection")
        return remote

    def _check_answer(self, remote: descriptions.Description) -> None:
        if remote.mids != tuple(section.mid for section in self._sections):
            raise BadSdp("the answer's sections are not those of the offer")
        if remote.setup == "actpass":
            raise BadSdp("the answer leaves the DTLS role open")
        restarting = self._pending is not None and self._remote is not None
        if restarting and self._remote is not None and remote.ice_ufrag == self._remote.ice_ufrag:
            self._roll_back()
            raise BadSdp("the peer did not restart ICE")

    def _roll_back(self) -> None:
        """Give up the own open offer (local, no message; spec 04 §5.9)."""
        if not self._offer_open:
            return
        self._offer_open = False
        if self._pending is not None:
            self._drop_generation(self._pending)
            self._pending = None
            if self._current is None:
                self._controlling = False  # the peer's offer is the first one of this transport now
            else:
                self._set_path(self._state_of(self._current, self._loop.time()))

    def _applied(self, kind: SdpType, text: str, remote: descriptions.Description) -> None:
        self._remote = remote
        self._remote_text = text
        self._emit(RemoteApplied(kind, remote.fingerprint))

    def _describe(self, kind: SdpType, generation: Generation, setup: str) -> None:
        lines = generation.candidate_lines()
        self._version += 1
        text = descriptions.render(
            session_id=self._session_id,
            version=self._version,
            fingerprint=self._certificate.fingerprint,
            setup=setup,
            ice=descriptions.LocalIce(generation.local_username, generation.local_password, lines),
            sections=self._sections,
        )
        self._emit(LocalDescription(kind, text))
        if generation.announced:
            return
        generation.announced = True
        for line in lines:
            self._announce(line)
        if self._stun_servers or self._turn_servers:
            self._spawn(self._gather_late(generation))
        else:
            self._emit(GatheringDone())

    async def _gather_late(self, generation: Generation) -> None:
        await generation.gather_servers(self._stun_servers, self._turn_servers, self._resolver, self._announce)
        self._emit(GatheringDone())

    def _announce(self, line: str) -> None:
        self._emit(LocalCandidate(Candidate(f"candidate:{line}", sdp_mid="", sdp_mline_index=0)))

    # Path.

    def _new_generation(self) -> Generation:
        generation = Generation(
            self._loop, controlling=self._controlling, on_data=self._datagram, on_up=self._generation_up
        )
        generation.gather_host(host_addresses())
        self._generations.append(generation)
        return generation

    def _adopt(self, generation: Generation, remote: descriptions.Description) -> None:
        """Make it the newest one; an older one that never came up is of no more use."""
        old, self._current = self._current, generation
        if old is not None and old is not self._sending:
            self._drop_generation(old)
        generation.set_remote(remote.ice_ufrag, remote.ice_pwd)

    def _start(self, generation: Generation) -> None:
        generation.created_at = self._loop.time()
        self._set_path(PathState.CHECKING)
        generation.start_checks()

    def _add_lines(self, lines: tuple[str, ...]) -> None:
        generation = self._current
        if generation is None:
            return
        for line in lines:
            candidate = parse_candidate(line)
            if candidate is not None:
                generation.add_remote(candidate)
        self._report_pair()

    def _generation_up(self, generation: Generation) -> None:
        if self._closed:
            return
        if generation is not self._current:
            return
        old, self._sending = self._sending, generation
        self._set_path(PathState.CONNECTED)
        self._report_pair()
        if self._dtls.state == "new":
            assert self._dtls_role is not None
            self._dtls.start(self._dtls_role)
            early, self._early = self._early, []
            for data in early:
                self._dtls.datagram(data)
        elif old is not generation and self._sctp is not None:
            self._sctp.repeat_outstanding()
        if old is not None and old is not generation:
            self._later(OLD_GENERATION_SECONDS, lambda: self._drop_generation(old))

    def _report_pair(self) -> None:
        kinds = self._current.selected_kinds if self._current is not None else None
        if kinds is not None and self._current is self._sending and kinds != self._kinds:
            self._kinds = kinds
            self._emit(PairSelected(*kinds))

    def _set_path(self, state: PathState) -> None:
        if state is not self._path:
            self._path = state
            if not state.is_up:
                self._kinds = None
            self._emit(PathChanged(state))

    def _drop_generation(self, generation: Generation) -> None:
        if generation in self._generations:
            self._generations.remove(generation)
            self._keep(generation.close_soon())

    def forgive_silence(self, now: float) -> None:
        """The process did not run for a while; silence up to now says nothing about the path."""
        for generation in self._generations:
            generation.last_received = max(generation.last_received, now)

    def tick(self, now: float) -> None:
        """Watch the path (spec 04 §10.6): probe after 2 s of silence, Disconnected after 5, Failed after 30."""
        newest = self._pending or self._current
        if newest is None or self._closed:
            return
        if newest.is_up or self._path is not PathState.NEW:
            self._set_path(self._state_of(newest, now))
        watched = newest if newest.is_up else self._sending
        if watched is None:
            return
        self._report_pair()
        # The answerer waits longer, so that one request and its answer keep both sides informed.
        patience = PROBE_AFTER_SECONDS if self._controlling else 1.5 * PROBE_AFTER_SECONDS
        if min(now - watched.last_received - patience, now - watched.last_probe - PROBE_EVERY_SECONDS) >= 0:
            watched.probe(now)

    @staticmethod
    def _state_of(generation: Generation, now: float) -> PathState:
        if not generation.is_up:
            return PathState.FAILED if now - generation.created_at >= FAILED_SECONDS else PathState.CHECKING
        silence = now - generation.last_received
        if silence >= FAILED_SECONDS:
            return PathState.FAILED
        return PathState.DISCONNECTED if silence >= DISCONNECTED_SECONDS else PathState.CONNECTED

    # Datagrams and messages.

    def _send_datagram(self, data: bytes) -> None:
        if self._sending is not None:
            self._sending.send_now(data)

    def _datagram(self, data: bytes) -> None:
        if self._closed:
            return
        if self._dtls.state == "new":
            if len(self._early) < EARLY_DATAGRAMS:
                self._early.append(data)
            return
        self._dtls.datagram(data)

    def _dtls_connected(self) -> None:
        self._sctp = DataAssociation(self._loop, self._dtls, self, opener=self._controlling)
        self._dtls.set_receiver(self._sctp.receive_packet)
        self._sctp.begin(self._remote.sctp_port if self._remote is not None else descriptions.DEFAULT_SCTP_PORT)

    def sctp_opened(self) -> None:
        self._open = True
        binding = agreed_binding(self._remote_text, self._dtls.peer_binding())
        self._emit(ChannelOpened(self._certificate.binding, binding))

    def sctp_message(self, data: bytes) -> None:
        if self._events:
            self._flush_events()
        if self._closed:
            return
        try:
            self._on_frame(data)
        except Exception:
            # A bug of ours: the frame is lost, the link and the rest of the datagram are not.
            logger.exception("error while a frame was handled")

    def sctp_drained(self) -> None:
        if self._drained and self.buffered_bytes <= LOW_WATER_BYTES and not self._closed:
            callbacks, self._drained = self._drained, []
            for callback in callbacks:
                self._loop.call_soon(callback)

    def sctp_closed(self, reason: str) -> None:
        self._ended(reason)

    def _ended(self, reason: str) -> None:
        if not self._channel_ended and not self._closed:
            self._channel_ended = True
            self._emit(ChannelClosed(reason))

    # Callbacks.

    def _emit(self, event: LinkEvent) -> None:
        if self._closed:
            return
        self._events.append(event)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_events)

    def _flush_events(self) -> None:
        self._flush_scheduled = False
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._events:
                try:
                    self._on_event(self._events.popleft())
                except Exception:
                    logger.exception("error while a transport event was handled")
        finally:
            self._flushing = False

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._keep(asyncio.ensure_future(coroutine, loop=self._loop))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(handle)
            callback()

        handle = self._loop.call_later(seconds, fire)
        self._timers.add(handle)
