"""The control protocol as a client speaks it: request lines, answers, limits, times (spec 05 §2–4, 08 §4). Sans-IO.

What is short is read by the standard library alone: commands are to start fast.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from mesh_common.client.errors import ControlError, ErrorKind, refusal
from mesh_common.readable import readable_values

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REQUEST_BYTES: Final = 8 * 2**20
"""What our daemon reads of one request before it closes (spec 05 W5)."""
MAX_LINE_BYTES: Final = 32 * 2**20
"""A longer answer or frame is not from a daemon (FE-4.4)."""
MAX_PAYLOAD_BYTES: Final = 64_000
"""What fits into one mesh frame beside its envelope; 0.3.8 loses larger answers silently (FE-4.15, spec 05 §12)."""
MAX_NAME_BYTES: Final = 256
"""Longest name of a method or channel."""
CONNECT_TIMEOUT_S: Final = 2.0
"""A local socket accepts at once or not at all."""
PROBE_TIMEOUT_S: Final = 0.8
"""FE-3.1: a daemon that does not answer `status` in that time does not count as healthy."""
FAST_TIMEOUT_S: Final = 10.0
"""For operations that touch memory or one file."""
ENGINE_TIMEOUT_S: Final = 45.0
"""For the others: an engine may stall about 10 s during a network change (spec 05 §17 rule 2)."""

_LONG_LINE_BYTES: Final = 4096
"""From here on msgspec reads first: ten times as fast, and worth its import."""
_HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""A surrogate, whole pairs included: what it may be is looked at only in lines that spell one so."""
_NO_ANSWER: Final = "parse response: the answer has no boolean `ok`"

_FAST: Final = frozenset(
    {
        "status", "networks_list", "peers_list", "roster_list", "identity_show", "identity_set_label", "config_show",
        "network_id_generate", "network_id_normalize", "rpc_register", "rpc_unregister", "rpc_respond",
        "rpc_stream_end", "channel_subscribe", "channel_unsubscribe", "capabilities_set", "events_subscribe",
    }
)  # fmt: skip


def timeout_of(operation: str) -> float:
    """Seconds to wait for the answer of an operation (FE-4.3)."""
    return FAST_TIMEOUT_S if operation in _FAST else ENGINE_TIMEOUT_S


def compact(value: object) -> bytes:
    """Compact UTF-8 JSON on one line. Raises `ControlError` INVALID for what JSON cannot carry."""
    try:
        return _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ControlError(ErrorKind.INVALID, f"not JSON: {error}") from None


def request_line(operation: str, members: Mapping[str, object]) -> bytes:
    """One request. Raises `ControlError` INVALID or TOO_LARGE; then nothing may be sent."""
    line = compact({"op": operation, **members}) + b"\n"
    if len(line) > MAX_REQUEST_BYTES:
        text = f"request `{operation}` is {len(line)} bytes; the daemon reads {MAX_REQUEST_BYTES}"
        raise ControlError(ErrorKind.TOO_LARGE, text)
    return line


def traffic_line(operation: str, members: Mapping[str, object]) -> bytes:
    """One request that may carry traffic, checked. Raises as `check_traffic` and `request_line`.

    What a whole line shorter than the longest payload carries is not measured again: that is what chunks of files are.
    """
    line = compact({"op": operation, **members}) + b"\n"
    if len(line) > MAX_PAYLOAD_BYTES:
        check_traffic(members)
        return request_line(operation, members)
    _check_names(members)
    return line


def check_traffic(members: Mapping[str, object]) -> None:
    """Hold payloads and names of calls and channels to what a peer can take. Raises as `request_line`."""
    for name in ("payload", "ok"):
        if name in members and (size := len(compact(members[name]))) > MAX_PAYLOAD_BYTES:
            raise ControlError(ErrorKind.TOO_LARGE, f"payload too large for one mesh frame ({size} bytes)")
    _check_names(members)


def _check_names(members: Mapping[str, object]) -> None:
    for name in ("method", "channel"):
        if len(str(members.get(name, "")).encode()) > MAX_NAME_BYTES:
            raise ControlError(ErrorKind.INVALID, f"{name} name is longer than {MAX_NAME_BYTES} bytes")


def parse_object(line: bytes) -> dict[str, Any]:
    """A line that must be one JSON object. Raises `ControlError` PROTOCOL.

    Halves of surrogate pairs, which JSON can spell and no encoder takes, stand spelled out in its texts.
    """
    try:
        value = _quickly(line) if len(line) >= _LONG_LINE_BYTES else None
        if value is None:
            value = decode(line.decode())
            if _HALF_PAIR.search(line):
                value = readable_values(value)
    except (ValueError, RecursionError) as error:
        raise ControlError(ErrorKind.PROTOCOL, f"parse response: {error}") from error
    if not isinstance(value, dict):
        raise ControlError(ErrorKind.PROTOCOL, _NO_ANSWER)
    return value


def _quickly(line: bytes) -> object:
    """What msgspec reads in a line; None where it stops, at half a pair for one: the other reader says why."""
    import msgspec

    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def answer_data(line: bytes) -> object:
    """The `data` of an answer. Raises the `refusal` that it tells, or `ControlError` PROTOCOL."""
    answer = parse_object(line)
    match answer.get("ok"):
        case True:
            return answer.get("data")
        case False:
            text = answer.get("error")
            raise refusal(text if isinstance(text, str) else "(no error message)")
        case _:
            raise ControlError(ErrorKind.PROTOCOL, _NO_ANSWER)


def subscription_id(data: object) -> str:
    """The client id in the answer of `events_subscribe`. Raises `ControlError` PROTOCOL without one."""
    client_id = data.get("client_id") if isinstance(data, dict) else None
    if not isinstance(client_id, str) or not client_id:
        text = "the daemon accepted the event subscription without a client id"
        raise ControlError(ErrorKind.PROTOCOL, text)
    return client_id


class LineBuffer:
    """Cuts received bytes into lines; a line longer than the limit is an error, not memory."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Complete lines without their end. Raises `ControlError` PROTOCOL."""
        self._buffer += data
        lines: list[bytes] = []
        start = 0
        with memoryview(self._buffer) as view:  # each line is copied once
            while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
                lines.append(bytes(view[start:end]).removesuffix(b"\r"))
                start = end + 1
        if start:
            del self._buffer[:start]
        self._searched = len(self._buffer)
        if self._searched > self._limit:
            raise ControlError(ErrorKind.PROTOCOL, "the daemon's answer has no end; giving up")
        return lines

    def rest(self) -> bytes:
        """What came behind the last line: an unterminated answer counts when the stream ends (spec 05 §2)."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return rest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
"""A JSON text as Python values; what JSON does not have, NaN for one, is a ValueError."""
