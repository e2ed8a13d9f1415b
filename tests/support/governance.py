"""Devices of the governance vectors, the entries that they sign, and what others hold of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import fields, replace

from myownmesh.governance.adoption import hear_log
from myownmesh.governance.book import Book
from myownmesh.governance.log import BadLog, heard
from myownmesh.governance.merging import merge_behind, skip
from myownmesh.governance.pins import Pin
from myownmesh.governance.ratifying import append, ratify
from myownmesh.governance.rules import STRICT, Rules
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.governance.words import OURSELVES
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.schema import read
from myownmesh.protocol.strict_json import dumps
from myownmesh.protocol.transitions import Transition
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.log import Log
    from myownmesh.protocol.transitions import Variant

NETWORK: Final = "fleet-1"
CHECKS: Final = Checks(NETWORK)
V038: Final = Rules(*(True for _ in fields(Rules)))
"""Every point of v0.3.8 at once; what has no switch stays strict."""

DEVICES: Final[dict[str, Identity]] = {
    key["name"]: Identity.from_seed(bytes.fromhex(key["seed_hex"])) for key in load("governance", "keys")
}
IDS: Final = {name: device.device_id for name, device in DEVICES.items()}
ALICE, BOB, CAROL, DAVE, ERIN, FRANK, GRACE, HEIDI, MALLORY = IDS.values()
NAMES: Final = {device_id: name for name, device_id in IDS.items()}


def entry_of(value: dict[str, Any]) -> Transition:
    """An entry from the JSON of a vector."""
    return read(Transition, dumps(value))


def entries_of(values: list[dict[str, Any]]) -> tuple[Transition, ...]:
    """A log from the JSON of a vector."""
    return tuple(map(entry_of, values))


def variant_of(value: dict[str, Any]) -> Variant:
    """A variant from the JSON of a vector."""
    return entry_of({"at": 0, "variant": value, "signers": [], "signatures": []}).variant


def sign(signer: str, variant: Variant, network: str = NETWORK) -> str:
    """What `signer`, a device id, signs like v0.3.8: always the same."""
    return base32.encode(DEVICES[NAMES[signer]].sign(signed_bytes(network, variant)))


def entry(variant: Variant, *signers: str, at: int = 1000, network: str = NETWORK) -> Transition:
    """An entry signed by these device ids, in this order."""
    return Transition(at, variant, signers, tuple(sign(signer, variant, network) for signer in signers))


def log_of(entries: Sequence[Transition], rules: Rules = STRICT) -> Log:
    """The log that these entries make. Raises `BadLog`."""
    return finish(heard(entries, CHECKS, rules))


def followers(base: Sequence[Transition], candidates: Sequence[Transition]) -> tuple[Transition, ...]:
    """A log, and behind it those of the candidates that can follow one another."""
    kept = tuple(base)
    for each in candidates:
        try:
            kept = log_of((*kept, each)).entries
        except BadLog:
            continue
    return kept


def book_of(entries: Sequence[Transition], me: str, now: int = 0) -> Book:
    """What a device holds that is pinned to the founding of these entries and has them since `now`."""
    log = log_of(entries)
    return hear_log(Book(NETWORK, me, Pin(NETWORK).on(log)), log, OURSELVES, now).book


def merged(book: Book, left: Log, me: str, now: int = 0) -> Book:
    """What a seated authority `me` of ours does right after a switch (02 §24.3 no. 46)."""
    merge = merge_behind(replace(book, me=me), left)
    for step in merge.steps:
        book = append(book, step, now) if isinstance(step, Transition) else ratify(book, entry(step, me), now)
    return skip(book, merge)
