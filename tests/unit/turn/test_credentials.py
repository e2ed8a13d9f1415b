"""Passwords that stay, passwords that end, and nonces."""

from __future__ import annotations

import pytest

from myownmesh.protocol.clock import Instant
from myownmesh.turn.credentials import NONCE_S, Credentials, Nonces, limited_password, long_term_key
from support import vectors

TURN = vectors.load("signaling", "turn")
LIMITED = TURN["time_limited_credential_example"]
EXPIRY_MS = 1_700_003_600_000
BEFORE = Instant(0.0, EXPIRY_MS - 1)


@pytest.mark.parametrize("case", TURN["long_term_keys"])
def test_keys_are_those_of_the_vectors(case: dict[str, str]) -> None:
    assert long_term_key(case["username"], case["realm"], case["password"]).hex() == case["key_md5_hex"]


def test_a_time_limited_password_is_good_until_its_moment() -> None:
    name, password = LIMITED["username"], LIMITED["password"]
    assert limited_password(LIMITED["secret"], name) == password
    credentials = Credentials("myownmesh", {}, LIMITED["secret"])
    user = credentials.find(name.encode(), BEFORE)
    assert user is not None
    assert user.key == long_term_key(name, "myownmesh", password)
    assert credentials.find(name.encode(), Instant(0.0, EXPIRY_MS)) is None


def test_a_renewed_name_is_the_same_user_and_no_other_name_is() -> None:
    credentials = Credentials("myownmesh", {"alice": "s3cret"}, LIMITED["secret"])
    accounts = {
        name: getattr(credentials.find(name.encode(), BEFORE), "account", None)
        for name in ("1700003600:alice", "1700003900:alice", "1700003600:bob", "alice")
    }
    assert accounts["1700003600:alice"] == accounts["1700003900:alice"]
    assert len({*accounts.values()}) == 3


@pytest.mark.parametrize(
    "name", ["", "bob", ":alice", "-1:alice", "1e9:alice", "٣٤٥٦٧٨٩٠١٢٣:alice", "9" * 5000, "9" * 13]
)
def test_other_names_are_nobodys(name: str) -> None:
    assert Credentials("myownmesh", {"alice": "s3cret"}, "north").find(name.encode(), BEFORE) is None


def test_without_a_secret_there_are_no_time_limited_names() -> None:
    assert Credentials("myownmesh", {}, None).find(b"1700003600:alice", BEFORE) is None
    assert Credentials("myownmesh", {}, None).find(b"\xff\xfe", BEFORE) is None


def test_a_nonce_is_good_for_its_client_and_an_hour() -> None:
    nonces, client = Nonces(b"secret"), ("192.0.2.1", 4000)
    nonce = nonces.make(client, Instant(10.0, 0))
    assert len(nonce) == 32
    assert nonces.is_good(nonce, client, Instant(9.0 + NONCE_S, 0))
    assert not nonces.is_good(nonce, client, Instant(10.0 + NONCE_S, 0))
    assert not nonces.is_good(nonce, ("192.0.2.1", 4001), Instant(10.0, 0))
    assert not Nonces(b"other").is_good(nonce, client, Instant(10.0, 0))


@pytest.mark.parametrize("nonce", [b"", b"0", b"\xff" * 32, b"0" * 32, b"zzzzzzzz" + b"0" * 24, b"0" * 5000])
def test_invented_nonces_are_not_good(nonce: bytes) -> None:
    assert not Nonces(b"secret").is_good(nonce, ("192.0.2.1", 4000), Instant(10.0, 0))
