"""`myownllm networks`: the saved networks. A running app follows every change by itself."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Annotated, Final

import attrs
import typer
from msgspec import Struct

from mesh_common.addresses import relay_address, stun_address
from mesh_common.handwritten import fault, other_encoding, read_all, without_mark
from mesh_common.streams import words
from mesh_common.tables import columns
from myownllm.catalog.envelope import export_envelope
from myownllm.catalog.model import Catalog
from myownllm.catalog.network import DEFAULT_STUN, SEALING, SavedNetwork, TurnServer, met_where, with_sealing
from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.coerce import as_object
from myownllm.errors import FAILURES, AppError, DoorError
from myownllm.ids import generate_network_id, normalize_network_id
from myownllm.network_changes import added, checked, find, imported, read_settings, turn_server

if TYPE_CHECKING:
    from typing import IO

Sealed = Annotated[
    str | None,
    typer.Option(help="Hide from relays where devices are: prefer (from and to those that can), require, off."),
]

app = typer.Typer(no_args_is_help=True, help="Saved networks: list, add, use, remove.", rich_markup_mode=None)

FOLLOW_S = 15.0
"""A person waits no longer for the app to join."""


def complete_network(incomplete: str) -> list[str]:
    """Handles of saved networks, for the shell's completion."""
    try:
        catalog = context.catalog_file(context.home()).load().catalog
    except FAILURES:
        return []
    return [n.wire_id for n in catalog.networks if n.wire_id.startswith(incomplete)]


Network = Annotated[str, typer.Argument(help="Handle, label or local id.", autocompletion=complete_network)]

MaybeNetwork = Annotated[str | None, typer.Argument(help="Handle, label or local id.", autocompletion=complete_network)]


@app.command("list")
def list_networks(as_json: Json = False) -> None:
    """Show the saved networks; * marks the active one."""
    try:
        catalog = context.catalog_file(context.home()).load().catalog
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer(_catalog_json(catalog))
        return
    if not catalog.networks:
        print("No saved networks. `myownllm networks add <name>` makes one; use the same name on every device.")
        return
    rows = [
        ["*" if n.id == catalog.active_network_id else "", n.wire_id, _name(n), _relays(n), n.id]
        for n in catalog.networks
    ]
    print(columns(rows, ["", "network", "label", "relays", "local id"]))


def _catalog_json(catalog: Catalog) -> dict[str, object]:
    return {
        "active_network_id": catalog.active_network_id,
        "networks": [{**n.to_json(), "active": n.id == catalog.active_network_id} for n in catalog.networks],
    }


def _name(network: SavedNetwork) -> str:
    closed = "(marked closed)" if network.kind == "closed" else ""
    return f"{network.label or ''} {closed}".strip()


def _relays(network: SavedNetwork) -> str:
    if network.is_lan_alone:
        return "none (local network alone)"
    return ", ".join(network.signaling_servers) or "public relays"


@app.command("add")
def add_network(
    name: Annotated[str | None, typer.Argument(help="The same name on every device; left out: a random one.")] = None,
    label: Annotated[str, typer.Option(help="What to call it on this device.")] = "",
    relay: Annotated[list[str] | None, typer.Option(help="Signaling relay, ws:// or wss://; may be repeated.")] = None,
    stun: Annotated[list[str] | None, typer.Option(help="STUN server, stun:host:port; may be repeated.")] = None,
    no_stun: Annotated[bool, typer.Option("--no-stun", help="Use no STUN server (same LAN or one machine).")] = False,
    turn: Annotated[list[str] | None, typer.Option(help="TURN server: turn:host:port[,user,password].")] = None,
    only_lan: Annotated[
        bool, typer.Option("--only-lan", help="Meet in the local network alone: no relay, no STUN.")
    ] = False,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Let every device in without asking.")] = False,
    sealed: Sealed = None,
    use: Annotated[bool, typer.Option("--use/--no-use", help="Make it the active network.")] = True,
    as_json: Json = False,
) -> None:
    """Save a network and make it the active one. Of a name that is saved already, only what is given here changes."""
    try:
        file = context.catalog_file(context.home())
        handle = normalize_network_id(name) if name is not None else generate_network_id(random.SystemRandom())
        record = SavedNetwork(
            id=file.mint_id(),
            network_id=handle,
            label=label.strip() or None,
            signaling_servers=checked(relay, relay_address),
            stun_servers=() if no_stun or (only_lan and not stun) else checked(stun, stun_address) or DEFAULT_STUN,
            turn_servers=tuple(map(typed_turn_server, turn or ())),
            auto_approve=True if auto_approve else None,
        )
        stunned = no_stun or only_lan or stun
        named = {"label": label, "signaling_servers": relay, "stun_servers": stunned, "turn_servers": turn}
        given = {k: getattr(record, k) for k, v in {**named, "auto_approve": auto_approve}.items() if v}
        before = file.load().catalog.by_wire_id(handle)
        signaling = None if before is None else before.signaling
        if sealed is not None:
            signaling = with_sealing(signaling, sealing(sealed))
        if only_lan:
            signaling = met_where(signaling, only_lan=True)
        if sealed is not None or only_lan:
            record, given["signaling"] = attrs.evolve(record, signaling=signaling), signaling
        catalog = file.mutate(lambda c: added(c, record, given, activate=use))
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    saved, active, followed = as_saved(catalog, handle)
    changed = before is not None and saved != before
    if as_json:
        told = {"active": active, "created": before is None, "changed": changed, "joined": followed.joined}
        context.print_answer({**saved.to_json(), **told, "settings": followed.state})
        return
    what = "saved" if before is None else "has new settings" if changed else "was saved already"
    print(f"Network '{saved.handle}' {what}{' and is active' if active else ''}.")
    say_sealing(sealed, followed)
    if active and changed and followed.joined is not None:
        say_settings(saved, followed)
    elif active:
        _say_joined(saved, followed)


def sealing(text: str) -> str:
    """A mode of sealing. Raises AppError."""
    if text not in SEALING:
        raise AppError(f"'{text}' is no word for sealing; write {', '.join(SEALING)}")
    return text


def say_sealing(mode: str | None, told: Followed) -> None:
    """What a person who demands it has to know, where nothing stands against it."""
    if mode == "require" and not told.text:
        print("Only devices that seal their signaling take part from now on: v0.3.8 does not.")


def typed_turn_server(text: str) -> TurnServer:
    """`turn:host:port[,user,password]`. Raises `AppError`."""
    url, *rest = text.split(",", 2)
    return turn_server(url, *[*rest, None, None][:2])


@app.command("use")
def use_network(
    name: Annotated[
        str | None, typer.Argument(help="Handle, label or local id.", autocompletion=complete_network)
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Leave the active network and pick no other.")] = False,
    as_json: Json = False,
) -> None:
    """Switch to a saved network: the app leaves the old one and joins this one."""
    try:
        if (name is None) != none:
            raise AppError("name a saved network, or say --none")
        file = context.catalog_file(context.home())
        target = None if name is None else find(file.load().catalog, name)
        config_id = None if target is None else target.id
        file.mutate(lambda c: c.set_active_network(config_id))
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    followed = follow(target)
    if as_json:
        context.print_answer({"active_network_id": config_id, "joined": followed.joined})
    elif target is None:
        print("No active network now.")
    else:
        print(f"'{target.handle}' is the active network.")
        _say_joined(target, followed)


@app.command("remove")
def remove_network(name: Network, as_json: Json = False) -> None:
    """Forget a saved network. Approvals of its devices stay in the daemon's roster."""
    try:
        file = context.catalog_file(context.home())
        target = find(file.load().catalog, name)
        was_active = file.load().catalog.active_network_id == target.id
        file.mutate(lambda c: c.remove_network(target.id))
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    left = follow(None).joined if was_active else None
    if as_json:
        context.print_answer({"removed": target.id, "network_id": target.wire_id, "was_active": was_active})
        return
    print(f"Network '{target.handle}' forgotten.")
    if was_active:
        print("No active network — pick one below" if left is not False else "The app has not left it yet.")
        list_networks(as_json=False)


@app.command("export")
def export_network(
    name: MaybeNetwork = None,
    no_secrets: Annotated[bool, typer.Option("--no-secrets", help="Leave out TURN names and passwords.")] = False,
    as_json: Json = False,
) -> None:
    """Print a network's settings for another device: `networks import` reads them there. The active one by default."""
    try:
        catalog = context.catalog_file(context.home()).load().catalog
        network = context.need_active(catalog) if name is None else find(catalog, name)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    envelope = export_envelope(network)
    if no_secrets:
        envelope["turn_servers"] = [{"url": t["url"]} for t in envelope["turn_servers"]]
    elif any("credential" in t for t in envelope["turn_servers"]):
        typer.echo("note: this holds TURN passwords; --no-secrets leaves them out", err=True)
    context.print_json(envelope)


@app.command("import")
def import_network(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="What `networks export` printed; - reads standard input.")
    ],
    use: Annotated[bool, typer.Option("--use/--no-use", help="Make it the active network.")] = True,
    as_json: Json = False,
) -> None:
    """Save the settings of a network from another device; a saved network of that name takes them over."""
    try:
        settings = read_settings(_text(file))
        handle = normalize_network_id(settings["network_id"])
        store = context.catalog_file(context.home())
        catalog = store.mutate(lambda c: imported(c, settings, store.mint_id(), activate=use))
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    saved, active, followed = as_saved(catalog, handle)
    if as_json:
        context.print_answer({**saved.to_json(), "active": active, "joined": followed.joined})
        return
    print(f"Network '{saved.handle}' saved{' and is active' if active else ''}.")
    if active:
        _say_joined(saved, followed)


def _text(file: IO[bytes]) -> str:
    try:
        data = read_all(file)
    except OSError as error:
        raise AppError(f"these settings cannot be read: {error.strerror}") from None
    if (encoding := other_encoding(data)) is not None:
        raise AppError(f"these settings are {encoding} text; save them as UTF-8")
    try:
        return without_mark(data).decode()
    except UnicodeDecodeError:
        raise AppError(f"these settings are no UTF-8 text ({fault(data)})") from None


class Followed(Struct, frozen=True):
    """What the running app made of a change."""

    joined: bool | None
    """None when no app runs"""
    state: str = ""
    """of edited settings, as in `client.state.Settings`"""
    text: str = ""


def as_saved(catalog: Catalog, handle: str) -> tuple[SavedNetwork, bool, Followed]:
    """What was saved under that handle, whether it is active, and what a running app made of that."""
    saved = catalog.by_wire_id(handle)
    assert saved is not None
    active = catalog.active_network_id == saved.id
    return saved, active, follow(saved) if active else Followed(None)


def follow(target: SavedNetwork | None, *, now: bool = False) -> Followed:
    """Let a running app carry the change into its daemon, with `now` also if that cuts off what runs."""
    app_home = context.home()
    if context.app_pid(app_home) is None:
        return Followed(None)
    try:
        answer = context.ask_app(app_home, "follow", FOLLOW_S, may_disrupt=now)
    except DoorError as error:
        return Followed(False, "pending", str(error))
    settings = as_object(answer.get("settings"))
    network = "" if target is None else target.wire_id
    joined = answer.get("network") == network and answer.get("status") in ("online", "off")
    if answer.get("network") != network:
        return Followed(False, "pending", str(answer.get("error", "")))
    return Followed(joined, str(settings.get("state", "")), str(settings.get("text", "")))


_TOLD: Final = {
    "applied": "applied",
    "rebuilt": "applied; the network was rebuilt, peers reconnect",
    "rejected": "saved, but the daemon rejected them: {text}; what was in force before still is",
    "waiting": "saved, not applied yet: {text}. They are applied when it ends, or now with `networks edit --now`",
}
_LATER: Final = "saved, not applied yet: `myownllm health` says why"


def say_settings(network: SavedNetwork, told: Followed) -> None:
    """What became of edited settings."""
    if told.joined is None:
        print(f"Settings of '{network.handle}' are saved; `myownllm up` applies them.")
        return
    print(f"Settings of '{network.handle}': {_TOLD.get(told.state, _LATER).format(text=told.text)}.")
    _warn(told)


def _warn(told: Followed) -> None:
    """What is amiss with settings that are in force."""
    if told.state in ("applied", "rebuilt") and told.text:
        typer.echo(f"warning: its settings {told.text}", err=True)


def _say_joined(network: SavedNetwork, told: Followed) -> None:
    if told.joined is None:
        print("`myownllm up` will join it.")
    elif told.joined:
        print("The running app has joined it.")
        _warn(told)
    else:
        print("The running app has not joined it yet: `myownllm health` says why.")
