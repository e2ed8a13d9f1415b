"""`mesh-bundler`: what a build script and a person type (spec 09 §9).

`check` and `cache-key` run in every build and every CI job, so they are answered here without loading typer and the
download client; everything else, and every unusual spelling, goes to `commands`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mesh_common.streams import prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FAST = ("check", "cache-key")
_MEMBERS = ("repo_root", "target", "dest", "pin", "pin_file", "plain_name")
"""Members of the request, as texts or switches."""
_VALUES = {f"--{name.replace('_', '-')}": name for name in _MEMBERS if name != "plain_name"}
_FLAGS = {"--json": "json", "--quiet": "quiet", "-q": "quiet", "--path": "path", "--plain-name": "plain_name"}


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    prepare(utf8="--json" in arguments)
    options = _fast_options(arguments)
    if options is None:
        from mesh_bundler.commands import run

        sys.exit(run(arguments))
    sys.exit(_fast(options))


def _fast_options(arguments: list[str]) -> dict[str, str | bool] | None:
    """The options of a plain `check` or `cache-key`; None when typer should look at them."""
    options: dict[str, str | bool] = {}
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        if word in _FLAGS:
            options[_FLAGS[word]] = True
        elif name in _VALUES:
            found = value if equals else next(rest, None)
            if found is None:
                return None
            options[_VALUES[name]] = found
        elif word in _FAST and "command" not in options:
            options["command"] = word
        else:
            return None
    return options if "command" in options else None


def _fast(options: dict[str, str | bool]) -> int:
    from mesh_bundler import report
    from mesh_bundler.guard import guarded
    from mesh_bundler.request import EnsureRequest

    console = report.Console(json=bool(options.get("json")), quiet=bool(options.get("quiet")))
    members: dict[str, Any] = {name: options[name] for name in _MEMBERS if name in options}

    def command() -> int:
        for name in ("repo_root", "dest"):
            if name in members:
                members[name] = Path(members[name])
        members["repo_root"] = members.get("repo_root", Path()).absolute()
        request = EnsureRequest(on_notice=console.notice, **members)
        if options["command"] == "check":
            from mesh_bundler.ending import endings_raised  # a key asks no program, so nothing is left behind

            with endings_raised():
                return report.check(request, console)
        return report.cache_key(request, console, path=bool(options.get("path")))

    return guarded(console, command)
