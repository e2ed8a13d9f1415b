"""Holding the daemon to the registry: what a life claims and gives back (spec 08 §5.3, §5.8, FE-9.1). Pure.

One procedure runs per life. Whatever features add or remove while it waits for the daemon, it ends with exactly what is
wanted then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.client.messages import Ask, Note
from myownllm.client.procedures import Until

if TYPE_CHECKING:
    from myownllm.client.life import Life
    from myownllm.client.procedures import Procedure
    from myownllm.client.registry import Claim, Registry
    from myownllm.coerce import JsonObject

TOO_OLD_TEXT: Final = "daemon too old for LLM features"


def keep(life: Life, registry: Registry) -> Procedure[None]:
    """Follow the registry for as long as the life is up."""
    while True:
        yield Until(lambda: life.claims_dirty)
        yield from hold(life, registry)


def hold(life: Life, registry: Registry) -> Procedure[None]:
    """Claim what is wanted and release what is not, until nothing is left to do. One failure is one warning."""
    while True:
        life.claims_dirty = False
        wanted = registry.claims
        for claim in [c for c in life.refused if c not in wanted]:
            del life.refused[claim]
        surplus = next((c for c in reversed(life.claimed) if c not in wanted), None)
        missing = next((c for c in wanted if c not in life.claimed and c not in life.refused), None)
        if surplus is not None:
            if not (yield from _release(life, surplus)):
                return  # and whatever is missing with it
        elif missing is not None:
            yield from _claim(life, missing)
        else:
            return


def release_all(life: Life) -> Procedure[None]:
    """Give everything back in reverse, best effort."""
    for claim in reversed(tuple(life.claimed)):
        if not (yield from _release(life, claim)):
            return


def reason(error: ControlError) -> str:
    """Why a daemon refused what the app needs of it."""
    return TOO_OLD_TEXT if error.kind is ErrorKind.UNSUPPORTED else error.text


def members_of(claim: Claim, life: Life) -> JsonObject:
    assert life.link is not None
    where: JsonObject = {"client_id": life.link.client_id, "network": life.wire_id}
    if claim.kind == "method":
        return {**where, "method": claim.name}
    return {**where, "channel": claim.name}


def ask_for(claim: Claim, life: Life) -> Ask:
    """The operation that claims it."""
    if claim.kind == "method":
        return Ask("rpc_register", {**members_of(claim, life), "streaming": claim.streaming})
    return Ask("channel_subscribe", members_of(claim, life))


def _claim(life: Life, claim: Claim) -> Procedure[None]:
    life.claimed[claim] = False  # before the answer: a start that ends here has perhaps claimed it all the same
    try:
        yield ask_for(claim, life)
    except ControlError as error:
        if error.kind is ErrorKind.CONNECTION_LOST:
            raise
        del life.claimed[claim]
        life.refused[claim] = error
        yield Note("warn", f"{claim.name} handler install failed: {reason(error)}")
    else:
        life.claimed[claim] = True


def _release(life: Life, claim: Claim) -> Procedure[bool]:
    """False when the connection is gone, and with it everything else that was claimed."""
    operation = "rpc_unregister" if claim.kind == "method" else "channel_unsubscribe"
    try:
        yield Ask(operation, members_of(claim, life))
    except ControlError as error:
        if error.kind is ErrorKind.CONNECTION_LOST:
            return False
        if error.kind is not ErrorKind.UNKNOWN_NETWORK:  # with its network a claim is gone
            yield Note("warn", f"feature release failed: {error.text}")
    life.claimed.pop(claim, None)
    return True
