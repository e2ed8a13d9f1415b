"""Entries of signed logs, word for word."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from myownmesh.protocol import frames, strict_json, transitions
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import read, reader
from support.vectors import load

if typing.TYPE_CHECKING:
    from myownmesh.protocol.schema import Reader

ENUMS = load("control-socket", "enums")
read_variant: Reader[transitions.Variant] = reader(transitions.Variant)


def test_names_of_roles_and_network_kinds() -> None:
    assert list(typing.get_args(frames.Role)) == ENUMS["role"]
    assert list(typing.get_args(frames.NetworkKind)) == ENUMS["network_kind"]


@pytest.mark.parametrize("example", ENUMS["transition_variant"], ids=lambda example: example["kind"])
def test_variants_of_the_reference(example: dict[str, Any]) -> None:
    variant = read_variant(strict_json.dumps(example))
    assert not isinstance(variant, transitions.UnknownVariant)
    assert msgspec.json.decode(msgspec.json.encode(variant)) == example


@pytest.mark.parametrize("example", ENUMS["transition_variant"], ids=lambda example: example["kind"])
def test_a_known_variant_needs_every_member(example: dict[str, Any]) -> None:
    for name in set(example) - {"kind"}:
        rest = {key: value for key, value in example.items() if key != name}
        with pytest.raises(JsonError, match=f"missing field `{name}`"):
            read_variant(strict_json.dumps(rest))
        with pytest.raises(JsonError, match="invalid type: null"):
            read_variant(strict_json.dumps(example | {name: None}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"target":"a"}', "missing field `kind`"),
        ('{"kind":5}', "invalid type: integer `5`, expected variant identifier"),
        ('{"kind":"future","kind":"future"}', "duplicate field `kind`"),
        ('{"kind":"evict","target":"a","target":"a"}', "duplicate field `target`"),
        (
            '{"kind":"kind_change","to":"secret"}',
            "unknown variant `secret`, expected one of `open`, `closed`, `silent`",
        ),
        ('{"kind":"split","new_network_id":"n","members":[1]}', "invalid type: integer `1`, expected a string"),
        ('["evict","a"]', "invalid type: sequence, expected internally tagged enum TransitionVariant"),
    ],
)
def test_what_a_variant_may_not_be(text: str, words: str) -> None:
    with pytest.raises(JsonError) as refused:
        read_variant(Raw(text.encode()))
    assert str(refused.value) == words


def test_unknown_variants_keep_their_text() -> None:
    variant = read_variant(Raw(b'{"kind":"future", "a":1, "a":2}'))
    assert variant == transitions.UnknownVariant("future", b'{"kind":"future", "a":1, "a":2}')


ENTRY = {"at": 1, "variant": {"kind": "evict", "target": "a"}, "signers": ["a"], "signatures": ["s"]}


def test_entries_of_a_log() -> None:
    entry = read(transitions.Transition, strict_json.dumps(ENTRY | {"later": 1}))
    assert entry == transitions.Transition(1, transitions.Evict("a"), ("a",), ("s",))


@pytest.mark.parametrize("name", list(ENTRY))
def test_an_entry_needs_every_member(name: str) -> None:
    with pytest.raises(JsonError, match=f"missing field `{name}`"):
        read(transitions.Transition, strict_json.dumps({key: value for key, value in ENTRY.items() if key != name}))
