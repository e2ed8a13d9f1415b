"""One client's connection: requests in, answers out, in order (spec 05 §3).

Requests are executed strictly one after another. While an answer is awaited the connection goes on listening, so that
a client that leaves ends the wait. `events_subscribe` and `trace_subscribe` turn it into a stream for good.
"""

from __future__ import annotations

import logging
import select
import socket
from enum import Enum
from typing import TYPE_CHECKING

import trio

from mesh_common.answers import EventsSubscribed, TraceSubscribed
from myownmesh.control import answers
from myownmesh.control.decoding import ParseError, decode
from myownmesh.control.event_stream import EventStream
from myownmesh.control.framing import LineBuffer, LineTooLong
from myownmesh.control.reply import Reply
from myownmesh.control.request import Deferred, Immediate, Task
from myownmesh.control.traces import TraceStream
from myownmesh.control.traffic_ops import TraceSubscribe
from myownmesh.control.writer import Writer
from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.control.clients import Client
    from myownmesh.control.control import Control
    from myownmesh.control.framing import Budget
    from myownmesh.control.readiness import Readiness
    from myownmesh.control.request import Request

log = logging.getLogger(__name__)

RECEIVE_BYTES = 128 * 1024
"""Read at a time; two bulk requests fit."""

READ_AHEAD_BYTES = 256 * 1024
"""Pipelined bytes that wait while an answer is awaited; more stay with the client."""

ANSWER_BYTES = 64 * 1024
"""Answers are collected up to this size before they are written."""

REQUESTS_PER_TURN = 64
"""Then others have their turn, however much one client has pipelined."""

DISCARD_BYTES = 256 * 1024 * 1024
"""Swallowed from a client that broke the rules, so that it can read why before it notices that we are gone."""


class _Mode(Enum):
    REQUESTS = "requests"
    EVENTS = "events"
    """What this connection subscribed to is pushed."""
    DISCARDING = "discarding"
    """Our side is closed; what still comes is thrown away."""
    CLOSED = "closed"


class Connection:
    """A connected client. `on_closed` is called once at the end."""

    def __init__(
        self,
        sock: socket.socket,
        control: Control,
        readiness: Readiness,
        nursery: trio.Nursery,
        budget: Budget,
        on_closed: Callable[[Connection], None],
    ) -> None:
        self._socket = sock
        self._fd = sock.fileno()
        self._control = control
        self._readiness = readiness
        self._nursery = nursery
        self._budget = budget
        self._buffered = 0
        self._on_closed = on_closed
        self._writer = Writer(sock, readiness, self._drained, self.close)
        self._lines = LineBuffer()
        self._mode = _Mode.REQUESTS
        self._awaited: Reply | None = None
        self._reading = False
        self._ended = False
        self._working = False
        self._turn_planned = False
        self._discarded = 0
        self._client: Client | None = None
        self._stream: EventStream | None = None
        self._begin: Callable[[], None] | None = None
        """Starts the stream, once its acknowledgement has left."""

    def start(self) -> None:
        """Begin to serve the client."""
        self._listen(True)

    def close(self) -> None:
        """End the connection now; waits of this client end, and what it served is failed."""
        if self._mode is _Mode.CLOSED:
            return
        self._mode = _Mode.CLOSED
        self._listen(False)
        self._writer.close()
        if self._stream is not None:
            self._stream.close()
        self._socket.close()
        self._lines.clear()
        self._account()
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            awaited.deliver = None
            if awaited.abandon is not None:
                awaited.abandon()
        if self._client is not None:
            self._control.disconnect(self._client)
        self._on_closed(self)

    def sweep(self) -> None:
        """Called every few seconds: close what nothing else would notice.

        That is a client which left while we did not listen, because it had half-closed before or had pipelined too
        much, and one which broke the rules and does not go away.
        """
        if self._mode is _Mode.DISCARDING or (self._awaited is not None and self._is_abandoned()):
            self.close()

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _receive(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if self._mode is not _Mode.REQUESTS:
            self._discard(data)
        elif data:
            self._lines.feed(data)
            self._work()
            if not self._account():
                self._refuse_the_rest("parse: line too long")
        else:
            self._end_of_input()

    def _discard(self, data: bytes) -> None:
        """A client that only listens may write what it likes; its end is what matters (spec 05 W7, W8)."""
        self._discarded += len(data)
        if not data or (self._mode is _Mode.DISCARDING and self._discarded > DISCARD_BYTES):
            self.close()

    def _end_of_input(self) -> None:
        self._ended = True
        self._listen(False)
        if self._awaited is not None and self._is_abandoned():
            self.close()
        else:
            self._work()

    def _is_abandoned(self) -> bool:
        """True when the client has closed its whole side; one that only finished writing still reads its answers."""
        if not hasattr(select, "poll"):
            return True
        poll = select.poll()
        poll.register(self._fd, 0)
        return any(flags & (select.POLLHUP | select.POLLERR) for _, flags in poll.poll(0))

    def _listen(self, on: bool) -> None:
        if on and not self._reading:
            self._readiness.add_reader(self._fd, self._receive)
        elif not on and self._reading:
            self._readiness.remove_reader(self._fd)
        self._reading = on

    # ── working ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        """Execute what has arrived, as far as order, fairness and the client's reading allow."""
        if self._working:
            return
        self._working = True
        try:
            self._execute_lines()
        except Exception:
            # We are called from the host loop and from the mesh's callbacks: a bug here must not reach them.
            log.exception("a control connection failed; closing it")
            self.close()
        finally:
            self._working = False
        if self._ended:
            return
        if self._mode is _Mode.REQUESTS:
            waiting = self._awaited is not None or self._writer.blocked or self._turn_planned
            self._listen(not waiting or len(self._lines) < READ_AHEAD_BYTES)
        elif self._mode is not _Mode.CLOSED:
            self._listen(True)

    def _execute_lines(self) -> None:
        out: list[bytes] = []
        size = 0
        turns = REQUESTS_PER_TURN
        while self._mode is _Mode.REQUESTS and self._awaited is None and not self._writer.blocked:
            if not turns:
                self._plan_turn()
                break
            line = self._next_line(out)
            if line is None:
                break
            turns -= 1
            answer = self._execute(line)
            if answer is not None:
                out.append(answer)
                size += len(answer)
            if size > ANSWER_BYTES or self._stream is not None:
                self._writer.write(b"".join(out))
                out.clear()
                size = 0
                begin, self._begin = self._begin, None
                if begin is not None:
                    begin()
        if out and self._mode is not _Mode.CLOSED:
            self._writer.write(b"".join(out))
        if self._ended and self._mode is _Mode.REQUESTS and self._awaited is None and not self._turn_planned:
            if not self._writer.blocked and not len(self._lines):
                self.close()
        elif self._mode is _Mode.DISCARDING and not self._writer.blocked:
            if self._ended:
                self.close()
            else:
                self._hang_up()

    def _next_line(self, out: list[bytes]) -> bytes | None:
        try:
            line = self._lines.next_line()
            if line is None and self._ended:
                line = self._lines.last_line()
        except LineTooLong:
            out.append(answers.failure("parse: line too long"))
            self._stop_reading_requests()
            return None
        if line is not None and not line.isascii():
            try:
                line.decode()
            except UnicodeDecodeError:
                # No answer, like the reference: whatever this client speaks, it is not this protocol.
                self._stop_reading_requests()
                return None
        return line

    def _stop_reading_requests(self) -> None:
        """Nothing of this stream can be trusted any more."""
        self._mode = _Mode.DISCARDING
        self._lines.clear()

    def _account(self) -> bool:
        """Keep the shared budget up to date; False when this connection's line is one too many."""
        before, self._buffered = self._buffered, len(self._lines)
        return before == self._buffered or self._budget.change(before, self._buffered)

    def _refuse_the_rest(self, text: str) -> None:
        if self._mode is _Mode.REQUESTS and self._awaited is None:
            self._stop_reading_requests()
            self._account()
            self._writer.write(answers.failure(text))
            self._work()

    def _execute(self, line: bytes) -> bytes | None:
        """Execute one request; None when its answer comes later."""
        try:
            request = decode(line)
        except ParseError as error:
            return answers.failure(f"parse: {error}")
        except (ImportError, OSError) as error:
            log.warning("a request cannot be read yet: %s", error)  # no descriptor left, for one
            return answers.failure(f"this daemon cannot load what the request needs: {error}; try again")
        try:
            if isinstance(request, Deferred):
                reply = Reply()
                request.begin(self._control, reply)
                return self._await(reply)
            if isinstance(request, Immediate):
                return request.answer(self._control)
            if isinstance(request, TraceSubscribe):
                return self._become_trace(request)
        except MeshError as error:
            return answers.failure(str(error))
        except Exception:
            # A bug of ours in one op is that op's answer; connection and daemon go on.
            log.exception("op %s failed", request.__struct_config__.tag)
            return _bug(request)
        if not isinstance(request, Task):
            return self._become_events()
        reply = Reply()
        self._nursery.start_soon(self._run, request, reply)
        return self._await(reply)

    def _await(self, reply: Reply) -> bytes | None:
        if reply.line is None:
            self._awaited = reply
            reply.deliver = self._answered
        return reply.line

    def _answered(self, line: bytes) -> None:
        """The awaited answer is there."""
        self._awaited = None
        self._writer.write(line)
        if len(self._lines) or not self._reading or self._ended:
            self._work()  # otherwise nothing waits for this answer, and we go on listening

    async def _run(self, request: Task, reply: Reply) -> None:
        with trio.CancelScope() as scope:
            if request.ONLY_WAITS:
                reply.abandon = scope.cancel
            try:
                line = await request.run(self._control)
            except MeshError as error:
                line = answers.failure(str(error))
            except Exception:
                # As above; in the nursery of all connections it would end the daemon.
                log.exception("op %s failed", request.__struct_config__.tag)
                line = _bug(request)
            reply.send(line)

    def _plan_turn(self) -> None:
        self._turn_planned = True
        self._readiness.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_planned = False
        if self._mode is _Mode.REQUESTS:
            self._work()

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _drained(self) -> None:
        if self._stream is not None:
            self._stream.drained()
        else:
            self._work()

    def _become_events(self) -> bytes:
        """Register the client first, so that no event falls between the answer and the subscription (spec 05 W18)."""
        self._mode = _Mode.EVENTS
        self._lines.clear()
        self._stream = EventStream(self._writer, self.close)
        self._client = self._control.connect(self._stream)
        return answers.success(EventsSubscribed(True, self._client.name))

    def _become_trace(self, request: TraceSubscribe) -> bytes:
        """Push what happens to the links of a network, and close when it is left. Raises `MeshError`."""
        network = self._control.find(request.network)
        self._mode = _Mode.EVENTS
        self._lines.clear()
        stream = self._stream = TraceStream(self._writer, self._end_of_stream)
        self._begin = lambda: self._control.traces.begin(network, stream)
        return answers.success(TraceSubscribed(True, "conn_trace", request.network))

    def _end_of_stream(self) -> None:
        """Nothing follows. A client that has read everything so far sees a clean end."""
        if self._writer.blocked:
            self.close()
        elif self._stream is not None:
            self._stream.close()
            self._mode = _Mode.DISCARDING
            self._hang_up()

    def _hang_up(self) -> None:
        """Close our side, and the rest when the client has noticed."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()


def _bug(request: Request) -> bytes:
    """The answer when an op failed in a way that nobody foresaw."""
    return answers.failure(f"internal error in {request.__struct_config__.tag}; the daemon's log says more")
