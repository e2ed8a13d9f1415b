"""What is said on the channel `__services__/v1` (spec 06 M)."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

TTL_S: Final = 12 * 3600
"""How long a password is good."""


class Question(Struct, frozen=True):
    """What a member sends to a peer that advertises `service:turn`."""

    v: int = 1
    want: str = "turn"


class Credential(Struct, frozen=True):
    """How one TURN server may be used, for so many seconds. Never log it."""

    urls: tuple[str, ...]
    username: str
    credential: str
    ttl_s: int

    def __repr__(self) -> str:
        return f"Credential(urls={self.urls!r})"


class Answer(Struct, frozen=True):
    v: int = 1
    turn: tuple[Credential, ...] = ()


class _Said(Struct, frozen=True):
    v: int
    want: str | None = None
    turn: tuple[Credential, ...] | None = None


def is_question(payload: msgspec.Raw) -> bool:
    """Whether somebody wants a TURN password."""
    said = _read(payload)
    return said is not None and said.want == "turn"


def read_answer(payload: msgspec.Raw) -> tuple[Credential, ...] | None:
    """What was handed out; None for anything else."""
    said = _read(payload)
    return None if said is None else said.turn


def _read(payload: msgspec.Raw) -> _Said | None:
    try:
        said = msgspec.json.decode(payload, type=_Said)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return said if said.v == 1 else None
