"""Columns for a terminal: aligned whatever stands in them, and harmless."""

from __future__ import annotations

from mesh_common.tables import columns, facts, width


def test_columns_line_up_and_lines_have_no_tail() -> None:
    assert columns([["a", "xy"], ["longer", ""]], ["N", "HEAD"]) == "N       HEAD\na       xy\nlonger"


def test_wide_and_combining_letters_count_as_what_they_take() -> None:
    assert (width("abc"), width("日本"), width("e\u0301")) == (3, 4, 1)
    assert columns([["日本", "x"], ["abcd", "y"]], ["", ""]).splitlines()[1:] == ["日本  x", "abcd  y"]


def test_nothing_moves_the_cursor_or_turns_the_line_around() -> None:
    text = columns([["\x1b[31mred", "a\nb"]], ["x", "y\u202e"]) + facts({"name\t": "v\x07"})
    assert {letter for letter in text if not letter.isprintable()} == {"\n"}
    assert text.count("\n") == 1
