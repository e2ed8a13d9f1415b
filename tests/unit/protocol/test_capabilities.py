"""Adverts: what they say, and that they fit into a hello."""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec import Raw

from myownmesh.protocol import capabilities, schema, strict_json
from myownmesh.protocol.capabilities import MAX_ADVERT_BYTES, Capabilities, CapabilitiesTooLarge
from myownmesh.protocol.json_words import JsonError


def raw(text: str) -> Raw:
    return Raw(text.encode())


def test_every_member_is_written() -> None:
    assert msgspec.json.encode(Capabilities()) == b'{"tags":[],"app_version":null,"max_connections":null,"extra":null}'


@pytest.mark.parametrize(
    ("text", "advert"),
    [
        ("{}", Capabilities()),
        ('{"tags":["a","b"],"zz":1,"zz":2}', Capabilities(("a", "b"))),
        ('{"app_version":null,"max_connections":null,"extra":null}', Capabilities()),
        (
            '{"app_version":"0.3.8","max_connections":3,"extra":{"a": 1}}',
            Capabilities((), "0.3.8", 3, raw('{"a": 1}')),
        ),
    ],
)
def test_every_member_is_optional_when_read(text: str, advert: Capabilities) -> None:
    assert schema.read(Capabilities, raw(text)) == advert


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("null", "invalid type: null, expected struct CapabilityAdvert"),
        ('{"tags":null}', "invalid type: null, expected a sequence"),
        ('{"tags":[1]}', "invalid type: integer `1`, expected a string"),
        ('{"app_version":1}', "invalid type: integer `1`, expected a string"),
        ('{"max_connections":-1}', "invalid value: integer `-1`, expected u32"),
        ('{"extra":1,"extra":1}', "duplicate field `extra`"),
    ],
)
def test_a_wrong_member_spoils_the_advert(text: str, words: str) -> None:
    with pytest.raises(JsonError) as refused:
        schema.read(Capabilities, raw(text))
    assert str(refused.value) == words


def test_what_is_sent_is_compact() -> None:
    advert = capabilities.checked(Capabilities(extra=raw('{ "a" : [ 1.0, 12345678901234567890123 ] }')))
    assert advert.extra == raw('{"a":[1.0,12345678901234567890123]}')
    assert capabilities.checked(Capabilities(("x",))) == Capabilities(("x",))


def test_an_advert_of_48_kib_passes_and_one_byte_more_does_not() -> None:
    room = MAX_ADVERT_BYTES - len(msgspec.json.encode(Capabilities(extra=raw('""'))))
    capabilities.checked(Capabilities(extra=strict_json.dumps("x" * room)))
    with pytest.raises(CapabilitiesTooLarge, match=r"^capabilities too large$"):
        capabilities.checked(Capabilities(extra=strict_json.dumps("x" * (room + 1))))


def test_only_the_compact_size_counts() -> None:
    capabilities.checked(Capabilities(extra=raw("[" + " " * MAX_ADVERT_BYTES + "]")))


def test_an_advert_that_is_too_long_only_by_its_escapes_is_taken() -> None:
    """Python's `json.dumps` writes six characters for each letter outside ASCII (spec 05 §12)."""
    spelled = json.dumps({"about": "Ж" * 10_000})
    assert len(spelled) > MAX_ADVERT_BYTES
    advert = capabilities.checked(Capabilities(extra=raw(spelled)))
    assert json.loads(bytes(advert.extra or b"")) == json.loads(spelled)
    assert len(msgspec.json.encode(advert)) <= MAX_ADVERT_BYTES


def test_an_advert_that_fits_keeps_its_spelling() -> None:
    assert bytes(capabilities.checked(Capabilities(extra=raw(r'{"a": "\u0416"}'))).extra or b"") == rb'{"a":"\u0416"}'


def test_tags_alone_may_be_too_much() -> None:
    with pytest.raises(CapabilitiesTooLarge):
        capabilities.checked(Capabilities(tags=("x" * MAX_ADVERT_BYTES,)))
