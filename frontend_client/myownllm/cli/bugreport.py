"""`myownllm bugreport`: one archive for whoever helps, without secrets, codes and conversations."""

from __future__ import annotations

import io
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from mesh_common.client.errors import ControlError
from mesh_common.streams import words
from mesh_common.version import VERSION
from myownllm.cli import context
from myownllm.cli.daemon import places, programs
from myownllm.cli.look import look
from myownllm.cli.options import Json
from myownllm.cli.report import report
from myownllm.coerce import as_object
from myownllm.errors import FAILURES, AppError
from myownllm.files import read_json
from myownllm.redaction import SHORTEST_SECRET, private_words, redacted, scrubbed

if TYPE_CHECKING:
    from myownllm.cli.look import Seen

LOG_LINES: Final = 2000
LISTED_FILES: Final = 200


class Member(msgspec.Struct, frozen=True):
    """One file of the archive."""

    name: str
    about: str
    content: bytes


def bugreport(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The archive; a new file.")] = None,
    as_json: Json = False,
) -> None:
    """Collect what helps to find a fault in one archive, and say what is in it. Read it before you give it away."""
    target = output or _free_name(f"myownllm-bugreport-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        members = collect(look())
        write(target, members)
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        listed = [{"name": m.name, "about": m.about, "bytes": len(m.content)} for m in members]
        context.print_answer({"archive": str(target), "members": listed})
        return
    print(f"{target} holds:")
    for member in members:
        print(f"  {member.name:14} {member.about} ({len(member.content)} bytes)")
    print("Secrets, codes, names of networks, prompts and conversations are left out; look before you give it away.")


def _free_name(stem: str) -> Path:
    """A file that is not there yet; who asks twice within a second gets two."""
    names = (Path(f"{stem}{suffix}.tar.gz") for suffix in ("", *(f"-{n}" for n in range(2, 100))))
    return next((path for path in names if not path.exists()), Path(f"{stem}.tar.gz"))


def collect(seen: Seen) -> list[Member]:
    """The files of the archive, every text of which may be given away."""
    from myownllm.supervisor.log import clean, last_lines  # with trio, which other commands do not need

    app_home = seen.app_home
    config = as_object(read_json(app_home.config_file))
    daemon_config = _ask(seen, "config_show").get("config", {})
    private = _private(seen, config, daemon_config)
    owner = os.environ.get("HOME", "")

    def told(value: Any, without: set[str] = private) -> bytes:
        return scrubbed(msgspec.json.format(msgspec.json.encode(value)).decode(), without, home=owner).encode()

    machine = {
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "app_version": VERSION,
        "places": places(app_home),
        "programs": programs(),
        "variables": sorted(name for name in os.environ if name.startswith(("MYOWN", "MESH_", "SSL_CERT"))),
        "files": _files(app_home.root),
    }
    log = "\n".join(clean(line.encode()) for line in last_lines(app_home.daemon_log, LOG_LINES))
    return [
        Member("health.json", "what `myownllm health` says", told(msgspec.to_builtins(report(seen, seen.facts())))),
        Member("machine.json", "system, versions, places and sizes of files", told(machine)),
        Member("config.json", "the app's settings, texts replaced by their length", told(redacted(config), set())),
        Member("daemon.json", "the daemon's settings, likewise", told(redacted(daemon_config), set())),
        Member(
            "daemon.log",
            f"what the daemon said last, {LOG_LINES} lines at most",
            scrubbed(log, private, home=owner).encode(),
        ),
    ]


def _private(seen: Seen, *structures: Any) -> set[str]:
    """Every text that must not leave this device."""
    found = {word for structure in structures for word in private_words(structure)}
    for peer in seen.peers:
        found |= {text for text in (peer.label, peer.code_received, peer.code_sent) if text}
    if seen.active is not None:
        found |= {seen.active.wire_id, seen.active.handle}
    return {word for word in (*found, seen.label) if len(word) >= SHORTEST_SECRET}


def _ask(seen: Seen, operation: str) -> dict[str, Any]:
    if seen.daemon is None:
        return {}
    try:
        return as_object(seen.daemon.ask(operation))
    except ControlError:
        return {}


def _files(root: Path) -> list[dict[str, Any]]:
    """Names, sizes and modes in the app's home, and of the folders there only that they are."""
    found = []
    for path in sorted(root.iterdir())[:LISTED_FILES]:
        facts = path.lstat()
        kind = "folder" if path.is_dir() else "link" if path.is_symlink() else "file"
        found.append({"file": path.name, "kind": kind, "bytes": facts.st_size, "rights": oct(facts.st_mode & 0o777)})
    return found


def write(target: Path, members: list[Member]) -> None:
    """Raises AppError; a file that is there is not overwritten, and only this user can read the new one."""
    import tarfile  # needed here alone

    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for member in members:
            entry = tarfile.TarInfo(f"myownllm-bugreport/{member.name}")
            entry.size, entry.mode, entry.mtime = len(member.content), 0o600, int(time.time())
            archive.addfile(entry, io.BytesIO(member.content))
    try:
        with open(target, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(data.getvalue())
    except FileExistsError:
        raise AppError(f"{target} is there already; name another file with --output") from None
    except OSError as error:
        raise AppError(f"cannot write {target}: {error.strerror}; name another file with --output") from None
