"""What a model may use on this device when the person who asks it offers that: `shell`, `write_file`, `read_file`.

The first two pass the gate (spec 08 §9.9). Every one is bounded in time and in what it gives back.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import trio

from mesh_common.files import write_atomically
from mesh_common.programs import own_group
from mesh_common.values import Value
from myownllm.inference.loop import RESULT_MAX_CHARS

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject
    from myownllm.inference.loop import Function

SHELL_S: Final = 120.0
"""A command may take so long; then it and all it started is ended."""
READ_MAX_BYTES: Final = RESULT_MAX_CHARS
WRITE_MAX_BYTES: Final = 4 * 2**20
_NEW_FILE: Final = 0o600


def _definition(name: str, description: str, *members: str) -> JsonObject:
    properties = {member: {"type": "string"} for member in members}
    parameters = {"type": "object", "properties": properties, "required": list(members)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _text(arguments: JsonObject, member: str) -> str:
    value = arguments.get(member)
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"`{member}` must be a text")
    return value


def _path(arguments: JsonObject) -> Path:
    path = Path(_text(arguments, "path"))
    if not path.is_absolute():
        raise ValueError("`path` must be absolute")
    return Path(os.path.normpath(path))


class Shell(Value, frozen=True):
    """A command in the home directory of the person who runs the app."""

    definition: ClassVar[JsonObject] = _definition(
        "shell", "Run a shell command; returns its output and exit status.", "command"
    )

    def literal(self, arguments: JsonObject) -> str:
        return _text(arguments, "command")

    async def run(self, arguments: JsonObject) -> str:
        command = ["/bin/sh", "-c", _text(arguments, "command")]
        home = str(Path.home())
        with own_group(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=home) as process:
            assert process.stdout is not None
            data = output = b""
            status = f"ended after {SHELL_S:.0f} s"
            with trio.move_on_after(SHELL_S):
                async with trio.lowlevel.FdStream(os.dup(process.stdout.fileno())) as stream:
                    while len(output) < READ_MAX_BYTES and (data := await stream.receive_some(65536)):
                        output += data
                status = "ended: it wrote too much" if data else f"exit status {await _status(process)}"
        return f"{output.decode(errors='replace')}\n[{status}]"


async def _status(process: subprocess.Popen[bytes]) -> int:
    """Of a command that has closed its output and ends in a moment."""
    return await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)


class WriteFile(Value, frozen=True):
    """A whole file, written at once."""

    definition: ClassVar[JsonObject] = _definition(
        "write_file", "Write a text file; `path` is absolute, an existing file is replaced.", "path", "content"
    )

    def literal(self, arguments: JsonObject) -> str:
        return str(_path(arguments))

    async def run(self, arguments: JsonObject) -> str:
        path, content = _path(arguments), arguments.get("content")
        if not isinstance(content, str):
            raise ValueError("`content` must be a text")
        data = content.encode()
        if len(data) > WRITE_MAX_BYTES:
            raise ValueError(f"`content` is longer than {WRITE_MAX_BYTES} bytes")
        await trio.to_thread.run_sync(lambda: write_atomically(path, data, mode=_NEW_FILE))
        return f"written: {len(data)} bytes"


class ReadFile(Value, frozen=True):
    """The beginning of a text file."""

    definition: ClassVar[JsonObject] = _definition("read_file", "Read a text file; `path` is absolute.", "path")

    def literal(self, arguments: JsonObject) -> str:
        return str(_path(arguments))

    async def run(self, arguments: JsonObject) -> str:
        return await trio.to_thread.run_sync(_beginning, _path(arguments))


def _beginning(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    with path.open("rb") as file:
        data = file.read(READ_MAX_BYTES + 1)
    cut = "\n… (cut off)" if len(data) > READ_MAX_BYTES else ""
    return data[:READ_MAX_BYTES].decode(errors="replace") + cut


FUNCTIONS: Final[dict[str, Function]] = {"shell": Shell(), "write_file": WriteFile(), "read_file": ReadFile()}
