"""The base of small values: frozen, compared by their members, and cheap to declare.

attrs writes and compiles the methods of each class when its module is loaded, half a millisecond a class; here they are
msgspec's own. Nothing reads these classes from JSON, so nobody evaluates their annotations.
"""

from __future__ import annotations

from msgspec import Struct


class Value(Struct, frozen=True):
    """`class Link(Value, frozen=True)`: equal and hashable by its members; `msgspec.structs.replace` makes another."""
