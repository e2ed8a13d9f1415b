"""The commands of `mesh-bundler`, as typer sees them. No logic: arguments in, library call, report out."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer

from mesh_bundler import report, tools
from mesh_bundler.errors import Exit, Refused
from mesh_bundler.plan import EnsureRequest
from mesh_bundler.progress import reporter
from mesh_bundler.staging import Cancelled, ensure, examine
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


@dataclass
class _Globals:
    console: report.Console = field(default_factory=report.Console)
    repo_root: Path = field(default_factory=Path.cwd)
    tool: str | None = None


def _parse_duration(text: str) -> float:
    """Seconds in `90`, `90s`, `15m`, `2h` or `30d`."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 15m, 2h or 30d")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also what was passed over without a warning.")]
RepoRoot = Annotated[Path | None, typer.Option(help="The app's repository. Default: the current folder.")]
Color = Annotated[str, typer.Option(help="auto, always or never.")]
Tool = Annotated[str | None, typer.Option(help="Which tool, when the configuration describes several.")]
Target = Annotated[str | None, typer.Option(help="Target triple. Default: TARGET and friends, else this machine.")]
Dest = Annotated[Path | None, typer.Option(help="Folder of the slot.")]
PinText = Annotated[str | None, typer.Option("--pin", help="The pin itself, instead of a pin file.")]
PinFile = Annotated[str | None, typer.Option(help="Name of the pin file.")]
PlainName = Annotated[bool, typer.Option(help="Slot name without the triple, as in a finished bundle.")]
Offline = Annotated[bool, typer.Option(help="Never touch the network.")]
SeedDir = Annotated[Path | None, typer.Option(help="Folder with assets fetched elsewhere.")]
Require = Annotated[bool, typer.Option(help="Release mode: no sibling, no source build, no stub.")]
Dev = Annotated[bool, typer.Option(help="Development mode, also when CI is set.")]
Bin = Annotated[str | None, typer.Option(help="Use this binary, whatever its version.")]
NoSibling = Annotated[bool, typer.Option("--no-sibling", help="Do not look at sibling checkouts.")]
Sibling = Annotated[list[str] | None, typer.Option(help="One more sibling build to look at; repeatable.")]
SiblingPolicy = Annotated[str | None, typer.Option(help="exact or at-least.")]
Profile = Annotated[str | None, typer.Option(help="Build profile of siblings to try first.")]
ProbeTimeout = Annotated[float | None, typer.Option(min=1, max=120, help="Seconds for one --version.")]
LockTimeout = Annotated[float | None, typer.Option(min=0, help="Seconds to wait for another bundler.")]
Verification = Annotated[str | None, typer.Option("--require-verification", help="lock, signature or checksum.")]


@app.callback(invoke_without_command=True)
def _globals(
    context: typer.Context,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    repo_root: RepoRoot = None,
    color: Color = "auto",
    tool: Tool = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"mesh-bundler {VERSION}")
        raise typer.Exit
    context.obj = _Globals(_console(json, quiet, verbose, color), (repo_root or Path.cwd()).absolute(), tool)
    if context.invoked_subcommand is None:
        context.invoke(_ensure, context=context)


def _console(json: bool, quiet: bool, verbose: bool, color: str) -> report.Console:
    coloured = color == "always" or (color == "auto" and sys.stderr.isatty() and "NO_COLOR" not in os.environ)
    return report.Console(json=json, quiet=quiet, verbose=verbose, colour=coloured)


def _about(
    context: typer.Context, json: bool, quiet: bool = False, verbose: bool = False, repo_root: Path | None = None
) -> _Globals:
    """Global options may stand before or after the command."""
    around: _Globals = context.obj
    console = replace(
        around.console,
        json=around.console.json or json,
        quiet=around.console.quiet or quiet,
        verbose=around.console.verbose or verbose,
    )
    return replace(around, console=console, repo_root=(repo_root or around.repo_root).absolute())


def _request(about: _Globals, **members: object) -> EnsureRequest:
    request = EnsureRequest(repo_root=about.repo_root, tool=about.tool, on_notice=about.console.notice)
    return replace(request, **members)  # type: ignore[arg-type]  # names are those of the options


@app.command("ensure", help="Make the slot hold the pinned daemon. The default command.")
def _ensure(
    context: typer.Context,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    repo_root: RepoRoot = None,
    target: Target = None,
    dest: Dest = None,
    pin: PinText = None,
    pin_file: PinFile = None,
    plain_name: PlainName = False,
    bin: Bin = None,  # noqa: A002 - the option's name
    skip: Annotated[bool, typer.Option("--skip", help="Leave the daemon out.")] = False,
    require: Require = False,
    dev: Dev = False,
    no_sibling: NoSibling = False,
    sibling: Sibling = None,
    sibling_policy: SiblingPolicy = None,
    profile: Profile = None,
    offline: Offline = False,
    seed_dir: SeedDir = None,
    require_verification: Verification = None,
    allow_unbound_signature: Annotated[
        bool | None, typer.Option(help="Accept signatures that name no version (default: tags up to v0.3.8).")
    ] = None,
    trust_mirror_checksums: Annotated[bool, typer.Option(help="Let a mirror vouch for its own files.")] = False,
    allow_unpinned: Annotated[bool, typer.Option(help="Without a pin, use a sibling of any version.")] = False,
    allow_stub: Annotated[bool, typer.Option(help="An empty slot instead of a failed build.")] = False,
    keep_stale: Annotated[bool, typer.Option(help="With --allow-stub: leave an older daemon in the slot.")] = False,
    allow_source_build: Annotated[bool, typer.Option(help="Build from source when there is no release.")] = False,
    no_exec: Annotated[bool, typer.Option("--no-exec", help="Do not run what lock or signature vouch for.")] = False,
    wait_for_asset: Annotated[str, typer.Option(help="How long to wait for an asset, e.g. 15m.")] = "0",
    probe_timeout: ProbeTimeout = None,
    lock_timeout: LockTimeout = None,
    netrc: Annotated[bool, typer.Option(help="Use logins from the netrc file.")] = False,
    progress: Annotated[str, typer.Option(help="auto, json or none.")] = "auto",
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether anything would change, as `check` does.")
    ] = False,
) -> None:
    about = _about(context, json, quiet, verbose, repo_root)
    members = dict(locals())
    own = (
        "context",
        "json",
        "quiet",
        "verbose",
        "repo_root",
        "about",
        "progress",
        "wait_for_asset",
        "sibling",
        "check",
    )
    for name in own:
        del members[name]
    request = _request(
        about,
        **members,
        sibling=tuple(sibling or ()),
        wait_for_asset=_parse_duration(wait_for_asset),
        on_progress=reporter("none" if about.console.quiet and progress == "auto" else progress),
    )
    if check:
        raise typer.Exit(report.check(request, about.console))
    report.show_result(ensure(request), about.console)


app.command("stage", help="The same as ensure.")(_ensure)


@app.command("explain", help="The decision of ensure with its reasons; no network, no writes.")
def _explain(
    context: typer.Context,
    json: Json = False,
    repo_root: RepoRoot = None,
    target: Target = None,
    dest: Dest = None,
    pin: PinText = None,
    pin_file: PinFile = None,
    plain_name: PlainName = False,
    bin: Bin = None,  # noqa: A002 - the option's name
    require: Require = False,
    dev: Dev = False,
    no_sibling: NoSibling = False,
    sibling: Sibling = None,
    sibling_policy: SiblingPolicy = None,
    profile: Profile = None,
    offline: Offline = False,
    seed_dir: SeedDir = None,
    allow_unpinned: bool = False,
    allow_stub: bool = False,
    allow_source_build: bool = False,
    probe_timeout: ProbeTimeout = None,
) -> None:
    about = _about(context, json, repo_root=repo_root)
    members = dict(locals())
    for name in ("context", "json", "repo_root", "about", "sibling"):
        del members[name]
    result, refusal = examine(_request(about, **members, sibling=tuple(sibling or ())))
    document = result.to_json() | {"reasons": [reason.to_json() for reason in result.reasons]}
    if about.console.json:
        error = {} if refusal is None else {"outcome": "error", "error": refusal.to_json()}
        about.console.document(document | error)
    else:
        for reason in result.reasons:
            about.console.text(f"{reason.step:<9} {reason.subject}: {reason.verdict}")
        then = f"refuse ({refusal.code})" if refusal is not None else f"{result.outcome} {result.source or ''}".strip()
        about.console.text(f"{'decision':<9} {result.slot}: {then}")
    if refusal is not None:
        about.console.refused(refusal) if not about.console.json else None
        raise typer.Exit(int(refusal.exit_code))


@app.command("check", help="Would ensure change anything? Exit 0 current, 11 not; no network, no writes.")
def _check(
    context: typer.Context,
    json: Json = False,
    quiet: Quiet = False,
    repo_root: RepoRoot = None,
    target: Target = None,
    dest: Dest = None,
    pin: PinText = None,
    pin_file: PinFile = None,
    plain_name: PlainName = False,
    require: Require = False,
    dev: Dev = False,
    no_sibling: NoSibling = False,
) -> None:
    about = _about(context, json, quiet, repo_root=repo_root)
    request = _request(
        about, target=target, dest=dest, pin=pin, pin_file=pin_file, plain_name=plain_name, require=require, dev=dev,
        no_sibling=no_sibling,
    )  # fmt: skip
    raise typer.Exit(report.check(request, about.console))


@app.command("cache-key", help="One line for a CI cache; --path prints what to cache.")
def _cache_key(
    context: typer.Context,
    json: Json = False,
    repo_root: RepoRoot = None,
    target: Target = None,
    pin: PinText = None,
    pin_file: PinFile = None,
    path: Annotated[bool, typer.Option("--path", help="Print the cache folder instead.")] = False,
) -> None:
    about = _about(context, json, repo_root=repo_root)
    request = _request(about, target=target, pin=pin, pin_file=pin_file)
    raise typer.Exit(report.cache_key(request, about.console, path=path))


@app.command("lock", help="Write the digests of every platform's asset beside the pin, or --check them.")
def _lock(
    context: typer.Context,
    json: Json = False,
    repo_root: RepoRoot = None,
    platforms: Annotated[str, typer.Option(help="Comma-separated; default: all that the release has.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Verify instead of writing.")] = False,
    offline: Offline = False,
    pin: PinText = None,
    progress: Annotated[str, typer.Option(help="auto, json or none.")] = "auto",
) -> None:
    about = _about(context, json, repo_root=repo_root)
    names = tuple(name.strip() for name in platforms.split(",") if name.strip())
    request = _request(about, pin=pin, offline=offline, on_progress=reporter(progress))
    outcome = tools.check_lock(request, names) if check else tools.write_lock(request, names)
    if about.console.json:
        about.console.document(outcome)
    for name, state in dict(outcome["platforms"]).items():  # type: ignore[call-overload]
        about.console.text(f"{name}: {state}")


@app.command("verify", help="Header, architecture, version and digest of any file, against pin and lock.")
def _verify(
    context: typer.Context,
    path: Path,
    json: Json = False,
    repo_root: RepoRoot = None,
    target: Target = None,
    pin: PinText = None,
) -> None:
    about = _about(context, json, repo_root=repo_root)
    found = tools.verify_file(_request(about, target=target, pin=pin), path)
    if about.console.json:
        about.console.document(found)
    about.console.text(f"{path}: {found['header']}, version {found['version']}, SHA-256 {found['sha256']}: good")


@app.command("probe", help="What a binary says to --version, asked in isolation.")
def _probe(context: typer.Context, path: Path, json: Json = False, probe_timeout: ProbeTimeout = None) -> None:
    about = _about(context, json)
    found = tools.probe_file(_request(about, probe_timeout=probe_timeout), path)
    if about.console.json:
        about.console.document(found)
    about.console.text(str(found["version"] or f"unreadable: {found['reason']}"))
    if found["version"] is None:
        raise typer.Exit(int(Exit.VERSION))


@app.command("which", help="Path, version and source of what is in the slot.")
def _which(
    context: typer.Context,
    json: Json = False,
    repo_root: RepoRoot = None,
    target: Target = None,
    dest: Dest = None,
    plain_name: PlainName = False,
) -> None:
    about = _about(context, json, repo_root=repo_root)
    found = tools.which(_request(about, target=target, dest=dest, plain_name=plain_name))
    if about.console.json:
        about.console.document(found)
    about.console.text(f"{found['path']}\t{found['version'] or 'unknown'}\t{found['source'] or 'unknown'}")


@app.command("platforms", help="Which platforms have a build at the pin.")
def _platforms(context: typer.Context, json: Json = False, repo_root: RepoRoot = None, pin: PinText = None) -> None:
    about = _about(context, json, repo_root=repo_root)
    rows = tools.platforms(_request(about, pin=pin))
    if about.console.json:
        about.console.document({"format": 1, "platforms": rows})
    for row in rows:
        about.console.text(f"{row['platform']:<20} {row['triple']:<30} {row['asset']:<38} {row['available']}")


@app.command("fetch", help="Download and verify an asset without staging it, to carry it to an offline machine.")
def _fetch(
    context: typer.Context,
    platform: Annotated[str, typer.Option(help="Platform name, as in `platforms`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to put it into.")],
    json: Json = False,
    repo_root: RepoRoot = None,
    pin: PinText = None,
    progress: Annotated[str, typer.Option(help="auto, json or none.")] = "auto",
) -> None:
    about = _about(context, json, repo_root=repo_root)
    found = tools.fetch(_request(about, pin=pin, on_progress=reporter(progress)), platform, output)
    if about.console.json:
        about.console.document(found)
    about.console.text(f"{found['path']} ({found['size']} bytes, SHA-256 {found['sha256']})")


@app.command("clean", help="Empty the cache, or drop what was not used for a while.")
def _clean(
    context: typer.Context,
    json: Json = False,
    older_than: Annotated[str, typer.Option(help="Only what is older, e.g. 30d.")] = "0",
) -> None:
    about = _about(context, json)
    found = tools.clean(_request(about), _parse_duration(older_than))
    if about.console.json:
        about.console.document(found)
    about.console.text(f"{found['removed']} entries removed from {found['path']}")


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit status. Errors are sentences, bugs are tracebacks."""
    console = report.Console(json="--json" in arguments)
    try:
        status = app(args=arguments, prog_name="mesh-bundler", standalone_mode=False)
    except Refused as refused:
        return console.refused(refused)
    except (KeyboardInterrupt, typer.Abort, Cancelled):
        print("interrupted; nothing half-done was left", file=sys.stderr)
        return int(Exit.INTERRUPTED)
    except _USAGE_ERROR as error:
        error.show()  # type: ignore[attr-defined]  # every version of it has this method
        return int(Exit.USAGE)
    return status if isinstance(status, int) else 0
