"""Ops about invitations (spec 11 §1.2, §1.3). Texts are secrets: they stand in answers and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.control.request import Immediate, Task
from myownmesh.invitations.book import DEFAULT_TTL_S
from myownmesh.invitations.link import BadInvitation, link_of
from myownmesh.mesh.accepting import How, accept
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.invite_texts import invitation_to
from myownmesh.protocol.ids import display_id
from myownmesh.protocol.schema import U64

if TYPE_CHECKING:
    from myownmesh.control.control import Control


class InviteCreate(Task, frozen=True):
    network: str
    ttl_s: U64 = DEFAULT_TTL_S
    uses: U64 = 1
    note: str = ""
    turn_credentials: bool = False
    mfa_code: str | None = None

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network)
        waits_for: tuple[str, ...] = ()
        if network.kind == "closed":
            try:
                waits_for = await network.governing.may_invite(self.mfa_code)
            except MeshError as error:
                raise MeshError(f"invite: {network.config_id} {error}") from error
        invite = await network.inviting.create(self.ttl_s, self.uses, self.note)
        invitation = invitation_to(
            network.config,
            network.network_id,
            control.mesh.identity,
            invite,
            kind=network.kind,
            founder=network.governing.held.pin.founder,
            with_turn_passwords=self.turn_credentials,
        )
        try:
            text = link_of(invitation)
        except BadInvitation as error:
            await network.inviting.revoke(invite.id)
            raise MeshError(f"invite: {error}") from error
        return success(answers.InviteCreated(text, invite.id, invite.exp, not waits_for, waits_for))


class InviteList(Immediate, frozen=True):
    network: str

    def answer(self, control: Control) -> bytes:
        rows = (
            answers.InviteRow(each.id, each.exp, each.uses, each.by, each.made, each.note)
            for each in control.find(self.network).inviting.invites()
        )
        return success(answers.InvitesAnswer(tuple(rows)))


class InviteRevoke(Task, frozen=True):
    network: str
    id: str

    async def run(self, control: Control) -> bytes:
        await control.find(self.network).inviting.revoke(self.id)
        return success(answers.InviteRevoked(self.id))


class NetworkJoinInvite(Task, frozen=True):
    text: str
    dry_run: bool = False
    approve_inviter: bool = False
    ahead: bool = False
    """Only prepare a network that is not here: whoever asks adds it with a record of its own."""

    async def run(self, control: Control) -> bytes:
        how = How(self.dry_run, self.approve_inviter, self.ahead)
        joined = await accept(control.mesh, self.text, how)
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
                settings=told if self.dry_run else None,
            )
        )
