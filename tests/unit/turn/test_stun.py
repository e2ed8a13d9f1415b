"""Messages as bytes: the vectors, and nothing that is not a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.protocol.clock import Instant
from myownmesh.turn import stun
from myownmesh.turn.binding import BindingServer
from myownmesh.turn.credentials import long_term_key
from myownmesh.turn.limits import Limits
from support import vectors
from unit.turn.bench import Stage, output

TURN = vectors.load("signaling", "turn")
TRANSACTION = bytes(range(1, 13))
NOW = Instant(5.0, 1_700_000_000_000)
ATTRIBUTES = st.lists(
    st.tuples(
        st.integers(0, 0xFFFF).filter(lambda kind: kind not in (stun.A_INTEGRITY, stun.A_FINGERPRINT)),
        st.binary(max_size=40),
    ),
    max_size=8,
)


@pytest.mark.parametrize("case", vectors.load("signaling", "stun")["binding"])
def test_binding_is_answered_byte_for_byte(case: dict[str, object]) -> None:
    request = bytes.fromhex(str(case["request_hex"]))
    client = tuple(case["source_address"])  # type: ignore[arg-type]  # two members, as the vectors have them
    assert output(BindingServer(), client, request, NOW) == bytes.fromhex(str(case["stun_service_response_hex"]))
    answer = output(Stage().server, client, request, NOW)
    assert answer == bytes.fromhex(str(case["turn_listener_response_hex"]))


def test_an_ipv4_client_of_an_ipv6_socket_is_told_its_ipv4_address() -> None:
    answer = output(BindingServer(), ("::ffff:192.0.2.1", 5, 0, 0), stun.encode(1, TRANSACTION, []), NOW)
    assert isinstance(answer, bytes)
    message = stun.decode(answer)
    assert message is not None
    assert stun.read_address(message.get(stun.A_MAPPED) or b"", TRANSACTION) == ("192.0.2.1", 5)


@pytest.mark.parametrize("value", [b"", bytes(8), b"\x00\x02" + bytes(6), b"\x00\x01" + bytes(18), bytes(21)])
def test_an_address_of_another_length_or_family_is_none(value: bytes) -> None:
    assert stun.read_address(value, TRANSACTION) is None


@pytest.mark.parametrize("kind", [0x0011, 0x0101, 0x0003, 0x0111])
def test_the_stun_service_answers_nothing_but_binding_requests(kind: int) -> None:
    assert output(BindingServer(), ("192.0.2.1", 5), stun.encode(kind, TRANSACTION, []), NOW) is None


def test_strangers_of_one_prefix_are_answered_so_often_and_others_still() -> None:
    server = BindingServer(Limits(answers_per_prefix_s=10, answers_per_prefix_burst=20))
    request = stun.encode(1, TRANSACTION, [])
    answers = [output(server, (f"192.0.2.{host}", 5), request, NOW) for host in range(100)]
    assert sum(each is not None for each in answers) == 20
    assert server.counts.unanswered == 80
    assert output(server, ("192.0.3.1", 5), request, NOW) is not None
    assert output(server, ("192.0.2.1", 5), request, Instant(5.2, NOW.wall_ms)) is not None


def test_of_many_prefixes_the_longest_silent_one_is_forgotten() -> None:
    server = BindingServer(Limits(answers_per_prefix_s=0.001, answers_per_prefix_burst=1, prefixes=2))
    request = stun.encode(1, TRANSACTION, [])
    asked = ["192.0.2.1", "192.0.3.1", "192.0.2.1", "192.0.4.1", "192.0.2.1", "192.0.3.1"]
    answered = [output(server, (ip, 5), request, NOW) is not None for ip in asked]
    assert answered == [True, True, False, True, False, True], "who still asks is remembered, and 192.0.3 was not"


def test_the_challenge_and_the_signed_request_of_the_vectors_are_what_we_write() -> None:
    challenge = [stun.error(401), (stun.A_NONCE, b"0123456789abcdef" * 2), (stun.A_REALM, b"myownmesh")]
    assert stun.encode(stun.ALLOCATE | stun.ERROR, TRANSACTION, challenge).hex() == TURN["challenge_401_hex"]
    message = stun.decode(bytes.fromhex(TURN["authenticated_allocate_hex"]))
    assert message is not None
    key = long_term_key("guest", "myownmesh", "theguestpassword")
    assert message.is_signed_with(key)
    assert not message.is_signed_with(long_term_key("guest", "myownmesh", "wrong"))
    unsigned = [each for each in message.attributes if each[0] != stun.A_INTEGRITY]
    assert stun.encode(message.kind, TRANSACTION, unsigned, key=key).hex() == TURN["authenticated_allocate_hex"]


@pytest.mark.heavy
@given(kind=st.integers(0, 0x3FFF), transaction=st.binary(min_size=12, max_size=12), attributes=ATTRIBUTES)
def test_what_is_written_is_read(kind: int, transaction: bytes, attributes: list[tuple[int, bytes]]) -> None:
    for key in (None, b"key"):
        for fingerprint in (False, True):
            message = stun.decode(stun.encode(kind, transaction, attributes, key=key, fingerprint=fingerprint))
            assert message is not None
            assert (message.kind, message.transaction) == (kind, transaction)
            assert [each for each in message.attributes if each[0] != stun.A_INTEGRITY] == attributes
            assert message.is_signed_with(b"key") is (key is not None)


def test_whatever_is_changed_breaks_the_signature() -> None:
    whole = stun.encode(stun.REFRESH, TRANSACTION, [(stun.A_LIFETIME, bytes(4))], key=b"key")
    for at in range(len(whole)):
        message = stun.decode(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        assert message is None or not message.is_signed_with(b"key"), at


def test_attributes_behind_the_signature_do_not_count() -> None:
    signed = stun.encode(stun.REFRESH, TRANSACTION, [], key=b"key")
    forged = bytearray(signed + stun.encode(0, TRANSACTION, [(stun.A_LIFETIME, bytes(4))])[stun.HEADER_BYTES :])
    forged[2:4] = (len(forged) - stun.HEADER_BYTES).to_bytes(2)
    message = stun.decode(bytes(forged))
    assert message is not None
    assert message.is_signed_with(b"key")
    assert message.get(stun.A_LIFETIME) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (bytes.fromhex("000100002112a442") + TRANSACTION[:-1], "short"),
        (bytes.fromhex("000100002112a443") + TRANSACTION, "cookie"),
        (bytes.fromhex("000100042112a442") + TRANSACTION, "length beyond the end"),
        (bytes.fromhex("000100002112a442") + TRANSACTION + b"abcd", "bytes behind the end"),
        (bytes.fromhex("000100032112a442") + TRANSACTION + b"abc", "length no multiple of 4"),
        (bytes.fromhex("000100042112a442") + TRANSACTION + b"\x00\x06\x00\x05", "attribute beyond the end"),
        (bytes.fromhex("000100042112a442") + TRANSACTION + b"\x00\x08\x00\x00", "integrity of no bytes"),
        (bytes.fromhex("000100082112a442") + TRANSACTION + b"\x80\x28\x00\x04abcd", "wrong fingerprint"),
        (stun.encode(1, TRANSACTION, [(0x8000, b"")] * 65), "too many attributes"),
        (bytes.fromhex("400100002112a442") + TRANSACTION, "channel data"),
    ],
)
def test_what_is_no_message_is_none(data: bytes, why: str) -> None:
    assert stun.decode(data) is None, why


@pytest.mark.heavy
@given(st.binary(max_size=200))
def test_any_bytes_behind_a_header_are_a_message_or_not(body: bytes) -> None:
    stun.decode(bytes.fromhex("0003") + len(body).to_bytes(2) + stun.COOKIE + TRANSACTION + body)
