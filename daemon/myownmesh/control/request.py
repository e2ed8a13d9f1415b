"""What every op is made of (spec 05 §7–§14).

An op is one class: its name is the op's name, its members are the op's members, its defaults are those of absent
members, and its one method is what it does. How a line is read follows from that (`myownmesh.protocol.schema`,
`decoding`). Free JSON values stay raw text. Each refuses by raising `MeshError`, whose text is what the client sees.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from msgspec import Struct

from myownmesh.control.client_id import read_client_id
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import U64, ReadBy, tag_by_name

if TYPE_CHECKING:
    from msgspec import Raw

    from myownmesh.control.control import Control
    from myownmesh.control.reply import Reply

MAX_TYPED_BYTES: Final = 256 * 1024
"""Largest ``config`` or ``services`` object; real ones have some kilobytes."""

ClientId = Annotated[int, ReadBy(read_client_id)]
"""Number of an event connection; ``c<number>`` on the wire."""

Milliseconds = U64


def check_size(value: Raw) -> None:
    """Refuse an object that no client of ours would send. Raises `JsonError`."""
    nbytes = len(memoryview(value))
    if nbytes > MAX_TYPED_BYTES:
        raise JsonError(f"object too large ({nbytes} bytes; at most {MAX_TYPED_BYTES})")


class Request(Struct, frozen=True, tag_field="op", tag=tag_by_name):
    """Base of all requests. The name of a class is its op: ``RpcCall`` is ``rpc_call``."""


class Immediate(Request, frozen=True):
    """Answered at once."""

    @abstractmethod
    def answer(self, control: Control) -> bytes: ...


class Deferred(Request, frozen=True):
    """Waits for the mesh by callback, without a task: the reply comes within the call or later."""

    @abstractmethod
    def begin(self, control: Control, reply: Reply) -> None: ...


class Task(Request, frozen=True):
    """Runs as a task, to its end whether or not its client stays."""

    ONLY_WAITS: ClassVar[bool] = False
    """Does nothing but wait, and is cancelled when its client goes away."""

    @abstractmethod
    async def run(self, control: Control) -> bytes: ...
