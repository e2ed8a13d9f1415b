"""One path over TURN: an address is asked for, had, and given back (RFC 8656 §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.netcheck.asking import Refused, error_code
from myownmesh.turn.credentials import long_term_key
from myownmesh.turn.stun import (
    A_LIFETIME,
    A_NONCE,
    A_REALM,
    A_RELAYED,
    A_TRANSPORT,
    A_USERNAME,
    ALLOCATE,
    REFRESH,
    REQUEST,
    read_address,
)

if TYPE_CHECKING:
    from myownmesh.netcheck.asking import Ask
    from myownmesh.turn.stun import Address, Message

_UDP: Final = b"\x11\0\0\0"
"""REQUESTED-TRANSPORT: the relayed address is always one of UDP."""
_NOW: Final = bytes(4)
"""LIFETIME 0 ends an allocation."""
_TRIES: Final = 3
"""Without a password, with it, and with it once more where the nonce has just become stale."""

_UNAUTHORIZED, _STALE = 401, 438
_MEANINGS: Final = {
    400: "it does not understand the request (400)",
    401: "it does not know this user name and password (401)",
    403: "it forbids it (403)",
    437: "it holds another address for this connection (437)",
    441: "the user name and password are of another one (441)",
    442: "it does not relay UDP (442)",
    486: "this user has all the addresses that it may have (486)",
    508: "it has no address left (508)",
}


async def lend(ask: Ask, username: str | None, credential: str | None) -> Address:
    """The address that the server lends, given back before this returns. Raises `Refused`."""
    kind, attributes, key = REQUEST | ALLOCATE, [(A_TRANSPORT, _UDP)], None
    who: list[tuple[int, bytes]] = []
    for _ in range(_TRIES):
        answer, _ = await ask(kind, [*attributes, *who], key=key)
        code = error_code(answer)
        if code is None:
            relayed = _relayed(answer)
            await ask(REQUEST | REFRESH, [(A_LIFETIME, _NOW), *who], key=key)
            return relayed
        challenge = answer.get(A_REALM), answer.get(A_NONCE)
        if code not in (_UNAUTHORIZED, _STALE) or (code == _UNAUTHORIZED and key is not None) or None in challenge:
            raise Refused(_MEANINGS.get(code, f"it answers with error {code}"))
        if username is None or credential is None:
            raise Refused("it wants a user name and a password, and none are configured")
        who, key = _proof(username, credential, challenge[0] or b"", challenge[1] or b"")
    raise Refused("it finds every nonce of its own stale (438)")


def _proof(username: str, credential: str, realm: bytes, nonce: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    key = long_term_key(username, realm.decode("utf-8", "replace"), credential)
    return [(A_USERNAME, username.encode()), (A_REALM, realm), (A_NONCE, nonce)], key


def _relayed(answer: Message) -> Address:
    value = answer.get(A_RELAYED)
    address = None if value is None else read_address(value, answer.transaction)
    if address is None:
        raise Refused("its answer names no address")
    return address
