"""The suite `mdns` of tests/vectors/signaling.json: names, records, adverts, lines, endpoints, dials (spec 03 §18)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from myownmesh.lan import txt
from myownmesh.lan.endpoints import BACKOFF_S, Endpoint, Penalties
from myownmesh.lan.lines import KINDS, MAX_LINE_BYTES, VERSION, BadLine, Splitter, decode, encode
from myownmesh.lan.names import (
    HOST_TTL_S,
    OTHER_TTL_S,
    SERVICE_TYPE,
    full_name,
    host_name,
    instance_label,
    registration_type,
)
from support.vectors import load

MDNS = load("signaling", "mdns")
SUITES = {
    "service_type",
    "protocol_version",
    "instance_names",
    "txt",
    "records_example",
    "adverts",
    "frames",
    "frame_decisions",
    "frame_shape",
    "endpoint_merge",
    "dial_selection",
    "endpoint_backoff_s",
    "txt_codec",
    "regtype",
}
MESSAGE = {"kind": "candidate", "peer_id": "p", "candidate": "candidate:1"}
"""What the cases about other members leave out."""


def test_every_suite_is_read() -> None:
    assert set(MDNS) == SUITES


def test_constants() -> None:
    assert MDNS["service_type"] == SERVICE_TYPE
    assert MDNS["protocol_version"] == VERSION == int(txt.VERSION)
    assert tuple(MDNS["endpoint_backoff_s"]) == BACKOFF_S


@pytest.mark.parametrize("case", MDNS["instance_names"], ids=lambda case: case["instance"])
def test_names(case: dict[str, str]) -> None:
    label = instance_label(case["room"], case["device"])
    assert label == case["instance"]
    assert host_name(label) == case.get("host", f"{label}.local.")
    assert full_name(label) == case.get("fullname", f"{label}.{SERVICE_TYPE}")


@pytest.mark.parametrize("case", MDNS["txt"])
def test_what_an_advert_of_ours_says(case: dict[str, Any]) -> None:
    entries = txt.entries(case["room"], case["device"])
    assert [f"{key}={value}" for key, value in entries.items()] == case["entries"]
    assert txt.encode(entries).hex() == case["rdata_hex"]
    assert txt.parse(bytes.fromhex(case["rdata_hex"])) == entries


def test_records() -> None:
    """The names and lifetimes; the packet is zeroconf's (tests/unit/signaling/test_lan_responder.py)."""
    example = MDNS["records_example"]
    assert example["ptr_name"] == SERVICE_TYPE
    label = MDNS["instance_names"][1]["instance"]
    assert wire_name(full_name(label)) == example["ptr_rdata_hex_uncompressed"]
    srv = f"00000000{example['port']:04x}" + wire_name(host_name(label))
    assert srv == example["srv_rdata_hex_uncompressed"]
    assert (example["ttl_ptr_txt"], example["ttl_srv_a"]) == (OTHER_TTL_S, HOST_TTL_S)


def wire_name(name: str) -> str:
    labels = name.removesuffix(".").split(".")
    return "".join(f"{len(label):02x}{label.encode().hex()}" for label in labels) + "00"


@pytest.mark.parametrize("case", MDNS["adverts"])
def test_adverts(case: dict[str, Any]) -> None:
    advert = txt.accepted(case["txt"], case["our_room"], case["our_device"])
    assert (None if advert is None else advert.peer) == case["accept"]


@pytest.mark.parametrize("case", MDNS["frames"], ids=lambda case: case["name"])
def test_lines(case: dict[str, str]) -> None:
    whole = json.loads(case["json"])
    written = encode(whole["room"], whole["from"], whole["to"], whole["msg"])
    assert written.hex() == case["wire_hex"]
    line = decode(written.removesuffix(b"\n"))
    assert line is not None
    assert line.is_for(whole["room"], whole["to"])
    assert (line.sender, line.kind, line.peer) == (whole["from"], whole["msg"]["kind"], whole["msg"]["peer_id"])
    assert [name for name, _ in line.message] == list(whole["msg"])


def test_the_shape_of_a_line() -> None:
    assert MDNS["frame_shape"]["property"].startswith("one line, no embedded newline")
    assert encode("r", "a", "b", {**MESSAGE, "sdp": "a\nb"}).count(b"\n") == 1


def line_of(case: dict[str, Any]) -> bytes:
    """The bytes that the case is about, without the newline."""
    match case.get("line"):
        case None:
            return json.dumps({"from": "p", "msg": MESSAGE} | case["frame"]).encode()
        case "more than 262144 bytes without a newline":
            return b" " * (MAX_LINE_BYTES + 1)
        case "a good line ended by CR LF":
            return encode("roomA", "p", "peer-2", MESSAGE).removesuffix(b"\n") + b"\r"
        case "a line without msg":
            return json.dumps({"v": 1, "room": "roomA", "from": "p", "to": "peer-2"}).encode()
        case "bytes ff fe":
            return b"\xff\xfe"
        case text:
            return str(text).encode()


@pytest.mark.parametrize("case", MDNS["frame_decisions"])
def test_what_becomes_of_a_line(case: dict[str, Any]) -> None:
    us = case.get("our_room", "roomA"), case.get("our_device", "peer-2")
    is_closed = is_for_us = False
    try:
        for data in Splitter().feed(line_of(case) + b"\n"):
            line = decode(data)
            is_for_us = line is not None and line.is_for(*us)
    except BadLine:
        is_closed = True
    assert is_for_us is case["deliver"]
    assert is_closed is (case.get("connection", "kept") == "closed")


def test_all_kinds_are_read() -> None:
    assert set(KINDS) == {json.loads(case["json"])["msg"]["kind"] for case in MDNS["frames"]}


@pytest.mark.parametrize("case", MDNS["endpoint_merge"])
def test_endpoints_that_come_one_after_the_other(case: dict[str, Any]) -> None:
    first, second, result = (
        Endpoint(tuple(addresses), port) for addresses, port in (case["first"], case["second"], case["result"])
    )
    assert first.merged(second) == result


@pytest.mark.parametrize("case", MDNS["dial_selection"])
def test_which_addresses_are_dialled(case: dict[str, Any]) -> None:
    penalties = Penalties()
    for address, seconds in case["cooling"].items():
        failures = next(index for index, wait in enumerate(BACKOFF_S, 1) if wait >= seconds)
        for _ in range(failures):
            penalties.failed(address, 1, seconds - BACKOFF_S[failures - 1])
    assert penalties.to_dial(case["addrs"], 1, 0.0) == case["dial"]


@pytest.mark.parametrize("case", MDNS["txt_codec"])
def test_records_that_nobody_of_us_writes(case: dict[str, Any]) -> None:
    parsed = txt.parse(bytes.fromhex(case["rdata_hex"]))
    assert parsed == (case["parsed"] if isinstance(case["parsed"], dict) else {"x": ""})


@pytest.mark.parametrize("case", MDNS["regtype"])
def test_a_type_without_its_domain(case: dict[str, str]) -> None:
    assert registration_type(case["in"]) == case["out"]
