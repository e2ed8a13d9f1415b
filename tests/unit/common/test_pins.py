"""One reader of pin files: what cannot be read is refused, never "any version will do" (spec 09 §2)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mesh_bundler import EnsureRequest, Refused
from mesh_bundler.plan import make_plan
from mesh_common.pins import NoPin, Pin, PinError, read_pin
from myownllm.errors import AppError
from myownllm.home import find_pin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = ".myownmesh-rev"

READABLE = [
    (b"v0.3.8\n", "v0.3.8"),
    (b"\xef\xbb\xbfv0.3.8\r\n", "v0.3.8"),
    (b"# the daemon\nv0.3.8 # why\n", "v0.3.8"),
    (b"0.3.8", "0.3.8"),
    (b" \t v0.3.8 \t\r\r\n#\n\n", "v0.3.8"),
    (b"v0.3.8\r# old Mac\r", "v0.3.8"),
    (b"a" * 40, "a" * 40),
]
UNREADABLE = [
    b"\xff\xfev\x000",
    b"latest",
    b"v0.3",
    b"v0.3.8\nv0.3.9",
    b"x" * 5000,
    b"v0.3.8\x00",
    "v0.3.8".encode("utf-16-le"),
    "v0.3.8".encode("utf-16"),
    b"v0.3.8#why",
]


@pytest.mark.parametrize(("data", "raw"), READABLE)
def test_app_and_bundler_read_the_same_pin(tmp_path: Path, data: bytes, raw: str) -> None:
    (tmp_path / NAME).write_bytes(data)
    pin = make_plan(EnsureRequest(repo_root=tmp_path, env={}, skip=True)).pin
    assert isinstance(pin, Pin)
    assert (pin.raw, find_pin(tmp_path / "deep" / "package")) == (raw, raw)


@pytest.mark.parametrize("data", UNREADABLE)
def test_app_and_bundler_refuse_the_same_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(Refused) as caught:
        make_plan(EnsureRequest(repo_root=tmp_path, env={}, skip=True))
    assert (caught.value.code[:4], caught.value.exit_code) == ("pin_", 3)
    with pytest.raises(AppError, match=r"\.myownmesh-rev: The pin .*cannot be used"):
        find_pin(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"# nothing yet\n"])
def test_an_empty_pin_file_is_not_a_missing_one(tmp_path: Path, data: bytes) -> None:
    assert read_pin(tmp_path / NAME) == NoPin("missing_file")
    (tmp_path / NAME).write_bytes(data)
    assert read_pin(tmp_path / NAME) == NoPin("empty_file")
    with pytest.raises(AppError, match="is empty"):
        find_pin(tmp_path)


def _directory(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


UNOPENED = [_directory, _loop, _pipe, _device]


@pytest.mark.parametrize("make", UNOPENED)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        (NAME, "pin_unreadable"),
        (".myownmesh-lock.json", "lock_malformed"),
        ("mesh-bundler.toml", "config_malformed"),
        ("pyproject.toml", "config_malformed"),
    ],
)
def test_what_is_there_and_cannot_be_read_is_refused(
    tmp_path: Path, name: str, code: str, make: Callable[[Path], None]
) -> None:
    """A file that pins, locks or configures must not stop doing so in silence, and holds nobody up."""
    (tmp_path / NAME).write_bytes(b"v0.3.8")
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    with pytest.raises(Refused, match="cannot be read") as caught:
        make_plan(EnsureRequest(repo_root=tmp_path, env={}, skip=True))
    assert caught.value.code == code


@pytest.mark.parametrize("make", UNOPENED)
def test_the_app_refuses_the_pin_for_the_same_reason(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / NAME)
    with pytest.raises(PinError, match="cannot be read"):
        read_pin(tmp_path / NAME)
    with pytest.raises(AppError, match="cannot be read"):
        find_pin(tmp_path)


def test_a_pin_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(PinError, match="Is a directory") as caught:
        read_pin(tmp_path / NAME)
    assert caught.value.code == "pin_unreadable"
    with pytest.raises(AppError, match="Is a directory"):
        find_pin(tmp_path)
