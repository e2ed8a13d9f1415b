"""What a person is shown once, when a lock is put on."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from mesh_common.values import Value
from myownmesh.custody import recovery, totp
from myownmesh.custody.errors import CustodyError

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUER: Final = "MyOwnMesh"


class Enrolment(Value, frozen=True):
    """The secret and the recovery codes in clear; only the caller of `enroll` ever sees them."""

    secret: str
    """Upper-case base32 without padding."""
    otpauth_uri: str
    recovery_codes: tuple[str, ...]

    def __repr__(self) -> str:
        return "Enrolment(…)"


def new_enrolment(account: str, rng: Callable[[int], bytes]) -> Enrolment:
    """Draw a secret and recovery codes; `rng(n)` gives `n` random bytes."""
    secret = base64.b32encode(rng(totp.SECRET_BYTES)).decode("ascii")
    codes = tuple(recovery.code_from(rng(recovery.RANDOM_BYTES)) for _ in range(recovery.COUNT))
    return Enrolment(secret, otpauth_uri(secret, account), codes)


def otpauth_uri(secret: str, account: str) -> str:
    """The address that authenticator programs scan; RFC 3986's unreserved characters stay in `account`."""
    return (
        f"otpauth://totp/{ISSUER}:{quote(account, safe='')}?secret={secret}&issuer={ISSUER}"
        f"&algorithm=SHA1&digits={totp.DIGITS}&period={totp.PERIOD_S}"
    )


def secret_bytes(secret: str) -> bytes:
    """The secret that a file holds as text. Raises `CustodyError`."""
    text = secret.rstrip("=").upper()
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as error:
        raise CustodyError(f"stored secret is not valid base32: {error}") from error
    if not data:
        raise CustodyError("stored secret is not valid base32: it is empty")
    return data
