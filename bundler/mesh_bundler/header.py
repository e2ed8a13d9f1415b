"""What kind of executable a file is, from its first bytes (spec 09 §8.5): a file is not run to learn that it cannot.

`parse` is pure; `inspect` reads the few bytes it needs from a file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mesh_common.files import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from mesh_bundler.target import Platform

MIN_BINARY_BYTES = 1024 * 1024
"""Consumers refuse anything smaller as a stub or a script (spec 09 I2)."""
HEAD_BYTES = 64 * 1024
"""Program headers, PE offset and fat slices all lie well inside."""

_ELF_MACHINES = {0x3E: "x86_64", 0xB7: "aarch64", 0xF3: "riscv64", 0x03: "i686"}
_PE_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64", 0x14C: "i686"}
_MACH_CPUS = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_PT_INTERP = 3


class BadHeader(ValueError):
    """Not an executable we know. `code` is the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Header:
    """Format and processor; `slices` of a fat Mach-O; `libc` of an ELF (None: static, or not told)."""

    format: str  # "elf" | "pe" | "macho"
    arch: str
    slices: tuple[str, ...] = ()
    libc: str | None = None

    def __str__(self) -> str:
        what = "/".join(self.slices) or self.arch
        return f"{self.format} {what}" + (f" {self.libc}" if self.libc else "")


def parse(head: bytes, size: int | None = None) -> Header:
    """Read the first bytes of a file of `size` bytes (default: these are all). Raises `BadHeader`."""
    size = len(head) if size is None else size
    if not head:
        raise BadHeader("empty")
    if head[:4] == b"\x7fELF":
        return _elf(head)
    if head[:2] == b"MZ":
        return _pe(head, size)
    if head[:4] == b"\xcf\xfa\xed\xfe" and len(head) >= 8:
        return Header("macho", _MACH_CPUS.get(struct.unpack_from("<I", head, 4)[0], "unknown"))
    if head[:4] == b"\xca\xfe\xba\xbe" and len(head) >= 8:
        return _fat(head)
    raise BadHeader("unknown_format")


def inspect(path: Path) -> Header:
    """`parse` for a file. Raises `BadHeader` and OSError."""
    with open_regular(path) as file:
        head = file.read(HEAD_BYTES)
        return parse(head, path.stat().st_size)


def misfit(header: Header, platform: Platform) -> str | None:
    """What the platform wants instead, or None when the executable fits."""
    wanted = f"{platform.format} {platform.arch}" + (f" {platform.libc}" if platform.libc else "")
    if header.format != platform.format or platform.arch not in (header.slices or (header.arch,)):
        return wanted
    if header.libc is not None and header.libc != platform.libc:
        return wanted
    return None


def _elf(head: bytes) -> Header:
    if len(head) < 20:
        raise BadHeader("truncated_elf")
    machine = _ELF_MACHINES.get(struct.unpack_from("<H", head, 18)[0], "unknown")
    wanted_class = 1 if machine == "i686" else 2
    if head[4] != wanted_class or head[5] != 1:
        machine = "unknown"  # big-endian, or an ABI such as x32 that no build of ours uses
    return Header("elf", machine, libc=_elf_libc(head) if machine != "unknown" and head[4] == 2 else None)


def _elf_libc(head: bytes) -> str | None:
    if len(head) < 64:
        return None
    offset, entry_size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    for index in range(min(count, 64)):
        at = offset + index * entry_size
        if entry_size < 56 or at + 56 > len(head):
            return None
        kind = struct.unpack_from("<I", head, at)[0]
        if kind == _PT_INTERP:
            start, length = struct.unpack_from("<Q", head, at + 8)[0], struct.unpack_from("<Q", head, at + 32)[0]
            loader = head[start : start + min(length, 4096)]
            if b"ld-musl" in loader:
                return "musl"
            return "glibc" if b"ld-linux" in loader or b"ld64" in loader else "other libc"
    return None


def _pe(head: bytes, size: int) -> Header:
    offset = struct.unpack_from("<I", head, 0x3C)[0] if len(head) >= 0x40 else 0
    if not 0x40 <= offset <= min(size, len(head)) - 6 or head[offset : offset + 4] != b"PE\0\0":
        raise BadHeader("truncated_pe")
    return Header("pe", _PE_MACHINES.get(struct.unpack_from("<H", head, offset + 4)[0], "unknown"))


def _fat(head: bytes) -> Header:
    count = struct.unpack_from(">I", head, 4)[0]
    if not 1 <= count <= 20:  # a Java class file starts with the same four bytes
        raise BadHeader("unknown_format")
    if len(head) < 8 + 20 * count:
        raise BadHeader("truncated_macho")
    cpus = [struct.unpack_from(">I", head, 8 + 20 * index)[0] for index in range(count)]
    return Header("macho", "universal", tuple(_MACH_CPUS.get(cpu, "unknown") for cpu in cpus))
