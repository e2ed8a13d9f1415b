"""What zeroconf is told to put on the wire, against the recorded records of v0.3.8, and what is read off it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
import trio
import zeroconf.asyncio
from attrs import frozen
from zeroconf import DNSAddress, DNSCache, DNSIncoming, DNSOutgoing, DNSPointer, DNSService, DNSText

from myownmesh.lan import txt
from myownmesh.lan.directory import Address, Pointer, Service, Text
from myownmesh.lan.names import SERVICE_TYPE, full_name, host_name
from myownmesh.signaling import lan_responder
from myownmesh.signaling.lan_access import LanAccess, lan_access
from myownmesh.signaling.lan_responder import LocalNetworks, Responder, forget, record_of, service_info
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zeroconf import ServiceInfo

    from myownmesh.lan.directory import Record

MDNS = load("signaling", "mdns")
RESPONSE = 0x8400


@frozen
class Advertised:
    label: str
    port: int
    entries: dict[str, str]

    def text(self) -> dict[str, str]:
        return self.entries


def test_our_records_are_those_of_v038() -> None:
    example, [case] = MDNS["records_example"], MDNS["txt"]
    label = MDNS["instance_names"][1]["instance"]
    entries = txt.entries(case["room"], case["device"])
    info = service_info(Advertised(label, example["port"], entries), ["192.168.1.5"])
    out = DNSOutgoing(RESPONSE)
    for record in (info.dns_pointer(), info.dns_service(), info.dns_text(), *info.dns_addresses()):
        out.add_answer_at_time(record, 0)
    seen = {type(record): record for record in DNSIncoming(out.packets()[0]).answers()}
    pointer, service, text, address = (seen[kind] for kind in (DNSPointer, DNSService, DNSText, DNSAddress))
    assert isinstance(pointer, DNSPointer)
    assert isinstance(service, DNSService)
    assert isinstance(text, DNSText)
    assert (pointer.name, pointer.alias, pointer.ttl) == (SERVICE_TYPE, full_name(label), example["ttl_ptr_txt"])
    assert (service.priority, service.weight, service.port) == (0, 0, example["port"])
    assert (service.server, service.ttl) == (host_name(label), example["ttl_srv_a"])
    assert text.text.hex() == case["rdata_hex"]
    assert address.ttl == example["ttl_srv_a"]
    assert [record.unique for record in (pointer, service, text, address)] == [False, True, True, True]
    assert [record_of(each) for each in (pointer, service, text, address)] == [
        Pointer(full_name(label), 4500),
        Service(full_name(label), host_name(label), example["port"], 120),
        Text(full_name(label), bytes.fromhex(case["rdata_hex"]), 4500),
        Address(host_name(label), bytes((192, 168, 1, 5)), 120),
    ]


def test_what_belongs_to_others_is_no_record_of_ours() -> None:
    assert record_of(DNSPointer("_ipp._tcp.local.", 12, 1, 120, "printer._ipp._tcp.local.")) is None
    assert record_of(DNSAddress("host.local.", 28, 1, 120, bytes(16))) is None


def test_a_goodbye_is_a_record_without_a_life() -> None:
    assert record_of(DNSPointer(SERVICE_TYPE, 12, 1, 0, "x")) == Pointer("x", 0)


def test_what_is_forgotten_may_be_gone_or_said_twice() -> None:
    cache = DNSCache()
    kept, gone = (DNSAddress(f"{name}.local.", 1, 1, 120, bytes(4)) for name in ("kept", "gone"))
    said_twice = DNSService("gone.local.", 33, 1, 120, 0, 0, 9, "gone.local.")
    cache.async_add_records([kept, said_twice])
    forget(cache, [gone, said_twice, said_twice])
    assert cache.names() == [kept.key]


def test_the_networks_of_this_machine() -> None:
    local = LocalNetworks([(2, "192.168.7.5", 24), (3, "10.0.0.1", 8)])
    assert local.addresses == ["192.168.7.5", "10.0.0.1"]
    assert [str(network) for network in local.networks] == ["192.168.7.0/24", "10.0.0.0/8"]


def test_whoever_starts_the_daemon_may_keep_it_silent() -> None:
    assert lan_access({"MYOWNMESH_MDNS": "off"}) is None
    assert lan_access({"MYOWNMESH_MDNS": "OFF"}) is None
    access = lan_access({})
    assert isinstance(access, LanAccess)
    assert access.responder() is access.responder()


class FakeZeroconf:
    """Registers nothing at the first time."""

    made: ClassVar[FakeZeroconf]

    def __init__(self, *_: object, **__: object) -> None:
        self.asked: list[str] = []
        FakeZeroconf.made = self

    @property
    def registry(self) -> FakeZeroconf:
        return self

    async def async_wait_for_start(self) -> None: ...

    def async_add_listener(self, *_: object) -> None: ...

    def async_send(self, *_: object) -> None: ...

    def async_get_info_name(self, _: str) -> None:
        """There is nothing to say goodbye for."""

    async def async_register_service(self, info: ServiceInfo, **_: object) -> None:
        self.asked.append(info.name)
        if len(self.asked) == 1:
            raise zeroconf.ServiceNameAlreadyRegistered


class FakeAsyncZeroconf:
    def __init__(self, zc: object) -> None: ...

    async def async_close(self) -> None: ...


class Quiet:
    """A network that does nothing with what it hears."""

    def heard(self, records: Sequence[Record]) -> None: ...

    def is_about(self, name: str) -> bool:
        return bool(name)


async def test_an_advert_that_could_not_be_registered_is_when_it_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zeroconf, "Zeroconf", FakeZeroconf)
    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", FakeAsyncZeroconf)
    monkeypatch.setattr(lan_responder, "local_networks", lambda: LocalNetworks([(2, "192.168.7.5", 24)]))
    allowed, network, advertised = trio.Event(), Quiet(), Advertised("mom-a-b", 41_000, {})
    allowed.set()
    responder = Responder(allowed)
    await responder.attach(network)
    with pytest.raises(OSError, match="ServiceNameAlreadyRegistered"):
        await responder.advertise(network, advertised)
    for _ in range(2):
        await responder.advertise(network, advertised)
    assert FakeZeroconf.made.asked == [full_name("mom-a-b")] * 2
    await responder.detach(network)
