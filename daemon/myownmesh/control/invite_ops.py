"""Ops about invitations (spec 11 §1.2, §1.3). Texts are secrets: they stand in answers and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.invitations.link import BadInvitation, link_of
from myownmesh.mesh.accepting import How, accept
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.invite_texts import invitation_to
from myownmesh.protocol.ids import display_id

if TYPE_CHECKING:
    from myownmesh.control import requests
    from myownmesh.control.control import Control


async def invite_create(control: Control, request: requests.InviteCreate) -> bytes:
    network = control.find(request.network)
    waits_for: tuple[str, ...] = ()
    if network.kind == "closed":
        try:
            waits_for = await network.governing.may_invite(request.mfa_code)
        except MeshError as error:
            raise MeshError(f"invite: {network.config_id} {error}") from error
    invite = await network.inviting.create(request.ttl_s, request.uses, request.note)
    invitation = invitation_to(
        network.config,
        network.network_id,
        control.mesh.identity,
        invite,
        kind=network.kind,
        founder=network.governing.held.pin.founder,
        with_turn_passwords=request.turn_credentials,
    )
    try:
        text = link_of(invitation)
    except BadInvitation as error:
        await network.inviting.revoke(invite.id)
        raise MeshError(f"invite: {error}") from error
    return success(answers.InviteCreated(text, invite.id, invite.exp, not waits_for, waits_for))


def invite_list(control: Control, request: requests.InviteList) -> bytes:
    rows = (
        answers.InviteRow(each.id, each.exp, each.uses, each.by, each.made, each.note)
        for each in control.find(request.network).inviting.invites()
    )
    return success(answers.InvitesAnswer(tuple(rows)))


async def invite_revoke(control: Control, request: requests.InviteRevoke) -> bytes:
    await control.find(request.network).inviting.revoke(request.id)
    return success(answers.InviteRevoked(request.id))


async def network_join_invite(control: Control, request: requests.NetworkJoinInvite) -> bytes:
    how = How(request.dry_run, request.approve_inviter, request.ahead)
    joined = await accept(control.mesh, request.text, how)
    invitation = joined.invitation
    network = invitation.network
    told = msgspec.to_builtins(network)
    if invitation.signaling is not None:
        told["signaling"] = msgspec.to_builtins(invitation.signaling)
    return success(
        answers.InvitationTaken(
            network=joined.network,
            network_id=network.network_id,
            label=network.label,
            kind=network.network_kind,
            sender=display_id(invitation.sender),
            sender_label=invitation.label,
            servers=joined.relays,
            turn=joined.turn_hosts,
            exp=invitation.exp,
            present=joined.present,
            settings=told if request.dry_run else None,
        )
    )
