"""WebSocket frames as a server sees them (RFC 6455): bytes in, messages out. Pure.

What no client of ours needs is refused: extensions, masks left out, messages above 1 MiB or in more than 1,024 pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MESSAGE_BYTES: Final = 2**20
"""Largest message; signaling needs a few kilobytes."""
MAX_FRAGMENTS: Final = 1024
"""Pieces of one message: an empty one costs six bytes, and a message may never end."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FIN: Final = 0x80
_MASKED: Final = 0x80
_LONGEST_CONTROL: Final = 125

PROTOCOL_ERROR, INVALID_TEXT, TOO_BIG = 1002, 1007, 1009


class BrokenFrames(Exception):
    """The client breaks the protocol; `code` is what its Close says."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Incoming:
    """One client's stream of frames."""

    __slots__ = ("_held", "_kind", "_parts", "_size")

    def __init__(self) -> None:
        self._held = b""
        """The beginning of a frame."""
        self._kind = 0
        """Of the message whose pieces are coming; 0 between messages."""
        self._parts: list[bytes] | None = None
        self._size = 0
        """Bytes of the pieces."""

    @property
    def held(self) -> int:
        """Bytes that are kept of what has not come whole."""
        return len(self._held) + self._size

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """What is complete now: texts (which are UTF-8), binaries and control frames, each with its opcode.

        Raises `BrokenFrames` behind what came before the fault; feed nothing more then.
        """
        if self._held:
            data, self._held = self._held + data, b""
        at, end = 0, len(data)
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            length, start = second & 0x7F, at + 6
            if not second & _MASKED:
                raise BrokenFrames(PROTOCOL_ERROR, "a frame without a mask")
            if length > _LONGEST_CONTROL:
                size = 2 if length == 126 else 8
                start += size
                if end - at < 2 + size:
                    break
                length = int.from_bytes(data[at + 2 : at + 2 + size], "big")
            self._check(first, length)
            if end - start < length:
                break
            payload = _unmasked(data[start - 4 : start], data[start : start + length])
            at = start + length
            message = self._taken(first, payload)
            if message is not None:
                yield message
        self._held = data[at:]

    def _check(self, first: int, length: int) -> None:
        """Refuse a frame before its payload has come."""
        opcode = first & 0x7F
        if opcode >= CLOSE:
            if opcode > PONG or not first & _FIN or length > _LONGEST_CONTROL:
                raise BrokenFrames(PROTOCOL_ERROR, "not a control frame")
        elif opcode > BINARY or (opcode == CONTINUATION) != bool(self._kind):
            raise BrokenFrames(PROTOCOL_ERROR, "a frame out of place")
        elif self._size + length > MAX_MESSAGE_BYTES:
            raise BrokenFrames(TOO_BIG, f"more than {MAX_MESSAGE_BYTES} bytes")

    def _taken(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        opcode = first & 0x7F
        if opcode >= CLOSE:
            if opcode == CLOSE:
                _check_close(payload)
            return opcode, payload
        if not first & _FIN:
            if self._parts is None:
                self._kind, self._parts = opcode, []
            self._parts.append(payload)
            self._size += len(payload)
            if len(self._parts) > MAX_FRAGMENTS:
                raise BrokenFrames(TOO_BIG, f"a message in more than {MAX_FRAGMENTS} pieces")
            return None
        if self._parts is not None:
            opcode, payload = self._kind, b"".join((*self._parts, payload))
            self._kind, self._parts, self._size = 0, None, 0
        if opcode == TEXT and not payload.isascii():
            _check_text(payload)
        return opcode, payload


def text_frame(*parts: bytes) -> bytes:
    """A message that everybody who gets it gets in these very bytes: a server does not mask."""
    message = b"".join(parts)
    return _head(TEXT, len(message)) + message


def pong_frame(payload: bytes) -> bytes:
    return _frame(PONG, payload)


def ping_frame() -> bytes:
    return _frame(PING, b"")


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    """Without a code the payload is empty (spec 03 §19.1)."""
    return _frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())


def _frame(opcode: int, payload: bytes) -> bytes:
    return _head(opcode, len(payload)) + payload


def _head(opcode: int, length: int) -> bytes:
    if length <= _LONGEST_CONTROL:
        return bytes((_FIN | opcode, length))
    if length < 65536:
        return bytes((_FIN | opcode, 126, length >> 8, length & 0xFF))
    return bytes((_FIN | opcode, 127)) + length.to_bytes(8, "big")


def _unmasked(mask: bytes, masked: bytes) -> bytes:
    """One long number with another: what a loop over bytes would take, a hundred times faster."""
    length = len(masked)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(masked, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")


def _check_close(payload: bytes) -> None:
    if not payload:
        return
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise BrokenFrames(PROTOCOL_ERROR, "no such close code")
    _check_text(payload[2:])


def _check_text(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise BrokenFrames(INVALID_TEXT, "a text that is not UTF-8") from error
