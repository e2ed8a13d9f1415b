"""Real archives, good and hostile, through the extractor (spec 09 §8.4)."""

from __future__ import annotations

import gzip
import io
import random
import stat
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from mesh_bundler.errors import Refused
from mesh_bundler.extract import extract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAEMON = random.Random(1).randbytes(1_100_000)


def tar_of(*members: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def taken_from(tmp_path: Path, data: bytes, *, wanted: str = "myownmesh", name: str = "a.tar.gz") -> bytes:
    archive = tmp_path / name
    archive.write_bytes(data)
    parts: list[bytes] = []
    extract(archive, wanted, parts.append)
    return b"".join(parts)


def code_of(tmp_path: Path, data: bytes, **named: str) -> str:
    with pytest.raises(Refused) as caught:
        taken_from(tmp_path, data, **named)
    return caught.value.code


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_dialect_is_read(tmp_path: Path, form: int) -> None:
    licence = ("docs/" + "long" * 20 + "/LICENSE", b"free")
    data = gzip.compress(tar_of(licence, ("./myownmesh", DAEMON), form=form))
    assert taken_from(tmp_path, data) == DAEMON


def test_names_longer_than_a_header_are_read(tmp_path: Path) -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = gzip.compress(tar_of(("x" * 180, b"1"), ("myownmesh", DAEMON), form=form))
        assert taken_from(tmp_path, data) == DAEMON


def _sparse(raw: bytes) -> bytes:
    head = bytearray(raw)
    head[156:157] = b"S"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head[:512])
    return bytes(head)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda raw: gzip.compress(raw)[:-1000], "archive_damaged"),
        (lambda raw: gzip.compress(raw) + b"x", "archive_trailing_data"),
        (lambda raw: gzip.compress(raw) + gzip.compress(raw), "archive_trailing_data"),
        (lambda raw: gzip.compress(raw + raw), "archive_trailing_data"),
        (lambda raw: gzip.compress(_sparse(raw)), "member_type"),
        (lambda raw: gzip.compress(raw[:100] + b"\1" + raw[101:]), "archive_damaged"),
        (lambda raw: gzip.compress(raw[: len(raw) // 2]), "archive_damaged"),
        (lambda raw: raw, "archive_damaged"),
        (lambda raw: b"", "archive_damaged"),
        (lambda raw: gzip.compress(raw + bytes(3_000_000), 1), "archive_trailing_data"),
    ],
)
def test_damaged_and_hostile_tars(tmp_path: Path, make: Callable[[bytes], bytes], code: str) -> None:
    assert code_of(tmp_path, make(tar_of(("myownmesh", DAEMON)))) == code


def test_a_size_of_thousands_of_digits_is_a_damage(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("myownmesh")
        info.pax_headers = {"size": "9" * 5000}
        archive.addfile(info)
    assert code_of(tmp_path, gzip.compress(raw.getvalue())) == "archive_damaged"


def test_a_huge_extension_header_is_not_read_into_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("bomb")
    info.type, info.size = tarfile.XHDTYPE, 200_000_000
    assert code_of(tmp_path, gzip.compress(info.tobuf() + bytes(1_000_000))) == "archive_damaged"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_special_members_refuse_the_whole_archive(tmp_path: Path, kind: bytes) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        good = tarfile.TarInfo("myownmesh")
        good.size = len(DAEMON)
        archive.addfile(good, io.BytesIO(DAEMON))
        bad = tarfile.TarInfo("link")
        bad.type, bad.linkname = kind, "myownmesh"
        archive.addfile(bad)
    assert code_of(tmp_path, gzip.compress(raw.getvalue())) == "member_type"


# ── zip ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def zip_of(*members: tuple[str, bytes], mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", method) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, method
            archive.writestr(info, data)
    return raw.getvalue()


def test_a_zip_is_read(tmp_path: Path) -> None:
    data = zip_of(("LICENSE", b"free"), ("myownmesh.exe", DAEMON))
    assert taken_from(tmp_path, data, wanted="myownmesh.exe", name="a.zip") == DAEMON


EMPTY_ZIP = zip_of(("myownmesh.exe", b""))


def _flip(data: bytes, old: bytes, new: bytes, times: int = 1) -> bytes:
    return data.replace(old, new, times)


def _packed_over(data: bytes, behind: bytes, *places: tuple[int, str, int]) -> bytes:
    """The archive with other numbers at those places behind the last record of that kind."""
    changed, at = bytearray(data), data.rfind(behind)
    for offset, layout, number in places:
        struct.pack_into(layout, changed, at + offset, number)
    return bytes(changed)


def _far_away(data: bytes, at: int) -> bytes:
    """The one member's directory entry says, as ZIP64 does, that it begins there."""
    central, end = data.rfind(b"PK\x01\x02"), data.rfind(b"PK\x05\x06")
    moved = _packed_over(data, b"PK\x01\x02", (30, "<H", 12), (42, "<I", 0xFFFFFFFF))
    extra = struct.pack("<HHQ", 1, 8, at)
    return _packed_over(moved[:end] + extra + moved[end:], b"PK\x05\x06", (12, "<I", end - central + len(extra)))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: zip_of(("myownmesh.exe", b"/bin/sh"), mode=stat.S_IFLNK | 0o777), "member_type"),
        (lambda: zip_of(("myownmesh.exe", DAEMON), method=zipfile.ZIP_BZIP2), "method"),
        (lambda: _flip(zip_of(("myownmesh.exe", DAEMON)), b"myownmesh.exe", b"myownmesh.exf"), "header_mismatch"),
        (lambda: zip_of(("myownmesh.exe", DAEMON))[:-30], "archive_damaged"),
        (lambda: zip_of(("..\\myownmesh.exe", DAEMON)), "backslash"),
        (lambda: zip_of(("myownmesh.exe", bytes(300_000_000))), "ratio"),
        (lambda: zip_of(("readme", b"x")), "binary_missing"),
        (lambda: b"PK\x03\x04 nothing more", "archive_damaged"),
        # Places before and behind the file, of which the disk would say that it cannot go there.
        (lambda: _packed_over(EMPTY_ZIP, b"PK\x05\x06", (16, "<I", len(EMPTY_ZIP))), "archive_damaged"),
        (lambda: _far_away(EMPTY_ZIP, 2**64 - 1), "archive_damaged"),
        (lambda: _far_away(EMPTY_ZIP, 2**62), "archive_damaged"),
        (lambda: _packed_over(EMPTY_ZIP, b"PK\x01\x02", (8, "<H", 0x800), (46, "<B", 0xFF)), "archive_damaged"),
    ],
)
def test_damaged_and_hostile_zips(tmp_path: Path, make: Callable[[], bytes], code: str) -> None:
    assert code_of(tmp_path, make(), wanted="myownmesh.exe", name="a.zip") == code


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_of(("myownmesh.exe", DAEMON)))
    central = data.rfind(b"PK\x01\x02")
    data[6] |= 1
    data[central + 8] |= 1
    assert code_of(tmp_path, bytes(data), wanted="myownmesh.exe", name="a.zip") == "encrypted"
