"""Which relays a network meets on, and when the public ones step in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_common.addresses import relay_address
from myownmesh.signaling.relays import (
    DEFAULT_PRIMARY,
    PUBLIC_FALLBACK,
    all_private,
    denylist_host,
    fallback_action,
    is_denied,
    is_local,
    problems_by_text,
    relay_score,
    select_fallback,
    select_primary,
    select_relays,
)
from support.vectors import load

SELECTION = load("signaling", "relay_selection")


@pytest.mark.parametrize("case", SELECTION["scores"])
def test_scores(case: dict[str, str]) -> None:
    assert relay_score(case["app_id"], case["url"]) == case["score"]


@pytest.mark.parametrize("case", SELECTION["cases"])
def test_primary_selection(case: dict[str, Any]) -> None:
    assert select_primary(case["app_id"], case["pool"], case["redundancy"], ()) == case["selected"]


def test_a_relay_in_several_spellings_is_one_connection() -> None:
    spellings = ("wss://relay.example", "wss://relay.example/", "WSS://Relay.example:443", "wss://RELAY.example")
    (chosen,) = select_relays("app", spellings, 5, ())
    assert chosen == select_primary("app", spellings, 1, ())[0]


@given(st.lists(st.sampled_from([f"{s}://{h}{e}" for s in ("ws", "WSS") for h in "abc" for e in ("", "/", "/x")])))
def test_who_counts_spellings_never_picks_a_relay_that_we_leave_out(servers: list[str]) -> None:
    ours = {relay_address(url).url for url in select_relays("app", servers, 3, ())}
    theirs = {relay_address(url).url for url in select_primary("app", servers, 3, ())}
    assert theirs <= ours
    assert len(select_relays("app", servers, 3, ())) <= 3


def test_what_is_no_address_is_left_out_and_told_and_never_replaced_by_the_built_in_relays() -> None:
    assert select_relays("app", ["", " ws://h", "http://h"], 5, ()) == []
    assert select_relays("app", ["", "ws://h"], 1, ()) == ["ws://h"]
    assert list(problems_by_text(["", "ws://h", "http://h"])) == ["", "http://h"]
    assert select_relays("app", [], 5, ()) == list(DEFAULT_PRIMARY)


def test_no_spelling_gets_around_the_denylist_or_makes_a_public_relay_twice() -> None:
    assert select_relays("app", ["WSS://Relay.Damus.IO", "wss://OK.example:443"], 5, ["ok.example"]) == []
    assert "wss://nos.lol" not in select_fallback(["WSS://NOS.lol:443/"], ())


def test_no_servers_means_the_built_in_one() -> None:
    assert select_primary("app", (), 5, ()) == list(DEFAULT_PRIMARY)


def test_the_order_depends_on_the_app() -> None:
    pool = [f"wss://{letter}.com" for letter in "abcd"]
    orders = [select_primary(f"app{n}", pool, 4, ()) for n in range(1, 6)]
    assert any(order != orders[0] for order in orders[1:])
    assert all(sorted(order) == pool for order in orders)


@pytest.mark.parametrize("case", load("signaling", "denylist")["host_extraction"])
def test_host_for_the_denylist(case: dict[str, str]) -> None:
    assert denylist_host(case["url"]) == case["host"]


@pytest.mark.parametrize("case", load("signaling", "denylist")["decisions"])
def test_denied(case: dict[str, Any]) -> None:
    assert is_denied(case["url"], case["extra"]) is case["denied"]


def test_denied_relays_are_never_selected() -> None:
    assert select_primary("app", ["wss://relay.damus.io", "wss://ok.example"], 5, ()) == ["wss://ok.example"]
    assert "wss://nos.lol" not in select_fallback([], ["NOS.LOL"])


def test_fallback_is_every_public_relay_that_is_not_in_use() -> None:
    assert select_fallback(["wss://nos.lol"], ()) == [url for url in PUBLIC_FALLBACK if url != "wss://nos.lol"]


@pytest.mark.parametrize("case", load("signaling", "fallback_supervisor")["cases"])
def test_fallback_supervisor(case: dict[str, Any]) -> None:
    action = fallback_action(
        primary_live=case["primary_live"],
        fallback_active=case["fallback_active"],
        down_for_s=case["down_for_ms"] / 1000,
    )
    assert action.value == case["action"]


@pytest.mark.parametrize(
    ("servers", "private"),
    [
        ((), False),
        (("ws://127.0.0.1:4848",), True),
        (("ws://[::1]:4848", "ws://192.168.1.5"), True),
        (("ws://relay.local", "ws://box:4848", "ws://localhost"), True),
        (("ws://10.0.0.1", "wss://relay.example"), False),
        (("wss://203.0.113.9.example",), False),
        (("wss://8.8.8.8",), False),
        (("wss://[not-an-address",), False),
        (("WS://NAS.Local.:4848", "ws://127.1", "ws://[fe80::1%25eth0]", "ws://[::ffff:10.0.0.1]"), True),
        (("ws://192.168.1.5", " ws://left.out.example"), True),
    ],
)
def test_a_private_mesh_does_not_surface_on_public_relays(servers: tuple[str, ...], private: bool) -> None:
    assert all_private(servers) is private


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("relay.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("192.168.1.5", False),
        ("relay.example", False),
        ("localhost.example", False),
    ],
)
def test_which_relays_need_no_network(host: str, local: bool) -> None:
    assert is_local(host) is local
