"""One reader of pin files: what cannot be read is refused, never "any version will do" (spec 09 §2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh_bundler import EnsureRequest, Refused
from mesh_bundler.plan import make_plan
from mesh_common.pins import NoPin, Pin, PinError, read_pin
from myownllm.errors import AppError
from myownllm.home import find_pin

if TYPE_CHECKING:
    from pathlib import Path

NAME = ".myownmesh-rev"

READABLE = [
    (b"v0.3.8\n", "v0.3.8"),
    (b"\xef\xbb\xbfv0.3.8\r\n", "v0.3.8"),
    (b"# the daemon\nv0.3.8 # why\n", "v0.3.8"),
    (b"0.3.8", "0.3.8"),
    (b"a" * 40, "a" * 40),
]
UNREADABLE = [b"\xff\xfev\x000", b"latest", b"v0.3", b"v0.3.8\nv0.3.9", b"x" * 5000, b"v0.3.8\x00"]


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


def test_a_pin_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(PinError, match="Is a directory") as caught:
        read_pin(tmp_path / NAME)
    assert caught.value.code == "pin_unreadable"
    with pytest.raises(AppError, match="Is a directory"):
        find_pin(tmp_path)
