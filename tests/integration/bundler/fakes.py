"""Native programs of a few bytes that behave like a daemon's `--version`: right, old, hanging, noisy, forking.

Written as machine code so that no compiler and no header bypass is needed: the bundler sees real executables.
Linux on x86_64 only, like the integration tests that run them.
"""

from __future__ import annotations

import os
import random
import struct
from functools import lru_cache
from pathlib import Path

_BASE = 0x400000
_SIZE = 1024 * 1024 + 4096  # the smallest size that consumers accept, and a bit

_EXIT = b"\xb8\x3c\x00\x00\x00\xbf%b\x0f\x05"  # mov eax,60; mov edi,code; syscall
_PAUSE = b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7"  # again: mov eax,34; syscall; jmp again
_FORK = b"\xb8\x39\x00\x00\x00\x0f\x05\x85\xc0\x75\x09"  # mov eax,57; syscall; test eax,eax; jnz past the next 9 bytes


class Program:
    """A list of system calls, turned into an ELF file by `build`."""

    def __init__(self) -> None:
        self._code: list[bytes] = []
        self._data: list[bytes] = []

    def say(self, data: bytes, fd: int = 1, times: int = 1) -> Program:
        """write(2), `times` over."""
        at = sum(map(len, self._data))
        self._data.append(data)
        for _ in range(times):
            self._code.append(
                b"\xb8\x01\x00\x00\x00\xbf" + struct.pack("<I", fd) + b"\x48\xbe<" + struct.pack("<I", at) + b"....."
                b"\xba" + struct.pack("<I", len(data)) + b"\x0f\x05"
            )  # fmt: skip
        return self

    def ignore_sigterm(self) -> Program:
        at = sum(map(len, self._data))
        self._data.append(struct.pack("<QQQQ", 1, 0, 0, 0))  # SIG_IGN
        self._code.append(
            b"\xb8\x0d\x00\x00\x00\xbf\x0f\x00\x00\x00\x48\xbe<" + struct.pack("<I", at) + b"....."
            b"\x31\xd2\x41\xba\x08\x00\x00\x00\x0f\x05"
        )  # fmt: skip
        return self

    def fork_and_hang(self) -> Program:
        """A child that stays for ever; the parent goes on."""
        self._code += [_FORK, _PAUSE]
        return self

    def hang(self) -> Program:
        self._code.append(_PAUSE)
        return self

    def become(self, path: str) -> Program:
        """execve(2) of that program, with the arguments and the environment of this one."""
        at = sum(map(len, self._data))
        self._data.append(path.encode() + b"\0")
        self._code.append(
            b"\x48\xbe<" + struct.pack("<I", at) + b"....."
            b"\x48\x89\xf7\x48\x8b\x04\x24\x48\x8d\x74\x24\x08\x48\x8d\x54\xc4\x10\xb8\x3b\x00\x00\x00\x0f\x05"
        )  # fmt: skip
        return self

    def exit(self, code: int) -> Program:
        self._code.append(_EXIT % struct.pack("<I", code))
        return self

    def crash(self) -> Program:
        self._code.append(b"\x0f\x0b")  # ud2
        return self

    def build(self, *, salt: str = "", machine: int = 0x3E, size: int = _SIZE) -> bytes:
        """An ELF executable; `salt` makes files of the same program differ, `machine` can lie about the processor."""
        start = 64 + 56
        code = b"".join(self._code)
        data_at = _BASE + start + len(code)
        parts, index = [], 0
        while index < len(code):  # resolve `mov rsi, <data offset>` placeholders: 48 be '<' u32 '.....'
            if code[index : index + 3] == b"\x48\xbe<" and code[index + 7 : index + 12] == b".....":
                offset = struct.unpack_from("<I", code, index + 3)[0]
                parts.append(b"\x48\xbe" + struct.pack("<Q", data_at + offset) + b"\x90\x90")
                index += 12
            else:
                parts.append(code[index : index + 1])
                index += 1
        body = b"".join(parts) + b"".join(self._data)
        length = start + len(body)
        magic = b"\x7fELF\x02\x01\x01" + bytes(9)
        numbers = (2, machine, 1, _BASE + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        head = struct.pack("<16sHHIQQQIHHHHHH", magic, *numbers)
        load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, length, length, 0x1000)
        return (head + load + body + _filler(salt, max(0, size - length)))[: max(size, 64)]


@lru_cache(maxsize=8)
def _filler(salt: str, size: int) -> bytes:
    return random.Random(salt).randbytes(size)


@lru_cache(maxsize=8)
def daemon(version: str = "0.1.2", *, salt: str = "", program: str = "myownmesh") -> bytes:
    """A daemon that answers `--version` as it should."""
    return Program().say(f"{program} {version}\n".encode()).exit(0).build(salt=salt or version)


def install(path: Path, data: bytes) -> Path:
    """Write an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o755)
    return path


def running(path: Path) -> list[int]:
    """Processes that run this file."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if Path(f"/proc/{entry.name}/exe").readlink() == path:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
