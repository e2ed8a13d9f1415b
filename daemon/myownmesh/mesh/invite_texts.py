"""Between a network's record and the text of an invitation to it (spec 11 §1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import UNSET

from myownmesh.invitations.link import KIND, NETWORK_KIND, VERSION, Invitation, Network, Signaling, TurnServer
from myownmesh.protocol.modes import Ring
from myownmesh.store.network_config import NetworkConfig, SignalingConfig, StunEntry, TurnEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.identity import Identity
    from myownmesh.invitations.book import Invite
    from myownmesh.protocol.frames import NetworkKind

_SEALING: Final[Mapping[str, Literal["require", "off"]]] = {"require": "require", "off": "off"}
"""What is not usual."""
USUAL_SHAPE = Ring()
"""What a network has whose envelope names no shape (08 FE-6.9)."""


def invitation_to(
    record: NetworkConfig,
    network_id: str,
    identity: Identity,
    invite: Invite,
    *,
    kind: NetworkKind,
    founder: str | None,
    with_turn_passwords: bool,
) -> Invitation:
    """What another device is given. TURN servers that need a password are named only with it.

    `kind`: what the network is now; of a closed one `founder` is whom the joiner is to believe.
    """
    return Invitation(
        kind=KIND,
        version=VERSION,
        network=Network(
            kind=NETWORK_KIND,
            version=VERSION,
            network_id=network_id,
            label=record.label,
            network_kind="open" if kind == "open" else kind,  # one text, so that it is left out
            topology=None if record.topology == USUAL_SHAPE else record.topology,
            signaling_servers=record.signaling.servers,
            stun_servers=_stun(record),
            turn_servers=_turn(record, with_passwords=with_turn_passwords),
        ),
        sender=identity.device_id,
        token=invite.token,
        exp=invite.exp,
        signaling=_signaling(record.signaling),
        label=identity.label,
        founder=founder if kind == "closed" else None,
    )


def record_of(invitation: Invitation) -> NetworkConfig:
    """The record of the network that an invitation leads to: nobody is let in there unasked."""
    network, signaling = invitation.network, invitation.signaling or Signaling()
    usual = NetworkConfig(id=network.network_id, network_id=network.network_id)
    denylist = usual.signaling.denylist if signaling.denylist is None else signaling.denylist
    stun = usual.stun_servers
    if network.stun_servers is not None:
        stun = (StunEntry(urls=network.stun_servers),) if network.stun_servers else ()
    turn = usual.turn_servers
    if network.turn_servers is not None:
        turn = tuple(
            TurnEntry(urls=(each.url,), username=each.username, credential=each.credential)
            for each in network.turn_servers
        )
    return NetworkConfig(
        id=network.network_id,
        network_id=network.network_id,
        label=network.label,
        kind=network.network_kind,
        topology=USUAL_SHAPE if network.topology is None else network.topology,
        signaling=SignalingConfig(
            strategy=signaling.strategy,
            mdns=signaling.mdns,
            servers=network.signaling_servers,
            redundancy=signaling.redundancy,
            denylist=denylist,
            public_fallback=signaling.public_fallback,
            sealed=_SEALING.get(signaling.sealed, UNSET),
        ),
        stun_servers=stun,
        turn_servers=turn,
        unknown={} if invitation.founder is None else {"founder": invitation.founder},
    )


def _signaling(config: SignalingConfig) -> Signaling | None:
    usual = SignalingConfig()
    told = Signaling(
        strategy=config.strategy,
        mdns=config.mdns,
        redundancy=config.redundancy,
        denylist=None if config.denylist == usual.denylist else config.denylist,
        public_fallback=config.public_fallback,
        sealed=config.sealing,
    )
    return None if told == Signaling() else told


def _stun(record: NetworkConfig) -> tuple[str, ...] | None:
    usual = NetworkConfig(id="", network_id="").stun_servers
    return None if record.stun_servers == usual else tuple(url for each in record.stun_servers for url in each.urls)


def _turn(record: NetworkConfig, *, with_passwords: bool) -> tuple[TurnServer, ...] | None:
    if record.turn_servers == NetworkConfig(id="", network_id="").turn_servers:
        return None
    return tuple(
        TurnServer(url, entry.username, entry.credential)
        for entry in record.turn_servers
        if with_passwords or not entry.credential
        for url in entry.urls
    )
