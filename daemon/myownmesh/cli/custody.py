"""``custody``: the way out for whoever lost the authenticator, on this device's files (spec 02 §24.3 no. 52)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from mesh_common.streams import words
from myownmesh.cli.errors import CliError
from myownmesh.cli.groups import group
from myownmesh.cli.output import write_line
from myownmesh.store.paths import Home

if TYPE_CHECKING:
    from collections.abc import Mapping

app = group("The lock on this device's signatures, without the daemon.")


@app.command()
def reset(
    network: Annotated[str | None, typer.Argument(metavar="NETWORK", help="Record id or network id.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every lock, also when the file that holds them is damaged.")
    ] = False,
) -> None:
    """Take a lock off without a code; the daemon must be stopped.

    This opens nothing that is not open to you already: who can write these files has this device's key.
    """
    if every is (network is not None):
        raise CliError("say which network, or --all")
    home = Home.resolve(os.environ)
    if not home.root.is_dir():
        raise CliError(f"there is no data directory {home.root}")
    from myownmesh.custody import CustodyError
    from myownmesh.store import open_store

    with open_store(home):  # as a daemon would: one that runs could be asked for a code instead
        try:
            said = _reset_all(home) if network is None else _reset(home, network)
        except CustodyError as error:
            raise CliError(
                f"{error}; nothing was changed. `myownmesh custody reset --all` sets a damaged file aside"
            ) from error
    words.work_is_done()
    write_line(said)


def _reset(home: Home, network: str) -> str:
    from myownmesh.mesh.records import meant
    from myownmesh.store.custody_file import locked_on_disk, reset_on_disk

    aliases = _aliases(home)
    network_id = meant(network, aliases)
    if reset_on_disk(home, network_id, aliases):
        return f"The lock of {network_id} is off. Its codes and recovery codes are worth nothing any more; {_AFTER}"
    locked = ", ".join(locked_on_disk(home, aliases))
    elsewhere = f" There is one on {locked}." if locked else ""
    return f"{network_id} has no lock on this device; nothing was changed.{elsewhere}"


def _reset_all(home: Home) -> str:
    from myownmesh.store.custody_file import forget_all_on_disk

    aside = forget_all_on_disk(home)
    kept = "" if aside is None else f" The file that could not be read is kept as {aside}."
    return f"Every lock of this device is off; {_AFTER}{kept}"


_AFTER = "this device signs without a code now. `myownmesh ctl governance mfa enroll NETWORK` puts a new lock on."


def _aliases(home: Home) -> Mapping[str, str]:
    from myownmesh.mesh.records import aliases_of
    from myownmesh.store.config_file import load_config

    return aliases_of(load_config(home).config.networks)
