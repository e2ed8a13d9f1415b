"""What an invitation does here (spec 11 §1.3): its network is joined, its inviter counts as approved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.addresses import turn_address
from mesh_common.values import Value
from myownmesh.invitations.book import Accepted
from myownmesh.invitations.link import BadInvitation, read_link
from myownmesh.mesh import clock
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.invite_texts import record_of
from myownmesh.protocol.ids import display_id

if TYPE_CHECKING:
    from myownmesh.invitations.link import Invitation
    from myownmesh.mesh.mesh import Mesh
    from myownmesh.mesh.network import Network


class Joined(Value, frozen=True):
    """What an invitation leads to, or did."""

    network: str
    """Record id here."""
    invitation: Invitation
    present: bool
    """The network was here before."""

    @property
    def relays(self) -> tuple[str, ...]:
        return self.invitation.network.signaling_servers

    @property
    def turn_hosts(self) -> tuple[str, ...]:
        servers = self.invitation.network.turn_servers or ()
        return tuple(dict.fromkeys(turn_address(each.url).host for each in servers))


OTHER_FOUNDER: Final = "invite: this invitation names another founder than the one that this network has here"


class How(Value, frozen=True):
    """In which way an invitation is used."""

    dry_run: bool = False
    """Only say what it would do."""
    approve_inviter: bool = False
    """Also in a network that is here already."""
    ahead: bool = False
    """Leave it to the caller to add the network: what is kept until then lets its first meeting ask nobody."""


async def accept(mesh: Mesh, text: str, how: How) -> Joined:
    """Use the text of an invitation.

    Raises `MeshError` before anything has changed, or with the texts of `Mesh.add_network`.
    """
    try:
        invitation = read_link(text, me=mesh.identity.device_id)
    except BadInvitation as error:
        raise MeshError(f"invite: {error}") from error
    if invitation.is_expired(clock.now().wall_ms / 1000):
        raise MeshError("invite: this invitation has expired: ask for a new one")
    network_id = invitation.network.network_id
    network = mesh.get(network_id)
    if network is not None:
        await _check_present(network, invitation, approve_inviter=how.approve_inviter or how.dry_run)
    joined = Joined(network_id if network is None else network.config_id, invitation, network is not None)
    if how.dry_run or (network is not None and network.is_linked(invitation.sender)):
        return joined  # of a link that is up nothing is left to show, and both ends have let each other in
    if network is None and how.ahead:
        await _pin_founder(mesh, invitation)
    taken = Accepted(invitation.sender, invitation.token, invitation.exp, invitation.label)
    # On disk before the network is there: the first hello to the inviter shows it already.
    await mesh.keep_accepted(network_id, taken)
    if network is None and how.ahead:
        if invitation.network.network_kind != "closed":  # else what is signed there says who the inviter is
            await mesh.approve_ahead(network_id, invitation.sender, invitation.label)
        return joined
    if network is None:
        network = await mesh.add_network(record_of(invitation))
    await network.take_invitation(invitation.sender, invitation.label)
    return joined


async def _pin_founder(mesh: Mesh, invitation: Invitation) -> None:
    """The record that an app adds names no founder of a closed network, so the one of the link is kept before it."""
    founder = invitation.founder if invitation.network.network_kind == "closed" else None
    if founder is not None and not await mesh.pin_ahead(invitation.network.network_id, founder):
        raise MeshError(OTHER_FOUNDER)


async def _check_present(network: Network, invitation: Invitation, *, approve_inviter: bool) -> None:
    kind = invitation.network.network_kind
    if network.kind != kind:
        raise MeshError(f"invite: this invitation is to a network that is {kind}; here it is {network.kind}")
    if invitation.founder is not None:
        book = await network.governing.book()  # of a network that was added just now the files are being read
        if book.pin.founder != invitation.founder:
            raise MeshError(OTHER_FOUNDER)
    if not approve_inviter and not network.is_approved(invitation.sender):
        raise MeshError(
            f"invite: this link asks you to approve {display_id(invitation.sender)} in {network.config_id}, "
            "where you already are"
        )
