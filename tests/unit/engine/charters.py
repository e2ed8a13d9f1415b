"""Closed networks for engines: who founded them, what it signed, and a device that knows it from its own disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from myownmesh.engine import EngineConfig
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.book import Book
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.log import heard
from myownmesh.governance.pins import Pin
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.governance.words import OURSELVES
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.frames import Channel, NetworkStatePropose
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from myownmesh.simulator.reference_governance import signed_entry
from unit.engine.bench import NETWORK, WALL_MS, Bench

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.transitions import Transition, Variant

OWNER = Identity.from_seed(bytes([3]) * 32, "owner")
STRANGER = Identity.from_seed(bytes([4]) * 32, "stranger")
THEN = WALL_MS // 1000 - 1000
APP = Channel("chat", msgspec.Raw(b'"hi"'))


def entry(signer: Identity, variant: Variant, at: int = THEN) -> Transition:
    return signed_entry(NETWORK, signer, variant, at)


FOUNDING = entry(OWNER, KindChange("closed"))


def grant(of: str, role: Any = "member", at: int = THEN, by: Identity = OWNER) -> Transition:
    return entry(by, RoleGrant(of, role), at)


def evicted(of: str, at: int = THEN + 1) -> Transition:
    return entry(OWNER, Evict(of), at)


def book_of(
    me: str, log: tuple[Transition, ...] = (), members: tuple[Transition, ...] = (), founding: Transition = FOUNDING
) -> Book:
    """What a device holds that knows these logs from its own disk."""
    checks = Checks(NETWORK)
    known = finish(heard((founding, *log), checks, Book(NETWORK, me).rules))
    book = hear_log(Book(NETWORK, me, Pin(NETWORK).on(known)), known, OURSELVES, THEN).book
    return told(book, members)


def told(book: Book, entries: Sequence[Transition]) -> Book:
    """What a device holds after these entries of the member log, which it is sure of."""
    rest = tuple(entries)
    while rest:
        done = hear_entries(book, rest, OURSELVES, Checks(NETWORK), THEN + 1000, max_checks=100)
        book, rest = done.book, done.rest
    return book


def closed(me: Any = "lower", *, log: tuple[Transition, ...] = (), members: tuple[Transition, ...] = ()) -> Bench:
    """An engine of a closed network, with `auto_approve`, that knows these logs."""
    bench = Bench(me, EngineConfig(auto_approve=True))
    us = bench.us.device_id
    bench.engine.governor.begin(book_of(us, log, (grant(us), *members)), (), bench.now)
    bench.wait(0.1)
    return bench


def of_kind(bench: Bench, kind: type[Frame]) -> list[Any]:
    return [frame for frame in bench.frames if isinstance(frame, kind)]


def hints(bench: Bench) -> list[str]:
    return [str((diag.detail or {}).get("hint")) for diag in bench.diags if diag.category == "governance"]


def code(bench: Bench) -> str:
    """Why the peer is not active."""
    why = bench.info.why
    assert why is not None
    return why.code


def proposal(signer: Identity, variant: Variant) -> NetworkStatePropose:
    signature = base32.encode(signer.sign(signed_bytes(NETWORK, variant)))
    return NetworkStatePropose("prop_0123456789abcdef", variant, signer.device_id, WALL_MS // 1000, signature)
