"""`myownllm networks edit`: every setting of a saved network, also back to what it is when nobody has set it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mesh_common.addresses import relay_address, stun_address
from mesh_common.streams import words
from myownllm.catalog.network import ACCEPTING, met_where, with_sealing
from myownllm.cli import context
from myownllm.cli.networks import (
    Followed,
    MaybeNetwork,
    Sealed,
    follow,
    say_sealing,
    say_settings,
    sealing,
    typed_turn_server,
)
from myownllm.cli.options import Json
from myownllm.errors import FAILURES, AppError
from myownllm.network_changes import CLEARED, checked, find, topology_of


def edit_network(
    name: MaybeNetwork = None,
    label: Annotated[str | None, typer.Option(help="What to call it on this device; empty: its name.")] = None,
    topology: Annotated[
        str | None, typer.Option(help="ring, ring:N, full_mesh, star:DEVICE or hubs:DEVICE,DEVICE.")
    ] = None,
    auto_approve: Annotated[bool | None, typer.Option(help="Let every device in without asking, or no longer.")] = None,
    relay: Annotated[list[str] | None, typer.Option(help="Relays instead of those saved; may be repeated.")] = None,
    stun: Annotated[list[str] | None, typer.Option(help="STUN servers instead of those saved.")] = None,
    no_stun: Annotated[bool, typer.Option("--no-stun", help="Use no STUN server.")] = False,
    turn: Annotated[
        list[str] | None, typer.Option(help="TURN servers instead: turn:host:port[,user,password].")
    ] = None,
    only_lan: Annotated[
        bool | None, typer.Option(help="Meet in the local network alone, without a relay, or over relays, too.")
    ] = None,
    sealed: Sealed = None,
    accepting: Annotated[
        str | None, typer.Option(help="What peers may ask of this device: " + ", ".join(ACCEPTING))
    ] = None,
    gossip: Annotated[bool | None, typer.Option(help="Share policy and prompts with peers, or no longer.")] = None,
    clear: Annotated[
        list[str] | None, typer.Option(help=f"Back to what it is unset: {', '.join(CLEARED)}; may be repeated.")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Apply it also while something runs that it cuts off.")] = False,
    as_json: Json = False,
) -> None:
    """Change settings of a saved network (the active one by default), and say what became of them."""
    try:
        named = {
            "label": None if label is None else label.strip() or None,
            "topology": None if topology is None else topology_of(topology),
            "auto_approve": auto_approve,
            "signaling_servers": checked(relay, relay_address) if relay else None,
            "stun_servers": () if no_stun else checked(stun, stun_address) if stun else None,
            "turn_servers": tuple(map(typed_turn_server, turn)) if turn else None,
            "accepting": None if accepting is None else _accepting(accepting),
            "auto_gossip": gossip,
        }
        changes = {k: v for k, v in named.items() if v is not None or (k == "label" and label is not None)}
        changes |= dict(_cleared(word) for word in clear or ())
        mode = None if sealed is None else sealing(sealed)
        if not changes and mode is None and only_lan is None and not now:
            raise AppError("nothing to change: see `myownllm networks edit --help`")
        file = context.catalog_file(context.home())
        catalog = file.load().catalog
        target = context.need_active(catalog) if name is None else find(catalog, name)
        signaling = target.signaling if mode is None else with_sealing(target.signaling, mode)
        if only_lan is not None:
            signaling = met_where(signaling, only_lan=only_lan)
        if signaling != target.signaling:
            changes["signaling"] = signaling
        catalog = file.mutate(lambda c: c.update_network(target.id, **changes))
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    saved = catalog.by_id(target.id)
    assert saved is not None
    followed = follow(saved, now=now) if catalog.active_network_id == saved.id else Followed(None)
    if as_json:
        told = {"state": followed.state, "text": followed.text} if followed.joined is not None else None
        context.print_answer({**saved.to_json(), "changed": saved != target, "settings": told})
    elif catalog.active_network_id == saved.id:
        say_settings(saved, followed)
        say_sealing(mode, followed)
    else:
        print(f"Settings of '{saved.handle}' are saved.")
        say_sealing(mode, followed)
    if followed.state == "rejected":
        raise SystemExit(context.EXIT_FAILED)


def _cleared(word: str) -> tuple[str, Any]:
    if word not in CLEARED:
        raise AppError(f"'{word}' cannot be cleared; what can be is {', '.join(CLEARED)}")
    return CLEARED[word]


def _accepting(text: str) -> str:
    if text not in ACCEPTING:
        raise AppError(f"'{text}' is no word for what this device accepts; write {', '.join(ACCEPTING)}")
    return text
