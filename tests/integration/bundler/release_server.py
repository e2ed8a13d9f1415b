"""A release host on loopback that behaves like the real one: redirects to storage, ranges, an API, and bad days.

Real sockets. Downloads answer 302 to another host name of the same server, as the real one sends clients to its
storage; storage knows ETag, Range and If-Range. `script` replaces the next answers for a path by trouble.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
import threading
import time
import zipfile
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPO = "mrjeeves/MyOwnMesh"
Answer = "Callable[[Handler, bytes], None]"


@lru_cache(maxsize=8)
def tar_gz(*members: tuple[str, bytes]) -> bytes:
    """A release archive as the real pipeline makes it. Nearly every test publishes the same one."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o755, 1_700_000_000
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), compresslevel=1, mtime=0)


def zip_file(*members: tuple[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return raw.getvalue()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer(self) -> None:
        host = self.server.owner
        path = unquote(urlsplit(self.path).path)
        host.requests.append((self.command, path, dict(self.headers.items())))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            queue = host.scripts.get(path.rsplit("/", 1)[-1] if not path.startswith("/storage/") else path[9:])
            if queue and self.command == "GET":
                answer = queue.pop(0) if len(queue) > 1 or host.once else queue[0]
                if answer is not None:
                    answer(self, host.body_of(path))
                    return
            self._normal(path, host)

    def _normal(self, path: str, host: ReleaseServer) -> None:
        if path.startswith(f"/{REPO}/releases/download/"):
            tag, asset = path.split("/")[-2:]
            if (tag, asset) in host.assets:
                self.reply(302, headers={"Location": host.storage_url(tag, asset)})
            else:
                self.reply(404, b"Not Found")
        elif path.startswith(f"/{REPO}/releases/tag/"):
            self.reply(200 if path.split("/")[-1] in host.tags else 404, b"<html>release</html>")
        elif path.startswith("/storage/"):
            self.ranged(host.body_of(path))
        elif path.startswith("/api/repos/"):
            self._api(path, host)
        else:
            self.reply(404, b"Not Found")

    def ranged(self, body: bytes) -> None:
        """What storage does: whole, or the rest if the entity tag still fits."""
        etag = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        headers = {"ETag": etag, "Accept-Ranges": "bytes"}
        if not wanted or (condition and condition != etag):
            self.reply(200, body, headers)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            self.reply(416, headers={"Content-Range": f"bytes */{len(body)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.reply(206, body[start:], headers)

    def _api(self, path: str, host: ReleaseServer) -> None:
        if host.private and self.headers.get("Authorization") != f"Bearer {host.token}":
            self.reply(404 if "Authorization" not in self.headers else 401, b"{}")
            return
        if path.startswith(f"/api/repos/{REPO}/releases/assets/"):
            tag, asset = path.removeprefix(f"/api/repos/{REPO}/releases/assets/").split("/")
            self.reply(302, headers={"Location": host.storage_url(tag, asset)})
            return
        tag = path.split("/")[-1]
        rows = [
            {
                "name": asset,
                "size": len(body),
                "url": f"{host.api}/repos/{REPO}/releases/assets/{tag}/{asset}",
                "digest": "sha256:" + hashlib.sha256(body).hexdigest(),
            }
            for (its_tag, asset), body in host.assets.items()
            if its_tag == tag
        ]
        if tag not in host.tags:
            self.reply(404, b"{}")
            return
        self.reply(200, json.dumps({"tag_name": tag, "assets": rows}).encode())


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    owner: ReleaseServer

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that hang up are part of the tests


class ReleaseServer:
    """The host: its releases, what was asked of it, and the trouble it makes."""

    def __init__(self) -> None:
        self.assets: dict[tuple[str, str], bytes] = {}
        self.tags: set[str] = set()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.scripts: dict[str, list[Callable[[Handler, bytes], None] | None]] = {}
        self.once = True
        self.private = False
        self.token = "sesame"
        self._http = _Http(("127.0.0.1", 0), Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        return self._http.server_port

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/{REPO}/releases/download"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def storage_url(self, tag: str, asset: str) -> str:
        return f"http://localhost:{self.port}/storage/{tag}/{asset}?signature=short-lived"

    def body_of(self, path: str) -> bytes:
        tag, asset = path.split("/")[-2:]
        return self.assets.get((tag, asset), b"")

    def publish(self, tag: str, asset: str, data: bytes, *, checksum: bool = True) -> str:
        """Add an asset and its `.sha256`; returns the digest."""
        digest = hashlib.sha256(data).hexdigest()
        self.tags.add(tag)
        self.assets[tag, asset] = data
        if checksum:
            self.assets[tag, f"{asset}.sha256"] = f"{digest}  {asset}\n".encode()
        return digest

    def script(self, name: str, *answers: Callable[[Handler, bytes], None] | None) -> None:
        """The next answers for an asset (file name: the download address; `<tag>/<file>`: storage); None = normal."""
        self.scripts[name] = list(answers)

    def count(self, part: str) -> int:
        return sum(part in path for _, path, _ in self.requests)

    @contextlib.contextmanager
    def running(self) -> Iterator[ReleaseServer]:
        self._thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()


# ── trouble ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def status(code: int, **headers: str) -> Callable[[Handler, bytes], None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _body: handler.reply(code, b"trouble", named)


def html(handler: Handler, _body: bytes) -> None:
    """A login portal: any address answers 200 with a page."""
    handler.reply(200, b"<!DOCTYPE html><html>" + b"Please log in. " * 200 + b"</html>", {"Content-Type": "text/html"})


def cut(at: float) -> Callable[[Handler, bytes], None]:
    """The connection dies after this part of the body."""

    def answer(handler: Handler, body: bytes) -> None:
        etag = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("ETag", etag)
        handler.end_headers()
        handler.wfile.write(body[: int(len(body) * at)])
        handler.wfile.flush()
        handler.close_connection = True

    return answer


def without_length(keep: float) -> Callable[[Handler, bytes], None]:
    """A body that only the end of the connection ends, cut short: nothing in HTTP tells."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body[: int(len(body) * keep)])
        handler.close_connection = True

    return answer


def drip(count: int, pause: float) -> Callable[[Handler, bytes], None]:
    """One byte at a time."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        for index in range(count):
            handler.wfile.write(body[index : index + 1])
            handler.wfile.flush()
            time.sleep(pause)
        handler.close_connection = True

    return answer


def endless(handler: Handler, _body: bytes) -> None:
    """More bytes than any release has."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(4096):
            handler.wfile.write(bytes(1024 * 1024))
    handler.close_connection = True


def instead(data: bytes) -> Callable[[Handler, bytes], None]:
    return lambda handler, _body: handler.reply(200, data)


def ignoring_ranges(handler: Handler, body: bytes) -> None:
    handler.reply(200, body)


def redirect(location: str) -> Callable[[Handler, bytes], None]:
    return lambda handler, _body: handler.reply(302, headers={"Location": location})
