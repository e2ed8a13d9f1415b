"""The operations of a daemon as typed methods (spec 05 §7–§14); whoever can send a command has them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mesh_common import answers
from mesh_common.client.asking import bare_id
from mesh_common.client.governance import GovernanceOperations
from mesh_common.client.protocol import ENGINE_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh_common.views import JoinedNetwork, NetworkSummary, PeerInfo, RosterRow, ServicesReport

CALL_TIMEOUT_S: Final = 60.0
"""How long a call waits unless told otherwise: enough for a slow handler, not too long for a person who waits. 0.3.8
would wait for ever for a peer that died (spec 05 W10)."""

RELIABLE_TTL_S: Final = 60.0
RELIABLE_SLACK_S: Final = 5.0
"""The daemon looks every 2 s what has expired (spec 08 FE-4.3)."""


class Operations(GovernanceOperations):
    """One method per operation. All raise `ControlError`.

    `network` is a record id or a wire id; `peer` and `device_id` are ids of devices, with or without their suffix.
    """

    # ── this device ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def status(self) -> answers.StatusAnswer:
        return await self.ask(answers.StatusAnswer, "status")

    async def identity(self) -> answers.IdentityAnswer:
        return await self.ask(answers.IdentityAnswer, "identity_show")

    async def set_label(self, label: str) -> answers.IdentityAnswer:
        """Name this device; peers see it at their next handshake. An empty text clears the name."""
        return await self.ask(answers.IdentityAnswer, "identity_set_label", label=label)

    async def generate_network_id(self) -> str:
        return (await self.ask(answers.NetworkIdAnswer, "network_id_generate")).network_id

    async def normalize_network_id(self, text: str) -> str:
        """The network id that a text stands for."""
        return (await self.ask(answers.NetworkIdAnswer, "network_id_normalize", input=text)).network_id

    async def config(self) -> Mapping[str, Any]:
        """The configuration file as it is on disk, with every default and with secrets."""
        return (await self.ask(answers.ConfigAnswer, "config_show")).config

    async def services(self) -> answers.ServicesAnswer:
        """What this device hosts for others, and how it is configured."""
        return await self.ask(answers.ServicesAnswer, "services_status")

    async def service_offers(self) -> tuple[answers.ServiceOffer, ...]:
        """What members of the joined networks host for others, whether it is used or waits."""
        return (await self.ask(answers.ServicesOffers, "services_offers")).offers

    async def set_services(self, services: Mapping[str, object]) -> ServicesReport:
        """Replace the whole block of hosted services; what is left out becomes its default."""
        return (await self.ask(answers.ServicesSet, "services_set", services=services)).status

    async def update_status(self) -> answers.UpdateStatus:
        """What the daemon's updater is set to, and where it stands."""
        return await self.ask(answers.UpdateStatus, "update_status")

    async def check_for_update(self) -> answers.UpdateChecked:
        """Look for a release now, and fetch one that is permitted; a download may take minutes."""
        return await self.ask(answers.UpdateChecked, "update_check")

    async def apply_update(self) -> str | None:
        """Put the staged release in; returns its version. It runs from the daemon's next start on."""
        return (await self.ask(answers.UpdateApplied, "update_apply")).applied

    async def set_update_preferences(self, prefs: Mapping[str, object]) -> answers.UpdateStatus:
        """Change how the daemon updates itself; what is left out stays (spec 05 §16)."""
        return await self.ask(answers.UpdateStatus, "update_set_prefs", prefs=prefs)

    # ── networks ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def networks(self) -> tuple[NetworkSummary, ...]:
        """The joined networks."""
        return (await self.ask(answers.NetworksAnswer, "networks_list")).networks

    async def add_network(self, config: Mapping[str, object]) -> JoinedNetwork:
        """Join a network and keep its record, which has at least `id` and `network_id` (spec 07)."""
        return (await self.ask(answers.NetworkAdded, "network_add", config=config)).added

    async def update_network(self, config: Mapping[str, object]) -> answers.NetworkUpdated:
        """Replace a network's record; the network restarts when its id or signaling changes."""
        return await self.ask(answers.NetworkUpdated, "network_update", config=config)

    async def remove_network(self, network: str, *, purge: bool = False) -> str:
        """Leave a network and forget its record, with `purge` its roster too; returns the record id."""
        return (await self.ask(answers.NetworkRemoved, "network_remove", network=network, purge=purge)).removed

    async def forget_all_networks(self) -> answers.NetworksForgotten:
        """Leave and forget every network; behind the answer the daemon ends, and ours comes back by itself."""
        return await self.ask(answers.NetworksForgotten, "forget_all_networks")

    async def factory_reset(self) -> None:
        """Delete everything, the key too; behind the answer the daemon ends, and ours comes back as another device."""
        await self.command("factory_reset")

    async def reconnect(self, network: str, peer: str | None = None) -> None:
        """Renegotiate with one peer, or redial all relays and renegotiate with everybody."""
        await self.command("network_reconnect", network=network, peer=None if peer is None else bare_id(peer))

    async def connect_peer(self, network: str, peer: str, *, pin: bool = False, wait_s: float = 0.0) -> bool:
        """Dial a peer, wait up to `wait_s` seconds; True when it is active then. Raises TIMEOUT when it is not.

        `pin`: redial whenever it is seen.
        """
        answer = await self.ask(
            answers.PeerConnecting,
            "network_connect_peer",
            timeout=ENGINE_TIMEOUT_S + wait_s,
            network=network,
            peer=bare_id(peer),
            pin=pin,
            wait_ms=round(wait_s * 1000),
        )
        return answer.active

    async def set_topology(self, network: str, topology: str, hub: str | None = None) -> None:
        await self.command("topology_set", network=network, topology=topology, hub=hub)

    async def set_capabilities(self, network: str, capabilities: Mapping[str, object]) -> None:
        """Replace what this device advertises in a network: `tags`, `app_version`, `max_connections`, `extra`."""
        await self.command("capabilities_set", network=network, capabilities=capabilities)

    # ── peers and roster ──────────────────────────────────────────────────────────────────────────────────────────────

    async def peers(self, network: str) -> tuple[PeerInfo, ...]:
        """Everybody that is known in a network, in no order."""
        return (await self.ask(answers.PeersAnswer, "peers_list", network=network)).peers

    async def roster(self, network: str) -> tuple[RosterRow, ...]:
        """The admitted devices, in the order of their admission."""
        return (await self.ask(answers.RosterAnswer, "roster_list", network=network)).roster

    async def approve(self, network: str, device_id: str, label: str | None = None) -> None:
        """Admit a device; both sides must."""
        await self.command("roster_approve", network=network, device_id=bare_id(device_id), label=label)

    async def remove_peer(self, network: str, device_id: str) -> None:
        """Take a device off the roster and drop its link."""
        await self.command("roster_remove", network=network, device_id=bare_id(device_id))

    # ── invitations (ours only) ───────────────────────────────────────────────────────────────────────────────────────

    async def invite(
        self,
        network: str,
        *,
        ttl_s: int = 900,
        uses: int = 1,
        note: str = "",
        turn_credentials: bool = False,
    ) -> answers.InviteCreated:
        """A link that lets `uses` devices in within `ttl_s` seconds; its text is a secret."""
        return await self.ask(
            answers.InviteCreated,
            "invite_create",
            network=network,
            ttl_s=ttl_s,
            uses=uses,
            note=note,
            turn_credentials=turn_credentials,
        )

    async def invites(self, network: str) -> tuple[answers.InviteRow, ...]:
        """The invitations that this device gave in a network, without their secrets."""
        return (await self.ask(answers.InvitesAnswer, "invite_list", network=network)).invites

    async def revoke_invite(self, network: str, invite_id: str) -> None:
        """Take an invitation back; whom it let in stays."""
        await self.command("invite_revoke", network=network, id=invite_id)

    async def join_invite(
        self, text: str, *, dry_run: bool = False, approve_inviter: bool = False, ahead: bool = False
    ) -> answers.InvitationTaken:
        """Join the network of a link and approve its inviter; with `dry_run` only say what that would be.

        `ahead`: a network that is not here yet is added by the caller, right after this.
        """
        return await self.ask(
            answers.InvitationTaken,
            "network_join_invite",
            text=text,
            dry_run=dry_run,
            approve_inviter=approve_inviter,
            ahead=ahead,
        )

    # ── traffic ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def call(
        self, peer: str, method: str, payload: object = None, *, network: str, timeout: float | None = None
    ) -> Any:
        """Call a method of a peer and return its answer; `timeout` in seconds, 60 without it.

        Raises NO_HANDLER, HANDLER_FAILED with the peer's words, UNKNOWN_PEER, LINK_DOWN the moment the link drops.
        """
        answer = await self.ask(
            answers.CallAnswer,
            "rpc_call",
            timeout=CALL_TIMEOUT_S if timeout is None else timeout,
            network=network,
            peer=bare_id(peer),
            method=method,
            payload=payload,
        )
        return answer.response

    async def send(self, peer: str, channel: str, payload: object = None, *, network: str) -> None:
        """Send one message on a channel to one peer, best effort."""
        await self.command("channel_send_to", network=network, channel=channel, peer=bare_id(peer), payload=payload)

    async def send_reliable(
        self, peer: str, channel: str, payload: object = None, *, network: str, ttl: float = RELIABLE_TTL_S
    ) -> None:
        """Send one message on a channel to one peer, which gets it once and in order, over rebuilt links, too.

        Returns when the peer has acknowledged it; raises FAILED when it has not within `ttl` seconds, or will not. The
        peer need not be there yet. A daemon that ends forgets what is under way.
        """
        await self.command(
            "channel_send_reliable",
            timeout=ttl + RELIABLE_SLACK_S,
            network=network,
            channel=channel,
            peer=bare_id(peer),
            payload=payload,
            ttl_ms=round(ttl * 1000),
        )

    async def broadcast(self, channel: str, payload: object = None, *, network: str) -> int:
        """Send one message on a channel to everybody; returns how many links took it."""
        answer = await self.ask(
            answers.MessageDispatched, "channel_send_all", network=network, channel=channel, payload=payload
        )
        return answer.dispatched_to
