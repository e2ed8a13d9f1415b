"""ICE in generations: one aioice connection per set of credentials, switched under a living DTLS association.

A restart makes a new generation beside the old one; data is received on all of them and sent on the newest that is
up, so a restart costs nothing but a switch (spec 04 §11.2). aioice does the checks; gathering is ours, because host
candidates need no waiting, and so are keep-alive and the notion of a dead path, because aioice closes a connection
for good when consent expires.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import secrets
import string
import struct
from typing import TYPE_CHECKING, Any, cast

import aioice
from aioice.ice import CandidatePair, StunProtocol, candidate_pair_priority

from mesh_common.addresses import authority
from mesh_common.views import TurnPath
from myownmesh.engine.ice_snapshot import FAILED, IN_PROGRESS, SUCCEEDED, WAITING, Pair, candidate_word, snapshot
from myownmesh.transport.candidates import kind_of_end
from myownmesh.transport.gathering import host_candidate, reflexive_candidate, relayed_at
from myownmesh.transport.interfaces import source_address
from myownmesh.transport.udp import UdpSocket
from myownmesh.transport.worth import MAX_PAIRS, MAX_PEER_REFLEXIVE, MAX_REMOTE_CANDIDATES, Reaches

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aioice.stun import Message

    from myownmesh.engine.ice_snapshot import IceSnapshot
    from myownmesh.transport.addresses import HostAddresses, LocalAddress
    from myownmesh.transport.candidates import RemoteCandidate
    from myownmesh.transport.resolving import Resolver
    from myownmesh.transport.servers import StunServer, TurnServer
    from myownmesh.transport.udp import Address

log = logging.getLogger(__name__)

UFRAG_CHARS = 8
PWD_CHARS = 24
CHECK_INTERVAL_SECONDS = 0.02
GATHER_SECONDS = 2.0
"""For STUN and TURN servers; they never delay a description."""
CLOSE_SECONDS = 2.0

_ICE_CHARS = string.ascii_letters + string.digits
_PAIR_STATES = {
    CandidatePair.State.FROZEN: WAITING,
    CandidatePair.State.WAITING: WAITING,
    CandidatePair.State.IN_PROGRESS: IN_PROGRESS,
    CandidatePair.State.SUCCEEDED: SUCCEEDED,
    CandidatePair.State.FAILED: FAILED,
}
_MALFORMED = (AssertionError, LookupError, TypeError, ValueError, struct.error)


class _IceProtocol(StunProtocol):
    """Tells DTLS from STUN by the first byte before anything is parsed (RFC 7983)."""

    receiver: Generation

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if not data or isinstance(data, str):
            return
        first = data[0]
        if 19 < first < 64:
            self.receiver.dtls_received(data, addr)
        elif first < 4:
            try:
                super().datagram_received(data, addr)
            except _MALFORMED as error:
                log.debug("unusable STUN message from %s: %r", addr, error)
            else:
                self.receiver.stun_received(addr)


class Generation(aioice.Connection):
    """One ICE generation.

    `on_data` gets DTLS datagrams; `on_up` is called each time a pair is nominated; `on_candidate` gets candidates that
    were gathered late.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        controlling: bool,
        on_data: Callable[[bytes], None],
        on_up: Callable[[Generation], None],
    ) -> None:
        super().__init__(
            ice_controlling=controlling,
            local_username=_random(UFRAG_CHARS),
            local_password=_random(PWD_CHARS),
        )
        self._clock = loop
        self._on_data = on_data
        self._on_up = on_up
        self._tasks: set[asyncio.Task[None]] = set()
        self._reaches = Reaches(source_address)
        self._work = asyncio.Event()
        self._send_to: tuple[Callable[[bytes, Address], None], Address] | None = None
        self._send_burst: Callable[[list[bytes], Address], None] | None = None
        """Only where the path begins at a socket of ours."""
        self._lenders: dict[aioice.Candidate, TurnServer] = {}
        """Who lends each relayed address."""
        self._pair: CandidatePair | None = None
        self._proven: set[tuple[object, ...]] = set()
        self._unanswered: dict[CandidatePair, Message] = {}
        """The checks that are under way and were not repeated yet."""
        """Addresses of the peer that authenticated themselves; bounded by the candidates."""
        self.created_at = loop.time()
        """Loop time from which a path must be found within 30 s."""
        self.is_started = False
        self.announced = False
        """Whether the session has reported the candidates."""
        self.last_received = 0.0
        """Loop time of the last packet of the peer."""
        self.last_probe = 0.0
        self.lag = 0.0
        """Seconds after which the last probes of a silent path were answered, a slow one remembered for a while."""
        self.asked_at: float | None = None
        """When the first probe of the present silence went out."""

    # Local candidates.

    def gather_host(self, addresses: HostAddresses) -> None:
        """Open a socket per address, at once; on loopback if that works for none."""
        self._local_candidates_start = True
        self._open_sockets(addresses.offered)
        if not self._protocols:
            self._open_sockets(addresses.loopback)
        self._local_candidates_end = True

    def _open_sockets(self, addresses: tuple[LocalAddress, ...]) -> None:
        for address in addresses:
            try:
                transport = UdpSocket(self._clock, address.address, address.scope_id)
            except OSError as error:
                log.info("no candidate on %s of %s: %s", address.address, address.interface, error)
                continue
            protocol = _IceProtocol(self)
            protocol.transport = cast("asyncio.DatagramTransport", transport)
            protocol.local_candidate = host_candidate(transport.local_address, rank=len(self._protocols))
            transport.start(protocol.datagram_received, protocol.connection_lost)
            self._reaches.add_base(address)
            self._protocols.append(protocol)
            self._local_candidates.append(protocol.local_candidate)

    async def gather_servers(
        self,
        stun_servers: tuple[StunServer, ...],
        turn_servers: tuple[TurnServer, ...],
        resolver: Resolver,
        on_candidate: Callable[[str], None],
    ) -> None:
        """Ask STUN and TURN servers, at most `GATHER_SECONDS`; what they find is announced as it comes."""
        jobs = [
            asyncio.create_task(self._gather_reflexive(protocol, server, resolver, on_candidate))
            for server in stun_servers
            for protocol in list(self._protocols)
        ]
        jobs += [asyncio.create_task(self._gather_relayed(server, resolver, on_candidate)) for server in turn_servers]
        if not jobs:
            return
        try:
            await asyncio.wait(jobs, timeout=GATHER_SECONDS)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)  # what failed is only a candidate less

    async def _gather_reflexive(
        self, protocol: StunProtocol, server: StunServer, resolver: Resolver, on_candidate: Callable[[str], None]
    ) -> None:
        candidate = await reflexive_candidate(protocol, server, resolver)
        if candidate is None or self._closing:
            return
        if any((candidate.host, candidate.port) == (c.host, c.port) for c in self._local_candidates):
            return
        self._local_candidates.append(candidate)
        on_candidate(candidate.to_sdp())

    async def _gather_relayed(
        self, server: TurnServer, resolver: Resolver, on_candidate: Callable[[str], None]
    ) -> None:
        relayed = await relayed_at(server, resolver, lambda: _IceProtocol(self))
        if relayed is None:
            return
        candidate, protocol = relayed
        if self._closing:
            await protocol.close()
            return
        self._protocols.append(protocol)
        self._local_candidates.append(candidate)
        self._lenders[candidate] = server
        if self._early_checks_done and not self._check_list_done:
            for remote in self._remote_candidates:
                self._pair_remote_candidate(remote)
            self.sort_check_list()
            self._work.set()
        on_candidate(candidate.to_sdp())

    def candidate_lines(self) -> tuple[str, ...]:
        """What has been gathered so far, as candidate values without `candidate:`."""
        return tuple(candidate.to_sdp() for candidate in self._local_candidates)

    @property
    def has_loopback(self) -> bool:
        return any(ipaddress.ip_address(c.host).is_loopback for c in self._local_candidates)

    # Remote side.

    def set_remote(self, ufrag: str, pwd: str) -> None:
        self.remote_username = ufrag
        self.remote_password = pwd

    def add_remote(self, remote: RemoteCandidate) -> None:
        """Add a candidate and check it at once; of too many those that are worth least are ignored."""
        if self._closing or (remote.is_loopback and not self.has_loopback) or not self._make_room(remote):
            return
        candidate = aioice.Candidate(
            foundation=remote.foundation,
            component=1,
            transport="udp",
            priority=remote.priority,
            host=remote.host,
            port=remote.port,
            type=remote.type,
        )
        self._add_remote_candidate(candidate, candidate.host)
        if self._early_checks_done and not self._check_list_done:
            self._check_periodic()
            self._work.set()

    def _make_room(self, remote: RemoteCandidate) -> bool:
        """Whether there is room for the candidate, if need be in the place of one that is worth less and unchecked."""
        same = [c for c in self._remote_candidates if c.type == remote.type]
        if len(same) < MAX_REMOTE_CANDIDATES[remote.type]:
            return True
        if any((c.host, c.port) == (remote.host, remote.port) for c in same):
            return False
        begun = [pair.remote_candidate for pair in self._check_list if not _is_waiting(pair)]
        least = min((c for c in same if c not in begun), key=self._remote_worth, default=None)
        if least is None or self._remote_worth(least) >= self._remote_worth(remote):
            return False
        self._remote_candidates.remove(least)
        self._check_list = [pair for pair in self._check_list if pair.remote_candidate is not least]
        return True

    def _remote_worth(self, remote: aioice.Candidate | RemoteCandidate) -> tuple[int, int]:
        return self._reaches.best(remote.host), remote.priority

    def _worth(self, pair: CandidatePair) -> tuple[int, int]:
        return self._reaches.between(pair.local_candidate.host, pair.remote_candidate.host), self._rank(pair)

    def sort_check_list(self) -> None:
        """The checks that can work first, then by priority; more than `MAX_PAIRS` are not kept waiting."""
        self._check_list.sort(key=self._worth, reverse=True)
        for pair in self._check_list:
            if pair.state is CandidatePair.State.FROZEN:  # there is one component: nothing to wait for
                pair.state = CandidatePair.State.WAITING
        least_first = self._check_list[::-1]
        surplus = itertools.islice(filter(_is_waiting, least_first), max(0, len(least_first) - MAX_PAIRS))
        for pair in surplus:
            self._check_list.remove(pair)

    def start_checks(self) -> None:
        """Begin connectivity checks; `on_up` follows when a pair is nominated."""
        self.is_started = True
        self._spawn(self.connect())

    async def connect(self) -> None:
        """aioice's loop, but it sleeps while there is nothing to check."""
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        for early in self._early_checks:
            self.check_incoming(*early)
        self._early_checks.clear()
        self._early_checks_done = True
        while not self._check_list_done:
            if any(map(_is_waiting, self._check_list)):
                self._check_periodic()
                await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            else:
                self._work.clear()
                await self._work.wait()

    def check_incoming(self, message: Message, addr: Address, protocol: StunProtocol) -> None:
        known = any(c._network_host == addr[0] and c.port == addr[1] for c in self._remote_candidates)
        if not known and sum(c.type == "prflx" for c in self._remote_candidates) >= MAX_PEER_REFLEXIVE:
            return
        self._proven.add((addr[0], addr[1]))
        super().check_incoming(message, addr, protocol)
        for pair in list(self._unanswered):
            if pair.protocol is protocol and pair.remote_addr == (addr[0], addr[1]):
                # What came to the other end's TURN server before it knew of us is lost, and the way is open now: ask
                # again at once and not after the 0.5 s of a retransmission (RFC 8445 §7.3.1.4), once for each check.
                protocol.send_stun(self._unanswered.pop(pair), pair.remote_addr)

    def build_request(self, pair: CandidatePair, nominate: bool) -> Message:
        request = super().build_request(pair, nominate)
        if pair.state is CandidatePair.State.IN_PROGRESS:
            self._unanswered[pair] = request
        return request

    def check_complete(self, pair: CandidatePair) -> None:
        """A pair that succeeds later takes over only if it is better: a relay must not replace a direct path."""
        self._unanswered.pop(pair, None)
        current = self._nominated.get(1)
        if current is not None and pair is not current and self._rank(pair) <= self._rank(current):
            pair.nominated = False
        if pair.state is CandidatePair.State.SUCCEEDED:
            self._proven.add(pair.remote_addr)
        super().check_complete(pair)

    def _rank(self, pair: CandidatePair) -> int:
        return candidate_pair_priority(pair.local_candidate, pair.remote_candidate, self.ice_controlling)

    def _check_list_maybe_complete(self) -> bool:
        complete: bool = super()._check_list_maybe_complete()
        if complete:
            pair = self._nominated[1]
            if pair is not self._pair:
                self._pair = pair
                transport = cast("object", pair.protocol.transport)
                self._send_to = (pair.protocol.transport.sendto, pair.remote_addr)
                self._send_burst = transport.send_burst if isinstance(transport, UdpSocket) else None
                self.last_received = self._clock.time()
                self._work.set()
                self._on_up(self)
        return complete

    # Traffic.

    @property
    def is_up(self) -> bool:
        return self._send_to is not None

    @property
    def selected_kinds(self) -> tuple[str, str] | None:
        """Kinds of the selected pair, local then remote."""
        if self._pair is None:
            return None
        local, remote = self._pair.local_candidate, self._pair.remote_candidate
        return kind_of_end(local.type, local.host), kind_of_end(remote.type, remote.host)

    @property
    def turn_path(self) -> TurnPath | None:
        """What lends the address of the selected pair, if one end of it is lent."""
        if self._pair is None:
            return None
        local, remote = self._pair.local_candidate, self._pair.remote_candidate
        if (server := self._lenders.get(local)) is not None:
            over = "tls" if server.tls else server.transport
            return TurnPath("ours", authority(server.host, server.port), over)
        return TurnPath("theirs", remote.host) if remote.type == "relay" else None

    def ice_snapshot(self) -> IceSnapshot:
        """Its candidates, and what has become of the checks between them."""
        return snapshot(
            map(_candidate_word, self._local_candidates),
            map(_candidate_word, self._remote_candidates),
            (
                Pair(
                    _candidate_word(pair.local_candidate),
                    _candidate_word(pair.remote_candidate),
                    _PAIR_STATES[pair.state],
                    pair.nominated,
                )
                for pair in self._check_list
            ),
        )

    def send_now(self, data: bytes) -> None:
        target = self._send_to
        if target is not None:
            target[0](data, target[1])

    def send_burst(self, datagrams: list[bytes]) -> None:
        """Several at once, in their order."""
        if self._send_burst is not None and self._send_to is not None:
            self._send_burst(datagrams, self._send_to[1])
        else:
            for data in datagrams:
                self.send_now(data)

    def dtls_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        """Hand on what comes from an address that has shown the ICE password.

        Anybody who learns the port could end a DTLS handshake with one forged record otherwise.
        """
        if (addr if len(addr) == 2 else addr[:2]) in self._proven:
            self.last_received = self._clock.time()
            self._on_data(data)

    def stun_received(self, addr: tuple[object, ...]) -> None:
        """A well-formed STUN message: a sign of life if it comes from the selected address."""
        target = self._send_to
        if target is not None and target[1] == (addr[0], addr[1]):
            self.last_received = self._clock.time()

    def stand_still(self, *, still: bool) -> None:
        """Read nothing from the network meanwhile, and so answer nothing."""
        for protocol in self._protocols:
            if isinstance(transport := cast("object", protocol.transport), UdpSocket):
                (transport.pause if still else transport.resume)()

    def note_lag(self) -> None:
        """See whether the first probe of a silence has been answered, and how late."""
        asked_at = self.asked_at
        if asked_at is not None and self.last_received >= asked_at:
            self.asked_at = None
            self.lag = max(self.last_received - asked_at, 0.75 * self.lag)

    def probe(self, now: float) -> None:
        """Send a binding request on the selected pair; any packet of the peer is the answer."""
        pair = self._pair
        if pair is None or self._closing or self.remote_password is None:
            return
        self.last_probe = now
        if self.asked_at is None:
            self.asked_at = now
        request = self.build_request(pair, nominate=False)
        request.add_message_integrity(self.remote_password.encode())
        pair.protocol.send_stun(request, pair.remote_addr)

    def close_soon(self) -> asyncio.Task[None]:
        """Close the sockets now and the rest (relays, checks) in the background, at most `CLOSE_SECONDS`."""
        self._send_to = None
        self._work.set()
        for protocol in self._protocols:
            if isinstance(cast("object", protocol.transport), UdpSocket):
                protocol.transport.close()
        for task in self._tasks:
            task.cancel()
        return asyncio.ensure_future(self._close_bounded())

    async def _close_bounded(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close()
        except TimeoutError:
            log.debug("ICE did not close within %s s", CLOSE_SECONDS)

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_waiting(pair: CandidatePair) -> bool:
    """Whether no check of the pair has begun."""
    return pair.task is None and pair.state in (CandidatePair.State.WAITING, CandidatePair.State.FROZEN)


def _candidate_word(candidate: aioice.Candidate) -> str:
    return candidate_word(candidate.type, candidate.host, candidate.port)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ICE_CHARS) for _ in range(length))
