"""What commands print: the result on stdout, everything else on stderr (spec 09 §9). Also `check` and `cache-key`."""

from __future__ import annotations

import json as json_module
import os
import sys
from dataclasses import dataclass

from mesh_bundler.errors import Exit, Refused
from mesh_bundler.plan import make_plan
from mesh_bundler.store import cache_root
from mesh_common.streams import put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mesh_bundler.errors import Notice
    from mesh_bundler.request import EnsureRequest
    from mesh_bundler.result import EnsureResult

_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m"}


@dataclass(slots=True)
class Console:
    """How much is said and in which form."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    colour: bool = False

    def notice(self, notice: Notice) -> None:
        """One line on stderr; a GitHub annotation as well when one reads them."""
        if notice.level == "note" and not self.verbose:
            return
        if notice.level == "info" and self.quiet:
            return
        self._line("warning" if notice.level == "warning" else "", notice.text)

    def refused(self, refused: Refused, result: dict[str, object] | None = None) -> int:
        """Say why, and the way out; returns the exit status."""
        self._line("error", f"{refused.message} {refused.hint}".rstrip())
        if self.json:
            self.document(
                {"format": 1} | refused.context | (result or {}) | {"outcome": "error", "error": refused.to_json()}
            )
        return int(refused.exit_code)

    def interrupted(self, status: int) -> int:
        """Say that somebody ended the command; returns the exit status."""
        ended = Refused("interrupted", Exit.INTERRUPTED, "interrupted; nothing half-done was left")
        self._line("", ended.message)
        if self.json:
            self.document({"format": 1, "outcome": "error", "error": ended.to_json()})
        return status

    def document(self, value: dict[str, object]) -> None:
        """One JSON object on stdout."""
        put(json_module.dumps(value, ensure_ascii=False, default=str), sys.stdout)

    def answer(self, document: dict[str, object], *lines: str) -> None:
        """The same for machines or for people."""
        if self.json:
            self.document(document)
        for line in lines:
            self.text(line)

    def text(self, line: str) -> None:
        if not self.json:
            put(line, sys.stdout)

    def say(self, line: str) -> None:
        """A line for people on stderr, unless they asked for silence."""
        if not self.quiet:
            put(line, sys.stderr)

    def _line(self, kind: str, text: str) -> None:
        if kind and os.environ.get("GITHUB_ACTIONS"):
            # The annotation format ends at a line break and knows these escapes only.
            escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
            put(f"::{kind}::{escaped}", sys.stderr)
            return
        prefix = f"{kind}: " if kind else ""
        if prefix and self.colour:
            prefix = f"{_COLOURS[kind]}{prefix}\x1b[0m"
        put(f"{prefix}{text}", sys.stderr)


def show_result(result: EnsureResult, console: Console) -> None:
    """The outcome of `ensure`: a sentence for people, the object for machines."""
    if console.json:
        console.document(result.to_json())
        return
    what = f"{result.version or 'version unknown'} from {result.source}"
    sentences = {
        "current": f"{result.slot} is current: {what}. Nothing to do.",
        "staged": f"{result.slot} now holds {what} ({result.size} bytes, SHA-256 {result.sha256}, "
        f"verified: {result.verified}).",
        "skipped": f"{result.slot}: skipped, as asked.",
        "stub": f"{result.slot}: no daemon.",
    }
    console.text(sentences.get(result.outcome, result.outcome))


def check(request: EnsureRequest, console: Console) -> int:
    """Would `ensure` change anything? No network, no writes. 0 = current, 11 = not, else the cause's status."""
    from mesh_bundler.staging import examine

    result, refusal = examine(request, check=True)
    reasons = [reason.to_json() for reason in result.reasons]
    if refusal is not None:
        return console.refused(refusal, result.to_json() | {"reasons": reasons})
    current = result.outcome in ("current", "skipped")
    if console.json:
        console.document(result.to_json() | {"reasons": reasons})
    else:
        state = "current" if current else "not up to date; mesh-bundler ensure would stage from"
        console.text(f"{result.slot}: {state}{'' if current else ' ' + str(result.source or 'nowhere (stub)')}")
    return int(Exit.OK if current else Exit.NOT_CURRENT)


def cache_key(request: EnsureRequest, console: Console, *, path: bool) -> int:
    """The line that names a CI cache, or the folder that belongs into it."""
    if path:
        folder = cache_root(request.env)
        if console.json:
            console.document({"format": 1, "path": str(folder)})
        console.text(str(folder))
        return 0
    key = make_plan(request).cache_key
    if console.json:
        console.document({"format": 1, "key": key})
    console.text(key)
    return 0
