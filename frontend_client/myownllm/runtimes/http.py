"""Requests to one model server over httpx, which is loaded with the first of them; looks at it do without (`plain`).

Every answer is bounded in size and time, and every way in which a request can fail is a RuntimeFailure with its reason.
Cancelling a request closes its connection: that is how a model server learns that nobody listens any more.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec
import trio
from msgspec import UNSET

from myownllm.coerce import tolerant
from myownllm.runtimes.errors import RuntimeFailure
from myownllm.runtimes.readers import error_text
from myownllm.runtimes.settings import LOOPBACK
from myownllm.runtimes.told import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx

    from myownllm.coerce import Json, JsonObject
    from myownllm.runtimes.settings import RuntimeSettings

    Body = JsonObject | msgspec.Struct


CONNECT_S: Final = 5.0
ANSWER_MAX_BYTES: Final = 32 * 2**20
"""A whole answer that is read at once: the embeddings of a long list."""
ERROR_MAX_BYTES: Final = 64 * 2**10
CONNECTIONS: Final = 16
"""Requests under way at one server; the next one waits for `POOL_S` and fails."""
POOL_S: Final = 5.0
REST_S: Final = 0.2
"""For the end of a response whose content is complete."""


@attrs.frozen
class Form:
    """A body that is no JSON."""

    content_type: str
    data: bytes = attrs.field(repr=False)


class Http:
    """The connections to one server."""

    def __init__(self, settings: RuntimeSettings, what: str = "model server", member: str = "runtime") -> None:
        """`what` it is for people, and the `member` of the configuration that names it."""
        self.settings = settings
        self._what = what
        self._member = member
        self.open = 0
        """requests under way"""
        self._client: httpx.AsyncClient | None = None

    async def reachable(self, limit_s: float) -> None:
        """Does anybody listen there? Costs next to nothing. Raises RuntimeFailure."""
        await (await self._connect(limit_s)).aclose()

    async def _connect(self, limit_s: float) -> trio.SocketStream:
        host, port = self.settings.place
        text = f"no {self._what} at {self.settings.base_url}"
        with trio.move_on_after(limit_s):
            try:
                return await trio.open_tcp_stream(host, port)
            except (OSError, ValueError) as error:  # the latter of names that no host has
                reason = getattr(error, "strerror", None) or "nobody listens there"
                raise RuntimeFailure("down", f"{text}: {reason.lower()}; start it, or set `{self._member}`") from None
        raise RuntimeFailure("down", f"{text}: no answer within {limit_s:g} s")

    async def look(self, path: str, limit_s: float, body: Body | None = None) -> Json:
        """What the server tells of itself; with a body it is a POST. A server of this machine is asked without httpx,
        which would stay in memory for it."""
        if not self.settings.is_plain:
            return await self._whole("GET" if body is None else "POST", path, body, limit_s)
        from myownllm.runtimes import plain  # without a model server HTTP is never loaded

        data = None if body is None else msgspec.json.encode(body)
        with trio.move_on_after(limit_s):
            stream = await self._connect(limit_s)
            status, answer = await plain.ask(
                stream, self.settings.base_url + path, data, self._headers(), ANSWER_MAX_BYTES, self._what
            )
            if status != 200:
                raise _refused(self._what, status, answer)
            return self._decoded(path, answer)
        raise self._too_late(path, limit_s)

    async def post(self, path: str, body: Body, limit_s: float) -> Json:
        return await self._whole("POST", path, body, limit_s)

    async def post_form(self, path: str, form: Form, limit_s: float) -> Json:
        return await self._whole("POST", path, form, limit_s)

    async def stream(self, path: str, body: Body, take: Callable[[bytes], bool]) -> None:
        """Hand the body of an answer to `take` as it comes, until it returns True; what it raises is raised.

        The caller bounds the time.
        """
        async with self._open("POST", path, body) as response:
            await _each(response, take)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _whole(self, method: str, path: str, body: Body | Form | None, limit_s: float) -> Json:
        with trio.move_on_after(limit_s):
            async with self._open(method, path, body) as response:
                data = await _read(self._what, response, ANSWER_MAX_BYTES)
            return self._decoded(path, data)
        raise self._too_late(path, limit_s)

    def _decoded(self, path: str, data: bytes) -> Json:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RuntimeFailure("garbage", f"the {self._what}'s answer to {path} is not JSON") from None

    def _too_late(self, path: str, limit_s: float) -> RuntimeFailure:
        return RuntimeFailure("timeout", f"the {self._what} did not answer {path} within {limit_s:g} s")

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json", "User-Agent": "myownllm"}
        if self.settings.api_key is not None:
            headers["Authorization"] = f"Bearer {self.settings.api_key}"
        return headers

    @asynccontextmanager
    async def _open(self, method: str, path: str, body: Body | Form | None) -> AsyncIterator[httpx.Response]:
        import httpx

        self.settings.place  # noqa: B018 - raises where the settings have a problem
        if self._client is None:
            self._client = self._make()
        self.open += 1
        try:
            content = body.data if isinstance(body, Form) else None if body is None else msgspec.json.encode(body)
            headers = {"Content-Type": body.content_type} if isinstance(body, Form) else {}
            url = self.settings.base_url + path
            async with self._client.stream(method, url, content=content, headers=headers) as response:
                if response.status_code != 200:
                    data = await _read(self._what, response, ERROR_MAX_BYTES, cut=True)
                    raise _refused(self._what, response.status_code, data)
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            text = f"no {self._what} at {self.settings.base_url}: {_reason(error)}"
            raise RuntimeFailure("down", text) from None
        except httpx.PoolTimeout:
            raise RuntimeFailure("refused", f"{CONNECTIONS} requests to the {self._what} are under way") from None
        except httpx.RemoteProtocolError as error:
            raise RuntimeFailure("broken", f"the {self._what} broke its answer off: {_reason(error)}") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise RuntimeFailure("broken", f"the connection to the {self._what} failed: {_reason(error)}") from None
        except (ValueError, RecursionError) as error:  # what no JSON text can carry, and names that no host has
            raise RuntimeFailure("refused", f"the {self._what} cannot be asked this: {error}") from None
        finally:
            self.open -= 1

    def _make(self) -> httpx.AsyncClient:
        import httpx

        return httpx.AsyncClient(
            headers=self._headers(),
            timeout=httpx.Timeout(None, connect=CONNECT_S, pool=POOL_S),
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=4),
            follow_redirects=False,
            trust_env=self.settings.place[0] not in LOOPBACK,  # a proxy cannot reach this machine's own servers
        )


async def _each(response: httpx.Response, take: Callable[[bytes], bool]) -> None:
    """Every part to `take`, until that has enough or raises.

    A response is given up by cancelling the read for its next part: the generators inside httpx close only that way.
    """
    failure: RuntimeFailure | None = None
    with trio.CancelScope() as rest:
        async for part in response.aiter_raw():
            if rest.deadline != math.inf:
                continue  # an answer that is complete has an end, too, and its connection can be used again
            try:
                if take(part):
                    rest.deadline = trio.current_time() + REST_S
            except RuntimeFailure as error:
                failure, rest.deadline = error, -math.inf
    if failure is not None:
        raise failure


async def _read(what: str, response: httpx.Response, limit: int, *, cut: bool = False) -> bytes:
    data = bytearray()

    def take(part: bytes) -> bool:
        data.extend(part)
        if len(data) > limit and not cut:
            raise RuntimeFailure("garbage", f"the {what}'s answer is longer than {limit} bytes")
        return len(data) > limit

    await _each(response, take)
    return bytes(data)


def _refused(what: str, status: int, data: bytes) -> RuntimeFailure:
    """What the server says about its refusal, or the beginning of what it wrote instead."""
    try:
        said: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    told = tolerant(Refusal, said)
    if told.error is not UNSET:
        text = error_text(told.error)
    else:
        text = told.message or told.detail or data[:200].decode(errors="replace").strip()
    return RuntimeFailure("refused", f"the {what} answered {status}: {text or 'nothing more'}", status)


def _reason(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
