"""JSON files as editors leave them: marks, encodings, line ends, and the place of what is wrong."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from mesh_common.handwritten import fault, in_style_of, other_encoding, read_all, without_mark

TEXT = '{\n  "a": 1\n}'


def test_a_mark_is_no_part_of_the_text() -> None:
    assert without_mark(TEXT.encode("utf-8-sig")) == TEXT.encode()
    assert without_mark(TEXT.encode()) == TEXT.encode()


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_called_by_its_name(codec: str) -> None:
    assert other_encoding(TEXT.encode(codec)) == codec[:6].upper()


@pytest.mark.parametrize("data", [TEXT.encode(), TEXT.encode("utf-8-sig"), b"", bytes(64), b"\xff\xfe", b"\xff" * 9])
def test_what_is_no_text_of_another_encoding(data: bytes) -> None:
    assert other_encoding(data) is None


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{\n  "a": 1,\n}', "line 3 column 1: "),
        (b'\xef\xbb\xbf{"a" 1}', "line 1 column 6: "),
        (b'{\r\n"label": "Ger\xe4t"}', "line 2 column 14: not UTF-8"),
        (b"", "line 1 column 1: "),
        (b"[1]", "not an object"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"version": ' + b"9" * 5000 + b"}", "a number has too many digits"),
    ],
)
def test_a_fault_has_its_place(data: bytes, told: str) -> None:
    assert fault(data).startswith(told)


def test_a_file_keeps_its_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert in_style_of(TEXT, path) == TEXT.encode()
    path.write_bytes(b"{\r\n}\r\n")
    assert in_style_of(TEXT, path) == TEXT.replace("\n", "\r\n").encode()
    path.write_bytes(b"{\n}\n")
    assert in_style_of(TEXT, path) == TEXT.encode()


def test_what_is_handed_in_has_an_end() -> None:
    """A device never ends, and what is larger than any argument is none."""
    assert read_all(BytesIO(b"x")) == b"x"
    with Path("/dev/zero").open("rb") as endless, pytest.raises(OSError, match="larger than 16 MiB"):
        read_all(endless)
