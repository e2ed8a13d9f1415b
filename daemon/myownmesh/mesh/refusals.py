"""Why a call that a peer made here gets no answer, in the words of the reference (spec 05 §13.1).

Nobody serves the method, its client gave it up, its client went away with the call, or ended it in the wrong way: four
facts, each with a text of its own on the wire.
"""

from __future__ import annotations

from typing import Final

OWNER_GONE: Final = "handler owner client disconnected"
DROPPED: Final = "IPC handler dropped without responding"


def no_handler(method: str) -> str:
    """Nobody here has ever served it."""
    return f"no handler for '{method}'"


def given_up(method: str, network: str, *, streaming: bool) -> str:
    """Its last client has released it; `network` as that client named it."""
    return f"no IPC client holds {'streaming method' if streaming else 'method'} '{method}' on '{network}'"


def no_open_stream(request_id: str) -> str:
    """What a client reads that answers a stream which is over, or never was."""
    return f"no in-flight inbound stream for '{request_id}'"


def no_open_call(request_id: str) -> str:
    """The same for a single call."""
    return f"no in-flight inbound RPC for '{request_id}'"
