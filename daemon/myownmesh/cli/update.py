"""``update``: this program's own updates, with or without a running daemon (spec 07 §6.5, 09 §10.7)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from msgspec.structs import replace

from mesh_common.version import VERSION
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import AsJson, group
from myownmesh.cli.output import write_line
from myownmesh.store.errors import StoreError
from myownmesh.store.paths import Home
from myownmesh.updates.installation import find
from myownmesh.updates.place import Place

if TYPE_CHECKING:
    from mesh_common.answers import UpdateChecked, UpdateStatus
    from myownmesh.store.config import AutoUpdate, MeshConfig
    from myownmesh.updates.updater import Updater

app = group("Update this program; without a command, to the newest release now, whatever the policy.")

NEXT_START = "It runs from the daemon's next start on."


@app.callback(invoke_without_command=True, no_args_is_help=False)
def update(
    context: typer.Context,
    as_json: AsJson = False,
    force: Annotated[bool, typer.Option("--force", help="Also a version that was here and did not work.")] = False,
) -> None:
    """Fetch, verify and put in the newest release."""
    if context.invoked_subcommand is not None:
        return
    updater = _updater("auto")
    found = updater.fetch(force=force)
    if found.outcome != "staged":
        _print_json(found) if as_json else write_line(_sentence(found))
        return
    applied = updater.apply()
    if applied is None:
        raise CliError(f"version {found.version} was fetched, and is not staged any more; run it again")
    if as_json:
        write_line(json.dumps({"outcome": "updated", "to": applied, "components": ["daemon"]}, indent=2))
    else:
        write_line(f"Updated to {applied}: daemon. {NEXT_START}")


@app.command()
def check(
    as_json: AsJson = False,
    progress: Annotated[bool, typer.Option("--progress", help="Say on stderr how far a download is, as JSON.")] = False,
) -> None:
    """Look at the release feed now; fetch and verify what is permitted."""
    found = _updater("json" if progress else "auto").check()
    if as_json:
        _print_json(found)
    else:
        write_line(_sentence(found))


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Put in what is fetched and verified."""
    applied = _updater("none").apply()
    if as_json:
        write_line(json.dumps({"applied": applied}, indent=2))
    else:
        write_line("No staged update to apply." if applied is None else f"Version {applied} is put in. {NEXT_START}")


@app.command()
def rollback(as_json: AsJson = False) -> None:
    """Bring the version before this one back, and never take this one again by itself."""
    left, back = _updater("none").roll_back()
    if as_json:
        write_line(json.dumps({"from": left, "to": back}, indent=2))
    else:
        write_line(f"Back from {left} to {back}. {NEXT_START}")


@app.command()
def status(as_json: AsJson = False) -> None:
    """What runs, what is set, what is staged."""
    from myownmesh.updates.report import status as look

    shown = look(_place(), find(os.environ), _preferences(), os.environ, VERSION)
    if as_json:
        _print_json(shown)
        return
    for name, text in _lines(shown).items():
        write_line(f"{name:<11}: {text}")


@app.command()
def enable() -> None:
    """Look for releases in the background."""
    _switch(on=True)
    write_line("auto_update.enabled = true (background checks on).")


@app.command()
def disable() -> None:
    """Do not look for releases by itself."""
    _switch(on=False)
    write_line("auto_update.enabled = false (background checks off).")
    write_line("Re-enable with `myownmesh update enable`.")


def _updater(progress: str) -> Updater:
    from myownmesh.updates.updater import Updater

    installation = find(os.environ)
    if installation.kind == "source":  # it will fetch nothing, so it loads nothing for that
        return Updater(_place(), installation, _preferences(), os.environ)
    from mesh_bundler.progress import reporter

    return Updater(_place(), installation, _preferences(), os.environ, reporter(progress))


def _sentence(found: UpdateChecked) -> str:
    match found.outcome:
        case "disabled":
            return "Update checks are off; `myownmesh update enable` and MYOWNMESH_AUTOUPDATE switch them on."
        case "package_manager":
            return f"This program does not update itself: {found.detail}."
        case "up_to_date":
            behind = "" if found.detail is None else f" {found.detail}."
            newest = "" if found.latest in (None, found.current) else f" The newest published one is {found.latest}."
            return f"{found.current} is up to date.{newest}{behind}"
        case "policy_blocked":
            return (
                f"{found.latest} is out, this is {found.current}, and auto_update.auto_apply is {found.policy}. "
                "`myownmesh update` takes it once; set auto_apply to minor or all to allow it."
            )
        case _:
            how = NEXT_START if found.auto else "`myownmesh update apply` puts it in."
            return f"{found.version} is fetched and verified ({found.verified}). {how}"


def _lines(shown: UpdateStatus) -> dict[str, str]:
    kind = "raw (replaces itself)" if shown.install_kind == "raw" else f"package-manager ({shown.detail})"
    lines = {
        "Version": shown.current_version,
        "Install": kind,
        "Auto-update": "on" if shown.enabled else "off",
        "Channel": shown.channel,
        "Apply": shown.auto_apply,
        "Interval": f"every {shown.check_interval_hours}h",
        "Last check": "never" if shown.last_check_at is None else f"{shown.last_check_at} (unix)",
        "Staged": shown.staged_version or "none",
        "Feed": shown.release_url,
    }
    if shown.restart == "idle":
        lines["Restart"] = "by itself, when nothing is under way"
    if shown.verified is not None:
        lines["Verified"] = shown.verified
    if shown.previous is not None:
        lines["Previous"] = shown.previous
    if shown.rolled_back_from is not None:
        lines["Rolled back"] = f"from {shown.rolled_back_from}"
    if shown.quarantine:
        lines["Quarantine"] = ", ".join(shown.quarantine)
    if shown.detail is not None and shown.install_kind == "raw":
        lines["Last failure"] = shown.detail
    return lines


def _switch(*, on: bool) -> None:
    from myownmesh.store.config_file import change_config

    def change(config: MeshConfig) -> MeshConfig:
        return replace(config, auto_update=replace(config.auto_update, enabled=on))

    try:
        change_config(_home(), change)
    except StoreError as error:
        raise CliError(str(error)) from error


def _home() -> Home:
    return Home.resolve(os.environ)


def _place() -> Place:
    return Place(_home().root)


def _preferences() -> AutoUpdate:
    from myownmesh.store.config_file import load_config

    try:
        return load_config(_home()).config.auto_update
    except StoreError as error:
        raise CliError(f"load config: {error}") from error


def _print_json(value: msgspec.Struct) -> None:
    write_line(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))
