"""The commands of `mesh-bundler`, as typer sees them. No logic: arguments in, library call, report out."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh_bundler import options, report, tools
from mesh_bundler.durations import seconds
from mesh_bundler.ending import endings_raised
from mesh_bundler.errors import Exit
from mesh_bundler.guard import Ended, guarded
from mesh_bundler.options import Around, Invocation
from mesh_bundler.staging import ensure, examine
from mesh_common.branches import branch
from mesh_common.streams import put, words
from mesh_common.version import VERSION

# typer carries its own copy of click in some versions and uses the package in others; its classes lead to the base
# of all usage errors in both (BadParameter, UsageError, ClickException).
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    help="Stage the pinned mesh daemon beside an app, or refuse with a reason.",
    no_args_is_help=False,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SLOT = "repo_root target dest pin pin_file plain_name"
_SOURCES = "no_sibling sibling sibling_policy profile offline seed_dir"


def _around(
    context: typer.Context,
    color: Annotated[str, typer.Option(help="auto, always or never.")] = "auto",
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    **values: Any,
) -> None:
    if version:
        put(f"mesh-bundler {VERSION}", sys.stdout)
        raise typer.Exit
    context.obj = Around.of(color, **values)
    if context.invoked_subcommand is None:
        _ensure(context, progress="auto")


app.callback(invoke_without_command=True)(
    options.asking(_around, "json quiet verbose repo_root tool", options.parameters(_around)[1:3])
)


@options.command(
    app,
    "ensure",
    "Make the slot hold the pinned daemon. The default command.",
    f"json quiet verbose {_SLOT} bin skip require dev {_SOURCES} require_verification allow_unbound_signature "
    "trust_mirror_checksums allow_unpinned allow_stub keep_stale allow_source_build no_exec wait_for_asset "
    "probe_timeout lock_timeout netrc progress",
)
def _ensure(
    run: Invocation,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether anything would change, as `check` does.")
    ] = False,
) -> None:
    if check:
        raise typer.Exit(report.check(run.request, run.console))
    report.show_result(ensure(run.request), run.console)


app.command("stage", help="The same as ensure.")(_ensure)


@options.command(
    app,
    "explain",
    "The decision of ensure with its reasons; no network, no writes.",
    f"json {_SLOT} bin require dev {_SOURCES} allow_unpinned allow_stub allow_source_build probe_timeout",
)
def _explain(run: Invocation) -> None:
    result, refusal = examine(run.request)
    if run.console.json:
        document = result.to_json() | {"reasons": [reason.to_json() for reason in result.reasons]}
        error = {} if refusal is None else {"outcome": "error", "error": refusal.to_json()}
        run.console.document(document | error)
    else:
        for reason in result.reasons:
            run.console.text(f"{reason.step:<9} {reason.subject}: {reason.verdict}")
        then = f"refuse ({refusal.code})" if refusal is not None else f"{result.outcome} {result.source or ''}".strip()
        run.console.text(f"{'decision':<9} {result.slot}: {then}")
    if refusal is not None:
        run.console.refused(refusal) if not run.console.json else None
        raise typer.Exit(int(refusal.exit_code))


@options.command(
    app,
    "check",
    "Would ensure change anything? Exit 0 current, 11 not; no network, no writes.",
    f"json quiet {_SLOT} require dev no_sibling",
)
def _check(run: Invocation) -> None:
    raise typer.Exit(report.check(run.request, run.console))


@options.command(
    app, "cache-key", "One line for a CI cache; --path prints what to cache.", "json repo_root target pin pin_file"
)
def _cache_key(
    run: Invocation, path: Annotated[bool, typer.Option("--path", help="Print the cache folder instead.")] = False
) -> None:
    raise typer.Exit(report.cache_key(run.request, run.console, path=path))


@options.command(
    app,
    "lock",
    "Write the digests of every platform's asset beside the pin, or --check them.",
    "json repo_root offline pin progress",
)
def _lock(
    run: Invocation,
    platforms: Annotated[str, typer.Option(help="Comma-separated; default: all that the release has.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Verify instead of writing.")] = False,
) -> None:
    names = tuple(name.strip() for name in platforms.split(",") if name.strip())
    outcome = (tools.check_lock if check else tools.write_lock)(run.request, names)
    run.console.answer(outcome.to_json(), *(f"{name}: {state}" for name, state in outcome.platforms.items()))


@options.command(
    app,
    "verify",
    "Header, architecture, version and digest of any file, against pin and lock.",
    "json repo_root target pin",
)
def _verify(run: Invocation, path: Path) -> None:
    found = tools.verify_file(run.request, path)
    run.console.answer(found, f"{path}: {found['header']}, version {found['version']}, SHA-256 {found['sha256']}: good")


@options.command(app, "probe", "What a binary says to --version, asked in isolation.", "json probe_timeout")
def _probe(run: Invocation, path: Path) -> None:
    found = tools.probe_file(run.request, path)
    run.console.answer(found, str(found["version"] or f"unreadable: {found['reason']}"))
    if found["version"] is None:
        raise typer.Exit(int(Exit.VERSION))


@options.command(
    app, "which", "Path, version and source of what is in the slot.", "json repo_root target dest plain_name"
)
def _which(run: Invocation) -> None:
    found = tools.which(run.request)
    run.console.answer(found, f"{found['path']}\t{found['version'] or 'unknown'}\t{found['source'] or 'unknown'}")


@options.command(app, "platforms", "Which platforms have a build at the pin.", "json repo_root pin")
def _platforms(run: Invocation) -> None:
    rows = tools.platforms(run.request)
    lines = (f"{row['platform']:<20} {row['triple']:<30} {row['asset']:<38} {row['available']}" for row in rows)
    run.console.answer({"format": 1, "platforms": rows}, *lines)


@options.command(
    app,
    "fetch",
    "Download and verify an asset without staging it, to carry it to an offline machine.",
    "json repo_root pin progress",
)
def _fetch(
    run: Invocation,
    platform: Annotated[str, typer.Option(help="Platform name, as in `platforms`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to put it into.")],
) -> None:
    found = tools.fetch(run.request, platform, output)
    run.console.answer(found, f"{found['path']} ({found['size']} bytes, SHA-256 {found['sha256']})")


@options.command(app, "clean", "Empty the cache, or drop what was not used for a while.", "json")
def _clean(
    run: Invocation,
    older_than: Annotated[
        float, typer.Option(help="Only what is older, e.g. 30d.", parser=seconds, metavar="<str>")
    ] = "0",  # type: ignore[assignment]  # typer parses the default, and shows it as it stands
) -> None:
    found = tools.clean(run.request, older_than)
    run.console.answer(found, f"{found['removed']} entries removed from {found['path']}")


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit status. Errors are sentences, bugs are tracebacks."""
    words.catch()  # of help and of what is wrong with a command line, which the library prints
    return guarded(report.Console(json="--json" in arguments), lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    try:
        with endings_raised():
            status = branch(app, arguments)(args=arguments, prog_name="mesh-bundler", standalone_mode=False)
    except typer.Abort:
        raise Ended(signal.SIGINT) from None
    except _USAGE_ERROR as error:
        error.show()  # type: ignore[attr-defined]  # every version of it has this method
        return int(Exit.USAGE)
    return status if isinstance(status, int) else 0
