"""Routes about the saved networks, and invitations to them: the changes that the commands make."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import trio

from mesh_common.addresses import relay_address, stun_address
from mesh_common.labels import shown
from myownllm.catalog.envelope import export_envelope, invited_settings
from myownllm.catalog.network import DEFAULT_STUN, LAN_ALONE, SavedNetwork, met_where
from myownllm.coerce import as_object
from myownllm.errors import AppError, UnknownNetworkError
from myownllm.ids import generate_network_id, normalize_network_id
from myownllm.network_changes import (
    CLEARED,
    added,
    checked,
    imported,
    joined,
    need_active,
    read_settings,
    topology_of,
    turn_server,
)
from myownllm.ui import words
from myownllm.ui.calls import route
from myownllm.ui.daemon import Daemon
from myownllm.ui.failures import UiError
from myownllm.ui.picture import network_row
from myownllm.ui.qr import outline

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.routing import Route

    from myownllm.catalog.model import Catalog
    from myownllm.ui.calls import Call, Desk


def all_of(desk: Desk) -> list[Route]:
    return [
        route(desk, "POST", "/api/networks", words.AddNetwork, _add),
        route(desk, "POST", "/api/networks/active", words.Activate, _activate),
        route(desk, "POST", "/api/networks/generate-id", words.Nothing, _generate),
        route(desk, "POST", "/api/networks/import", words.Import, _import),
        route(desk, "PATCH", "/api/networks/{id}", words.EditNetwork, _edit),
        route(desk, "DELETE", "/api/networks/{id}", words.ForgetNetwork, _forget),
        route(desk, "POST", "/api/networks/{id}/export", words.Export, _export),
        route(desk, "GET", "/api/invites", None, _invites),
        route(desk, "POST", "/api/invites", words.Invite, _invite),
        route(desk, "DELETE", "/api/invites/{id}", None, _uninvite),
    ]


async def change(call: Call, edit: Callable[[Catalog], Catalog], *, now: bool = False) -> dict[str, Any]:
    """Change the saved networks, and have the app follow: what became of it."""
    catalog = await trio.to_thread.run_sync(call.app.catalog.mutate, edit)
    followed: dict[str, Any] = await call.app.door.ask("follow", {"may_disrupt": now})
    return {"active": catalog.active_network_id, "settings": followed["settings"], "error": followed["error"]}


async def _add(call: Call, asked: words.AddNetwork) -> dict[str, Any]:
    record = SavedNetwork(
        id=call.app.catalog.mint_id(),
        network_id=normalize_network_id(asked.network_id),
        label=asked.label.strip() or None,
        signaling_servers=checked(asked.signaling_servers, relay_address),
        stun_servers=_stun_servers(asked),
        auto_approve=True if asked.auto_approve else None,
        signaling=met_where(None, only_lan=asked.only_lan),
    )
    named = {"label": asked.label, "signaling_servers": asked.signaling_servers, "auto_approve": asked.auto_approve}
    named |= {"stun_servers": asked.stun_servers is not None or asked.only_lan, "signaling": asked.only_lan}
    given = {name: getattr(record, name) for name, is_given in named.items() if is_given}
    told = await change(call, lambda c: added(c, record, given, activate=asked.activate))
    saved = (await call.app.live.load()).by_wire_id(record.network_id)
    assert saved is not None
    return {**told, "network": network_row(saved)}


def _stun_servers(asked: words.AddNetwork) -> tuple[str, ...]:
    if asked.stun_servers is None:
        return () if asked.only_lan else DEFAULT_STUN
    return checked(asked.stun_servers, stun_address)


async def _activate(call: Call, asked: words.Activate) -> dict[str, Any]:
    return await change(call, lambda c: c.set_active_network(asked.id))


async def _generate(_: Call, __: words.Nothing) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    return {"network_id": generate_network_id(random.SystemRandom())}


async def _edit(call: Call, asked: words.EditNetwork) -> dict[str, Any]:
    saved = await _saved(call)
    passwords = {t.url: t.credential for t in saved.turn_servers}
    changes: dict[str, Any] = {}
    if asked.label is not None:
        changes["label"] = asked.label.strip() or None
    if asked.topology is not None:
        changes["topology"] = topology_of(asked.topology) if asked.topology else None
    if asked.auto_approve is not None:
        changes["auto_approve"] = asked.auto_approve
    if asked.only_lan is not None:
        changes["signaling"] = met_where(saved.signaling, only_lan=asked.only_lan)
    if asked.signaling_servers is not None:
        changes["signaling_servers"] = checked(asked.signaling_servers, relay_address)
    if asked.stun_servers is not None:
        changes["stun_servers"] = checked(asked.stun_servers, stun_address)
    if asked.turn_servers is not None:
        changes["turn_servers"] = tuple(
            turn_server(t.url, t.username, passwords.get(t.url) if t.credential is None else t.credential)
            for t in asked.turn_servers
        )
    changes |= dict(CLEARED[word] for word in asked.defaults)
    return await change(call, lambda c: c.update_network(saved.id, **changes), now=asked.now)


async def _forget(call: Call, asked: words.ForgetNetwork) -> dict[str, Any]:
    saved = await _saved(call)
    if asked.delete_roster:
        if (await call.app.live.load()).active_network_id != saved.id:
            raise UiError(409, "conflict", "switch to the network first: only there its approvals can be taken back")
        daemon = Daemon(call.app)
        for row in await daemon.roster(saved.wire_id):
            await daemon.remove_peer(saved.wire_id, row.device_id)
    return await change(call, lambda c: c.remove_network(saved.id))


async def _export(call: Call, asked: words.Export) -> dict[str, Any]:
    envelope = export_envelope(await _saved(call))
    if not asked.secrets:
        envelope["turn_servers"] = [{"url": t["url"]} for t in envelope["turn_servers"]]
    return envelope


async def _saved(call: Call) -> SavedNetwork:
    wanted = call.part("id")
    saved = (await call.app.live.load()).by_id(wanted)
    if saved is None:
        raise UnknownNetworkError(shown(wanted))
    return saved


# ── invitations, and settings of other devices ────────────────────────────────────────────────────────────────────────


async def _import(call: Call, asked: words.Import) -> dict[str, Any]:
    """A link, or settings that were exported; `look` only says where it leads."""
    text = asked.text.strip()
    if not text.startswith("{"):
        return await _join(call, text, asked)
    settings = read_settings(text)
    known = (await call.app.live.load()).by_wire_id(settings["network_id"])
    told = {
        "kind": "settings",
        "network_id": shown(settings["network_id"]),
        "label": shown(settings.get("label") or ""),
        "relays": [shown(url) for url in settings["signaling_servers"]],
        "only_lan": as_object(settings.get("signaling")).get("strategy") == LAN_ALONE,
        "turn": [shown(t["url"]) for t in settings["turn_servers"]],
        "auto_approve": bool(settings.get("auto_approve")),
        "is_saved": known is not None,
    }
    if asked.look:
        return told
    new_id = call.app.catalog.mint_id()
    return {**told, **await change(call, lambda c: imported(c, settings, new_id, activate=asked.activate))}


async def _join(call: Call, text: str, asked: words.Import) -> dict[str, Any]:
    daemon = Daemon(call.app)
    leads = await daemon.join_invite(text, dry_run=True)
    told = {
        "kind": "invitation",
        "network_id": shown(leads.network_id),
        "label": shown(leads.label),
        "from": leads.sender,
        "from_label": shown(leads.sender_label),
        "relays": [shown(url) for url in leads.servers],
        "only_lan": as_object(as_object(leads.settings).get("signaling")).get("strategy") == LAN_ALONE,
        "turn": [shown(host) for host in leads.turn],
        "exp": leads.exp,
        "is_saved": leads.present,
    }
    if asked.look:
        return told
    settings = invited_settings(leads.settings)
    if settings is None:
        raise AppError("this invitation holds no network settings")
    await daemon.join_invite(text, approve_inviter=True, ahead=True)  # so that the first meeting asks nobody
    new_id = call.app.catalog.mint_id()
    done = await change(call, lambda c: joined(c, settings, new_id))
    await daemon.join_invite(text, approve_inviter=True)
    return {**told, **done}


async def _invite(call: Call, asked: words.Invite) -> dict[str, Any]:
    network = need_active(await call.app.live.load()).wire_id
    made = await Daemon(call.app).invite(
        network, ttl_s=asked.ttl_s, uses=asked.uses, note=asked.note, turn_credentials=asked.turn_passwords
    )
    return {"text": made.text, "id": made.id, "exp": made.exp, "qr": outline(made.text)}


async def _invites(call: Call, _: None) -> dict[str, Any]:
    network = need_active(await call.app.live.load()).wire_id
    rows = await Daemon(call.app).invites(network)
    return {
        "invites": [
            {"id": r.id, "exp": r.exp, "uses": r.uses, "used": len(r.by), "by": list(r.by), "note": shown(r.note)}
            for r in rows
        ]
    }


async def _uninvite(call: Call, _: None) -> None:
    network = need_active(await call.app.live.load()).wire_id
    await Daemon(call.app).revoke_invite(network, call.part("id"))
