"""One object in every way that it can be wrong, and the words of the reference for each (spec 05 §4).

What a member may be is told by a word in a literal table, not by the class under test: `a string`, `u32`, …; with `?`
it may be null, with `=` absent, with `*` it may be anything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from random import Random

VALUES = {
    "null": "null",
    "true": "boolean `true`",
    "5": "integer `5`",
    "-1": "integer `-1`",
    "1.5": "floating point `1.5`",
    "1e3": "floating point `1000.0`",
    "-0": "floating point `-0.0`",
    "36893488147419103232": "floating point `3.6893488147419103e19`",
    '"x\\u0000"': 'string "x\\0"',
    '"' + "y" * 300 + '"': f'string "{"y" * 100}…"',
    "[]": "sequence",
    "{}": "map",
}
PASS = {
    "a string": ("string",),
    "a boolean": ("boolean",),
    "a sequence": ("sequence",),
    "string or map": ("string",),
    "variant identifier": ("string",),
    "u16": ("integer",),
    "u32": ("integer",),
    "u64": ("integer",),
    "i64": ("integer",),
}
"""Which values a type itself takes, or refuses in words of its own; of objects only a map does."""
MOST = {"u16": 2**16 - 1, "u32": 2**32 - 1, "u64": 2**64 - 1, "i64": 2**63 - 1}
LEAST = {"i64": -(2**63)}
BEYOND = {2**64: "1.8446744073709552e19", -(2**63) - 1: "-9.223372036854776e18"}
"""Integers of more than 64 bits are floats to the reference."""

Pairs = list[tuple[str, str]]


def texts(example: Mapping[str, object], types: Mapping[str, str], rng: Random) -> Iterator[tuple[str, str | None]]:
    """Texts with one mistake or none, and the words for it or None; `types` has all members of `example`."""
    whole = [(name, json.dumps(value)) for name, value in example.items()]
    yield _spelled(whole, rng), None
    yield _spelled([*whole, ("zz", "1"), ("zz", "[1e5]")], rng), None
    for name, kind in types.items():
        expected = kind.rstrip("?=*")
        others = [pair for pair in whole if pair[0] != name]
        yield _spelled(others, rng), None if "=" in kind else f"missing field `{name}`"
        yield _spelled([*whole, (name, dict(whole)[name])], rng), f"duplicate field `{name}`"
        for text, shown in VALUES.items():
            if (shown == "null" and "?" in kind) or "*" in kind:
                words = None
            elif shown.startswith(PASS.get(expected, ("map",))):
                continue
            else:
                words = f"invalid type: {shown}, expected {expected}"
            yield _spelled([*others, (name, text)], rng), words
        if expected in MOST:
            for number in (LEAST.get(expected, 0), MOST[expected]):
                yield _spelled([*others, (name, str(number))], rng), None
            for number in (LEAST.get(expected, 0) - 1, MOST[expected] + 1):
                words = f"invalid value: integer `{number}`, expected {expected}"
                if number in BEYOND:
                    words = f"invalid type: floating point `{BEYOND[number]}`, expected {expected}"
                yield _spelled([*others, (name, str(number))], rng), words


def _spelled(pairs: Pairs, rng: Random) -> str:
    """In any order, with white space anywhere, and names with escapes."""
    gaps = ("", "", " ", "\n\t", "\r\n")
    rng.shuffle(pairs)
    members = []
    for name, text in pairs:
        place = rng.randrange(len(name))
        odd = f"{name[:place]}\\u{ord(name[place]):04x}{name[place + 1 :]}" if rng.random() < 0.2 else name
        members.append(f'{rng.choice(gaps)}"{odd}"{rng.choice(gaps)}:{rng.choice(gaps)}{text}{rng.choice(gaps)}')
    return "{" + ",".join(members) + "}"
