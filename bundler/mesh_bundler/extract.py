"""Taking the one wanted file out of a release archive (spec 09 §8.4).

Members are read as streams and only the wanted one is written, to a file that we name. The tar reader is our own: it
knows plain files and folders, reads bounded headers and nothing clever, which is all a release needs.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING

from mesh_bundler.archive_rules import MAX_FOLDER_MEMBERS, MAX_TOTAL_BYTES, ArchiveGuard, Member
from mesh_bundler.files import CHUNK
from mesh_common.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_BLOCK = 512
_HEADER_RECORD_MAX = 64 * 1024
"""Bytes of one pax or long-name record."""
_PADDING_MAX = 64 * 1024
"""Bytes of zeros behind the end mark; tar writes at most 10 KiB."""
_OVERHEAD = 1024 * 1024
"""Headers and padding that a tar stream may add to its members."""
_DIGITS_MAX = 20
"""Of a member's size in a pax record; Python itself reads no number of more than some thousands."""
_ZERO = bytes(_BLOCK)
_ELF = b"\x7fELF"


def extract(archive: Path, wanted: str, write: Callable[[bytes], object]) -> list[str]:
    """Feed the content of member `wanted` to `write`; returns the names of other plain files, which are ignored.

    Raises `Refused` (exit 7) for every archive that breaks a rule; what was written until then must be thrown away.
    """
    guard = ArchiveGuard(wanted, archive.stat().st_size)
    with open_regular(archive) as file:
        if archive.name.endswith(".zip") or file.read(4) == b"PK\x03\x04":
            _extract_zip(archive, guard, write)
        else:
            file.seek(0)
            _extract_tar(_OneGzipStream(file, guard), guard, write)
    guard.finish()
    return guard.ignored


def extract_folder(archive: Path, root: str, program: str, into: Path) -> None:
    """Unpack an archive whose members all lie in the folder `root` into the empty folder `into` (spec 09 §8.4).

    `program` must be in it. What begins as a native program gets the mode of one, whatever the archive says. Raises
    `Refused` (exit 7) for every archive that breaks a rule; what was written until then must be thrown away.
    """
    guard = ArchiveGuard(
        f"{root}/{program}", archive.stat().st_size, most_members=MAX_FOLDER_MEMBERS, least_bytes=len(_ELF)
    )
    with open_regular(archive) as file:
        stream = _OneGzipStream(file, guard)
        for member in _tar_members(stream, guard):
            wanted = guard.admit(member)
            path = _inside(into, root, member, guard)
            try:
                if member.type == "dir":
                    path.mkdir(mode=0o755, parents=True, exist_ok=True)
                else:
                    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                    _write_member(stream, member, path, guard, wanted=wanted)
            except (FileExistsError, NotADirectoryError):
                raise guard.refusal("duplicate", member.name) from None
        _check_end(stream, guard)
    guard.finish()


def _inside(into: Path, root: str, member: Member, guard: ArchiveGuard) -> Path:
    """Where a member goes; its name was admitted, so it climbs nowhere."""
    first, *rest = [part for part in member.name.rstrip("/").split("/") if part != "."] or [""]
    if first != root or (not rest and member.type != "dir"):
        raise guard.refusal("outside_folder", member.name)
    return into.joinpath(*rest)


def _write_member(stream: _OneGzipStream, member: Member, path: Path, guard: ArchiveGuard, *, wanted: bool) -> None:
    left, head = member.size, b""
    with path.open("xb") as file:
        while left:
            data = stream.exactly(min(left, CHUNK))
            left -= len(data)
            guard.produced(len(data), wanted=wanted, name=member.name)
            file.write(data)
            head = head or data[: len(_ELF)]
    path.chmod(0o755 if head == _ELF else 0o644)
    stream.exactly(-member.size % _BLOCK)


# ── tar.gz ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _OneGzipStream:
    """Exactly one gzip stream with nothing behind it, decompressed in bounded steps."""

    def __init__(self, file: IO[bytes], guard: ArchiveGuard) -> None:
        self._file, self._guard = file, guard
        self._inflate = zlib.decompressobj(wbits=31)
        self._buffer = b""
        self._budget = MAX_TOTAL_BYTES + _OVERHEAD

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        while len(self._buffer) < size and (more := self._more()):
            self._buffer += more
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def exactly(self, size: int) -> bytes:
        data = self.read(size)
        if len(data) != size:
            raise self._guard.refusal("archive_damaged")
        return data

    def _more(self) -> bytes:
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(64 * 1024)
            if not packed:
                raise self._guard.refusal("archive_damaged")
            try:
                data = self._inflate.decompress(packed, CHUNK)
            except zlib.error:
                raise self._guard.refusal("archive_damaged") from None
            self._budget -= len(data)
            if self._budget < 0:
                raise self._guard.refusal("total_too_large")
            if data:
                return data
        if self._inflate.unused_data or self._file.read(1):
            raise self._guard.refusal("archive_trailing_data")
        return b""


def _extract_tar(stream: _OneGzipStream, guard: ArchiveGuard, write: Callable[[bytes], object]) -> None:
    for member in _tar_members(stream, guard):
        wanted = guard.admit(member)
        left = member.size
        while left:
            data = stream.exactly(min(left, CHUNK))
            left -= len(data)
            guard.produced(len(data), wanted=wanted, name=member.name)
            if wanted:
                write(data)
        stream.exactly(-member.size % _BLOCK)
    _check_end(stream, guard)


def _check_end(stream: _OneGzipStream, guard: ArchiveGuard) -> None:
    """Padding up to the tar record size may follow, then the gzip stream must end."""
    if stream.read(_PADDING_MAX).strip(b"\0") or stream.read(1):
        raise guard.refusal("archive_trailing_data")


def _tar_members(stream: _OneGzipStream, guard: ArchiveGuard) -> Iterator[Member]:
    """Members up to the end mark. Long names and pax records change the next member only."""
    name: str | None = None
    size: int | None = None
    while True:
        head = stream.exactly(_BLOCK)
        if head == _ZERO:
            return
        if _octal(head[148:156], guard) != sum(head[:148]) + 8 * 0x20 + sum(head[156:]):
            raise guard.refusal("archive_damaged")
        kind, own_size = head[156:157], _octal(head[124:136], guard)
        if kind in (b"x", b"g", b"L"):
            if own_size > _HEADER_RECORD_MAX:
                raise guard.refusal("archive_damaged")
            guard.produced(own_size, wanted=False)
            data = stream.exactly(own_size)
            stream.exactly(-own_size % _BLOCK)
            if kind == b"L":
                name = _text(data.rstrip(b"\0"), guard)
            elif kind == b"x":
                values = _pax(data, guard)
                name = values.get("path", name)
                size = _decimal(values["size"], guard) if values.get("size", "").isdecimal() else size
            continue
        types = {b"0": "file", b"\0": "file", b"7": "file", b"5": "dir"}
        shown = name if name is not None else _ustar_name(head, guard)
        member_type = types.get(kind, "special")
        if member_type == "file" and shown.endswith("/"):
            member_type = "dir"  # how tar before POSIX wrote folders
        total = own_size if size is None else size
        yield Member(shown, member_type, total if member_type == "file" else 0)
        if member_type == "dir" and total:
            raise guard.refusal("archive_damaged")
        name = size = None


def _ustar_name(head: bytes, guard: ArchiveGuard) -> str:
    name = _text(head[:100].split(b"\0", 1)[0], guard)
    prefix = head[345:500].split(b"\0", 1)[0] if head[257:262] == b"ustar" and head[262:264] != b" \0" else b""
    return f"{_text(prefix, guard)}/{name}" if prefix else name


def _octal(field: bytes, guard: ArchiveGuard) -> int:
    text = field.strip(b" \0") or b"0"
    try:
        return int(text, 8)  # base-256 sizes are for members above 8 GiB, which are refused anyway
    except ValueError:
        raise guard.refusal("archive_damaged") from None


def _decimal(digits: str, guard: ArchiveGuard) -> int:
    if len(digits) > _DIGITS_MAX:
        raise guard.refusal("archive_damaged")
    return int(digits)


def _text(data: bytes, guard: ArchiveGuard) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise guard.refusal("member_name") from None


def _pax(data: bytes, guard: ArchiveGuard) -> dict[str, str]:
    values: dict[str, str] = {}
    while data.strip(b"\0"):
        length_text, blank, _ = data.partition(b" ")
        length = int(length_text) if length_text.isdigit() and len(length_text) < 8 else 0
        line = data[len(length_text) + 1 : length]
        if not blank or not 5 <= length <= len(data) or not line.endswith(b"\n"):
            raise guard.refusal("archive_damaged")
        key, _, value = line[:-1].partition(b"=")
        if key.startswith(b"GNU.sparse"):
            raise guard.refusal("member_type")
        if key in (b"path", b"size"):
            values[key.decode()] = _text(value, guard)
        data = data[length:]
    return values


# ── zip ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    struct.error,
    UnicodeDecodeError,
    OSError,
)
"""What the standard library's reader raises for an archive that is none."""


def _extract_zip(path: Path, guard: ArchiveGuard, write: Callable[[bytes], object]) -> None:
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
            for info in archive.infolist():
                wanted = guard.admit(_zip_member(info))
                _check_local_header(raw, info, guard)
                if not info.is_dir():
                    _copy_zip_member(archive, info, guard, write if wanted else None)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the archive's
        raise guard.refusal("archive_damaged") from None


def _zip_member(info: zipfile.ZipInfo) -> Member:
    file_type = stat.S_IFMT(info.external_attr >> 16)
    kinds = {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "dir"}
    kind = kinds.get(file_type, "special")
    if info.orig_filename.endswith("/") and kind == "file":
        kind = "dir"
    return Member(info.orig_filename, kind, info.file_size, bool(info.flag_bits & 0x1))


def _check_local_header(raw: IO[bytes], info: zipfile.ZipInfo, guard: ArchiveGuard) -> None:
    if not 0 <= info.header_offset < guard.archive_size:
        raise guard.refusal("archive_damaged")
    raw.seek(info.header_offset)
    head = raw.read(30)
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        raise guard.refusal("archive_damaged")
    flags, method = struct.unpack_from("<HH", head, 6)
    name = raw.read(struct.unpack_from("<H", head, 26)[0])
    if flags & 0x1:
        raise guard.refusal("encrypted", info.orig_filename)
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise guard.refusal("method", info.orig_filename)
    central = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
    if method != info.compress_type or name != central:
        raise guard.refusal("header_mismatch", info.orig_filename)


def _copy_zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, guard: ArchiveGuard, write: Callable[[bytes], object] | None
) -> None:
    with archive.open(info) as member:
        while data := member.read(64 * 1024):
            guard.produced(len(data), wanted=write is not None, name=info.orig_filename)
            if write is not None:
                write(data)
