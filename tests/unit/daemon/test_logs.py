"""Log lines and filters (spec 07 §2, §9)."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
from typing import TYPE_CHECKING

import pytest

from myownmesh.daemon.logs import (
    MAX_CHARS,
    MAX_TRACEBACK_CHARS,
    OFF,
    TRACE,
    Background,
    JsonLines,
    Text,
    chosen_filter,
    configure,
    parse_filter,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for name in ("myownmesh", "myownmesh.engine", "conn_trace", "aioice", "aiortc", "trio-websocket", "wsproto", "h11"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def record(message: str, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("myownmesh.x", level, __file__, 1, message, (), None)
    made.created = 1700000000.123456
    vars(made).update(extra)
    return made


@pytest.mark.parametrize(
    ("text", "level", "targets", "bad"),
    [
        ("info", logging.INFO, {}, []),
        ("WARN", logging.WARNING, {}, []),
        ("off", OFF, {}, []),
        ("", logging.ERROR, {}, []),
        ("  ", logging.ERROR, {}, []),
        ("info,myownmesh=debug", logging.INFO, {"myownmesh": logging.DEBUG}, []),
        ("info, debug ,", logging.DEBUG, {}, []),
        ("error,a=trace,a=off", logging.ERROR, {"a": OFF}, []),
        ("info,webrtc_ice", logging.INFO, {"webrtc_ice": TRACE}, []),
        ("info,x=loud", logging.INFO, {}, ["x=loud"]),
        ("a=b=c,=info", OFF, {}, ["a=b=c", "=info"]),
    ],
)
def test_filters_are_read_as_the_reference_reads_them(
    text: str, level: int, targets: dict[str, int], bad: list[str]
) -> None:
    assert parse_filter(text) == (level, targets, bad)


def test_extra_directives_add_to_the_default_and_yield_to_a_full_filter() -> None:
    assert chosen_filter({}) == (logging.INFO, {}, [])
    assert chosen_filter({"MYOWNMESH_LOG_EXTRA": "myownmesh=debug"}).targets == {"myownmesh": logging.DEBUG}
    assert chosen_filter({"MYOWNMESH_LOG_EXTRA": "debug"}).level == logging.DEBUG
    assert chosen_filter({"MYOWNMESH_LOG": "error", "MYOWNMESH_LOG_EXTRA": "debug"}) == (logging.ERROR, {}, [])
    assert chosen_filter({"MYOWNMESH_LOG": ""}).level == logging.ERROR


def test_a_bad_directive_is_one_line_and_nothing_more() -> None:
    stream = io.StringIO()
    configure({"MYOWNMESH_LOG": "info,x=loud"}, stream)
    logging.getLogger("myownmesh.x").info("hello")
    first, second = stream.getvalue().splitlines()
    assert first == "ignoring `x=loud`: invalid filter directive"
    assert second.endswith(" INFO hello")


def test_a_target_of_ours_is_set_and_one_of_the_reference_means_nothing() -> None:
    stream = io.StringIO()
    configure({"MYOWNMESH_LOG": "warn,myownmesh::engine=debug,webrtc_sctp=trace"}, stream)
    logging.getLogger("myownmesh.engine").debug("seen")
    logging.getLogger("myownmesh.store").info("unseen")
    logging.getLogger("webrtc_sctp").info("unseen too")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["seen"]


def test_libraries_are_quiet_unless_a_full_filter_says_otherwise() -> None:
    configure({}, io.StringIO())
    assert not logging.getLogger("aioice").isEnabledFor(logging.WARNING)


def test_a_text_line_has_utc_microseconds_a_padded_level_and_fields() -> None:
    line = Text(colour=False).format(record("joined", fields={"network": "home", "n": 3}))
    assert line == "2023-11-14T22:13:20.123456Z  INFO joined network=home n=3"
    assert Text(colour=False).format(record("x", logging.WARNING)).split("Z ", 1)[1] == " WARN x"
    assert Text(colour=False).format(record("x", logging.CRITICAL)).split("Z ", 1)[1] == "ERROR x"


def test_colour_only_on_a_terminal() -> None:
    assert "\x1b[" in Text(colour=True).format(record("x"))
    assert "\x1b" not in Text(colour=False).format(record("x"))


def test_a_message_cannot_forge_a_line_or_steer_a_terminal() -> None:
    line = Text(colour=False).format(record("label a\n2023-01-01 INFO forged\x1b[2J"))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


@pytest.mark.parametrize("formatter", [Text(colour=False), JsonLines()], ids=["text", "json"])
def test_what_others_chose_makes_no_line_long(formatter: logging.Formatter) -> None:
    """A record id may have 256 KiB, and its line comes as often as a place in the code may log."""
    assert len(formatter.format(record("joined " + "x" * 300_000))) < 2 * MAX_CHARS
    try:
        raise ValueError("y" * 300_000 + " and so it ended")
    except ValueError:
        told = record("op failed")
        told.exc_info = sys.exc_info()
    line = formatter.format(told)
    assert len(line) < 2 * MAX_TRACEBACK_CHARS
    assert "characters left out" in line
    assert "and so it ended" in line


def test_json_lines_are_one_object_each() -> None:
    stream = io.StringIO()
    configure({"MYOWNMESH_LOG_FORMAT": "JSON"}, stream)
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("myownmesh.x").exception("it\nbroke", extra={"fields": {"peer": "k"}})
    [line] = stream.getvalue().splitlines()
    value = json.loads(line)
    assert list(value) == ["timestamp", "level", "fields"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", value["timestamp"])
    assert value["level"] == "ERROR"
    assert value["fields"]["message"] == "it\nbroke"
    assert value["fields"]["peer"] == "k"
    assert "ValueError: boom" in value["fields"]["exception"]
    assert json.loads(JsonLines().format(record("x")))["fields"] == {"message": "x"}


def test_a_background_handler_writes_in_order_and_counts_what_it_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    handler = Background(writer)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for number in range(3):
        handler.emit(record(f"line {number}"))
    handler.flush()
    assert os.read(reader, 4096) == b"line 0\nline 1\nline 2\n"
    monkeypatch.setattr(Background, "LINES", 0)
    handler.emit(record("lost"))
    monkeypatch.setattr(Background, "LINES", 10)
    handler.emit(record("after"))
    handler.flush()
    assert os.read(reader, 4096) == b"(1 log lines were lost because nobody read them)\nafter\n"
    os.close(reader)
    handler.emit(record("to nobody"))
    handler.flush()
    os.close(writer)
