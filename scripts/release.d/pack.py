"""From a folder to the two artefacts: a single native executable, and archives that are the same every time."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import subprocess
import tarfile
import zlib
from pathlib import Path

_MAGIC = b"MOMPACK1"
_TRAILER = struct.Struct("<64s64sQQQ8s")
_ENTRY = struct.Struct("<BHHQ")
_HERE = Path(__file__).parent
LEVEL = 6
"""Level 9 takes four times as long and saves one percent."""
QUICK = 1
"""For what is compressed already, and for builds that are only tried."""


def compile_stub(target: Path, epoch: int) -> None:
    """The unpacking half, static: it runs on any kernel of this processor."""
    _gcc(["-static", str(_HERE / "stub.c"), "-lz", "-o", str(target)], epoch)


def compile_runtime(target: Path, include: Path, library: Path, epoch: int) -> None:
    """The interpreter half. An old-style run path also counts for the libraries that extensions load."""
    flags = [
        f"-I{include}",
        str(_HERE / "runtime.c"),
        str(library),
        "-Wl,--disable-new-dtags",
        "-Wl,-rpath,$ORIGIN/lib",
    ]
    _gcc([*flags, "-o", str(target)], epoch)


def _gcc(arguments: list[str], epoch: int) -> None:
    common = ["-O2", "-s", "-Wall", "-Wextra", "-Werror", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"]
    common += [f"-ffile-prefix-map={_HERE}=.", "-Wl,--build-id=none", "-Wl,-z,relro,-z,now"]
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(["gcc", *common, *arguments], check=True, env=env)


def single_file(stub: Path, folder: Path, version: str, level: int) -> bytes:
    """stub + compressed folder + trailer. The trailer is checked against the payload before this returns."""
    payload, unpacked = _payload(folder, level)
    head = stub.read_bytes()
    digest = hashlib.sha256(payload).hexdigest()
    trailer = _TRAILER.pack(
        version.encode().ljust(64, b"\0"), digest.encode(), len(head), len(payload), unpacked, _MAGIC
    )
    data = head + payload + trailer
    said, named, offset, packed, size, _ = _TRAILER.unpack(data[-_TRAILER.size :])
    body = data[offset : offset + packed]
    if said.rstrip(b"\0") != version.encode() or hashlib.sha256(body).hexdigest().encode() != named:
        raise SystemExit("the trailer does not describe the payload")
    if len(zlib.decompress(body)) != size:
        raise SystemExit("the payload does not unpack to what the trailer says")
    return data


def _payload(folder: Path, level: int) -> tuple[bytes, int]:
    packer, parts, size = zlib.compressobj(level), list[bytes](), 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix().encode()
        data = b"" if path.is_dir() else path.read_bytes()
        mode = 0o755 if data[:4] == b"\x7fELF" else 0o644
        head = _ENTRY.pack(2 if path.is_dir() else 1, mode, len(name), len(data))
        for piece in (head, name, data):
            parts.append(packer.compress(piece))
            size += len(piece)
    end = _ENTRY.pack(0, 0, 0, 0)
    parts += [packer.compress(end), packer.flush()]
    return b"".join(parts), size + len(end)


def tar_gz(members: list[tuple[str, bytes, int]], epoch: int, level: int) -> bytes:
    """A tar.gz with one owner, one time and one order; `members` are (name, content, mode)."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data, mode in sorted(members):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), mode, epoch
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), compresslevel=level, mtime=0)


def folder_members(folder: Path, root: str) -> list[tuple[str, bytes, int]]:
    """Every file of a folder below one root name."""
    rows = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            rows.append(
                (f"{root}/{path.relative_to(folder).as_posix()}", data, 0o755 if data[:4] == b"\x7fELF" else 0o644)
            )
    return rows
