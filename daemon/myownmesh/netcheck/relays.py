"""One relay: connected, asked a question, heard (spec 03 §8)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from mesh_common.groups import leaves
from myownmesh.netcheck.asking import Refused
from myownmesh.signaling.relayframes import presence_request
from myownmesh.signaling.trouble import refusal
from myownmesh.signaling.websocket import LINK_ERRORS, dial, trouble

if TYPE_CHECKING:
    from mesh_common.addresses import RelayAddress
    from myownmesh.signaling.timepiece import Timepiece
    from myownmesh.signaling.websocket import Socket

_MOST_WORDS: Final = 32
"""Messages of a relay in front of its answer: challenges and notices."""


async def question(address: RelayAddress, timepiece: Timepiece) -> None:
    """Returns once the relay has answered who is in a room in which nobody is. Raises `Refused`.

    The time that it tells goes to `timepiece`.
    """
    reasons: list[str] = []
    try:
        async with trio.open_nursery() as nursery:
            socket = await dial(nursery, address, timepiece)
            try:
                reason = await _ask(socket)
                if reason is not None:
                    reasons.append(reason)
            finally:
                await socket.close()
            nursery.cancel_scope.cancel()
    except* LINK_ERRORS as group:
        reasons.extend(trouble(error).text for error in leaves(group))
    if reasons:
        raise Refused(reasons[0])


async def _ask(socket: Socket) -> str | None:
    """What the relay says against it, if it does."""
    await socket.send(presence_request(secrets.token_hex(32), None, limited=True))
    notice = None
    for _ in range(_MOST_WORDS):
        words = _words(await socket.receive())
        match words:
            case ["EOSE", *_]:
                return None
            case ["CLOSED", _, str(text), *_]:
                return refusal(text).text
            case ["NOTICE", str(text), *_]:
                notice = refusal(text).text
    return notice or "it does not answer what it is asked"


def _words(message: str | bytes) -> object:
    try:
        return msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
