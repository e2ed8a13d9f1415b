"""A secret by argument, file, pipe or typing."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from mesh_common import passed_secrets
from mesh_common.passed_secrets import MAX_BYTES, NoSecret, passed_secret

if TYPE_CHECKING:
    from pathlib import Path


class Pipe:
    def __init__(self, data: bytes, *, tty: bool = False) -> None:
        self.buffer = io.BytesIO(data)
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty


@pytest.mark.parametrize("text", ["myownllm://join#abc", "abc", "x" * 5000, "a\0b", "a\nb"])
def test_an_argument_is_the_secret(text: str) -> None:
    assert passed_secret(text, "?") == text


def test_the_name_of_a_file_is_its_content(tmp_path: Path) -> None:
    path = tmp_path / "link"
    path.write_bytes(b"\xef\xbb\xbfsecret\n")
    assert passed_secret(str(path), "?") == "secret\n"
    path.write_bytes(b"\xff")
    with pytest.raises(NoSecret, match="no UTF-8 text"):
        passed_secret(str(path), "?")
    path.write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(NoSecret, match="more than 64 KiB"):
        passed_secret(str(path), "?")
    assert passed_secret(str(tmp_path), "?") == str(tmp_path)


@pytest.mark.parametrize("argument", [None, "-"])
def test_a_pipe_is_read(monkeypatch: pytest.MonkeyPatch, argument: str | None) -> None:
    monkeypatch.setattr(sys, "stdin", Pipe(b"secret"))
    assert passed_secret(argument, "?") == "secret"
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(NoSecret, match="no standard input"):
        passed_secret(argument, "?")


def test_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Pipe(b"", tty=True))
    monkeypatch.setattr(passed_secrets.getpass, "getpass", lambda prompt: f"typed at {prompt}")
    assert passed_secret(None, "? ") == "typed at ? "

    def ended(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(passed_secrets.getpass, "getpass", ended)
    with pytest.raises(NoSecret, match="nothing was typed"):
        passed_secret(None, "? ")


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "link"
    path.write_text("secret")

    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(passed_secrets, "read_regular", refuse)
    with pytest.raises(NoSecret, match=r"cannot read .*link: Permission denied"):
        passed_secret(str(path), "?")
