"""What governance costs beside what nobody can do without: checking signatures.

    python benchmarks/bench_governance.py [ENTRIES]

Both halves of a ratio are taken in turns, a slice of one and a slice of the other, in CPU time: a busy machine slows
both alike.
"""

from __future__ import annotations

import sys
import time
from hashlib import sha256
from statistics import median
from typing import TYPE_CHECKING

import msgspec
from nacl._sodium import ffi, lib

from myownmesh.governance.book import Book
from myownmesh.governance.entries import entry_key
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.log import EMPTY
from myownmesh.governance.rules import STRICT
from myownmesh.governance.signatures import CHECKS_PER_SLICE, Checks
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.governance.words import Speaker
from myownmesh.identity import Identity
from myownmesh.identity.keys import PUBLIC_KEY_BYTES
from myownmesh.protocol import base32
from myownmesh.protocol.schema import read
from myownmesh.protocol.transitions import KindChange, RoleGrant, Transition

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES = 10_000
ROUNDS = 5
PER_FRAME = 200
"""Entries that a frame of 64 KiB holds."""
NETWORK = "fleet-1"
NOW = 2_000_000_000

OWNER = Identity.from_seed(bytes([1]) * 32)
ME = Identity.from_seed(bytes([2]) * 32)


def signed(variant: KindChange | RoleGrant, at: int, owner: Identity = OWNER, network: str = NETWORK) -> Transition:
    signature = base32.encode(owner.sign(signed_bytes(network, variant)))
    return Transition(at, variant, (owner.device_id,), (signature,))


def empty_book() -> Book:
    book = Book(NETWORK, ME.device_id)
    log = EMPTY.extended([signed(KindChange("closed"), 1)], NETWORK, STRICT)
    return book.with_branch(book.branch.with_log(log, 1), book.branches)


def admits(count: int, owner: Identity = OWNER, network: str = NETWORK, now: int = NOW) -> list[Transition]:
    """So many devices are let in, by the owner."""
    devices = (Identity.from_seed(sha256(str(number).encode()).digest()).device_id for number in range(count))
    return [signed(RoleGrant(device, "member"), now - count + n, owner, network) for n, device in enumerate(devices)]


def check(message: bytes, key: bytes) -> None:
    """One bare check of libsodium: no copy of the message, no exception, nothing of PyNaCl's own."""
    lib.crypto_sign_open(ffi.NULL, ffi.NULL, message, len(message), key)


def bare_checks(entries: list[Transition], owner: Identity, network: str) -> float:
    """CPU seconds that libsodium needs for the signatures of these entries, and nothing else."""
    key = base32.decode(owner.device_id, PUBLIC_KEY_BYTES)
    messages = [base32.decode(entry.signatures[0], 64) + signed_bytes(network, entry.variant) for entry in entries]
    begun = time.process_time()
    for message in messages:
        check(message, key)
    return time.process_time() - begun


def frames_of(entries: list[Transition]) -> Iterator[tuple[Transition, ...]]:
    """The entries as they come: frame by frame, as texts of which none was seen before."""
    for start in range(0, len(entries), PER_FRAME):
        yield tuple(read(Transition, msgspec.Raw(entry_key(entry))) for entry in entries[start : start + PER_FRAME])


def verifying(entries: list[Transition]) -> float:
    """CPU time of taking fresh entries from a peer, as a multiple of libsodium's checks alone."""
    key = base32.decode(OWNER.device_id, PUBLIC_KEY_BYTES)
    messages = [base32.decode(entry.signatures[0], 64) + signed_bytes(NETWORK, entry.variant) for entry in entries]
    book, checks, speaker = empty_book(), Checks(NETWORK), Speaker(OWNER.device_id)
    ours, bare, done = 0.0, 0.0, 0
    for frame in frames_of(entries):
        rest = frame
        while rest:
            begun = time.process_time()
            heard = hear_entries(book, rest, speaker, checks, NOW, max_checks=CHECKS_PER_SLICE)
            between = time.process_time()
            for message in messages[done : done + len(heard.judged)]:
                check(message, key)
            bare += time.process_time() - between
            ours += between - begun
            done += len(heard.judged)
            book, rest = heard.book, heard.rest
    assert book.members.count == len(entries)
    return ours / bare


def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else ENTRIES
    entries = admits(count)
    ratios = sorted(verifying(entries) for _ in range(ROUNDS))
    print(
        f"verifying {count:,} fresh entries: {median(ratios):.2f} x bare checks ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    main()
