"""Lines that go out: answers, events and what is missing of them (spec 05 §4, §10.2).

Application payloads are spliced in as they came. JSON text may hold line feeds between its tokens, which would end
our line; they become spaces there, which means the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mesh_common.events import encode_event
from mesh_common.readable import readable, readable_values

if TYPE_CHECKING:
    from msgspec import Raw

    from mesh_common.events import ConnTrace, MeshEvent

_encode = msgspec.json.Encoder().encode

NULL = b"null"


def success(data: msgspec.Struct) -> bytes:
    """The answer to a request that worked: a class of `mesh_common.answers`."""
    try:
        encoded = _encode(data)
    except UnicodeEncodeError:  # a path in it
        encoded = _encode(readable_values(msgspec.to_builtins(data)))
    return one_line(b"".join((b'{"ok":true,"data":', encoded, b"}"))) + b"\n"


def failure(text: str) -> bytes:
    """The answer to a request that did not; `text` is for a person and, by its first words, for programs."""
    return b"".join((b'{"ok":false,"error":', _encode(readable(text)), b"}\n"))


def response(ok: Raw | None) -> bytes:
    """The answer to `rpc_call`."""
    return b"".join((b'{"ok":true,"data":{"response":', payload_text(ok), b"}}\n"))


def event(happened: MeshEvent) -> bytes:
    """The frame of a mesh event."""
    return b"".join((b'{"kind":"event","event":', one_line(encode_event(happened)), b"}\n"))


def lagged(skipped: int) -> bytes:
    """The frame that tells a subscriber how many events it missed."""
    return b'{"kind":"lagged","skipped":%d}\n' % skipped


def trace_record(record: ConnTrace) -> bytes:
    """A line of the connection trace."""
    return one_line(_encode(record)) + b"\n"


def trace_lagged(skipped: int) -> bytes:
    """The line that tells a reader of the trace how many records it missed."""
    return b'{"lagged":%d}\n' % skipped


def payload_text(payload: Raw | None) -> bytes:
    """A payload as it may stand inside a line; an absent one is null."""
    return NULL if payload is None else one_line(bytes(payload))


def one_line(encoded: bytes) -> bytes:
    """JSON text without line feeds."""
    return encoded.replace(b"\n", b" ") if b"\n" in encoded else encoded
