"""Frames through the codec: the vectors, the two ways of reading, and hostile bytes."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from myownmesh.protocol import frames, modes, strict_json, transitions
from myownmesh.protocol.canonical import quick_way
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.codec import FrameTooLarge, MalformedFrame, decode_frame, decoder, encode_frame, exact_reader
from myownmesh.protocol.frames import KINDS
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.protocol.frames import Frame

CASES = load("peer-protocol", "frames")["cases"]
TRANSCRIPTS = load("peer-protocol", "transcripts")["cases"]
SPOKEN = [frame["text"] for case in TRANSCRIPTS for frame in case["frames"]]
SIZES = load("peer-protocol", "frame_size")
MALFORMED = ("malformed", "must_not_be_sent")


def case_bytes(case: dict[str, Any]) -> bytes:
    return bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode()


def plain(value: object) -> object:
    """A frame's member as the Python value of its JSON."""
    return strict_json.loads(encode_frame(value) if isinstance(value, frames.Frame) else msgspec.json.encode(value))


read_exactly = exact_reader(KINDS)


def exactly(data: bytes) -> Frame:
    """Read without the fast way."""
    try:
        return read_exactly(strict_json.decode_object(data))
    except JsonError as error:
        raise MalformedFrame(str(error)) from None


# ── vectors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.get("text", case.get("hex")))[:60])
@pytest.mark.parametrize("read", [decode_frame, exactly])
def test_frame_vectors(case: dict[str, Any], read: Any) -> None:
    expect = dict(case["expect"])
    outcome = expect.pop("outcome")
    if outcome in MALFORMED:
        with pytest.raises(MalformedFrame, match=r"malformed frame: ."):
            read(case_bytes(case))
        return
    frame = read(case_bytes(case))
    if outcome == "unknown":
        assert isinstance(frame, frames.UnknownFrame)
        return
    assert outcome == frame.KIND
    for name, value in expect.items():
        assert _seen(frame, name) == value, name


def _seen(frame: Any, name: str) -> object:
    """What a vector calls `name`, in a frame."""
    match name:
        case "result":
            return None if frame.ok is None else plain(frame.ok)
        case "failed":
            return frame.error
        case "count":
            return len(frame.entries) if isinstance(frame, frames.RosterEntries) else frame.count
        case "member_log_length":
            return len(frame.member_log)
        case "variant":
            return "unknown" if isinstance(frame.variant, transitions.UnknownVariant) else frame.variant
        case _:
            return plain(getattr(frame, name))


@pytest.mark.parametrize("text", SPOKEN, ids=lambda text: text[:40])
def test_what_the_reference_said_is_read_and_written_byte_for_byte(text: str) -> None:
    frame = decode_frame(text.encode())
    assert not isinstance(frame, frames.UnknownFrame)
    assert encode_frame(frame).decode() == text
    assert exactly(text.encode()) == frame


ROWS = tuple(frames.RosterEntry("a" * 52, "device", number, "member") for number in range(3))
ADMIT = transitions.Transition(7, transitions.RoleGrant("a" * 52, "member"), ("b" * 52,), ("c" * 103,))
SHAPE = transitions.Transition(8, transitions.TopologyChange(modes.Ring(3)), ("b" * 52,), ("c" * 103,))
COMMON = [
    *(decode_frame(text.encode()) for text in SPOKEN),
    frames.RosterEntries((), (ADMIT, SHAPE), (ADMIT,), vouched=True),
    frames.Deny("evicted", (SHAPE,), (ADMIT, ADMIT)),
    frames.NetworkStatePropose("p", ADMIT.variant, "b" * 52, 7, "c" * 103),
    frames.RosterEntries(ROWS),
    frames.RosterEntries(ROWS, vouched=True),
]


@pytest.mark.parametrize("frame", COMMON, ids=lambda frame: frame.KIND)
def test_what_peers_write_does_without_the_exact_reader(frame: Frame) -> None:
    """It takes twenty times as long, and a roster that everybody sends everybody has hundreds of rows."""
    data = encode_frame(frame)
    way = quick_way(type(frame))
    assert way is not None
    twin, finish = way
    parsed = msgspec.json.decode(data, type=twin)
    assert msgspec.json.encode(parsed) == data
    assert (parsed if finish is None else finish(parsed, data)) == frame


def test_a_kind_is_learnt_with_its_first_frame_whatever_came_before() -> None:
    fresh = decoder(KINDS)
    for text in (b"{}", b'{"kind":""}', b'{"kind":"ping"', b'{"kind":"later"}', b"no frame"):
        told = [outcome(each, text) for each in (fresh, decode_frame)]
        assert told[0] == told[1]
    for frame in (frames.Ping(7), frames.Pong(7), frames.Ping(8)):
        assert fresh(encode_frame(frame)) == frame


def outcome(read: Any, text: bytes) -> object:
    try:
        return read(text)
    except MalformedFrame as error:
        return str(error)


# ── properties ────────────────────────────────────────────────────────────────────────────────────────────────────────

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=8,
)
payloads = json_values.map(strict_json.dumps)
free_values = json_values.filter(lambda value: value is not None).map(strict_json.dumps)
text_tuples = st.lists(texts, max_size=3).map(tuple)
kinds = st.sampled_from(["open", "closed", "silent"])
roles = st.sampled_from(["member", "controller", "owner"])
adverts = st.builds(Capabilities, text_tuples, st.none() | texts, st.none() | u32, st.none() | free_values)
shapes = st.one_of(
    st.just(modes.FullMesh()),
    st.builds(modes.Ring, st.none() | u32),
    st.builds(modes.Star, texts),
    st.builds(modes.Hubs, text_tuples, st.none() | u32),
)
variants = st.one_of(
    st.builds(transitions.KindChange, kinds),
    st.builds(transitions.RoleGrant, texts, roles),
    st.builds(transitions.RoleRevoke, texts),
    st.builds(transitions.Evict, texts),
    st.builds(transitions.Split, texts, text_tuples),
    st.builds(transitions.TopologyChange, shapes),
    st.just(transitions.UnknownVariant("future", b'{"kind":"future", "a": [1e5]}')),
)
logs = st.lists(st.builds(transitions.Transition, u64, variants, text_tuples, text_tuples), max_size=2).map(tuple)
entries = st.lists(st.builds(frames.RosterEntry, texts, texts, u64, roles, texts), max_size=2).map(tuple)
sendable = st.one_of(
    st.builds(
        frames.Hello,
        u32,
        texts,
        texts,
        texts,
        texts,
        st.none() | adverts,
        st.none() | u32,
        text_tuples,
        st.none() | texts,
    ),
    st.builds(frames.AuthResponse, texts),
    st.just(frames.Approve()),
    st.builds(frames.Deny, st.none() | texts, logs, logs),
    st.builds(frames.Ping, st.integers(-(2**63), 2**63 - 1)),
    st.builds(frames.Pong, st.integers(-(2**63), 2**63 - 1)),
    st.builds(frames.Shelve, st.none() | texts),
    st.just(frames.Unshelve()),
    st.builds(frames.CapabilitiesUpdate, adverts),
    st.builds(frames.RpcRequest, texts, texts, payloads, st.booleans()),
    st.builds(frames.RpcResponse, texts, st.none() | free_values, st.none() | texts),
    st.builds(frames.RpcStreamChunk, texts, u64, payloads),
    st.builds(frames.RpcStreamEnd, texts, st.none() | texts),
    st.builds(frames.Channel, texts, payloads),
    st.builds(frames.ChannelSeq, u64, u64, texts, payloads),
    st.builds(frames.ChannelAck, u64, u64),
    st.builds(frames.RosterSummary, texts, u32, u64),
    st.builds(frames.RosterRequest, st.booleans(), text_tuples),
    st.builds(frames.RosterEntries, entries, logs, logs, st.booleans() | st.just(msgspec.UNSET)),
    st.builds(frames.NetworkState, kinds, u32, u32, texts),
    st.builds(frames.NetworkStatePropose, texts, variants, texts, u64, texts),
    st.builds(frames.NetworkStateAck, texts, texts, st.sampled_from(["sign", "deny"]), u64, texts),
    st.builds(frames.NetworkStateSplit, texts, texts, text_tuples, texts, u64, texts),
)


@pytest.mark.heavy
@given(sendable)
def test_every_frame_comes_back(frame: Frame) -> None:
    data = encode_frame(frame)
    assert decode_frame(data) == frame
    assert exactly(data) == frame
    assert json.loads(data)["kind"] == frame.KIND


@given(sendable, st.randoms(use_true_random=False))
def test_order_space_and_unknown_members_do_not_matter(frame: Frame, random: Any) -> None:
    members = [*json.loads(encode_frame(frame)).items(), ("zz", [1, {"kind": 2}]), ("zz", None)]
    random.shuffle(members)
    text = " , ".join(f"{json.dumps(name)} : {json.dumps(value)}" for name, value in members)
    read = decode_frame(f" {{ {text} }}\r\n".encode())
    assert plain(read) == plain(frame)


@given(sendable, st.data())
def test_a_repeated_member_spoils_the_frame(frame: Frame, data: st.DataObject) -> None:
    members = [(name, bytes(value).decode()) for name, value in strict_json.decode_object(encode_frame(frame))]
    name, value = data.draw(st.sampled_from(members))
    again = data.draw(st.sampled_from([name, f"\\u{ord(name[0]):04x}{name[1:]}"]))
    text = ",".join(f'"{name}":{value}' for name, value in members)
    with pytest.raises(MalformedFrame, match="duplicate field"):
        decode_frame(f'{{{text},"{again}":{value}}}'.encode())


@given(sendable, st.data())
def test_both_ways_of_reading_agree_on_damaged_frames(frame: Frame, data: st.DataObject) -> None:
    damaged = bytearray(encode_frame(frame))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        match data.draw(st.sampled_from(["replace", "insert", "delete"])):
            case "replace":
                damaged[place] = data.draw(st.sampled_from(b'"{}[]:,0123456789.eE+-\\ ntf\xff\xc3\xa9k'))
            case "insert":
                damaged[place:place] = data.draw(
                    st.sampled_from([b"1", b'"', b",", b"\\u0061", b"null", b"e9", b".0", b" "])
                )
            case _:
                del damaged[place : place + 1]
    _assert_agreement(bytes(damaged))


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b'{"kind":"channel","channel":"c","payload":-0}')
@example(b'{"kind":"ping","t":-0}')
@example(b'{"kind":"channel","channel":"\xff","payload":0}')
@example(b'{"kind":"channel","channel":"c","payload":"\xff"}')
@example(b'{"kind":"rpc_response","request_id":"r","ok":1e999,"error":null}')
@example(
    b'{"kind":"hello","protocol":1,"device_id":"","label":"","nonce":"","verification_code":"",'
    b'"capabilities":{"tags":[],"app_version":null,"max_connections":null,"extra":[1e999]},"max_connections":null,'
    b'"features":[],"app_version":null}'
)
def test_decoding_is_total(data: bytes) -> None:
    _assert_agreement(data)


def _assert_agreement(data: bytes) -> None:
    fast: object = None
    exact: object = None
    with contextlib.suppress(MalformedFrame):
        fast = decode_frame(data)
    with contextlib.suppress(MalformedFrame):
        exact = exactly(data)
    assert fast == exact


# ── limits of the wire ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ('{"kind":"channel_seq","stream":%d,"seq":1,"channel":"c","payload":1}', 2**64 - 1),
        ('{"kind":"channel_seq","stream":1,"seq":%d,"channel":"c","payload":1}', 2**64 - 1),
        ('{"kind":"channel_ack","stream":%d,"up_to":0}', 2**64 - 1),
        ('{"kind":"channel_ack","stream":0,"up_to":%d}', 2**64 - 1),
        ('{"kind":"rpc_stream_chunk","request_id":"r","seq":%d,"payload":1}', 2**64 - 1),
        ('{"kind":"ping","t":%d}', 2**63 - 1),
        (
            '{"kind":"roster_entries","entries":[{"device_id":"","label":"","approved_at":%d,"role":"member",'
            '"granted_by":""}],"transitions":[],"member_log":[]}',
            2**64 - 1,
        ),
        ('{"kind":"pong","t":%d}', 2**63 - 1),
        ('{"kind":"roster_summary","root":"","count":%d,"last_edit_ts":0}', 2**32 - 1),
        ('{"kind":"roster_summary","root":"","count":0,"last_edit_ts":%d}', 2**64 - 1),
        (
            '{"kind":"network_state","network_kind":"open","transitions_count":%d,"member_log_count":0,"roster_root":""}',
            2**32 - 1,
        ),
        (
            '{"kind":"network_state","network_kind":"open","transitions_count":0,"member_log_count":%d,"roster_root":""}',
            2**32 - 1,
        ),
        (
            '{"kind":"network_state_ack","proposal_id":"","signer":"","decision":"sign","at":%d,"signature":""}',
            2**64 - 1,
        ),
        (
            '{"kind":"network_state_split","parent_proposal_id":"","new_network_id":"","members":[],"proposer":"",'
            '"at":%d,"signature":""}',
            2**64 - 1,
        ),
        (
            '{"kind":"capabilities_update","capabilities":{"tags":[],"app_version":null,"max_connections":%d,"extra":null}}',
            2**32 - 1,
        ),
    ],
)
def test_integers_have_the_range_of_their_type(text: str, most: int) -> None:
    decode_frame((text % most).encode())
    with pytest.raises(MalformedFrame):
        decode_frame((text % (most + 1)).encode())
    with pytest.raises(MalformedFrame):
        decode_frame((text % -(most + 2)).encode())


HELLO = frames.Hello(1, "id", "", "nonce", "code", Capabilities(max_connections=7), 7)


@pytest.mark.parametrize("old", ['"protocol":1', '"max_connections":7'])
def test_counts_of_a_hello_are_32_bit(old: str) -> None:
    text = encode_frame(HELLO).decode()
    name = old.partition(":")[0]
    for number in (-1, 2**32):
        with pytest.raises(MalformedFrame, match="expected u32"):
            decode_frame(text.replace(old, f"{name}:{number}").encode())


def test_the_largest_frame_is_65535_bytes() -> None:
    room = MAX_FRAME_BYTES - len(encode_frame(frames.Channel("c", Raw(b'""'))))
    assert len(encode_frame(frames.Channel("c", strict_json.dumps("x" * room)))) == 65_535
    with pytest.raises(FrameTooLarge) as refused:
        encode_frame(frames.Channel("c", strict_json.dumps("x" * (room + 1))))
    assert str(refused.value) == "frame of 65536 bytes exceeds the 65535-byte limit"


def test_frame_sizes() -> None:
    """Vectors `frame_size`: what is sent, in which words the rest is refused, how much of a file one frame takes."""
    assert SIZES["max_frame_bytes_to_send"] == MAX_FRAME_BYTES
    deadly, *vast = [case["bytes"] for case in SIZES["cases"]]
    assert all(len(encode_frame(each)) > deadly for each in (frames.Approve(), frames.Unshelve(), frames.Ping(0)))
    assert all(size > MAX_FRAME_BYTES for size in vast)
    words = (
        SIZES["sender_errors"]["ours"].partition(";")[0].removeprefix("refused at once with `transport: ").rstrip("`")
    )
    assert str(FrameTooLarge(70_000)) == words.replace("<n>", "70000")
    chunks = SIZES["raw_bytes_per_base64_chunk"]
    for nbytes in chunks["fits"]:
        assert len(encode_frame(chunk_of(nbytes))) <= MAX_FRAME_BYTES
    for nbytes in chunks["does_not_fit"]:
        with pytest.raises(FrameTooLarge):
            encode_frame(chunk_of(nbytes))


def chunk_of(nbytes: int) -> frames.Channel:
    """So many bytes of a file, as an application sends them."""
    return frames.Channel("c", strict_json.dumps({"d": base64.b64encode(bytes(nbytes)).decode()}))


def test_text_that_is_no_unicode_is_not_sent() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        encode_frame(frames.RpcStreamEnd("r", "\ud800"))


def test_only_frames_are_encoded() -> None:
    with pytest.raises(TypeError, match="complex is not part of any frame"):
        encode_frame(frames.Ping(1j))  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize(
    ("payload", "passes"),
    [
        (b'{"s":"' + b"[" * 300 + b'"}', True),
        (b"[" * 126 + b"]" * 126, True),
        (b"[" * 127 + b"]" * 127, False),
        (b"[" + b"1e100," * 100 + b"1e308]", True),
        (b"[" + b"1e100," * 100 + b"1e309]", False),
        (b'["5E999",1]', True),
        (b"1e309", False),
        (b"9" * 308, True),
        (b"9" * 310, False),
        (b"[1,2]" * 2, False),
        (b'"' + b"x" * 49_000 + b'"', True),
    ],
)
@pytest.mark.parametrize("kind", ["channel", "rpc_request", "rpc_response", "rpc_stream_chunk", "channel_seq"])
def test_free_values_obey_the_same_rules_in_every_kind(kind: str, payload: bytes, *, passes: bool) -> None:
    data = {
        "channel": b'{"kind":"channel","channel":"c","payload":%b}',
        "rpc_request": b'{"kind":"rpc_request","request_id":"r","method":"m","payload":%b,"streaming":false}',
        "rpc_response": b'{"kind":"rpc_response","request_id":"r","ok":%b,"error":null}',
        "rpc_stream_chunk": b'{"kind":"rpc_stream_chunk","request_id":"r","seq":1,"payload":%b}',
        "channel_seq": b'{"kind":"channel_seq","stream":1,"seq":1,"channel":"c","payload":%b}',
    }[kind] % payload
    if passes:
        frame: Any = decode_frame(data)
        assert bytes(frame.ok if kind == "rpc_response" else frame.payload) == payload
    else:
        with pytest.raises(MalformedFrame):
            decode_frame(data)


def test_a_repeated_member_far_away_is_found() -> None:
    payload = strict_json.dumps({"payload": "x" * 48_000, "channel": 1, "kind": "ping"})
    data = encode_frame(frames.Channel("c", payload))
    assert decode_frame(data) == frames.Channel("c", payload)
    with pytest.raises(MalformedFrame, match="duplicate field `channel`"):
        decode_frame(data[:-1] + b',"channel":"c"}')


def test_unknown_variants_pass_through_unchanged() -> None:
    text = b'{"kind":"future", "n": 1.0, "n":2}'
    log = b'{"at":1,"variant":' + text + b',"signers":[],"signatures":[]}'
    data = b'{"kind":"roster_entries","entries":[],"transitions":[' + log + b'],"member_log":[]}'
    frame = decode_frame(data)
    assert encode_frame(frame) == data
    variant = frame.transitions[0].variant  # type: ignore[union-attr]  # it is known
    assert repr(variant) == f"UnknownVariant(kind='future', text={text!r})"
    assert len({variant, transitions.UnknownVariant("future", text), transitions.UnknownVariant("x", b"{}")}) == 2
