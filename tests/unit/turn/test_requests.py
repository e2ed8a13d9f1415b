"""What each request is answered with: the vectors, case by case, and the quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.turn import limits, stun
from myownmesh.turn.credentials import NONCE_S
from myownmesh.turn.limits import Limits
from myownmesh.turn.requests import granted_lifetime
from myownmesh.turn.table import LOOKS
from support import vectors
from unit.turn.bench import PEER, PUBLIC_IP, UDP, Client, Ports, Stage, code, output, peer

if TYPE_CHECKING:
    from collections.abc import Callable

TURN = vectors.load("signaling", "turn")
EVEN, EVEN_AND_NEXT = (stun.A_EVEN_PORT, b"\x00"), (stun.A_EVEN_PORT, b"\x80")
TOKEN = (stun.A_RESERVATION, b"abcdefgh")
DONT_FRAGMENT = (0x001A, b"")
ASKED = bytes(12)


def family(number: int) -> tuple[int, bytes]:
    return stun.A_FAMILY, bytes((number, 0, 0, 0))


def asked(client: Client, method: int, *attributes: tuple[int, bytes]) -> Any:
    return code(client.asks(method, *attributes))


def unsigned(client: Client) -> Any:
    return code(client.answer_to(stun.encode(stun.ALLOCATE, ASKED, [UDP])))


def unknown_nonce(client: Client) -> Any:
    client.nonce = b"0123456789abcdef" * 2
    answer = client.asks(stun.ALLOCATE, UDP)
    assert answer.get(stun.A_NONCE), "a stale nonce comes with a new one"
    return code(answer)


def wrong_password(client: Client) -> Any:
    for key in (b"wrong", b""):
        client.key = key
        answer = client.asks(stun.ALLOCATE, UDP)
        assert answer.get(stun.A_NONCE)
        assert answer.get(stun.A_REALM)
        assert code(answer) == 401
    return code(answer)


def something_missing(client: Client) -> Any:
    everything = [(stun.A_USERNAME, b"guest"), (stun.A_REALM, b"myownmesh"), (stun.A_NONCE, b"0" * 32)]
    answers = [
        client.answer_to(stun.encode(stun.ALLOCATE, ASKED, [UDP, *everything[:at], *everything[at + 1 :]], key=b"any"))
        for at in range(3)
    ]
    assert not any(answer.get(stun.A_NONCE) for answer in answers)
    (result,) = {code(answer) for answer in answers}
    return result


def second_allocate(client: Client) -> Any:
    client.allocates()
    return asked(client, stun.ALLOCATE, UDP)


def retransmitted_allocate(client: Client) -> Any:
    first = client.asks(stun.ALLOCATE, UDP, transaction=ASKED)
    assert client.asks(stun.ALLOCATE, UDP, transaction=ASKED) == first
    return "the same success"


def no_allocation(client: Client) -> Any:
    (result,) = {client.refreshes(600), client.permits(PEER[0]), client.binds(0x4000)}
    assert client.refreshes(0) is None, "what is gone already may be deleted"
    return result


def permission_without_address(client: Client) -> Any:
    client.allocates()
    return asked(client, stun.CREATE_PERMISSION)


def permission_for_ipv6(client: Client) -> Any:
    client.allocates()
    return client.permits("2001:db8::1")


def refresh_by_another(client: Client) -> Any:
    client.allocates()
    other = Client(client.stage, *client.address, username="alice")
    assert {other.permits(PEER[0]), other.binds(0x4000), other.refreshes(0)} == {441}
    return other.refreshes(600)


def unknown_attribute(client: Client) -> Any:
    answer = client.asks(stun.ALLOCATE, UDP, (0x7001, b""), (0x8001, b""), (0x7002, b"x"))
    assert answer.get(stun.A_UNKNOWN) == bytes.fromhex("70017002")
    return code(answer)


def connect(client: Client) -> Any:
    assert client.says(client.signed(0x000B)) is None
    assert client.says(stun.encode(stun.ALLOCATE | stun.SUCCESS, ASKED, [])) is None
    return "silence"


def window_used_up(client: Client) -> Any:
    for port in range(4001, 4003):
        client.stage.client(port=port).allocates()
    return asked(client, stun.ALLOCATE, UDP)


CASES: dict[str, Callable[[Client], Any]] = {
    "no MESSAGE-INTEGRITY": unsigned,
    "unknown nonce": unknown_nonce,
    "wrong password, unknown user or key of another realm": wrong_password,
    "USERNAME, REALM or NONCE missing": something_missing,
    "second Allocate on a five-tuple": second_allocate,
    "retransmitted Allocate (same transaction id)": retransmitted_allocate,
    "REQUESTED-TRANSPORT missing": lambda client: asked(client, stun.ALLOCATE),
    "REQUESTED-TRANSPORT 6": lambda client: asked(client, stun.ALLOCATE, (stun.A_TRANSPORT, bytes((6, 0, 0, 0)))),
    "DONT-FRAGMENT": lambda client: asked(client, stun.ALLOCATE, UDP, DONT_FRAGMENT),
    "RESERVATION-TOKEN with EVEN-PORT": lambda client: asked(client, stun.ALLOCATE, UDP, TOKEN, EVEN),
    "RESERVATION-TOKEN alone": lambda client: asked(client, stun.ALLOCATE, UDP, TOKEN),
    "EVEN-PORT with R": lambda client: asked(client, stun.ALLOCATE, UDP, EVEN_AND_NEXT),
    "address family 9": lambda client: asked(client, stun.ALLOCATE, UDP, family(9)),
    "address family IPv6": lambda client: asked(client, stun.ALLOCATE, UDP, family(2)),
    "window used up": window_used_up,
    "Refresh, CreatePermission or ChannelBind without allocation": no_allocation,
    "CreatePermission without address": permission_without_address,
    "CreatePermission with an IPv6 address": permission_for_ipv6,
    "Refresh by another valid user": refresh_by_another,
    "unknown comprehension-required attribute": unknown_attribute,
    "method 11 (Connect)": connect,
}


@pytest.mark.parametrize("case", TURN["errors"], ids=lambda case: str(case["case"]))
def test_each_fault_is_answered_as_the_vectors_say(case: dict[str, Any]) -> None:
    client = Stage(ports=Ports(most=2)).client()
    assert CASES[case["case"]](client) == case["ours"]


def test_the_challenge_is_that_of_the_vectors_but_for_its_nonce() -> None:
    answer = output(
        Stage().server, ("192.0.2.1", 4000), bytes.fromhex(TURN["unauthenticated_allocate_hex"]), Stage().now
    )
    assert isinstance(answer, bytes)
    theirs = bytes.fromhex(TURN["challenge_401_hex"])
    assert (answer[:32], answer[64:]) == (theirs[:32], theirs[64:])


def test_an_allocation_is_answered_as_the_vector_is() -> None:
    client = Stage(passwords={"guest": "theguestpassword"}).client("198.51.100.4", 40000)
    client.asks(stun.REFRESH, (stun.A_LIFETIME, bytes(4)))
    answer = client.says(client.signed(stun.ALLOCATE, UDP, transaction=bytes.fromhex(TURN["txid_hex"])))
    assert isinstance(answer, bytes)
    assert answer.hex() == TURN["allocate_success_hex"]


@pytest.mark.parametrize("case", TURN["requested_lifetime"])
def test_lifetimes_are_granted_as_the_vectors_say(case: dict[str, Any]) -> None:
    assert granted_lifetime(case["asked"]) == case["granted"]


@pytest.mark.parametrize("case", TURN["allocate_lifetime"])
def test_an_allocation_lasts_as_long_as_it_says(case: dict[str, Any]) -> None:
    stage = Stage()
    client = stage.client()
    answer = client.asks(stun.ALLOCATE, UDP, (stun.A_LIFETIME, int(case["asked"]).to_bytes(4)))
    assert code(answer) == case.get("error")
    if "granted" in case:
        assert answer.get(stun.A_LIFETIME) == int(case["granted"]).to_bytes(4)
        stage.mono += case["granted"] - 1
        stage.server.sweep(stage.now)
        assert len(stage.ports.open_ports) == 1
        stage.mono += 1
        stage.server.sweep(stage.now)
        assert not stage.ports.open_ports


@pytest.mark.parametrize("accepted", [True, False])
def test_channel_numbers_are_those_of_the_vectors(*, accepted: bool) -> None:
    client = Stage().client()
    client.allocates()
    ours = TURN["channel_numbers"]["ours"]
    for at, number in enumerate(ours["accepted" if accepted else "error_400"]):
        assert client.binds(number, port=7000 + at) == (None if accepted else 400)


def test_a_number_and_an_address_belong_to_one_another() -> None:
    stage = Stage()
    client = stage.client()
    client.allocates()
    assert client.binds(0x4000) is None
    assert client.binds(0x4000) is None, "this renews it"
    assert client.binds(0x4001) == 400
    assert client.binds(0x4000, port=7001) == 400
    assert client.refreshes(3599) is None
    stage.mono += 601
    assert client.binds(0x4000, port=7001) is None, "a channel that has ended is free again"
    assert client.binds(0x4001) is None


def test_an_even_port_is_even() -> None:
    stage = Stage(ports=Ports(first=50001))
    assert stage.client().allocates(EVEN) == 50002
    assert stage.client(port=4001).allocates() == 50001


def test_a_refresh_renews_and_ends() -> None:
    stage = Stage()
    client = stage.client()
    client.allocates()
    stage.mono += 500
    assert client.refreshes(600) is None
    stage.mono += 500
    stage.server.sweep(stage.now)
    assert stage.server.allocations == 1
    assert code(client.asks(stun.REFRESH, family(2))) == 443
    assert client.refreshes(0) is None
    assert (stage.server.allocations, stage.ports.open_ports) == (0, set())
    client.allocates()


def test_a_nonce_of_another_client_or_of_long_ago_is_stale() -> None:
    stage = Stage()
    first, second = stage.client(), stage.client(port=4001)
    first.allocates()
    second.nonce = first.nonce
    assert asked(second, stun.ALLOCATE, UDP) == 438
    stage.mono += 3600
    assert asked(first, stun.ALLOCATE, UDP) == 438


def test_a_time_limited_name_may_renew_what_its_older_one_allocated() -> None:
    stage = Stage()
    old = stage.client(username="1700000600:device")
    old.allocates()
    new = stage.client(username="1700009999:device")
    stage.mono += 599
    assert new.refreshes(600) is None
    stage.mono += 2
    assert old.refreshes(600) is None, "a link may live longer than the password that it began with"
    other = stage.client(port=4001, username="1700000600:device")
    assert asked(other, stun.ALLOCATE, UDP) == 401, "nothing new begins with one that has ended"
    assert stage.client(username="1700009999:other").refreshes(600) == 441


def test_who_is_expelled_has_nothing_any_more_and_gets_nothing() -> None:
    stage = Stage(labels=("device",))
    device, guest = stage.client(username="1700009999:device"), stage.client(port=4001)
    device.allocates()
    guest.allocates()
    newcomer = stage.client(port=4002, username="1700009999:newcomer")
    assert asked(newcomer, stun.ALLOCATE, UDP) == 401
    stage.server.admit(("newcomer",))
    newcomer.allocates()
    stage.server.expel(("device", "guest"))
    assert stage.server.allocations == 2
    assert not stage.server.has_allocation(device.address)
    assert asked(device, stun.ALLOCATE, UDP) == 401
    assert device.refreshes(600) == 401


def test_without_a_list_every_time_limited_name_is_good() -> None:
    stage = Stage()
    device = stage.client(username="1700009999:device")
    stage.server.admit(("other",))
    stage.server.expel(("device",))
    device.allocates()


@pytest.mark.parametrize(
    "ip", ["127.0.0.1", "0.0.0.0", "169.254.169.254", "192.168.1.1", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"]
)
def test_forbidden_targets_are_refused_and_counted(ip: str) -> None:
    stage = Stage()
    client = stage.client()
    client.allocates()
    assert client.permits(ip) == 403
    assert client.permits(PEER[0], ip) == 403
    assert client.binds(0x4000, ip) == 403
    assert stage.server.counts.forbidden == 3
    assert client.sends(b"x", ip) is None
    assert client.sends(b"x") is None, "of several addresses all are permitted or none"


def test_a_channel_to_our_own_address_needs_a_live_port() -> None:
    stage = Stage()
    client = stage.client()
    port = client.allocates()
    assert client.permits(PUBLIC_IP) is None
    assert client.binds(0x4000, PUBLIC_IP, port) is None
    assert client.binds(0x4001, PUBLIC_IP, 22) == 403


@pytest.mark.parametrize("data", [b"", b"\x80\x00\x00\x00", b"\xff" * 40, b"\x00\x01\x00", b"\x40\x00\x00\x00"])
def test_what_is_neither_a_message_nor_of_a_channel_is_not_answered(data: bytes) -> None:
    assert Stage().client().says(data) is None


@pytest.mark.parametrize(
    ("method", "attributes"),
    [
        (stun.CHANNEL_BIND, []),
        (stun.CHANNEL_BIND, [(stun.A_CHANNEL, b"\x40\x00")]),
        (stun.CHANNEL_BIND, [(stun.A_CHANNEL, b"\x40\x00\x00\x00"), (stun.A_PEER, b"\x00\x01")]),
        (stun.CREATE_PERMISSION, [(stun.A_PEER, b"\x00\x01")]),
        (stun.REFRESH, [(stun.A_LIFETIME, b"\x00")]),
    ],
)
def test_what_lacks_a_member_or_has_one_of_another_length_is_a_bad_request(
    method: int, attributes: list[tuple[int, bytes]]
) -> None:
    client = Stage().client()
    client.allocates()
    assert asked(client, method, *attributes) == 400


def test_quotas_hold_per_user_per_address_and_in_all() -> None:
    limits = Limits(allocations=5, per_user=3, per_address=2)
    stage = Stage(limits)

    def tries(ip: str, port: int, username: str = "guest") -> Any:
        return asked(stage.client(ip, port, username=username), stun.ALLOCATE, UDP)

    assert [tries("192.0.2.1", port) for port in (1, 2, 3)] == [None, None, 486]
    assert [tries("192.0.2.2", port) for port in (1, 2)] == [None, 486]
    assert [tries("192.0.2.3", port, "alice") for port in (1, 2)] == [None, None]
    assert tries("192.0.2.4", 1, "1700009999:device") == 486
    assert stage.server.counts.over_quota == 3
    assert stage.client("192.0.2.1", 1).refreshes(0) is None
    assert tries("192.0.2.4", 1, "1700009999:device") is None


def test_addresses_of_one_ipv6_household_count_as_one() -> None:
    stage = Stage(Limits(per_address=1))
    assert asked(stage.client("2001:db8::1"), stun.ALLOCATE, UDP) is None
    assert asked(stage.client("2001:db8::2"), stun.ALLOCATE, UDP) == 486
    assert asked(stage.client("2001:db8:0:1::1"), stun.ALLOCATE, UDP) is None


def test_permissions_and_channels_of_one_allocation_are_bounded() -> None:
    stage = Stage(Limits(permissions=3))
    client = stage.client()
    client.allocates()
    assert [client.permits(f"198.51.100.{host}") for host in range(1, 5)] == [None, None, None, 486]
    assert client.permits("198.51.100.1", "198.51.100.4") == 486
    assert client.binds(0x4000, "198.51.100.4") == 486, "a channel brings its permission"
    assert [client.binds(0x4000 + n, "198.51.100.1", n + 1) for n in range(4)] == [None, None, None, 486]
    assert client.binds(0x4000, "198.51.100.1", 1) is None, "what is bound is renewed"
    stage.mono += 301
    assert client.permits("198.51.100.4") is None, "permissions that are over make room"


def test_permissions_and_channels_of_all_are_bounded() -> None:
    """Of everybody, of one user and of one address; what one holds it may renew, and what lapses makes room."""
    bounds = {"grants": 6, "grants_per_user": 4, "grants_per_address": 3}
    stage = Stage(Limits(**bounds))
    one, two = stage.client("192.0.2.1"), stage.client("192.0.2.2")
    other, last = stage.client("192.0.2.3", username="alice"), stage.client("192.0.2.4", username="alice")
    for each in (one, two, other, last):
        each.allocates()
    assert one.permits("198.51.100.1", "198.51.100.2") is None
    assert one.binds(0x4000, "198.51.100.3") == 486, "a channel and its permission are two, and this address has three"
    assert one.binds(0x4000, "198.51.100.1") is None
    assert [two.permits("198.51.100.1"), two.permits("198.51.100.2")] == [None, 486], "this user has four"
    assert [other.permits("198.51.100.1", "198.51.100.2"), last.permits("198.51.100.1")] == [None, 486], "all have six"
    assert one.permits("198.51.100.1", "198.51.100.2") is None
    assert one.binds(0x4000, "198.51.100.1") is None
    assert other.refreshes(0) is None
    assert last.permits("198.51.100.1") is None, "an end makes room"
    stage.mono += 301
    for _ in range(LOOKS):
        stage.mono += 1
        stage.server.sweep(stage.now)
    assert one.binds(0x4001, "198.51.100.9") is None, "only its channel is left of what it had"


def test_a_proxy_on_this_machine_brings_everybody() -> None:
    stage = Stage(Limits(grants_per_address=1))
    client = stage.client("127.0.0.1")
    client.allocates()
    assert client.permits("198.51.100.1", "198.51.100.2") is None


def test_strangers_are_answered_so_often_and_users_always() -> None:
    stage = Stage(Limits(answers_per_prefix_s=1, answers_per_prefix_burst=5))
    client = stage.client()
    client.allocates()
    flood = [stage.client(port=port).says(stun.encode(stun.ALLOCATE, ASKED, [UDP])) for port in range(5000, 5100)]
    assert sum(each is not None for each in flood) == 4
    assert stage.server.counts.unanswered == 96
    assert client.refreshes(600) is None
    transaction = bytes(11) + b"\x07"
    assert code(client.asks(stun.CREATE_PERMISSION, peer(PEER[0], 9, transaction), transaction=transaction)) is None


def test_times_and_sizes_are_the_references() -> None:
    assert vectors.load("signaling", "turn")["defaults"] == {
        "lifetime_s": limits.LIFETIME_S,
        "max_lifetime_s": limits.MAX_LIFETIME_S,
        "permission_s": limits.PERMISSION_S,
        "channel_bind_s": limits.CHANNEL_S,
        "nonce_s": NONCE_S,
        "udp_datagram_max": limits.MAX_PAYLOAD,
        "source": "computed",
    }
