"""A browser's side of the screen without a browser: requests as they are on the wire, and the WebSocket of a tab."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import define, field
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, RejectConnection, RejectData, Request, TextMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 20.0
STEADY_LOOKS = 5
"""as many in a row with the same bytes still to be sent: nothing moves"""


def stalled_download(port: int, path: str, times: int) -> socket.socket:
    """A connection that asks for a file again and again and reads nothing; the app waits to send more of it by now."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(PATIENCE_S)
    raw.connect(("127.0.0.1", port))
    raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() * times)
    looks = [0]
    deadline = time.monotonic() + PATIENCE_S
    while looks[-1] == 0 or len(looks) < STEADY_LOOKS or len(set(looks[-STEADY_LOOKS:])) > 1:
        assert time.monotonic() < deadline, "the app can still send"
        time.sleep(0.05)
        looks.append(_unsent(port, raw.getsockname()[1]))
    return raw


def _unsent(port: int, to: int) -> int:
    """Bytes that wait in the kernel to leave our port for that one (Linux)."""
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{port:04X}") and words[2].endswith(f":{to:04X}"):
            return int(words[4].partition(":")[0], 16)
    return 0


@define
class Answer:
    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def error(self) -> tuple[int, str]:
        """Status and kind, of an answer that is an error with a sentence."""
        told = self.json["error"]
        assert len(told["message"]) > 5
        return self.status, told["kind"]


@define
class Browser:
    """One that followed a link, or one that did not."""

    port: int
    cookie: str = ""
    secret: str = ""
    address: str = "127.0.0.1"
    source: str = ""
    """an address of this machine to come from; empty: the usual one"""

    @property
    def origin(self) -> str:
        return f"http://{self.address}:{self.port}"

    def enter(self, url: str) -> Answer:
        """Follow a link."""
        token = urlsplit(url).fragment.removeprefix("key=")
        answer = self.ask("POST", "/api/session", {"token": token})
        if answer.status == 200:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
            self.secret = answer.json["secret"]
        return answer

    def headers(self) -> dict[str, str]:
        given = {"Origin": self.origin, "Cookie": self.cookie, "X-Session-Secret": self.secret}
        return {name: value for name, value in given.items() if value}

    def ask(
        self, method: str, path: str, body: Any = None, *, without: str = "", raw: bytes | None = None, **changed: str
    ) -> Answer:
        """One request; `changed` headers replace those of an honest page, `without` leaves one out."""
        sent = {"Content-Type": "application/json", **self.headers()}
        sent |= {name.replace("_", "-").title(): value for name, value in changed.items()}
        sent.pop(without, None)
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        source = (self.source, 0) if self.source else None
        connection = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE_S, source_address=source)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def until(self, condition: Any) -> Any:
        """The first picture that meets the condition."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            snapshot = self.ask("GET", "/api/mesh/state").json["snapshot"]
            if condition(snapshot):
                return snapshot
            assert time.monotonic() < deadline, snapshot
            time.sleep(0.05)

    def tab(self, **changed: str) -> Tab:
        return Tab.open(self, {**self.headers(), **{name.title(): value for name, value in changed.items()}})


@define(eq=False)
class Tab:
    """The WebSocket of one tab."""

    raw: socket.socket
    protocol: WSConnection
    status: int = 101
    code: int | None = None
    """why it was closed"""
    _events: Iterator[Any] = field(factory=lambda: iter(()))

    @classmethod
    def open(cls, browser: Browser, headers: dict[str, str]) -> Tab:
        raw = socket.create_connection(("127.0.0.1", browser.port), PATIENCE_S)
        protocol = WSConnection(ConnectionType.CLIENT)
        extra = [(name.encode(), value.encode()) for name, value in headers.items() if name != "Host"]
        host = headers.get("Host", f"127.0.0.1:{browser.port}")
        tab = cls(raw, protocol)
        raw.sendall(protocol.send(Request(host=host, target="/api/mesh/events", extra_headers=extra)))
        match tab.event():
            case AcceptConnection():
                pass
            case RejectConnection(status_code=status):
                tab.status = status
        return tab

    def event(self) -> Any:
        while (event := next(self._events, None)) is None:
            try:
                data = self.raw.recv(65536)
            except ConnectionResetError:
                data = b""
            self.protocol.receive_data(data or None)
            self._events = self.protocol.events()
            if not data:
                self.code = self.code or 1006
                return None
        return event

    def say(self, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        self._send(self.protocol.send(TextMessage(text)))

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # what the app said last is still to be read
            self.raw.sendall(data)

    def hear(self) -> Any:
        """The next message; None when the app has closed the socket, and `code` says why."""
        text = ""
        while True:
            match self.event():
                case TextMessage(data=data, message_finished=is_whole):
                    text += data
                    if is_whole:
                        return json.loads(text)
                case Ping() as ping:
                    self._send(self.protocol.send(ping.response()))
                case CloseConnection(code=code):
                    self.code = code
                    return None
                case None:
                    return None
                case RejectData() | RejectConnection():
                    return None

    def close(self) -> None:
        self.raw.close()
