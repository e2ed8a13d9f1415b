"""Which services of members a device uses by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mesh_common.views import CapabilityAdvert
from myownmesh.mesh.offers import (
    KEPT_S,
    SETTLED_S,
    Adopted,
    Adoption,
    Member,
    Offer,
    hosts_anything,
    offers_of,
    usable_urls,
)
from support import vectors

if TYPE_CHECKING:
    from myownmesh.mesh.offers import Kind

NOW = 1_700_000_000
DAY = 86400
ALL = ("service:relay", "service:signaling", "service:stun", "service:turn")


def advert(services: object, *tags: str) -> CapabilityAdvert:
    return CapabilityAdvert(tags or ALL, "0.3.8", None, Raw(json.dumps({"services": services}).encode()))


def member(device: str, *offers: Offer, reached: str = "", distrust: str | None = None) -> Member:
    return Member(device, offers, frozenset({reached} - {""}), distrust)


def relay(host: str) -> Offer:
    return Offer("relay", (f"ws://{host}:4848",))


# ── adverts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", vectors.load("signaling", "service_advert")["cases"], ids=lambda case: case["config"])
def test_adverts_of_the_reference_are_read(case: dict[str, Any]) -> None:
    extra = case["extra"]
    made = CapabilityAdvert(tuple(case["tags"]), None, None, None if extra is None else Raw(json.dumps(extra).encode()))
    services = (extra or {}).get("services", {})
    names = {"relay": "signaling_url", "stun": "stun_url", "turn": "turn_url"}
    told = {kind: services[name] for kind, name in names.items() if name in services}
    assert {offer.kind: offer.urls[0] for offer in offers_of(made)} == told
    assert hosts_anything(made) is any(tag != "service:relay" for tag in case["tags"])


@pytest.mark.parametrize(
    "extra",
    [b"null", b"[]", b"7", b'{"services":[]}', b'{"services":{"turn_url":7,"turn_urls":"x"}}', b'{"services":{}}'],
)
def test_what_is_malformed_counts_as_absent(extra: bytes) -> None:
    assert offers_of(CapabilityAdvert(ALL, None, None, Raw(extra))) == ()


def test_only_what_is_tagged_runs_and_of_many_addresses_few_are_read() -> None:
    urls = [f"turn:203.0.113.{number}:3478" for number in range(9)]
    told = {"signaling_url": "ws://203.0.113.1:4848", "turn_url": urls[0], "turn_urls": [*urls, 7, "x" * 300]}
    assert offers_of(advert(told, "service:turn")) == (Offer("turn", tuple(urls[:4])),)


# ── addresses ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "url", "reached"),
    [
        ("relay", "ws://198.51.100.7:4848", ""),
        ("relay", "wss://relay.example.org", ""),
        ("relay", "ws://192.168.1.7:4848", "192.168.1.7"),
        ("stun", "stun:198.51.100.7", ""),
        ("stun", "stun:[2001:db8::7]:3478", ""),
        ("turn", "turn:198.51.100.7:3478?transport=tcp", ""),
        ("turn", "turns:turn.example.org:5349?transport=tcp", ""),
        ("turn", "turn:10.1.1.1:3478", "10.1.1.1"),
    ],
)
def test_global_addresses_those_of_the_host_and_names_that_tls_proves_may_be_used(
    kind: Kind, url: str, reached: str
) -> None:
    assert usable_urls(Offer(kind, (url,)), {reached}) == ((url,), "")


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("relay", "ws://192.168.1.1:4848"),
        ("relay", "ws://relay.example.org:4848"),
        ("relay", "wss://router.lan"),
        ("relay", "wss://router"),
        ("relay", "http://198.51.100.7"),
        ("relay", "ws://2130706433:80"),
        ("relay", "ws://[::ffff:127.0.0.1]:80"),
        ("stun", "stun:127.0.0.1"),
        ("stun", "stun:169.254.169.254"),
        ("stun", "stun:stun.example.org"),
        ("stun", "stun:0.0.0.0"),
        ("turn", "turn:10.0.0.1"),
        ("turn", "turn:100.64.1.1"),
        ("turn", "turn:[fe80::1]"),
        ("turn", "turn:[fd00::1]"),
        ("turn", "turn:[64:ff9b::a00:1]"),
        ("turn", "turn:[::1]"),
        ("turn", "turn:localhost"),
        ("turn", "turn:turn.example.org:3478"),
        ("turn", "turns:192.168.1.1:5349"),
    ],
)
def test_inner_addresses_and_names_that_may_mean_them_are_refused(kind: Kind, url: str) -> None:
    good, wrong = usable_urls(Offer(kind, (url,)), {"192.0.2.9"})
    assert good == ()
    assert wrong


@given(st.text(max_size=40))
def test_no_text_is_an_error(url: str) -> None:
    for kind in ("relay", "stun", "turn"):
        usable_urls(Offer(kind, (url,)), ())


# ── adoption ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_four_of_a_kind_are_used_and_the_rest_waits_until_one_is_gone() -> None:
    adoption = Adoption(())
    members = [member(f"d{number}", relay(f"198.51.100.{number}")) for number in range(1, 7)]
    adoption.look(members, 0.0, NOW)
    assert [each.device_id for each in adoption.of_kind("relay")] == ["d1", "d2", "d3", "d4"]
    assert [(each.device_id, each.why) for each in adoption.waiting] == [
        ("d5", "4 of its kind are in use already"),
        ("d6", "4 of its kind are in use already"),
    ]
    adoption.keep_only({"d1", "d3", "d4"}, NOW)
    adoption.look(members[2:], 1.0, NOW)
    assert [each.device_id for each in adoption.of_kind("relay")] == ["d1", "d3", "d4", "d5"]


def test_what_a_person_has_not_approved_waits_with_the_reason_and_so_does_what_is_inner() -> None:
    adoption = Adoption(())
    adoption.look(
        [
            member("gossip", relay("198.51.100.1"), distrust="nobody here approved this device"),
            member("inner", relay("192.168.0.1")),
        ],
        0.0,
        NOW,
    )
    assert adoption.adopted == ()
    first, second = adoption.waiting
    assert first.why == "nobody here approved this device"
    assert "192.168.0.1 is an inner address" in second.why


def test_an_address_that_changes_is_followed_once_in_a_minute() -> None:
    adoption = Adoption(())
    for second in range(61):
        adoption.look([member("d", relay(f"198.51.100.{second + 1}"))], float(second), NOW)
    assert adoption.adopted == (Adopted("d", "relay", ("ws://198.51.100.61:4848",), NOW),)
    adoption.look([member("d", relay("198.51.100.99"))], 61.0, NOW)
    assert adoption.waiting[0].why == "its addresses change too often"
    assert adoption.adopted[0].urls == ("ws://198.51.100.61:4848",)


def test_a_service_that_restarts_stays_and_one_that_ended_goes() -> None:
    adoption = Adoption((Adopted("d", "relay", ("ws://198.51.100.1:4848",), NOW),))
    adoption.look([member("d")], 0.0, NOW)
    adoption.look([member("d", relay("198.51.100.1"))], SETTLED_S / 2, NOW)
    adoption.look([member("d")], SETTLED_S, NOW)
    adoption.look([member("d")], SETTLED_S * 2 - 1, NOW)
    assert adoption.adopted
    adoption.look([member("d")], SETTLED_S * 2, NOW)
    assert not adoption.adopted


def test_what_nobody_advertises_is_kept_for_thirty_days() -> None:
    adoption = Adoption((Adopted("d", "relay", ("ws://198.51.100.1:4848",), NOW),))
    adoption.keep_only({"d"}, NOW + KEPT_S)
    assert adoption.adopted
    adoption.look([member("d", relay("198.51.100.1"))], 0.0, NOW + 20 * DAY)
    adoption.keep_only({"d"}, NOW + 20 * DAY + KEPT_S)
    assert adoption.adopted
    adoption.keep_only({"d"}, NOW + 20 * DAY + KEPT_S + 1)
    assert not adoption.adopted
