"""One WebRTC connection: negotiation, and the wiring of paths, DTLS and SCTP below it.

The session owns what belongs to a transport for its whole life (certificate, `o=` line, DTLS role, sections). All of
it is synchronous on the loop's thread; callbacks leave through `_emit`, never from within a call into the session.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from typing import TYPE_CHECKING

from myownmesh.engine.links import (
    ChannelClosed,
    ChannelOpened,
    LocalDescription,
    NegotiationFailed,
    RemoteApplied,
    SdpType,
)
from myownmesh.protocol.binding import agreed_binding
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.transport import sdp as descriptions
from myownmesh.transport.dtls import DtlsLink
from myownmesh.transport.paths import Paths
from myownmesh.transport.sctp import DataAssociation
from myownmesh.transport.sdp import BadSdp
from myownmesh.transport.session import Order, SessionNotOpen

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection

    from mesh_common.views import TurnPath
    from myownmesh.engine.ice_snapshot import IceSnapshot
    from myownmesh.engine.links import LinkEvent
    from myownmesh.protocol.signals import Candidate
    from myownmesh.transport.certificate import Certificate
    from myownmesh.transport.ice import Generation
    from myownmesh.transport.resolving import Resolver
    from myownmesh.transport.servers import StunServer, TurnServer
    from myownmesh.transport.windows import WindowBudget

log = logging.getLogger(__name__)

MAX_LOW_WATER_BYTES = 64 * 1024
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
        windows: WindowBudget,
        relay_sources: Callable[[], Collection[str]],
        on_event: Callable[[LinkEvent], None],
        on_frame: Callable[[bytes], None],
        on_closed: Callable[[AiortcSession, list[asyncio.Task[None]]], None],
    ) -> None:
        self._loop = loop
        self._certificate = certificate
        self._on_event = on_event
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._closed = False
        # negotiation
        self._session_id = secrets.randbits(62)
        self._version = 0
        self._sections: tuple[descriptions.Section, ...] = (descriptions.DATA_SECTION,)
        self._remote: descriptions.Description | None = None
        self._remote_text = ""
        self._offer_open = False
        # transport
        self._paths = Paths(
            loop,
            self,
            controlling=offerer,
            stun_servers=stun_servers,
            turn_servers=turn_servers,
            resolver=resolver,
            relay_sources=relay_sources,
        )
        self._dtls = DtlsLink(
            loop,
            certificate,
            send=self._paths.send,
            send_burst=self._paths.send_burst,
            on_connected=self._dtls_connected,
            on_closed=self._ended,
        )
        self._dtls_role: str | None = None
        self._early: list[bytes] = []
        self._sctp: DataAssociation | None = None
        self._windows = windows
        self._widened = 0
        self._open = False
        self._channel_ended = False
        # events
        self._events: deque[LinkEvent] = deque()
        self._flush_scheduled = False
        self._flushing = False
        self._drained: list[Callable[[], None]] = []

    # Session.

    @property
    def buffered_bytes(self) -> int:
        return self._sctp.unsent_bytes if self._sctp is not None else 0

    @property
    def backlog_bytes(self) -> int:
        return self._sctp.backlog_bytes if self._sctp is not None else 0

    def make_offer(self, *, restart: bool = False) -> None:
        if self._closed:
            return
        self._offer_open = True
        self._describe(SdpType.OFFER, self._paths.for_offer(restart=restart), "actpass")

    def take_offer(self, sdp: str) -> None:
        if self._closed:
            return
        try:
            remote = self._read(sdp)
        except BadSdp as error:
            self._emit(NegotiationFailed(SdpType.OFFER, local=False, error=str(error)))
            return
        self._roll_back()
        if self._dtls_role is None:
            self._dtls_role = "server" if remote.setup == "active" else "client"
        self._applied(SdpType.OFFER, sdp, remote)
        self._sections = descriptions.mirror(remote.sections)
        generation = self._paths.for_answer(remote.ice_ufrag, remote.ice_pwd)
        self._paths.add_candidates(remote.candidates)
        self._describe(SdpType.ANSWER, generation, "active" if self._dtls_role == "client" else "passive")
        self._paths.start()

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
        self._applied(SdpType.ANSWER, sdp, remote)
        self._paths.answered(remote.ice_ufrag, remote.ice_pwd)
        self._paths.add_candidates(remote.candidates)
        self._paths.start()

    def add_candidate(self, candidate: Candidate) -> None:
        if not self._closed:
            self._paths.add_candidates((candidate.candidate,))

    def send(self, data: bytes, order: Order = Order.IN_TURN) -> None:
        if self._sctp is None or not self._open or self._channel_ended or self._closed:
            raise SessionNotOpen
        if not 1 <= len(data) <= MAX_FRAME_BYTES:
            raise ValueError(f"frame of {len(data)} bytes: a peer takes 1 to {MAX_FRAME_BYTES}")
        self._sctp.send_message(data, order)

    def admit(self) -> None:
        if self._sctp is not None and not self._closed and not self._widened:
            self._widened = self._windows.widen()
            self._sctp.widen_window(self._widened)

    def when_drained(self, callback: Callable[[], None]) -> None:
        if self._closed:
            return
        self._drained.append(callback)
        if self._is_drained:
            self._loop.call_soon(self.sctp_drained)

    def ice_snapshot(self) -> IceSnapshot | None:
        return None if self._closed else self._paths.ice_snapshot()

    def turn_path(self) -> TurnPath | None:
        return None if self._closed else self._paths.turn_path()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._events.clear()
        self._drained.clear()
        if self._sctp is not None:
            self._sctp.end()
        self._windows.give_back(self._widened)
        self._dtls.close()
        self._on_closed(self, self._paths.close())

    @property
    def _is_drained(self) -> bool:
        return self.buffered_bytes <= min(self.backlog_bytes // 2, MAX_LOW_WATER_BYTES)

    # For the factory.

    def tick(self, now: float) -> float:
        """Watch the path; called every half second, or after the longer time that the last call returned."""
        return self._paths.tick(now)

    def forgive_silence(self, now: float) -> None:
        """The process did not run for a while."""
        self._paths.forgive_silence(now)

    def stand_still(self, *, still: bool) -> None:
        """Nobody reads frames meanwhile."""
        self._paths.stand_still(still=still)

    # Negotiation.

    def _read(self, text: str) -> descriptions.Description:
        """Parse a remote description and hold it against what is established. Raises `BadSdp`."""
        remote = descriptions.parse(text)
        if self._remote is not None and remote.fingerprint != self._remote.fingerprint:
            raise BadSdp("the certificate changed: that is another connection")
        return remote

    def _check_answer(self, remote: descriptions.Description) -> None:
        """Whether the answer fits the open offer (spec 04 §5.5). Raises `BadSdp`."""
        if remote.mids != tuple(section.mid for section in self._sections):
            raise BadSdp("the answer's sections are not those of the offer")
        if remote.setup == "actpass":
            raise BadSdp("the answer leaves the DTLS role open")
        before = self._remote
        if self._paths.is_restarting and before is not None and remote.ice_ufrag == before.ice_ufrag:
            # v0.3.8 answers so while it is still gathering (spec 04 §10.11); the old path is the only one.
            self._roll_back()
            raise BadSdp("the peer did not restart ICE")

    def _roll_back(self) -> None:
        if self._offer_open:
            self._offer_open = False
            self._paths.take_back_offer()

    def _applied(self, kind: SdpType, text: str, remote: descriptions.Description) -> None:
        self._remote = remote
        self._remote_text = text
        self._emit(RemoteApplied(kind, remote.fingerprint))

    def _describe(self, kind: SdpType, generation: Generation, setup: str) -> None:
        self._version += 1
        lines = generation.candidate_lines()
        text = descriptions.render(
            session_id=self._session_id,
            version=self._version,
            fingerprint=self._certificate.fingerprint,
            setup=setup,
            ice=descriptions.LocalIce(generation.local_username, generation.local_password, lines),
            sections=self._sections,
        )
        self._emit(LocalDescription(kind, text))
        self._paths.announce(generation)

    # What the layers below report.

    def path_event(self, event: LinkEvent) -> None:
        self._emit(event)

    def path_datagram(self, data: bytes) -> None:
        if self._closed:
            return
        if self._dtls.state == "new":
            if len(self._early) < EARLY_DATAGRAMS:
                self._early.append(data)
            return
        self._dtls.datagram(data)

    def path_ready(self) -> None:
        if self._dtls.state == "new":
            assert self._dtls_role is not None
            self._dtls.start(self._dtls_role)
            early, self._early = self._early, []
            for data in early:
                self._dtls.datagram(data)
        elif self._sctp is not None:
            self._sctp.repeat_outstanding()

    def _dtls_connected(self) -> None:
        self._sctp = DataAssociation(self._loop, self._dtls, self, opener=self._paths.controlling)
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
            log.exception("error while a frame was handled")

    def sctp_drained(self) -> None:
        if self._drained and self._is_drained and not self._closed:
            callbacks, self._drained = self._drained, []
            for callback in callbacks:
                self._loop.call_soon(self._call, callback)

    def sctp_closed(self, reason: str) -> None:
        self._ended(reason)

    def _ended(self, reason: str) -> None:
        if not self._channel_ended and not self._closed:
            self._channel_ended = True
            self._emit(ChannelClosed(reason))

    # Callbacks.

    def _call(self, callback: Callable[[], None]) -> None:
        if not self._closed:
            callback()

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
                    # A bug of ours: this event is lost, those behind it are not.
                    log.exception("error while a transport event was handled")
        finally:
            self._flushing = False
