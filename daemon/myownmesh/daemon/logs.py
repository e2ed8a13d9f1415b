"""Logging of the daemon: to stderr, as text or JSON lines, filtered by three variables (spec 07 §2, §9)."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TextIO

from myownmesh.daemon.throttle import Throttle, left_out

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACE = 5
OFF = logging.CRITICAL + 10

LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "off": OFF,
    "0": OFF,
    "1": logging.ERROR,
    "2": logging.WARNING,
    "3": logging.INFO,
    "4": logging.DEBUG,
    "5": TRACE,
}

OWN_TARGETS = ("myownmesh", "conn_trace")
"""First words of logger names that a directive may set; those for others (crates of the reference) mean nothing."""

QUIET = ("aioice", "aiortc", "trio-websocket", "wsproto", "h11")
"""Libraries that log each packet at info: errors only, or a sick mesh fills the disk (spec 07 §12 no. 3)."""

MAX_CHARS = 4096
"""Of a message: others choose parts of it, and the bound on lines is one on their number."""
MAX_TRACEBACK_CHARS = 16_384

_NAMES = {OFF: "ERROR", logging.CRITICAL: "ERROR", logging.WARNING: "WARN", TRACE: "TRACE"}


class Filter(NamedTuple):
    """What to let through: a level for everything, levels for targets, and directives that made no sense."""

    level: int
    targets: dict[str, int]
    bad: list[str]


def parse_filter(text: str, level: int = OFF) -> Filter:
    """Read a comma list of ``LEVEL`` and ``TARGET=LEVEL``; later ones win. `level` applies where no bare level stands.

    An empty text lets only errors through.
    """
    if not text.strip():
        return Filter(logging.ERROR, {}, [])
    targets: dict[str, int] = {}
    bad: list[str] = []
    for directive in (part.strip() for part in text.split(",")):
        target, equals, word = directive.rpartition("=")
        if not directive:
            continue
        if not equals:
            if directive.lower() in LEVELS:
                level = LEVELS[directive.lower()]
            else:
                targets[directive] = TRACE  # a bare target asks for everything from it
        elif target and "=" not in target and word.lower() in LEVELS:
            targets[target] = LEVELS[word.lower()]
        else:
            bad.append(directive)
    return Filter(level, targets, bad)


def chosen_filter(environ: Mapping[str, str]) -> Filter:
    """The filter that the environment asks for: ``MYOWNMESH_LOG``, else the default with ``MYOWNMESH_LOG_EXTRA``."""
    full = environ.get("MYOWNMESH_LOG")
    if full is not None:
        return parse_filter(full, logging.ERROR)
    extra = environ.get("MYOWNMESH_LOG_EXTRA", "")
    return parse_filter(f"info,{extra}", logging.INFO)


def configure(environ: Mapping[str, str], stream: TextIO, *, background: bool = False) -> None:
    """Set logging up for this process. Never fails: a bad directive is one line on `stream`.

    With `background` a thread writes, so that a reader of stderr who has fallen asleep does not stop the mesh.
    """
    chosen = chosen_filter(environ)
    for directive in chosen.bad:
        stream.write(f"ignoring `{directive}`: invalid filter directive\n")
    logging.addLevelName(TRACE, "TRACE")
    formatter: logging.Formatter
    if environ.get("MYOWNMESH_LOG_FORMAT", "").lower() == "json":
        formatter = JsonLines()
    else:
        formatter = Text(colour=stream.isatty())
    handler = Background(stream.fileno()) if background else logging.StreamHandler(stream)
    if not isinstance(handler, Background):
        handler.addFilter(Throttle())
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(chosen.level)
    if "MYOWNMESH_LOG" not in environ:
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
    for target, level in chosen.targets.items():
        name = target.replace("::", ".")
        if name.split(".")[0] in OWN_TARGETS:
            logging.getLogger(name).setLevel(level)


class Background(logging.Handler):
    """Writes to a descriptor in a thread of its own. Lines that nobody takes are counted and dropped."""

    LINES = 2000
    """Some hundred kilobytes."""
    FLUSH_S = 0.3
    """At the end, for a reader that is alive."""
    LOOK_S = 2.0
    """How often counts of held back lines are looked for while there are any."""

    def __init__(self, descriptor: int, throttle: Throttle | None = None) -> None:
        super().__init__()
        self._throttle = throttle or Throttle()
        self._descriptor = descriptor
        self._waiting: deque[str] = deque()
        self._lost = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; never blocks."""
        with self._changed:
            if not self._throttle.filter(record):
                self._changed.notify_all()  # the writer looks for counts to tell from now on
                return
            line = self.format(record) + "\n"
            if len(self._waiting) >= self.LINES:
                self._lost += 1
                return
            if self._lost:
                line = f"({self._lost} log lines were lost because nobody read them)\n{line}"
                self._lost = 0
            self._waiting.append(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Tell every count and wait until all is written, but not for a reader that has stopped reading."""
        with self._changed:
            self._tell(all_of_them=True)
            self._changed.wait_for(lambda: not self._waiting, self.FLUSH_S)

    def _tell(self, *, all_of_them: bool = False) -> None:
        lines = [self.format(record) + "\n" for record in self._throttle.overdue(all_of_them=all_of_them)]
        self._waiting.extend(lines[: self.LINES - len(self._waiting)])
        if lines:
            self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait(self.LOOK_S if self._throttle.is_holding_back else None)
                    self._tell()
                line = self._waiting[0]
            # Not through `sys.stderr`: a thread that hangs in its lock would make the interpreter abort at the end.
            data = memoryview(line.encode("utf-8", "backslashreplace"))
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                pass  # nobody listens any more; there is no other place to say it
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()


def flush() -> None:
    """Write what is still queued, within `Background.FLUSH_S` seconds."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def _timestamp(record: logging.LogRecord) -> str:
    seconds = int(record.created)
    micros = min(int((record.created - seconds) * 1_000_000), 999_999)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{micros:06d}Z"


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno, record.levelname)


def _message(record: logging.LogRecord) -> str:
    return _shortened(record.getMessage(), MAX_CHARS)


def _shortened(text: str, most: int) -> str:
    """Of a text that is too long its two ends: the end of a traceback says what happened."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … ({len(text) - 2 * half} characters left out) … {text[-half:]}"


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    """Fields given as ``extra={"fields": {…}}``."""
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


class Text(logging.Formatter):
    """``TIME LEVEL message key=value``; colour only for a terminal, because journals keep escape codes for ever."""

    _COLOURS = {"ERROR": "31", "WARN": "33", "INFO": "32", "DEBUG": "34", "TRACE": "35"}  # noqa: RUF012 - constant

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback of an exception below it."""
        level = f"{_level(record):>5}"
        if self._colour:
            level = f"\x1b[{self._COLOURS.get(level.strip(), '0')}m{level}\x1b[0m"
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        # Peers choose parts of messages: nothing of theirs may begin a line of its own.
        message = _message(record).replace("\n", "\\n").replace("\r", "\\r").replace("\x1b", "\\x1b")
        text = f"{_timestamp(record)} {level} {message}{fields}"
        if count := left_out(record):
            text += f" (left out before it: {count} more of these)"
        if record.exc_info:
            text += "\n" + _shortened(self.formatException(record.exc_info), MAX_TRACEBACK_CHARS)
        return text


class JsonLines(logging.Formatter):
    """One JSON object per line: ``timestamp``, ``level``, ``fields`` with at least ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without a line feed inside."""
        fields: dict[str, object] = {"message": _message(record), **_fields(record)}
        if count := left_out(record):
            fields["left_out"] = count
        if record.exc_info:
            fields["exception"] = _shortened(self.formatException(record.exc_info), MAX_TRACEBACK_CHARS)
        line = {"timestamp": _timestamp(record), "level": _level(record), "fields": fields}
        return json.dumps(line, ensure_ascii=False, default=str)
