"""An owner's key that lives on no device: printed, kept in a drawer, used once (spec 02 §24.3 no. 51)."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from myownmesh.governance.authoring import Done, Refused, propose
from myownmesh.governance.succession import sign_anew
from myownmesh.identity import Identity
from myownmesh.identity.keys import SEED_BYTES
from myownmesh.protocol import base32

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.governance.succession import Anew
    from myownmesh.protocol.transitions import Evict, RoleGrant

_TAG: Final = b"myownmesh-recovery-key-v1:"
_CHECK_BYTES: Final = 3
"""One slip of the pen in sixteen million goes unnoticed, and then names a key that owns nothing."""
_GROUP: Final = 4
_BYTES: Final = SEED_BYTES + _CHECK_BYTES
_IN_BETWEEN: Final = re.compile(r"[\s-]+")


class BadRecoveryKey(ValueError):
    """A text that is no recovery key; the message never repeats it."""


def printed(seed: bytes) -> str:
    """The key as it is written down: fourteen groups of four characters, the last ones a check."""
    text = base32.encode(seed + _check(seed))
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def read_key(text: str) -> Identity:
    """The key that a person typed off; blanks, hyphens and case do not matter. Raises `BadRecoveryKey`."""
    try:
        data = base32.decode(_IN_BETWEEN.sub("", text), _BYTES)
    except ValueError:
        raise BadRecoveryKey("this is no recovery key: fourteen groups of four letters and digits 2 to 7") from None
    seed = data[:SEED_BYTES]
    if data[SEED_BYTES:] != _check(seed):
        raise BadRecoveryKey("this recovery key has a slip of the pen in it: compare it with the print")
    return Identity.from_seed(seed)


def check_owner(book: Book, key: str) -> None:
    """Raise `Refused` unless this key (a bare id) is an owner of the network."""
    if book.standing.role(key) != "owner":
        raise Refused(f"network: this recovery key is no owner of {book.network_id}")


def decided_by(book: Book, key: str, variant: RoleGrant | Evict, signature: str, now: int) -> Done:
    """A change that the recovery key signed, taken into force on this device. Raises `Refused`.

    It travels as an ordinary entry: no frame says that this device proposed it, for it did not.
    """
    check_owner(book, key)
    done = propose(replace(book, me=key), variant, signature, "", now)
    pin = msgspec.structs.replace(done.book.pin, signed=book.pin.signed)
    return Done(replace(done.book, me=book.me, pin=pin), entry=done.entry)


def signed_anew_by(book: Book, key: str, anew: Anew, signature: str) -> Book:
    """The book with an entry of a lost author that the recovery key signed again, with its old time."""
    return replace(sign_anew(replace(book, me=key), anew, signature), me=book.me)


def _check(seed: bytes) -> bytes:
    return sha256(_TAG + seed).digest()[:_CHECK_BYTES]
