"""Request lines against the vectors, and the quick way of decoding against the careful one."""

from __future__ import annotations

import json
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Raw, UnsetType

import myownmesh.control
from myownmesh.control.catalogue import SERVED, Catalogue
from myownmesh.control.client_id import client_id, client_name
from myownmesh.control.decoding import ParseError, careful_decoder, decode, decoder
from myownmesh.control.network_ops import NetworkUpdate
from myownmesh.control.ops import OPS
from myownmesh.control.request import MAX_TYPED_BYTES, Deferred, Immediate, Request, Task
from myownmesh.control.traffic_ops import EventsSubscribe, RpcCall, TraceSubscribe
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import U64
from unit.control.vectors import VECTORS, encoded, op_cases

CASES = op_cases(set(SERVED))
POSITION = " at line 1 column "

WRONG: dict[str, list[tuple[object, str]]] = {
    "string": [
        (5, "integer `5`"),
        (True, "boolean `true`"),
        ({}, "map"),
        ([], "sequence"),
        (1.5, "floating point `1.5`"),
    ],
    "bool": [("yes", 'string "yes"'), (1, "integer `1`"), ([], "sequence")],
    "u64": [("1", 'string "1"'), (True, "boolean `true`"), ({}, "map")],
}
EXPECTED = {"string": "a string", "bool": "a boolean", "u64": "u64"}


def error_of(line: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        decode(line)
    return f"parse: {caught.value}"


def test_every_op_of_the_protocol_is_listed_in_declared_order() -> None:
    assert list(OPS) == [case["op"] for case in VECTORS["ops"]]


def test_each_op_is_carried_out_in_one_way() -> None:
    streams = {EventsSubscribe, TraceSubscribe}
    ways = [
        (cls in streams) + sum(issubclass(cls, way) for way in (Immediate, Deferred, Task)) for cls in SERVED.values()
    ]
    assert ways == [1] * len(SERVED)
    for way, method in ((Immediate, "answer"), (Deferred, "begin"), (Task, "run")):
        assert [cls for cls in SERVED.values() if issubclass(cls, way) and method not in vars(cls)] == []


def test_the_catalogue_has_every_op_that_is_written() -> None:
    def leaves(cls: type[Request]) -> set[type[Request]]:
        return {leaf for sub in cls.__subclasses__() for leaf in (leaves(sub) or {sub})}

    for module in iter_modules(myownmesh.control.__path__):
        import_module(f"myownmesh.control.{module.name}")
    served = {cls for cls in leaves(Request) if cls.__module__.startswith("myownmesh.")}
    assert served == set(SERVED.values())


def test_what_is_asked_seldom_is_loaded_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []

    def load(name: str) -> object:
        loads.append(name.removeprefix("myownmesh.control."))
        if len(loads) == 3:
            raise OSError("no descriptor left")
        return import_module(name)

    monkeypatch.setattr("myownmesh.control.catalogue.import_module", load)
    catalogue = Catalogue(("device_ops",), ("custody_ops", "update_ops"))
    assert catalogue["status"].__name__ == "Status"
    assert loads == ["device_ops"]
    with pytest.raises(OSError, match="no descriptor left"):
        "update_status" in catalogue  # noqa: B015 - to look is what fails
    assert "update_status" in catalogue
    assert "governance_mfa_enroll" in [*catalogue]
    assert loads[1:] == ["custody_ops", "update_ops"] * 2


def test_an_op_inside_of_a_payload_is_no_op() -> None:
    line = b'{"aa":"bb","network":"n","peer":"p","method":"m","payload":{"op":"rpc_call"}}'
    assert error_of(line) == f"parse: missing field `op`{POSITION}{len(line)}"


@pytest.mark.parametrize("case", VECTORS["parse_errors"], ids=lambda case: case["line"][:60])
def test_parse_errors(case: dict[str, Any]) -> None:
    line: str = case["line"]
    text = error_of(line.encode())
    wanted = case["response"]["error"]
    try:
        op = json.loads(line).get("op")
    except (ValueError, AttributeError):
        op = None
    if op in OPS and op not in SERVED:
        # An op that is not served is unknown, whatever its members are (spec 05 §4).
        assert text.startswith(f"parse: unknown variant `{op}`, expected one of `status`, ")
    elif case.get("text") == "free":
        assert text.startswith("parse: ")
    else:
        assert text.partition(POSITION)[0] == wanted.partition(POSITION)[0]
        assert (POSITION in text) == (POSITION in wanted)


@pytest.mark.parametrize("line", VECTORS["accepted_lines"])
def test_accepted_lines(line: str) -> None:
    assert isinstance(decode(line.encode()), Request)


@pytest.mark.parametrize("case", VECTORS["client_id"], ids=lambda case: case["input"])
def test_client_ids(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(JsonError) as caught:
            client_id(case["input"])
        assert f"parse: {caught.value}" == case["error"]
    else:
        assert client_name(client_id(case["input"])) == case["canonical"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["op"])
def test_every_request_of_the_vectors_decodes(case: dict[str, Any]) -> None:
    for request in [case["request"], *case.get("request_variants", [])]:
        decoded = decode(encoded(request))
        assert type(decoded) is SERVED[case["op"]]
        for name, value in request.items():
            got = getattr(decoded, name, value)
            if isinstance(value, str) and isinstance(got, str):
                assert got == value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["op"])
def test_required_members_are_required_and_null_passes_only_where_the_vectors_say(case: dict[str, Any]) -> None:
    for member in case["fields"]:
        name = member["name"]
        without = {key: value for key, value in case["request"].items() if key != name}
        if member["required"]:
            assert error_of(encoded(without)) == f"parse: missing field `{name}`"
        else:
            decode(encoded(without))
        null = {**case["request"], name: None}
        judged_by_the_op = (case["op"], name) == ("update_set_prefs", "prefs")  # "bad update prefs: …"
        if member.get("nullable") or member["type"].startswith("any JSON") or judged_by_the_op:
            decode(encoded(null))
        else:
            assert error_of(encoded(null)).startswith("parse: invalid type: null, expected ")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["op"])
def test_members_of_the_wrong_type_are_named(case: dict[str, Any]) -> None:
    for member in case["fields"]:
        for value, words in WRONG.get(member["type"], []):
            line = encoded({**case["request"], member["name"]: value})
            assert error_of(line) == f"parse: invalid type: {words}, expected {EXPECTED[member['type']]}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["op"])
def test_repeated_members_are_refused_and_unknown_ones_ignored(case: dict[str, Any]) -> None:
    line = encoded(case["request"])
    for member in case["fields"]:
        name = member["name"]
        if name in case["request"]:
            twice = line[:-1] + b", " + encoded({name: case["request"][name]})[1:]
            assert error_of(twice) == f"parse: duplicate field `{name}`"
    decode(encoded({**case["request"], "unknown": {"x": 1}}))
    decode(line[:-1] + b',"u":1,"u":2}')


def test_an_op_that_is_not_served_is_unknown() -> None:
    for op in set(OPS) - set(SERVED):
        text = error_of(encoded({"op": op}))
        assert text.startswith(f"parse: unknown variant `{op}`, expected one of `status`, `networks_list`, ")


def test_arrays_in_place_of_objects_are_refused() -> None:
    assert error_of(b'["peers_list","home"]').startswith("parse: invalid type: sequence, expected ")
    assert error_of(b'{"op":"services_set","services":[]}').startswith("parse: invalid type: sequence, expected ")


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ('"id":"a","id":5', "duplicate field `id`"),
        ('"id":5,"id":"a"', "invalid type: integer `5`, expected a string"),
        ('"id":"a","label":5,"id":"b"', "invalid type: integer `5`, expected a string"),
        ('"x":{"id":1,"id":2},"id":1e16', "invalid type: floating point `1e16`, expected a string"),
        ('"id":"a","kind":5', "invalid type: integer `5`, expected string or map"),
        ('"id":"a","kind":null', "invalid type: null, expected string or map"),
        ('"id":"a","topology":{"kind":"ring","kind":"ring"}', "duplicate field `kind`"),
        ('"id":"a","topology":{"kind":null,"kind":"ring"}', "invalid type: null, expected variant identifier"),
        ('"id":"a","auto_approve":"\\u0001\\"\\n"', 'invalid type: string "\\u{1}\\"\\n", expected a boolean'),
    ],
)
def test_of_several_mistakes_in_a_record_the_first_one_is_told(members: str, text: str) -> None:
    assert error_of(f'{{"op":"network_add","config":{{{members}}}}}'.encode()) == f"parse: {text}"


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ('{"op":"nope"', "unknown variant `nope`"),
        ('{"op":"nope"} x', "unknown variant `nope`"),
        ('{"a":{"op":1},"op":"nope","x":1e999}', "unknown variant `nope`"),
        ('{"op":5,', "invalid type: integer `5`, expected variant identifier"),
        ('{"op":"nope","op":"status"}', "unknown variant `nope`"),
        ('{"op":"status","op":"nope"}', "duplicate field `op`"),
        ('{"x":1e999,"op":"nope"}', "number out of range"),
        ('{"op":"status"', "EOF while parsing"),
    ],
)
def test_an_unknown_op_is_told_before_what_is_wrong_behind_it(line: str, start: str) -> None:
    assert error_of(line.encode()).startswith(f"parse: {start}")


def test_of_several_mistakes_in_an_advert_the_first_one_is_told() -> None:
    def error(members: str) -> str:
        return error_of(f'{{"op":"capabilities_set","network":"n","capabilities":{{{members}}}}}'.encode())

    assert error('"tags":5,"tags":[]') == "parse: invalid type: integer `5`, expected a sequence"
    assert error('"tags":[],"tags":5') == "parse: duplicate field `tags`"


def test_the_time_of_a_call_is_an_unsigned_64_bit_integer() -> None:
    call = {"op": "rpc_call", "network": "n", "peer": "p", "method": "m", "payload": 1}
    quick = decode(encoded({**call, "timeout_ms": 1500}))
    assert isinstance(quick, RpcCall)
    assert quick.timeout_ms == 1500
    null = decode(encoded({**call, "timeout_ms": None}))
    assert isinstance(null, RpcCall)
    assert null.timeout_ms is None
    assert error_of(encoded({**call, "timeout_ms": -1})) == "parse: invalid value: integer `-1`, expected u64"
    assert error_of(encoded({**call, "timeout_ms": 1.0})) == "parse: invalid type: floating point `1.0`, expected u64"
    assert error_of(encoded({**call, "timeout_ms": 1 << 64})) == (
        "parse: invalid type: floating point `1.8446744073709552e19`, expected u64"
    )


def test_an_update_knows_which_members_it_was_given() -> None:
    record = {"id": "a", "network_id": "abc", "signaling": {"mdns": False}, "color": 1}
    request = decode(encoded({"op": "network_update", "config": record}))
    assert isinstance(request, NetworkUpdate)
    assert request.given == {"id", "network_id", "signaling", "signaling.mdns", "color"}
    assert request.config.signaling.mdns is False


def test_a_payload_is_kept_to_the_byte() -> None:
    for payload in (b"null", b"5", b'"a"', b'{"a": 1.50, "b":[ 1 ]}', b'"\\u00e9\\n"', b"1e5"):
        head = b'{"op":"rpc_call","network":"n","peer":"p","method":"m","payload":'
        for line in (head + payload + b"}", head + payload + b',"zz":1}', head + b" " + payload + b" }"):
            request = decode(line)
            assert isinstance(request, RpcCall)
            assert bytes(request.payload) == payload


def test_a_line_of_one_mebibyte_of_garbage_is_refused_quickly() -> None:
    for garbage in (
        b"[" * 2**20,
        b'{"a":' * 2**17,
        b'"' * 2**20,
        b"\\" * 2**20,
        b'{"op":"x' + b"\\\\" * 2**19,
        b"1" * 2**20,
    ):
        error_of(garbage)


def test_objects_that_no_honest_client_sends_are_refused() -> None:
    record = {"id": "a", "network_id": "abc", "label": "x" * (MAX_TYPED_BYTES + 1)}
    assert error_of(encoded({"op": "network_add", "config": record})).startswith("parse: object too large (")


# ── a new op is one class ─────────────────────────────────────────────────────────────────────────────────────────────


class LaterOp(Request, frozen=True):
    network: str
    sure: bool
    note: str | None = None
    many: U64 = 1
    payload: Raw | UnsetType = UNSET


LATER = {**SERVED, "later_op": LaterOp}


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (b'{"op":"later_op","network":"n","sure":true}', LaterOp("n", sure=True)),
        (b'{"op":"later_op","network":"n","sure":false,"many":1}', LaterOp("n", sure=False)),
        (
            b'{"sure":true,"many":18446744073709551615,"op":"later_op","note":"\\u00e9","network":"n"}',
            LaterOp("n", sure=True, note="é", many=2**64 - 1),
        ),
        (
            b'{"op":"later_op","network":"n","sure":true,"payload":null,"x":1}',
            LaterOp("n", sure=True, payload=Raw(b"null")),
        ),
    ],
)
def test_a_request_class_alone_is_decoded(line: bytes, request_: Request) -> None:
    assert decoder(LATER)(line) == careful_decoder(LATER)(line) == request_


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ('"network":"n"', "missing field `sure`"),
        ('"network":"n","sure":1', "invalid type: integer `1`, expected a boolean"),
        ('"network":"n","sure":true,"sure":true', "duplicate field `sure`"),
        ('"network":"n","sure":true,"many":null', "invalid type: null, expected u64"),
        ('"network":"n","sure":true,"many":-1', "invalid value: integer `-1`, expected u64"),
        (
            '"network":"n","sure":true,"many":18446744073709551616',
            "invalid type: floating point `1.8446744073709552e19`, expected u64",
        ),
    ],
)
def test_a_request_class_alone_refuses_what_is_wrong(members: str, text: str) -> None:
    with pytest.raises(ParseError) as caught:
        decoder(LATER)(f'{{"op":"later_op",{members}}}'.encode())
    assert str(caught.value) == text


# ── the two ways of decoding agree ────────────────────────────────────────────────────────────────────────────────────

decode_carefully = careful_decoder(SERVED)

ALPHABET = st.sampled_from(['"', "\\", "a", "é", " ", "{", "}", ",", ":", "payload", "\n", "𝄞", "\u0000"])
TEXTS = st.lists(ALPHABET, max_size=6).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**25) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(["op", "network", "peer", "method", "channel", "payload", "request_id", "ok", "error", "zz"]),
        JSON,
    ),
    max_size=8,
)


def outcome(decoder: Any, line: bytes) -> object:
    try:
        request = decoder(line)
    except ParseError as error:
        return str(error)
    members = {name: getattr(request, name) for name in request.__struct_fields__}
    return type(request), {k: bytes(v) if isinstance(v, Raw) else v for k, v in members.items()}


@given(
    op=st.sampled_from([case["op"] for case in CASES]),
    members=MEMBERS,
    spaced=st.booleans(),
    ascii_only=st.booleans(),
    shuffled=st.randoms(),
)
@example(op="status", members=[("network", "x"), ("network", "x")], spaced=True, ascii_only=True, shuffled=None)
def test_the_quick_way_decides_like_the_careful_one(
    op: str, members: list[tuple[str, object]], spaced: bool, ascii_only: bool, shuffled: Any
) -> None:
    whole = [("op", op), *members]
    if shuffled is not None:
        shuffled.shuffle(whole)
    colon, comma = (": ", ", ") if spaced else (":", ",")
    text = comma.join(json.dumps(name) + colon + json.dumps(value, ensure_ascii=ascii_only) for name, value in whole)
    line = ("{" + text + "}").encode()
    assert outcome(decode, line) == outcome(decode_carefully, line)


@given(st.sampled_from([encoded(case["request"]) for case in CASES]), st.data())
def test_mangled_requests_never_break_the_decoder(line: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(line)))
        cut = data.draw(st.integers(0, 3))
        line = (
            line[:at]
            + data.draw(st.sampled_from([b"", b'"', b"}", b"{", b",", b"\\", b"1e999", b"[", b"0"]))
            + line[at + cut :]
        )
    try:
        line.decode()
    except UnicodeDecodeError:
        return
    assert outcome(decode, line) == outcome(decode_carefully, line)
