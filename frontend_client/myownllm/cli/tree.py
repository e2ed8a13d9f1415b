"""The command tree. `up` alone imports the running app, so that `--help` and `status` are quick."""

from __future__ import annotations

from typing import Annotated

import typer

from myownllm.cli import (
    bugreport,
    conversations,
    daemon,
    edit,
    files,
    health,
    invitations,
    models,
    netcheck,
    networks,
    peers,
    ping,
    policy,
    prompts,
    remote,
    settings,
    status,
    transcribe,
)
from myownllm.cli import open as screen

app = typer.Typer(
    name="myownllm",
    help="The mesh half of MyOwnLLM: your devices, connected to each other and to nobody else.",
    epilog="Exit status of every command: 0 done, 1 failed and said why, 2 wrong arguments; `health` has more.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
networks.app.command("edit")(edit.edit_network)
app.add_typer(networks.app, name="networks")
app.add_typer(settings.app, name="settings")
app.add_typer(files.inbox, name="inbox")
app.add_typer(files.transfers, name="transfers")
app.add_typer(conversations.app, name="conversations")
app.add_typer(prompts.app, name="prompts")
app.add_typer(policy.app, name="policy")
app.add_typer(daemon.app, name="daemon")


@app.command(epilog="Exit status: 0 after Ctrl-C, or when it runs already in this home; 1 when it cannot start.")
def up(
    label: Annotated[str | None, typer.Option(help="Name this device, as others will see it.")] = None,
    listen: Annotated[
        list[str] | None, typer.Option(help="Show messages of this channel too; may be repeated.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show info lines of the daemon.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event per line.")] = False,
) -> None:
    """Run the app's mesh half in the foreground until Ctrl-C."""
    from myownllm.cli.up import run_up

    run_up(label, tuple(listen or ()), verbose=verbose, as_json=as_json)


app.command("open")(screen.open_screen)
app.command()(status.status)
app.command(epilog=health.EPILOG)(health.health)
app.command()(bugreport.bugreport)
app.command(epilog=netcheck.EPILOG)(netcheck.netcheck)
app.command()(peers.peers)
app.command()(peers.approve)
app.command()(peers.deny)
app.command(epilog=ping.EPILOG)(ping.ping)
app.command()(invitations.invite)
app.command()(invitations.join)
app.command()(invitations.invites)
app.command()(invitations.uninvite)
app.command()(peers.call)
app.command()(peers.broadcast)
app.command()(files.send)
app.command()(transcribe.transcribe)
app.command()(peers.label)
app.command()(peers.reconnect)
app.command()(models.infer)
app.command()(models.models)
app.command()(models.pin)
app.command()(remote.remote)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version of the app.")] = False,
) -> None:
    """The mesh half of MyOwnLLM: your devices, connected to each other and to nobody else."""
    if version:
        from mesh_common.version import VERSION

        print(f"myownllm {VERSION}")
        raise SystemExit(0)
    if context.invoked_subcommand is None:
        print(context.get_help())
