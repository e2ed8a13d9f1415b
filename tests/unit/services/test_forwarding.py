"""The role `relay`: who gets what, and what never goes on (spec 06 §5, 13 A and C)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, json

from myownmesh.engine.routes import FORWARD_BURST_BYTES
from myownmesh.protocol.codec import decode_frame, encode_frame
from myownmesh.protocol.envelopes import RELAY_CHANNEL, Envelope, read_envelope, read_routed
from myownmesh.protocol.frames import Channel
from myownmesh.services.forwarding import FRAMES_AT_ONCE, Forwarder
from support.examples import examples
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Collection

VECTORS: dict[str, Any] = load("signaling", "relay_role")


def handed_on(
    sender: str,
    envelope: object,
    *,
    rostered: Collection[str],
    reachable: Collection[str],
    max_fanout: int = 0,
    forwarder: Forwarder | None = None,
    now: float = 0.0,
) -> tuple[list[str], Any] | None:
    found = (forwarder or Forwarder()).targets(
        sender,
        Raw(json.encode(envelope)),
        is_rostered=lambda device_id: device_id in rostered,
        reachable=lambda device_id: [each for each in reachable if device_id in ("", each)],
        max_fanout=max_fanout,
        now=now,
    )
    return None if found is None else (found[0], json.decode(found[1]))


@pytest.mark.parametrize("case", VECTORS["targets"], ids=lambda case: f"{case['from']}-{case['dst']}")
def test_targets_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    found = handed_on(
        case["from"],
        {"dst": case["dst"], "payload": 1},
        rostered=case["rostered"],
        reachable=case["reachable"],
        max_fanout=case["max_fanout"],
    )
    targets = [] if found is None else found[0]
    assert len(targets) == case["count"]
    if case["targets"] is not None:
        assert sorted(targets) == sorted(case["targets"])


@pytest.mark.parametrize("case", VECTORS["forwarding"], ids=lambda case: case.get("note", str(case["inbound"])))
def test_envelopes_are_read_and_written_as_in_the_vectors(case: dict[str, Any]) -> None:
    inbound = Raw(json.encode(case["inbound"]))
    if "decoded" in case:
        decoded = case["decoded"]
        assert read_envelope(inbound) == Envelope(Raw(json.encode(decoded["payload"])), decoded["dst"], decoded["src"])
    elif "error" in case:
        assert read_envelope(inbound) is None
    else:
        found = handed_on(case["inbound_from"], case["inbound"], rostered=("origin", "c"), reachable=("origin", "c"))
        if case["inbound"]["src"]:
            # We fail this one on purpose: with a foreign `src` it was handed on before, and ends here (06 A).
            assert found is None
        else:
            assert found == (case["forwarded_to"], case["forwarded"])


def test_the_frame_of_the_vectors_is_one() -> None:
    frame = {key: value for key, value in VECTORS["data_channel_frame_example"].items() if key != "source"}
    assert frame["channel"] == VECTORS["channel"] == RELAY_CHANNEL
    read = decode_frame(json.encode(frame))
    assert isinstance(read, Channel)
    assert json.decode(encode_frame(read)) == frame


@pytest.mark.parametrize("case", VECTORS["routed_wrapper_is_not_legacy"], ids=lambda case: str(case["payload"]))
def test_what_carries_a_channel_is_the_routers(case: dict[str, Any]) -> None:
    routed = read_routed(Raw(json.encode({"payload": case["payload"]})))
    assert (routed is not None) == case["consumed_by_router"]


def test_an_origin_may_write_its_own_name() -> None:
    found = handed_on("a", {"dst": "c", "src": "a", "payload": []}, rostered=("a", "c"), reachable=("a", "c"))
    assert found == (["c"], {"dst": "", "src": "a", "payload": []})


@pytest.mark.parametrize("envelope", [None, [], 7, {}, {"payload": 1, "dst": 2}, {"payload": 1, "src": None}])
def test_what_is_no_envelope_goes_nowhere(envelope: object) -> None:
    assert handed_on("a", envelope, rostered=("a", "c"), reachable=("a", "c")) is None


def test_what_has_no_room_for_its_origin_goes_nowhere() -> None:
    """It came without a name; 65,535 bytes are what a frame may have."""
    for size, fits in ((60_000, True), (65_440, False)):
        envelope = {"payload": "x" * size}
        encode_frame(Channel(RELAY_CHANNEL, Raw(json.encode(envelope))))
        assert (handed_on("a" * 52, envelope, rostered=("a" * 52, "c"), reachable=("c",)) is not None) == fits


def test_who_floods_is_heard_again_later_and_others_meanwhile() -> None:
    forwarder, members = Forwarder(), ("a", "b", "c")

    def passes(sender: str, now: float = 0.0) -> bool:
        envelope = {"dst": "c", "payload": 1}
        return (
            handed_on(sender, envelope, rostered=members, reachable=members, forwarder=forwarder, now=now) is not None
        )

    assert sum(passes("a") for _ in range(1000)) == FRAMES_AT_ONCE
    assert passes("b")
    assert passes("a", now=1.0)
    assert not any(passes("x") for _ in range(3)), "a stranger has no allowance to use up"


def test_copies_count() -> None:
    """One sender cannot make a relay write without end by letting it write to everybody."""
    members = [f"m{number}" for number in range(200)]
    forwarder, sent = Forwarder(), 0
    for _ in range(int(FRAMES_AT_ONCE)):
        found = handed_on(
            "m0", {"payload": "x" * 60_000}, rostered=members, reachable=members, forwarder=forwarder, now=0.0
        )
        sent += 0 if found is None else len(found[0]) * 60_000
    assert sent < FORWARD_BURST_BYTES + 200 * 61_000


def test_a_million_senders_are_not_remembered() -> None:
    forwarder = Forwarder()
    for number in range(3000):
        handed_on(str(number), {"payload": 1}, rostered=[str(number)], reachable=("c",), forwarder=forwarder)
    assert len(vars(forwarder)["_frames"]) <= 1024


@settings(max_examples=examples(60))
@given(
    st.integers(2, 5),
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["", "a", "d0", "r1"])), min_size=1, max_size=4),
)
def test_in_rings_of_relays_every_frame_comes_to_rest(relays: int, old: int, said: list[tuple[int, str]]) -> None:
    """All are linked with all, and up to two of the relays are as v0.3.8 is: they hand on whatever comes."""
    ours = [f"r{number}" for number in range(relays)]
    theirs = [f"v{number}" for number in range(min(old, 2))]
    devices = ["a", "d0", "d1", "d2"]
    everybody = [*ours, *theirs, *devices]
    forwarders = {name: Forwarder() for name in ours}
    got: list[tuple[str, str, str]] = []
    waiting: list[tuple[str, str, dict[str, Any]]] = []
    for number, (origin, dst) in enumerate(said):
        first = {"dst": dst, "src": "", "payload": number}
        waiting.extend((devices[origin], relay, first) for relay in (*ours, *theirs))
    for step in itertools.count():
        if not waiting:
            break
        assert step < 5000, "it goes round for ever"
        carrier, at, envelope = waiting.pop()
        if at in forwarders:
            found = handed_on(
                carrier,
                envelope,
                rostered=everybody,
                reachable=[each for each in everybody if each != at],
                forwarder=forwarders[at],
            )
        elif at in theirs:  # v0.3.8 as spec 06 §5.2 has it
            dst = envelope["dst"]
            links = [each for each in everybody if each not in (carrier, at) and dst in ("", each)]
            found = links, {"dst": "", "src": carrier, "payload": envelope["payload"]}
        else:
            found = None
        for target in () if found is None else found[0]:
            assert found is not None
            if target != at:
                got.append((at, target, envelope["dst"]))
                waiting.append((at, target, found[1]))
    for at, target, dst in got:
        if at in ours and dst:
            assert target == dst
