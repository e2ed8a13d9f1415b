"""What a relay reads of a network, for the demo: a listener in its room, as anybody has it who knows the name.

Standard library only: just so much of WebSocket as a listener needs.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import socket
import threading
from typing import Any

APPLICATION = "myownmesh-cloud-mesh-v1"
"""Rooms are named by application and network (spec 03 §2)."""
PATIENCE_S = 10.0
MAX_FRAME_BYTES = 2**20
MAX_EVENTS = 4096
READABLE = {
    "addresses": re.compile(r"candidate:\S+ \d+ \S+ \d+ (\S+ \d+) typ"),
    "certificates": re.compile(r"a=fingerprint:\S+ (\S+)"),
    "passwords": re.compile(r"a=ice-pwd:(\S+)"),
    "lines": re.compile(r"^([a-z]=.*)$", re.MULTILINE),
}
"""What stands in descriptions and candidates, by what a person calls it."""


class Ear:
    """Hears everything in a network's room until it is closed."""

    def __init__(self, port: int, network: str) -> None:
        """Raises OSError when there is no relay at this port."""
        self.room = hashlib.sha256(f"{APPLICATION}:{network}".encode()).hexdigest()
        self._heard: list[dict[str, Any]] = []
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._file = self._socket.makefile("rb")
        if b" 101 " not in self._file.readline(1000):
            raise OSError("the relay speaks no WebSocket")
        while self._file.readline(1000) not in (b"\r\n", b""):
            pass
        self._socket.settimeout(None)
        self._send(1, json.dumps(["REQ", "ear", {"#r": [self.room]}]).encode())
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def mark(self) -> int:
        return len(self._heard)

    def heard(self, since: int, device: str) -> list[dict[str, Any]]:
        """The messages by or for a device that came after a mark; its id may be the one that people compare."""
        device = device.partition("-")[0]
        return [each for each in self._heard[since:] if device in (each.get("from"), each.get("to"))]

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the relay was first
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the listener, which has the file while it waits
        self._thread.join()
        self._file.close()
        self._socket.close()

    def _listen(self) -> None:
        try:
            while (frame := self._frame()) is not None:
                kind, data = frame
                if kind == 9:
                    self._send(10, data)
                elif kind == 1:
                    self._take(json.loads(data))
        except (OSError, ValueError):
            pass  # closed: what was heard is all there is

    def _take(self, message: list[Any]) -> None:
        if message[0] == "EVENT" and len(self._heard) < MAX_EVENTS:
            self._heard.append(json.loads(message[2]["content"]))

    def _frame(self) -> tuple[int, bytes] | None:
        head = self._file.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 127
        if length > 125:
            length = int.from_bytes(self._file.read(2 if length == 126 else 8), "big")
        if length > MAX_FRAME_BYTES:
            return None
        return head[0] & 15, self._file.read(length)

    def _send(self, kind: int, data: bytes) -> None:
        mask = os.urandom(4)
        length = bytes([128 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        self._socket.sendall(bytes([128 | kind]) + length + mask + masked)


def readable(messages: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What whoever carries these messages reads of where a device is."""
    texts = [text for each in messages for text in each.values() if isinstance(text, str)]
    return {
        name: list(dict.fromkeys(found for text in texts for found in pattern.findall(text)))
        for name, pattern in READABLE.items()
    }
