"""The process's multicast: one zeroconf for all networks, in the asyncio loop, loaded when a network wants it.

zeroconf keeps the records that others ask for and puts its probes, adverts and goodbyes on the wire; what is heard goes
to the networks as it comes. What belongs to no network here is not kept (spec 03 §18.1, §18.2).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Protocol

import trio

from mesh_common.switching import program_goes_on
from myownmesh.lan.directory import Address, Pointer, Service, Text
from myownmesh.lan.names import HOST_TTL_S, OTHER_TTL_S, SERVICE_TYPE, full_name, host_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from zeroconf import DNSCache, DNSRecord, RecordUpdate, ServiceInfo, Zeroconf

    from myownmesh.lan.directory import Question, Record
    from myownmesh.lan.endpoints import Networks

log = logging.getLogger(__name__)

ASK_LIMIT_S: Final = 10.0
"""For what zeroconf is asked to do; its probes take a second and a half."""
CLOSE_LIMIT_S: Final = 0.5
_QUERY: Final = 0
_INTERNET: Final = 1
_TYPES: Final = {"A": 1, "PTR": 12, "TXT": 16, "SRV": 33}
"""Numbers of RFC 1035 and RFC 2782."""


class Watch(Protocol):
    """One network, as the responder knows it. Its methods must not block."""

    def heard(self, records: Sequence[Record]) -> None:
        """Called on trio's thread."""
        ...

    def is_about(self, name: str) -> bool:
        """Called in the asyncio loop, which may have a thread of its own: looks, and changes nothing."""
        ...


class Advertised(Protocol):
    """What is registered for a network."""

    @property
    def label(self) -> str: ...
    @property
    def port(self) -> int: ...
    def text(self) -> dict[str, str]: ...


class LocalNetworks:
    """This machine's IPv4 addresses at a moment, but for loopback."""

    def __init__(self, found: Iterable[tuple[int, str, int]]) -> None:
        """Interface number, address and prefix of each."""
        self.by_address = {address: (index, prefix) for index, address, prefix in found}

    @property
    def addresses(self) -> list[str]:
        return list(self.by_address)

    @property
    def networks(self) -> Networks:
        return tuple(
            ipaddress.IPv4Network((address, prefix), strict=False) for address, (_, prefix) in self.by_address.items()
        )


def local_networks() -> LocalNetworks:
    """As they are now. A millisecond."""
    import ifaddr

    return LocalNetworks(
        (adapter.index or 0, ip.ip, ip.network_prefix)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if isinstance(ip.ip, str) and not ipaddress.ip_address(ip.ip).is_loopback
    )


class Responder:
    """Shared by all networks of a process. Nothing is loaded before a network is attached."""

    def __init__(self, allowed: trio.Event) -> None:
        """`allowed` is set once the processor is free for imports."""
        self._allowed = allowed
        self._lock = trio.Lock()
        self._watches: list[Watch] = []
        self._infos: dict[Watch, ServiceInfo] = {}
        self._zeroconf: Zeroconf | None = None
        self._local = LocalNetworks(())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own_thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._batch: list[DNSRecord] = []

    @property
    def networks(self) -> Networks:
        """The networks that this machine has an address in. Asked anew: multicast follows a change behind its lock, and
        whoever dials meanwhile is not to be told of yesterday's."""
        return local_networks().networks

    # ── what networks ask for ─────────────────────────────────────────────────────────────────────────────────────────

    async def attach(self, watch: Watch) -> None:
        """Let a network hear what is said from now on, and ask who is there. Raises OSError where there is no way."""
        await self._allowed.wait()  # bounded by the rest of the start
        async with self._lock:
            if self._zeroconf is None:
                await self._start()
            self._watches.append(watch)
        self.ask_for_all()

    async def advertise(self, watch: Watch, advertised: Advertised) -> None:
        """Register the network's advert: probed for a second and a half, then heard by all."""
        async with self._lock:
            if self._zeroconf is None or watch in self._infos:
                return
            zeroconf, info = self._zeroconf, service_info(advertised, self._local.addresses)
            self._infos[watch] = info
        try:
            await self._done(lambda: self._register(zeroconf, watch, info))
        except OSError:
            if self._infos.get(watch) is info:
                del self._infos[watch]  # whoever asks again has it registered, and is not told that it is
            raise

    async def withdraw(self, watch: Watch) -> None:
        """Take the advert back, with a goodbye."""
        async with self._lock:
            info = self._infos.pop(watch, None)
            zeroconf = self._zeroconf
        if info is not None and zeroconf is not None:
            await self._done(lambda: _goodbye(zeroconf, info))

    async def detach(self, watch: Watch) -> None:
        """The network is over; with the last one the sockets are closed."""
        await self.withdraw(watch)
        async with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)
            if not self._watches and self._zeroconf is not None:
                await self._stop()

    async def moved(self, watch: Watch) -> None:
        """This machine's addresses or interfaces have changed, or may have: follow them, be heard there, and ask."""
        async with self._lock:
            zeroconf = self._zeroconf
            if zeroconf is None:
                return
            before, self._local = self._local, local_networks()
            await self._done(lambda: self._follow(zeroconf, before, self._local, self._infos.get(watch)))
        self.ask_for_all()

    def ask_for_all(self) -> None:
        """Ask the local network who is there: for answers to this machine first, which come at once, then to all."""
        self._in_loop(self._ask_for_all)

    def ask(self, questions: Sequence[Question]) -> None:
        """Ask the local network for these records."""
        zeroconf = self._zeroconf
        if questions and zeroconf is not None:
            self._in_loop(lambda: _send(zeroconf, [(question.name, question.kind) for question in questions]))

    # ── its life ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _start(self) -> None:
        with program_goes_on():
            await trio.to_thread.run_sync(_load)
        self._token = trio.lowlevel.current_trio_token()
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = self._new_loop()
        with ExitStack() as unless_open:
            unless_open.callback(self._end_loop)
            self._local = local_networks()
            if not self._local.addresses:
                raise OSError("this machine has no IPv4 address besides loopback")
            await self._done(self._open)
            unless_open.pop_all()

    async def _open(self) -> None:
        from zeroconf import IPVersion, RecordUpdateListener, Zeroconf

        responder = self

        class Listener(RecordUpdateListener):
            def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
                responder._batch += [update.new for update in records]

            def async_update_records_complete(self) -> None:
                responder._heard()

        zeroconf = Zeroconf(self._local.addresses, ip_version=IPVersion.V4Only, use_asyncio=True)
        await zeroconf.async_wait_for_start()
        zeroconf.async_add_listener(Listener(), None)
        self._zeroconf = zeroconf

    async def _register(self, zeroconf: Zeroconf, watch: Watch, info: ServiceInfo) -> None:
        await zeroconf.async_register_service(info, allow_name_change=True, strict=False)
        if self._infos.get(watch) is not info:
            await _goodbye(zeroconf, info)  # it was taken back while it was probed for

    async def _stop(self) -> None:
        zeroconf, self._zeroconf = self._zeroconf, None
        assert zeroconf is not None
        with trio.move_on_after(CLOSE_LIMIT_S, shield=True):
            await self._done(lambda: _close(zeroconf))
        self._end_loop()

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        """In a thread of its own, for a program that runs trio without ours."""
        loop = asyncio.new_event_loop()
        self._own_thread = threading.Thread(target=loop.run_forever, name="mdns", daemon=True)
        self._own_thread.start()
        return loop

    def _end_loop(self) -> None:
        loop, thread, self._loop, self._own_thread = self._loop, self._own_thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(_finish, loop)
            thread.join()
            loop.close()

    # ── between the loop and trio ─────────────────────────────────────────────────────────────────────────────────────

    def _in_loop(self, act: Callable[[], object]) -> None:
        if self._loop is not None:
            if self._own_thread is None:
                self._loop.call_soon(act)
            else:
                self._loop.call_soon_threadsafe(act)

    def _in_trio(self, act: Callable[[], object]) -> None:
        if self._own_thread is None:
            act()
        elif self._token is not None:
            self._token.run_sync_soon(act)

    async def _done(self, work: Callable[[], Coroutine[object, object, object]]) -> None:
        """Have the loop do it, and wait for that. Raises what it raises, and OSError when it takes too long."""
        done = trio.Event()
        failures: list[BaseException | None] = []

        def finished(task: asyncio.Task[object]) -> None:
            failures.append(None if task.cancelled() else task.exception())
            self._in_trio(done.set)

        def begin() -> None:
            _spawn(self._loop, work()).add_done_callback(finished)

        self._in_loop(begin)
        with trio.move_on_after(ASK_LIMIT_S):
            await done.wait()
        if not failures:
            raise OSError("the multicast part does not answer")
        failure = failures[0]
        if failure is not None:
            from zeroconf import Error

            if isinstance(failure, Error):
                raise OSError(str(failure) or type(failure).__name__) from failure
            raise failure

    # ── what is heard and asked ───────────────────────────────────────────────────────────────────────────────────────

    def _heard(self) -> None:
        """In the loop, behind each packet."""
        batch, self._batch = self._batch, []
        zeroconf = self._zeroconf
        if zeroconf is None:
            return
        records = [record for each in batch if (record := record_of(each)) is not None]
        if records:
            self._in_trio(lambda: self._tell(records))
        forget(zeroconf.cache, (each for each in batch if not self._is_kept(each)))

    def _tell(self, records: Sequence[Record]) -> None:
        for watch in self._watches:
            watch.heard(records)

    def _is_kept(self, record: DNSRecord) -> bool:
        """Whether zeroconf has to know it: to notice a goodbye, and a conflict of names."""
        name = getattr(record, "alias", record.name)
        return any(watch.is_about(name) for watch in self._watches)

    def _ask_for_all(self) -> None:
        zeroconf, loop = self._zeroconf, self._loop
        if zeroconf is None or loop is None:
            return
        _send(zeroconf, [(SERVICE_TYPE, "PTR")], to_us=True)
        for seconds in (0.05, 1.0, 3.0):
            loop.call_later(seconds, _send, zeroconf, [(SERVICE_TYPE, "PTR")])

    async def _follow(
        self, zeroconf: Zeroconf, before: LocalNetworks, after: LocalNetworks, info: ServiceInfo | None
    ) -> None:
        same = [each for each in after.by_address if before.by_address.get(each) == after.by_address[each]]
        if same and len(same) < len(after.by_address):
            # An address that went to another interface is one that is gone, for a socket.
            await zeroconf.async_update_interfaces(same)
        if after.addresses:
            await zeroconf.async_update_interfaces(after.addresses)
        if info is not None:
            info.addresses = [socket.inet_aton(address) for address in after.addresses]
            if zeroconf.registry.async_get_info_name(info.name) is not None:
                _spawn(self._loop, _announce(zeroconf, info))


def service_info(advertised: Advertised, addresses: Sequence[str]) -> ServiceInfo:
    """The records of an advert (spec 03 §18.1)."""
    from zeroconf import ServiceInfo

    return ServiceInfo(
        SERVICE_TYPE,
        full_name(advertised.label),
        port=advertised.port,
        properties=advertised.text(),
        server=host_name(advertised.label),
        host_ttl=HOST_TTL_S,
        other_ttl=OTHER_TTL_S,
        addresses=[socket.inet_aton(address) for address in addresses],
    )


def _load() -> None:
    """Import zeroconf; 40 ms, 5 MB. In a thread, with the program going on."""
    import zeroconf
    import zeroconf.asyncio

    logging.getLogger(zeroconf.__name__).setLevel(logging.ERROR)  # a network that is away is none of its warnings


def forget(cache: DNSCache, records: Iterable[DNSRecord]) -> None:
    """Take out what the cache holds of these: a goodbye is out by itself, and a packet may say one thing twice."""
    for each in records:
        if each in cache.cache.get(each.key, ()):
            cache.async_remove_records((each,))


def record_of(found: DNSRecord) -> Record | None:
    from zeroconf import DNSAddress, DNSPointer, DNSService, DNSText, current_time_millis

    ttl_s = 0.0 if found.is_expired(current_time_millis()) else float(found.ttl)
    match found:
        case DNSPointer() if found.name.lower() == SERVICE_TYPE:
            return Pointer(found.alias, ttl_s)
        case DNSService():
            return Service(found.name, found.server, found.port, ttl_s)
        case DNSText():
            return Text(found.name, found.text, ttl_s)
        case DNSAddress() if len(found.address) == 4:
            return Address(found.name, found.address, ttl_s)
        case _:
            return None


def _send(zeroconf: Zeroconf, questions: Iterable[tuple[str, str]], *, to_us: bool = False) -> None:
    from zeroconf import DNSOutgoing, DNSQuestion

    out = DNSOutgoing(_QUERY)
    for name, kind in questions:
        question = DNSQuestion(name, _TYPES[kind], _INTERNET)
        question.unicast = to_us
        out.add_question(question)
    zeroconf.async_send(out)


def _spawn(loop: asyncio.AbstractEventLoop | None, work: Coroutine[object, object, object]) -> asyncio.Task[object]:
    assert loop is not None
    task = loop.create_task(work)
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
    return task


_TASKS: Final[set[asyncio.Task[object]]] = set()
"""A loop holds its tasks weakly."""


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """In the loop: end what is under way, and then the loop."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon(loop.stop)


async def _goodbye(zeroconf: Zeroconf, info: ServiceInfo) -> None:
    if zeroconf.registry.async_get_info_name(info.name) is not None:
        _spawn(zeroconf.loop, _all_of(await zeroconf.async_unregister_service(info)))  # the first is out already


async def _announce(zeroconf: Zeroconf, info: ServiceInfo) -> None:
    await (await zeroconf.async_update_service(info))


async def _all_of(broadcasts: Awaitable[object]) -> None:
    await broadcasts


async def _close(zeroconf: Zeroconf) -> None:
    from zeroconf.asyncio import AsyncZeroconf

    await AsyncZeroconf(zc=zeroconf).async_close()
