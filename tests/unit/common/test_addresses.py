"""One rule and one normal form for the addresses of relays, STUN and TURN servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_common.addresses import (
    BadAddress,
    RelayAddress,
    ServerAddress,
    household_of,
    is_loopback,
    problems,
    relay_address,
    stun_address,
    turn_address,
    usable,
)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("wss://relay.example", "wss://relay.example"),
        ("wss://relay.example/", "wss://relay.example"),
        ("wss://relay.example:443/", "wss://relay.example"),
        ("WSS://Relay.EXAMPLE:443", "wss://relay.example"),
        ("wss://relay.example.", "wss://relay.example"),
        ("wss://relay.example:", "wss://relay.example"),
        ("wss://user:pw@relay.example#top", "wss://relay.example"),
        ("ws://relay.example:80", "ws://relay.example"),
        ("ws://relay.example:443", "ws://relay.example:443"),
        ("wss://relay.example/Path/", "wss://relay.example/Path/"),
        ("wss://relay.example?", "wss://relay.example/?"),
        ("wss://relay.example?a=%2F&b", "wss://relay.example/?a=%2F&b"),
        ("wss://relay.example/é", "wss://relay.example/%C3%A9"),
        ("wss://bücher.example", "wss://xn--bcher-kva.example"),
        ("wss://BÜCHER.example", "wss://xn--bcher-kva.example"),
        ("wss://xn--bcher-kva.example", "wss://xn--bcher-kva.example"),
        ("ws://[2001:DB8:0::1]:4848", "ws://[2001:db8::1]:4848"),
        ("ws://[fe80::1%25eth0]:4848", "ws://[fe80::1%eth0]:4848"),
        ("ws://127.0.0.1:4848/x", "ws://127.0.0.1:4848/x"),
        ("ws://my_host:1", "ws://my_host:1"),
        ("ws://h:0080", "ws://h"),
        ("ws://@h", "ws://h"),
        ("ws://127.1", "ws://127.0.0.1"),
        ("ws://2130706433", "ws://127.0.0.1"),
        ("ws://0x7f.0.0.1:80", "ws://127.0.0.1"),
        ("ws://0177.0.0.1", "ws://127.0.0.1"),
        ("ws://127.0.0.1.", "ws://127.0.0.1"),
        ("ws://[::ffff:127.0.0.1]:81", "ws://127.0.0.1:81"),
        ("ws://1.example", "ws://1.example"),
        ("wss://relay.example/%7Efoo%2f", "wss://relay.example/~foo%2F"),
        ("wss://relay.example/./", "wss://relay.example"),
        ("wss://relay.example/..", "wss://relay.example"),
        ("wss://relay.example/a/../b/.", "wss://relay.example/b/"),
        ("wss://relay.example/a/%2E%2e/b", "wss://relay.example/b"),
        ("wss://relay.example//a/...", "wss://relay.example//a/..."),
        ("wss://relay.example/?a/../b", "wss://relay.example/?a/../b"),
        ("wss://relay.example/?a=%61%zz%", "wss://relay.example/?a=a%zz%"),
    ],
)
def test_spellings_of_one_relay_have_one_normal_form(text: str, url: str) -> None:
    address = relay_address(text)
    assert address.url == url
    assert relay_address(address.url) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (" ws://relay.example", "white space"),
        ("ws://relay.example ", "white space"),
        ("ws://relay.example/a b", "white space"),
        ("ws://relay\n.example", "white space"),
        ("ws://relay.example/\x1b[2J", "control character"),
        ("http://relay.example", "must begin with ws:// or wss://"),
        ("relay.example", "must begin with ws:// or wss://"),
        ("ws:relay.example", "must name a host"),
        ("ws://", "must name a host"),
        ("wss:///path", "must name a host"),
        ("ws://:80", "must name a host"),
        ("ws://h:0", "from 1 to 65535"),
        ("ws://h:65536", "65535"),
        ("ws://h:x", "x"),
        ("ws://a..b", "no host name"),
        (f"ws://{'a' * 64}", "no host name"),
        (f"ws://{'a.' * 127}b", "at most 253"),
        ("ws://a~b", "no host name"),
        ("ws://[::1", "IPv6"),
        ("ws://[::g]", ""),
        ("ws://[::1]]", "must name a host"),
        ("ws://[::1]x:80", "must name a host"),
        ("ws://[v1.x]", ""),
        ("ws://[1.2.3.4]", ""),
        ("ws://[::1%25]", "name of an interface"),
        ("ws://1.2.3.256", "no IPv4 address"),
        ("ws://1.2.3.4.5", "no IPv4 address"),
        ("ws://4294967296", "no IPv4 address"),
        (f"ws://h:{'9' * 5000}", "from 1 to 65535"),
        ("ws://-ü.example", "no host name"),
    ],
)
def test_what_is_no_relay_address_and_why(text: str, why: str) -> None:
    with pytest.raises(BadAddress) as caught:
        relay_address(text)
    assert why in str(caught.value)
    assert "write ws://host:port or wss://host" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_relay_is_connected_to_as_it_says() -> None:
    assert relay_address("wss://H:444/a?b") == RelayAddress(tls=True, host="h", port=444, resource="/a?b")
    assert relay_address("wss://H:444").authority == "h:444"
    assert relay_address("ws://[::1]").authority == "[::1]"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("stun:Stun.Example", ServerAddress("stun", "stun.example", 3478, "udp")),
        ("STUN:a:9", ServerAddress("stun", "a", 9, "udp")),
        ("stun:a:", ServerAddress("stun", "a", 3478, "udp")),
        ("stun:a:03478", ServerAddress("stun", "a", 3478, "udp")),
        ("stun:127.1", ServerAddress("stun", "127.0.0.1", 3478, "udp")),
        ("stun:a?transport=UDP", ServerAddress("stun", "a", 3478, "udp")),
        ("stun:[2001:db8::0:1]:9", ServerAddress("stun", "2001:db8::1", 9, "udp")),
        ("stun:bücher.example", ServerAddress("stun", "xn--bcher-kva.example", 3478, "udp")),
    ],
)
def test_stun_servers(text: str, address: ServerAddress) -> None:
    assert stun_address(text) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("turn:a", ServerAddress("turn", "a", 3478, "udp")),
        ("turn:a?transport=udp", ServerAddress("turn", "a", 3478, "udp")),
        ("TURN:A:1?Transport=TCP", ServerAddress("turn", "a", 1, "tcp")),
        ("turns:a", ServerAddress("turns", "a", 5349, "tcp")),
        ("turns:a:443?transport=tcp", ServerAddress("turns", "a", 443, "tcp")),
    ],
)
def test_turn_servers(text: str, address: ServerAddress) -> None:
    assert turn_address(text) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (" stun:a", "white space"),
        ("stuns:a", "must begin with stun:"),
        ("turn:a", "must begin with stun:"),
        ("stun://a", "no // behind"),
        ("stun:", "must name a host"),
        ("stun::1", "must name a host"),
        ("stun:[]", "must name a host"),
        ("stun:[a]", "IPv6"),
        ("stun:a:0", "from 1 to 65535"),
        ("stun:a:99999", "from 1 to 65535"),
        (f"stun:a:{'9' * 5000}", "from 1 to 65535"),
        ("stun:a:00000000", "from 1 to 65535"),
        ("stun:[::1%]", "name of an interface"),
        ("stun:a:x", "at most"),
        ("stun:a/b", "at most"),
        ("stun:u@a", "at most"),
        ("stun:a?x=1", "only be transport="),
        ("stun:a?transport=tcp", "UDP only"),
        ("stun:a,b", "no host name"),
    ],
)
def test_what_is_no_stun_server_and_why(text: str, why: str) -> None:
    with pytest.raises(BadAddress, match="is no STUN server") as caught:
        stun_address(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("stun:a", "must begin with turn: or turns:"),
        ("turn:a?transport=tls", "only be transport="),
        ("turns:a?transport=udp", "not DTLS"),
        ("turn://a", "no // behind"),
    ],
)
def test_what_is_no_turn_server_and_why(text: str, why: str) -> None:
    with pytest.raises(BadAddress, match="is no TURN server") as caught:
        turn_address(text)
    assert why in str(caught.value)


def test_a_list_is_sorted_into_what_can_be_used_and_what_is_wrong() -> None:
    texts = ("ws://A", "", "ws://b/")
    assert usable(texts, relay_address) == ("ws://A", "ws://b/")
    (problem,) = problems(texts, relay_address)
    assert problem.startswith("'' is no relay address: it is empty")


ANY = st.text() | st.text("ws:/[]@?#%. \t\né1a").map("wss://".__add__)


@given(ANY)
def test_every_text_is_an_address_or_has_a_reason(text: str) -> None:
    for read in (relay_address, stun_address, turn_address):
        assert all(problem.isprintable() for problem in problems([text], read))
        for each in usable([text], read):
            assert read(each).host
    for each in usable([text], relay_address):
        assert relay_address(relay_address(each).url) == relay_address(each)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "[::]", "192.168.1.5", "relay.example", "localhost.example", "sub.localhost"]
)
def test_a_host_that_others_can_reach_or_name(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("ip", "household"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_of_ipv6_a_household_counts(ip: str, household: str) -> None:
    assert household_of(ip) == household
