"""When a device can be asked about files, and how long to wait before it is asked again (spec 10 §2.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.client.errors import ErrorKind
from myownllm import capabilities
from myownllm.peers import CONNECTED
from myownllm.refusals import Meaning, meaning, words

if TYPE_CHECKING:
    from mesh_common.client.errors import ControlError
    from myownllm.client.state import ClientState

PAUSES_S: Final = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Before it is asked again; the last one again and again."""


def pause_s(number: int) -> float:
    """After the attempt of that number, from 0 on."""
    return PAUSES_S[min(number, len(PAUSES_S) - 1)]


def knows(state: ClientState, network: str, peer: str, feature: str) -> bool:
    """Is it connected in that network, with an app that says so?"""
    entry = state.peer(peer) if state.network == network else None
    return entry is not None and entry.status in CONNECTED and capabilities.supports(entry.capabilities, feature)


def refusal(error: ControlError) -> str | None:
    """Its last word, which asking again would not change; None where it would."""
    is_final = error.kind is ErrorKind.HANDLER_FAILED and meaning(error) not in (Meaning.BUSY, Meaning.LATER)
    return words(error) if is_final else None
