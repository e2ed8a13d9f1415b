"""What zeroconf is told to put on the wire, against the recorded records of v0.3.8, and what is read off it."""

from __future__ import annotations

from attrs import frozen
from zeroconf import DNSAddress, DNSIncoming, DNSOutgoing, DNSPointer, DNSService, DNSText

from myownmesh.lan import txt
from myownmesh.lan.directory import Address, Pointer, Service, Text
from myownmesh.lan.names import SERVICE_TYPE, full_name, host_name
from myownmesh.signaling.lan_access import LanAccess, lan_access
from myownmesh.signaling.lan_responder import LocalNetworks, record_of, service_info
from support.vectors import load

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
