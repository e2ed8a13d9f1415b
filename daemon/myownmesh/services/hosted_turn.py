"""STUN and TURN as hosted services: from their blocks of the configuration to a worker, its report and its advert."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from mesh_common.addresses import authority, is_loopback, without_brackets
from mesh_common.views import RelayedTraffic, TurnReport
from myownmesh.services.service import Advert, CannotServe
from myownmesh.services.worker_process import worker
from myownmesh.turn.table import Settings
from myownmesh.turn_worker.messages import Job, TlsFiles, read_said

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.services.turn_desk import TurnDesk
    from myownmesh.store.services_config import ServicesConfig, StunService, TurnService
    from myownmesh.turn_worker.messages import Report
    from myownmesh.worker.messages import Listening


class HostedTurn:
    """Implements `services.service.Service` for both roles: a TURN server answers the questions of STUN, too."""

    def __init__(self, job: Callable[[], Job], desk: TurnDesk | None = None) -> None:
        """`job` raises `CannotServe` for a configuration that cannot be served; `desk` hands passwords to members."""
        self._job_of = job
        self._desk = desk
        self._job: Job | None = None
        self._listening: Listening | None = None
        self._tls_name: str | None = None
        self._said: Report | None = None

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled. Raises `CannotServe` when the worker cannot start, or ends."""
        job = self._job_of()
        if self._desk is not None and job.turn is not None:
            secret, labels = await self._desk.open()
            job = replace(job, turn=replace(job.turn, secret=secret, labels=labels))
        self._job = job
        async with worker("turn-worker", job, read_said) as process:
            self._listening = await process.listens()
            if job.tls is not None:
                self._tls_name = await trio.to_thread.run_sync(certificate_name, job.tls.cert_file)
            task_status.started()
            async with trio.open_nursery() as nursery:
                if self._desk is not None:
                    nursery.start_soon(self._desk.attend, process.tell, self._turn_urls)
                ended = await process.listen(self._take)
                nursery.cancel_scope.cancel()
            raise ended

    def _take(self, report: Report) -> None:
        self._said = report

    def _turn_urls(self) -> tuple[str, ...]:
        """Where members reach it; none while nobody has said what others call this host."""
        assert self._job is not None
        assert self._listening is not None
        return urls_of(self._job, self._listening, self._tls_name)

    def report(self, *, enabled: bool, listening_since: int | None) -> TurnReport:
        """Where it listens, and for TURN what it has relayed (spec 06 §3)."""
        assert self._listening is not None
        listen = authority(self._listening.address, self._listening.port)
        said, relayed = self._said, None
        if said is not None and self._job is not None and self._job.turn is not None:
            counts = said.counts
            relayed = RelayedTraffic(
                allocations=said.allocations,
                allocations_total=counts.allocations_total,
                streams=said.streams,
                packets_up=counts.packets_up,
                packets_down=counts.packets_down,
                bytes_up=counts.bytes_up,
                bytes_down=counts.bytes_down,
                policed=counts.policed,
                forbidden=counts.forbidden,
                over_quota=counts.over_quota,
                unauthorised=counts.unauthorised,
            )
        return TurnReport(enabled, True, listen, listening_since, relayed, None if said is None else said.problem)

    def advert(self, config: ServicesConfig) -> Advert:
        """Tags of what is enabled and served here, and URLs when it is known how others reach them (06 §4, K)."""
        assert self._job is not None
        assert self._listening is not None
        return advert_of(self._job, self._listening, self._tls_name, config)


def advert_of(job: Job, listening: Listening, tls_name: str | None, config: ServicesConfig) -> Advert:
    """What a server with this job tells peers while it listens there; `tls_name` is what its certificate is for."""
    serves_turn, answers_stun = job.turn is not None, config.stun.enabled
    tags = (*(("service:stun",) if answers_stun else ()), *(("service:turn",) if serves_turn else ()))
    public_ip = config.turn.public_ip.strip()
    if not public_ip or (is_loopback(job.bind) and not is_loopback(public_ip)):
        return Advert(tags)
    place = authority(public_ip, listening.port)
    endpoints: dict[str, object] = {"stun_url": f"stun:{place}"} if answers_stun else {}
    if serves_turn:
        urls = urls_of(job, listening, tls_name)
        endpoints |= {"turn_url": urls[0], "turn_urls": list(urls)}
    return Advert(tags, endpoints)


def urls_of(job: Job, listening: Listening, tls_name: str | None) -> tuple[str, ...]:
    """Where a TURN server with this job is reached: over UDP, TCP, TLS."""
    assert job.turn is not None
    place = authority(job.turn.public_ip, listening.port)
    urls = [f"turn:{place}"]
    if job.tcp:
        urls.append(f"turn:{place}?transport=tcp")
    if tls_name is not None and listening.tls_port is not None:
        # Clients check the name, so an address would be of no use to them.
        urls.append(f"turns:{tls_name}:{listening.tls_port}?transport=tcp")
    return tuple(urls)


def stun_job(block: StunService) -> Job:
    return Job(bind=block.bind, port=block.port)


def turn_job(block: TurnService, *, private_peers: bool) -> Job:
    """What a worker is told. Raises `CannotServe` for what spec 06 §7.1 refuses, with what to change."""
    if not block.credentials:
        raise CannotServe("nobody could use it: services.turn.credentials is empty")
    public_ip = block.public_ip.strip() or without_brackets(block.bind)
    member = "public_ip" if block.public_ip.strip() else "bind"
    try:
        address = ipaddress.ip_address(public_ip)
    except ValueError as error:
        raise CannotServe(f"services.turn.{member} is '{public_ip}', and must be an IP address") from error
    if address.is_unspecified or address.version != 4:
        reason = "names no address" if address.is_unspecified else "is IPv6, and only IPv4 is relayed"
        raise CannotServe(
            f"services.turn.{member} {reason}: set services.turn.public_ip to the IPv4 address of this host for "
            "others, as `myownmesh ctl services enable turn --public-ip IP` does"
        )
    try:
        tls = block.tls
    except ValueError as error:
        raise CannotServe(str(error)) from error
    return Job(
        bind=block.bind,
        port=block.port,
        turn=Settings(
            public_ip=str(address),
            realm=block.realm,
            passwords={each.username: each.password for each in block.credentials},
            bytes_per_s=block.max_bps_per_connection,
            private_peers=private_peers,
        ),
        tcp=block.tcp_enabled,
        tls=None if tls is None else TlsFiles(tls.cert_file, tls.key_file, tls.port),
        relay_ports=(block.relay_port_min, block.relay_port_max),
    )


def certificate_name(path: str) -> str | None:
    """The first DNS name of a certificate that a client could ask for; None when it has none."""
    from pathlib import Path

    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return None
    found = names.get_values_for_type(x509.DNSName)
    return next((name for name in found if "*" not in name), None)
