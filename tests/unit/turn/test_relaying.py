"""What is relayed, in both directions and between own allocations, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myownmesh.turn import stun
from myownmesh.turn.allocation import Allowance
from myownmesh.turn.limits import MIN_BURST_BYTES, Limits
from myownmesh.turn.targets import Targets, Verdict
from support import vectors
from support.examples import examples
from unit.turn.bench import PEER, PUBLIC_IP, Stage, ToClient, ToPeer, channel_data, reaches

if TYPE_CHECKING:
    from unit.turn.bench import Client

TURN = vectors.load("signaling", "turn")


def read_data(answer: bytes | None) -> tuple[Any, bytes | None]:
    """Address and payload of a Data indication."""
    message = stun.decode(answer or b"")
    assert message is not None
    assert message.kind == stun.DATA | stun.INDICATION
    return stun.read_address(message.get(stun.A_PEER) or b"", message.transaction), message.get(stun.A_DATA)


def test_indications_go_where_a_permission_is_and_come_from_there() -> None:
    stage = Stage()
    client = stage.client()
    port = client.allocates()
    assert client.sends(b"hello") is None
    assert stage.from_peer(port, b"hello") is None
    assert client.permits(PEER[0]) is None
    assert client.sends(b"hello") == ToPeer(port, b"hello", PEER)
    assert read_data(stage.from_peer(port, b"there")) == (PEER, b"there")
    assert read_data(stage.from_peer(port, b"", (PEER[0], 1))) == ((PEER[0], 1), b"")
    assert stage.from_peer(port, b"there", ("198.51.100.10", PEER[1])) is None
    stage.mono += 300
    assert client.sends(b"hello") is None
    assert stage.from_peer(port, b"there") is None


def test_a_channel_carries_both_ways_with_padding_for_the_client() -> None:
    stage = Stage()
    client = stage.client()
    port = client.allocates()
    assert client.sends_on(0x4005, b"early") is None
    assert client.binds(0x4005) is None
    assert client.sends_on(0x4005, b"hello") == ToPeer(port, b"hello", PEER)
    assert client.says(channel_data(0x4005, b"hello") + b"padding") == ToPeer(port, b"hello", PEER)
    assert client.says(channel_data(0x4005, b"")) == ToPeer(port, b"", PEER)
    assert client.says(channel_data(0x4005, b"hello")[:-1]) is None
    assert stage.from_peer(port, b"there") == channel_data(0x4005, b"there") + bytes(3)
    assert read_data(stage.from_peer(port, b"there", (PEER[0], 1))), "another port of the same address"
    assert client.refreshes(3599) is None
    stage.mono += 599
    assert stage.from_peer(port, b"there") is not None, "a channel is its own permission"
    stage.mono += 1
    assert client.sends_on(0x4005, b"hello") is None
    assert stage.from_peer(port, b"there") is None


def test_two_allocations_of_this_server_reach_each_other_and_nothing_else_at_its_address() -> None:
    stage = Stage()
    one, two = stage.client(), stage.client("192.0.2.2")
    ports = one.allocates(), two.allocates()
    assert one.permits(PUBLIC_IP) is None
    assert one.sends(b"x", PUBLIC_IP, ports[1]) is None, "the other has not permitted it"
    assert two.permits(PUBLIC_IP) is None
    output = one.sends(b"x", PUBLIC_IP, ports[1])
    assert isinstance(output, ToClient)
    assert output.port == ports[1]
    assert read_data(output.data) == ((PUBLIC_IP, ports[0]), b"x")
    assert one.sends(b"x", PUBLIC_IP, 22) is None
    assert stage.from_peer(ports[0], b"x", (PUBLIC_IP, 22)) is None
    assert two.binds(0x4000, PUBLIC_IP, ports[0]) is None
    assert one.sends(b"abc", PUBLIC_IP, ports[1]) == ToClient(ports[1], channel_data(0x4000, b"abc") + b"\x00")
    assert one.refreshes(0) is None
    assert two.sends_on(0x4000, b"x") is None


def test_what_is_relayed_is_counted_and_what_is_cut_or_ended_is_not() -> None:
    stage = Stage(Limits(permissions=4))
    one, two = stage.client(), stage.client("192.0.2.2")
    ports = one.allocates(), two.allocates()
    for each in (one, two):
        assert each.binds(0x4000) is None
        assert reaches(each.sends_on(0x4000, b"hello"))
    assert one.says(b"\x40") is None
    assert two.refreshes(0) is None
    assert stage.ports.open_ports == {ports[0]}
    assert two.sends_on(0x4000, b"hello") is None
    assert reaches(one.sends_on(0x4000, b"hello"))
    assert (stage.server.counts.packets_up, stage.server.counts.bytes_up) == (3, 15)
    assert stage.from_peer(ports[1], b"x") is None
    assert stage.from_peer(ports[0], b"x") == channel_data(0x4000, b"x") + bytes(3)
    assert (stage.server.counts.packets_down, stage.server.counts.bytes_down) == (1, 1)


def test_an_address_that_becomes_ours_is_a_target_no_more() -> None:
    stage = Stage()
    client = stage.client()
    port = client.allocates()
    assert client.binds(0x4000) is None
    assert reaches(client.sends_on(0x4000, b"x"))
    stage.server.set_own_addresses([PEER[0]])
    assert client.sends_on(0x4000, b"x") is None
    assert client.sends(b"x") is None
    assert stage.from_peer(port, b"x") is None
    assert client.permits(PEER[0]) == 403


def test_what_is_longer_than_any_datagram_of_the_internet_is_dropped() -> None:
    client = Stage().client()
    client.allocates()
    client.binds(0x4000)
    assert reaches(client.sends_on(0x4000, bytes(1500)))
    assert client.sends_on(0x4000, bytes(1501)) is None


def test_a_stream_that_ends_takes_its_allocation_along() -> None:
    stage = Stage()
    client = stage.client()
    port = client.allocates()
    client.permits(PEER[0])
    stage.server.client_gone(client.address)
    stage.server.client_gone(("192.0.2.77", 1))
    assert not stage.ports.open_ports
    assert stage.from_peer(port, b"x") is None
    assert client.sends(b"x") is None


@pytest.mark.parametrize("case", TURN["byte_bucket"])
def test_the_bucket_of_the_vectors_drops_what_would_have_to_wait(case: dict[str, Any]) -> None:
    assert case["capacity"] == max(case["rate"], MIN_BURST_BYTES)
    bucket = Allowance(case["rate"], 0.0)
    for after_s, size, verdict in case["steps"]:
        assert bucket.allows(size, float(after_s)) is (verdict == "now")


def test_bandwidth_is_policed_per_allocation_and_direction() -> None:
    stage = Stage(bytes_per_s=20_000)
    one, two = stage.client(), stage.client("192.0.2.2")
    port = one.allocates()
    two.allocates()
    for each in (one, two):
        each.binds(0x4000)
    sent = [reaches(one.sends_on(0x4000, bytes(1000))) for _ in range(90)]
    assert sent == [True] * 65 + [False] * 25
    assert stage.server.counts.policed == 25
    assert reaches(two.sends_on(0x4000, bytes(1000))), "nobody waits for another"
    heard = [stage.from_peer(port, bytes(1000)) is not None for _ in range(90)]
    assert heard == sent, "nor one direction for the other"
    stage.mono += 1
    assert sum(reaches(one.sends_on(0x4000, bytes(1000))) for _ in range(90)) == 20


def test_an_allocation_whose_time_is_over_relays_nothing_before_anybody_sweeps() -> None:
    stage = Stage()
    client = stage.client()
    port = client.allocates()
    client.permits(PEER[0])
    assert stage.from_peer(port, b"x") is not None
    stage.mono += 601
    assert stage.from_peer(port, b"x") is None
    assert client.sends(b"x") is None
    assert stage.server.has_allocation(client.address)
    assert client.refreshes(600) == 437, "it is gone, and cannot be renewed"
    assert not stage.server.has_allocation(client.address)
    assert not stage.ports.open_ports


IPS = st.one_of(
    st.sampled_from(["127.0.0.1", "10.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "198.51.100.1", PUBLIC_IP,
                     PEER[0], "::1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::"]),
    st.ip_addresses().map(str),
)  # fmt: skip
NUMBERS = st.one_of(st.integers(0x3FFE, 0x4003), st.integers(0, 0xFFFF))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("permit"), IPS),
        st.tuples(st.just("bind"), NUMBERS, IPS, st.integers(0, 0xFFFF)),
        st.tuples(st.just("send"), IPS, st.integers(49999, 50003)),
        st.tuples(st.just("channel"), NUMBERS),
        st.tuples(st.just("refresh"), st.sampled_from([0, 1, 600])),
        st.tuples(st.just("allocate")),
        st.tuples(st.just("wait"), st.integers(0, 700)),
        st.tuples(st.just("noise"), st.binary(max_size=60)),
        st.tuples(st.just("signed noise"), st.integers(0, 12), st.integers(0, 0x30), st.binary(max_size=24)),
    ),
    max_size=25,
)


@pytest.mark.heavy
@settings(max_examples=examples(60))
@given(steps=STEPS)
def test_whatever_clients_do_no_byte_goes_to_a_forbidden_target_and_nothing_breaks(
    steps: list[tuple[Any, ...]],
) -> None:
    stage = Stage(Limits(permissions=4, allocations=2))
    own = ["198.51.100.1"]
    stage.server.set_own_addresses(own)
    rule = Targets(PUBLIC_IP, private_allowed=False)
    rule.set_own(own)
    clients = [stage.client(), stage.client("192.0.2.2"), stage.client("192.0.2.3")]
    for at, (what, *values) in enumerate(steps):
        output = _do(stage, clients[at % 3], what, values)
        if isinstance(output, ToPeer):
            assert rule.verdict(str(output.address[0])) is Verdict.ALLOWED
        if isinstance(output, ToClient):
            assert output.port in stage.ports.open_ports
    assert len(stage.ports.open_ports) == stage.server.allocations <= 2
    stage.mono += 3600
    stage.server.sweep(stage.now)
    assert (stage.server.allocations, stage.ports.open_ports) == (0, set())


def _do(stage: Stage, client: Client, what: str, values: list[Any]) -> Any:
    if what == "permit":
        return client.permits(*values)
    if what == "bind":
        return client.binds(*values)
    if what == "send":
        return client.sends(b"x", *values)
    if what == "channel":
        return client.sends_on(values[0], b"x")
    if what == "refresh":
        return client.refreshes(values[0])
    if what == "allocate":
        return client.asks(stun.ALLOCATE, (stun.A_TRANSPORT, bytes((17, 0, 0, 0))))
    if what == "noise":
        return client.says(values[0])
    if what == "signed noise":
        method, kind, value = values
        return client.says(client.signed(method, (kind, value)))
    stage.mono += values[0]
    return None
