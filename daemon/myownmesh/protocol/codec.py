"""Frames to bytes and back (spec 01 §4, §6).

Decoding is strict: a frame that breaks one rule is refused whole. There are two ways through. What every v0.3.8 node
and every node of ours writes is *canonical*: members once, in order, nothing unknown, no needless white space. For such
a text a fast typed parse is enough, and that it was canonical is proved by writing the frame again and comparing. Any
other text is taken apart member by member. Both ways follow from the classes of `myownmesh.protocol.frames`.
"""

from __future__ import annotations

from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final

import msgspec

from myownmesh.protocol.canonical import quick_way
from myownmesh.protocol.compact import compact
from myownmesh.protocol.frames import KINDS, UnknownFrame
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.protocol.schema import read_tag, shape
from myownmesh.protocol.strict_json import decode_object
from myownmesh.protocol.transitions import raw_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myownmesh.protocol.canonical import Finish
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.strict_json import Members

MAX_SPELLED_BYTES: Final = 16 * MAX_FRAME_BYTES
"""Longer texts are not tried: escapes make a character six times as long at most, and indentation little more."""


class MalformedFrame(ValueError):
    """The bytes are no frame; the connection stays and nothing else changes (spec 01 §4.3)."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"malformed frame: {reason}")


class FrameTooLarge(ValueError):
    """The encoded frame would not reach a peer."""

    def __init__(self, nbytes: int) -> None:
        super().__init__(f"frame of {nbytes} bytes exceeds the {MAX_FRAME_BYTES}-byte limit")


def encode_frame(frame: Frame) -> bytes:
    """Write a frame as the one JSON object that goes out as one binary message.

    Raises `FrameTooLarge`, and `ValueError` for text with a lone surrogate. Free JSON members are copied as they are:
    build them with `strict_json.dumps`, or take them from a text that `strict_json` has proved. Only what would be too
    long as it stands is spelled anew (spec 05 §12).
    """
    data = _write(frame)
    if len(data) <= MAX_FRAME_BYTES:
        return data
    if len(data) <= MAX_SPELLED_BYTES:
        data = compact(data)
    if len(data) > MAX_FRAME_BYTES:
        raise FrameTooLarge(len(data))
    return data


_write: Final = msgspec.json.Encoder(enc_hook=raw_text).encode


_KIND_AT: Final = len(b'{"kind":"')
"""Where the kind stands in a canonical text."""


def _refuse(_: bytes) -> Any:
    """What reads no message, before anything was learnt."""
    raise msgspec.DecodeError


def exact_reader(kinds: Mapping[str, type[Frame]]) -> Callable[[Members], Frame]:
    """The reader that takes everything that the reference takes; it raises `JsonError`."""

    def read(found: Members) -> Frame:
        def arm(kind: str) -> Callable[[], Frame]:
            known = kinds.get(kind)
            return partial(UnknownFrame, kind) if known is None else partial(shape(known).build, found)

        return read_tag(found, "kind", arm)()

    return read


def decoder(kinds: Mapping[str, type[Frame]]) -> Callable[[bytes], Frame]:
    """What reads one message of a peer, for a catalogue of frames.

    It raises `MalformedFrame` and nothing else, whatever the bytes are.
    """
    untried = {kind.encode(): cls for kind, cls in kinds.items()}
    parsed_as: list[type] = []
    finishes: dict[type, Finish] = {}
    parse: Callable[[bytes], Any] = _refuse
    read = exact_reader(kinds)

    def learn(data: bytes) -> bool:
        """Have the quick way for one kind more, that of these bytes; false when nothing has changed.

        With the first message of a kind: all at once would take longer than all else that a first link needs.
        """
        nonlocal parse
        cls = untried.pop(data[_KIND_AT : data.find(b'"', _KIND_AT)], None)
        quick = None if cls is None else quick_way(cls)
        if quick is None:
            return False
        parsed_as.append(quick[0])
        if quick[1] is not None:
            finishes[quick[0]] = quick[1]
        parse = msgspec.json.Decoder(reduce(or_, parsed_as)).decode
        return True

    def decode(data: bytes) -> Frame:
        try:
            parsed = parse(data)
            if _write(parsed) == data and (data.isascii() or data.decode()):
                finish = finishes.get(type(parsed))
                frame: Frame | None = parsed if finish is None else finish(parsed, data)
                if frame is not None:
                    return frame
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, JsonError):
            if untried and learn(data):
                return decode(data)
            # No canonical frame; whether it is one at all, the exact reader says.
        try:
            return read(decode_object(data))
        except JsonError as error:
            raise MalformedFrame(str(error)) from None

    return decode


decode_frame: Final = decoder(KINDS)
"""Read one message of a peer. Raises `MalformedFrame` and nothing else, whatever the bytes are."""
