"""One HTTP request over one stream, in h11's words: for looks at a server of this machine, which happen all the time.

No proxy, no encryption, no redirect and no connection that is kept: where any of these may be wanted, httpx asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import h11
import trio

from myownllm.runtimes.errors import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

_PART_BYTES: Final = 64 * 2**10


async def ask(
    stream: trio.abc.Stream, url: str, body: bytes | None, headers: Mapping[str, str], limit: int, what: str
) -> tuple[int, bytes]:
    """Status and body of the answer; with a body it is a POST. Closes the stream, also when it is cancelled.

    Raises RuntimeFailure for an answer of more than `limit` bytes and for what is no answer.
    """
    parts = urlsplit(url)
    length = {} if body is None else {"Content-Length": str(len(body))}
    request = h11.Request(
        method="GET" if body is None else "POST",
        target=parts.path or "/",
        headers=list({"Host": parts.netloc, "Connection": "close", **headers, **length}.items()),
    )
    connection = h11.Connection(h11.CLIENT)
    question: list[h11.Event] = [request, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()]
    async with stream:
        try:
            await stream.send_all(b"".join(connection.send(event) or b"" for event in question))
            return await _answer(connection, stream, limit, what)
        except h11.RemoteProtocolError as error:
            raise RuntimeFailure("broken", f"the {what} broke its answer off: {error}") from None
        except trio.BrokenResourceError:
            raise RuntimeFailure("broken", f"the connection to the {what} failed") from None


async def _answer(connection: h11.Connection, stream: trio.abc.Stream, limit: int, what: str) -> tuple[int, bytes]:
    status, data = 0, bytearray()
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(_PART_BYTES)))
            case h11.Response(status_code=status):
                pass
            case h11.Data(data=part):
                data += part
                if len(data) > limit:
                    raise RuntimeFailure("garbage", f"the {what}'s answer is longer than {limit} bytes")
            case h11.EndOfMessage():
                return status, bytes(data)
            case _:  # a server may say first that it is at work
                pass
