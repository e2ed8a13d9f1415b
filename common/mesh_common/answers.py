"""The `data` of each answer of the control socket (spec 05 §7–§14), as the daemon writes it and clients read it.

Members that an older daemon does not send have the default that their absence means (spec 05 §20).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mesh_common.views import JoinedNetwork, NetworkSummary, OurNetwork, PeerInfo, RosterRow, ServicesReport

# ── this device ───────────────────────────────────────────────────────────────────────────────────────────────────────


class ClockSkew(Struct, frozen=True):
    """How wrong this device's wall clock is."""

    ahead_ms: int
    """Negative when it is behind."""
    by: str
    """According to whom: `relays`, `peers` or `room` (spec 03 §20)."""


class StatusAnswer(Struct, frozen=True):
    version: str
    device_id: str
    """Display form."""
    joined_networks: tuple[str, ...] = ()
    """Wire ids in join order."""
    media_lanes: int = 1
    media_pipes: bool = False
    home: str | None = None
    """The data directory. This and the two below are said by our daemon only."""
    instance: str | None = None
    """16 hex digits, new at each start: tells a restarted daemon from the one that was."""
    pid: int | None = None
    clock: ClockSkew | None = None
    """None until somebody has told the daemon the time."""


class IdentityAnswer(Struct, frozen=True):
    device_id: str
    """Display form."""
    pubkey: str
    """Bare form: how peers name this device."""
    label: str


class NetworkIdAnswer(Struct, frozen=True):
    network_id: str


class ConfigAnswer(Struct, frozen=True):
    config: Mapping[str, Any]
    """The configuration file with every default, secrets included (spec 07)."""


class ServicesAnswer(Struct, frozen=True):
    status: ServicesReport
    config: Mapping[str, Any]
    """Secrets included."""
    config_redacted: Mapping[str, Any] | None = None


class HostedServer(Struct, frozen=True):
    """How one hosted service does, and what somebody should look after."""

    enabled: bool
    running: bool
    error: str | None = None
    """Why it does not run; None also of daemons that do not say."""
    problem: str | None = None
    """What is wrong though it runs."""


class HostedServers(Struct, frozen=True):
    signaling: HostedServer | None = None
    stun: HostedServer | None = None
    turn: HostedServer | None = None


class HostedServersAnswer(Struct, frozen=True):
    """The part of `services_status` that no secret is in."""

    status: HostedServers


class ServiceOffer(Struct, frozen=True):
    """What one member of a network hosts."""

    network: str
    """The network's record id."""
    device_id: str
    kind: str
    """`relay`, `stun` or `turn`."""
    urls: tuple[str, ...]
    adopted: bool
    """Used by this device, behind what is configured."""
    why: str | None = None
    """Why it is not used, or not at the moment."""


class ServicesOffers(Struct, frozen=True):
    offers: tuple[ServiceOffer, ...]


class ServicesSet(Struct, frozen=True):
    status: ServicesReport


class MetricsAnswer(Struct, frozen=True):
    text: str
    """OpenMetrics 1.0."""


class UpdateStatus(Struct, frozen=True):
    """What the daemon's updater is set to, and where it stands."""

    current_version: str
    install_kind: str
    """`raw` or `package_manager`."""
    enabled: bool
    """By the configuration and the environment."""
    channel: str
    auto_apply: str
    check_interval_hours: int
    last_check_at: int | None
    """Unix seconds."""
    staged_version: str | None
    release_url: str
    release_url_overridden: bool
    detail: str | None = None
    """Why it does not replace itself, or what went wrong last. This and those below are said by our daemon only."""
    rolled_back_from: str | None = None
    verified: str | None = None
    """What vouches for the staged version, or else for the one in place: `signature` or `checksum`."""
    previous: str | None = None
    confirmed: bool | None = None
    """None for a version that no update brought."""
    quarantine: tuple[str, ...] = ()
    restart: str | None = None
    """`idle`: the daemon restarts by itself for a version that waits, when nothing is under way; else `never`."""
    restart_waits_for: str | None = None
    """What keeps it from that now, in words; None while nothing waits, and from whoever is not that daemon."""


class UpdateChecked(Struct, frozen=True, omit_defaults=True):
    """What came of a check."""

    outcome: str
    """`disabled`, `package_manager`, `not_due`, `up_to_date`, `policy_blocked` or `staged`."""
    current: str | None = None
    latest: str | None = None
    policy: str | None = None
    version: str | None = None
    detail: str | None = None
    verified: str | None = None
    auto: bool | None = None
    """Whether the next start puts it in."""


class UpdateApplied(Struct, frozen=True):
    """What was put in; it runs from the next start on."""

    applied: str | None


# ── networks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class NetworksAnswer(Struct, frozen=True):
    networks: tuple[NetworkSummary, ...]


class OurNetworksAnswer(Struct, frozen=True):
    """The same for those who read what our daemon alone says."""

    networks: tuple[OurNetwork, ...]


class NetworkAdded(Struct, frozen=True):
    added: JoinedNetwork


class NetworkRemoved(Struct, frozen=True):
    removed: str
    """Record id."""


class NetworksForgotten(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The daemon comes back by itself, as a new instance, in a moment."""

    forgotten: tuple[str, ...]
    """Record ids, sorted."""
    failed: tuple[str, ...] = ()
    """Record ids of those that are still configured, because the file could not be written."""
    restarting: bool


class EverythingDeleted(Struct, frozen=True):
    """The daemon comes back by itself, as another device, in a moment."""

    reset: bool = True
    restarting: bool = True


class NetworkUpdated(Struct, frozen=True):
    updated: JoinedNetwork | str
    """The record id when nothing had to be restarted."""
    restarted: bool


class NetworkReconnecting(Struct, frozen=True):
    reconnecting: str


class PeerConnecting(Struct, frozen=True):
    connecting: str
    network: str
    pinned: bool
    active: bool


class TopologySet(Struct, frozen=True):
    topology: str


class CapabilitiesSet(Struct, frozen=True):
    advertised: bool = True


# ── peers and roster ──────────────────────────────────────────────────────────────────────────────────────────────────


class PeersAnswer(Struct, frozen=True):
    peers: tuple[PeerInfo, ...]


class RosterAnswer(Struct, frozen=True):
    roster: tuple[RosterRow, ...]


class DeviceApproved(Struct, frozen=True, omit_defaults=True):
    approved: str
    proposal_id: str | None = None
    """On a closed network: the signed admit, or the proposal that waits for somebody who may sign it."""
    effective: bool | None = None
    waits_for: tuple[str, ...] = ()
    """Who could let the device in, if this one cannot: bare ids."""


class DeviceRemoved(Struct, frozen=True):
    removed: str


# ── signed governance ─────────────────────────────────────────────────────────────────────────────────────────────────


class GovernanceEntry(Struct, frozen=True):
    """One entry of a signed log."""

    at: int
    """Unix seconds, as its author says."""
    variant: Mapping[str, Any]
    """What it says: an object told apart by its `kind`."""
    signers: tuple[str, ...]
    """Bare ids."""
    signatures: tuple[str, ...]


class GovernanceProposal(Struct, frozen=True):
    """What waits for somebody's signature; a question for this device alone has the same form."""

    id: str
    created_at: int
    """Unix seconds."""
    proposer: str
    variant: Mapping[str, Any]
    signers: tuple[str, ...]
    signatures: tuple[str, ...]
    deniers: tuple[str, ...] = ()
    split_spawned: bool = False


class GovernanceSplit(Struct, frozen=True):
    """A network that somebody split off."""

    new_network_id: str
    spawned_at: int
    spawned_by: str
    members: tuple[str, ...]


class GovernanceState(Struct, frozen=True):
    """What is signed in a network."""

    version: int
    network_id: str
    kind: str
    """`open`, `closed`, `silent`."""
    roles: Mapping[str, str]
    """Bare id to `owner`, `controller`, `member`."""
    transitions: tuple[GovernanceEntry, ...]
    member_log: tuple[GovernanceEntry, ...] = ()
    pending: tuple[GovernanceProposal, ...] = ()
    splits: tuple[GovernanceSplit, ...] = ()
    topology: Mapping[str, Any] | None = None


class GovernanceAnswer(Struct, frozen=True):
    state: GovernanceState
    evicted: tuple[str, ...] = ()
    """Bare ids of devices that are put out."""


class GovernanceFounding(Struct, frozen=True):
    """What a founder should know first; display ids."""

    unsigned: tuple[str, ...] = ()
    """Approved here and signed in by nobody: at their next handshake they wait."""
    planted: tuple[str, ...] = ()
    """Got a role while the network was open; it counts for nothing."""
    guessable: bool = False
    """The network's id looks like a name."""
    signed_before: bool = False
    """This key has signed under this id before."""


class GovernanceOutlook(Struct, frozen=True):
    """What a change would do; display ids."""

    ends: tuple[str, ...] = ()
    """Links of this device that end at once."""
    falling_admits: tuple[str, ...] = ()
    """Let in by the target and by nobody else."""
    falling_removals: tuple[str, ...] = ()
    """Put out by the target and by nobody else."""
    let_in: tuple[str, ...] = ()
    """Put out so far, and back with the reopening."""
    unreachable: tuple[str, ...] = ()
    """Members without a link to this device now."""
    owners: tuple[str, ...] = ()
    """Who is owner behind it."""
    signed_anew: tuple[str, ...] = ()
    """Of `falling_admits`, whom this device would sign in anew, as `keep` says."""
    refused: tuple[str, ...] = ()
    """Before a promotion: what its target once signed and did not get, in sentences."""
    founding: GovernanceFounding | None = None
    """Of a close that founds."""


class Proposed(Struct, frozen=True):
    proposal_id: str
    """Empty: it held already, and nothing was signed."""
    effective: bool | None = None
    """Whether it is in force; None from a daemon that does not say."""
    waits_for: tuple[str, ...] = ()
    """Who could bring it into force, if it is not: bare ids."""
    outlook: GovernanceOutlook | None = None
    """Of a dry run only."""


class LogLine(Struct, frozen=True):
    """One entry of the signed logs."""

    at: int
    """Unix seconds, as its author says."""
    text: str
    """Who did what, and whether it counts. Holds labels of peers: make it fit for a terminal."""
    log: str
    """`governance` or `members`."""
    state: str
    """`in force`, `undone`, `void`, `overruled`, `author removed`, `kept`, `waits`."""
    signers: tuple[str, ...]
    """Display ids."""
    first_held: int | None = None
    """Unix seconds by this device's clock, if it is known."""
    through: str | None = None
    """Display id of the device whose link brought it first, if it is known."""
    vouched_by: tuple[str, ...] = ()
    """Who said at what time it was signed; empty: it was only passed on."""
    own: bool = False
    """This device signed it, or a person here agreed to it."""


class LogAnswer(Struct, frozen=True):
    lines: tuple[LogLine, ...]
    """Newest claimed time first."""
    more: int = 0


class AuthorityRow(Struct, frozen=True):
    """A device whose signature decides."""

    device_id: str
    """Display form."""
    label: str
    role: str
    may: tuple[str, ...]
    me: bool
    status: str
    """Of its link to this device, as in `peers_list`."""
    last_heard: int | None = None
    """Unix seconds by this device's clock; None: not as far as anybody wrote down."""
    refused: tuple[str, ...] = ()
    """What it once signed and did not get."""


class WhoAnswer(Struct, frozen=True):
    authorities: tuple[AuthorityRow, ...]
    refused: tuple[str, ...] = ()
    """What the device that was asked about once signed and did not get."""


class GovernanceFinding(Struct, frozen=True):
    code: str
    text: str
    help: str


class DoctorAnswer(Struct, frozen=True):
    findings: tuple[GovernanceFinding, ...]


class PendingRow(Struct, frozen=True):
    """One decision that waits; display ids. Texts hold labels of peers: make them fit for a terminal."""

    id: str
    sort: str
    """`proposal`, or a question for this device alone: `founder`, `replay`, `branch`, `remnant`, `fallen`, `owed`."""
    text: str
    """Who wants what."""
    digest: str
    """Send it along with `governance_sign`: another content is refused then."""
    sign: str
    """What signing does."""
    deny: str
    at: int
    """Unix seconds, as its author says."""
    proposer: str
    signers: tuple[str, ...] = ()
    deniers: tuple[str, ...] = ()
    decides: tuple[str, ...] = ()
    """Whose signature brings it into force."""
    mine: bool = False
    """This device has signed it already."""


class GovernancePending(Struct, frozen=True):
    rows: tuple[PendingRow, ...]


class GovernanceExported(Struct, frozen=True):
    document: Any
    """A JSON object, to be kept as a file and imported elsewhere."""


class GovernanceImported(Struct, frozen=True):
    """What became of a file; like a peer's answer it is nobody's word."""

    log: str
    """Of its governance log: `none`, `known`, `adopted`, `kept`, `switched`, `asked`, `claim`, `refused`, `ignored`."""
    why: str = ""
    new: int = 0
    """Entries that are held now and were not before."""
    refused: int = 0
    waiting: int = 0
    """Entries that wait for their time, their signer or a person (`governance_pending`)."""
    proposals: int = 0
    """Proposals that are pending now and were not before."""


class GovernanceReplaced(Struct, frozen=True):
    """How far a replacement has come; display ids."""

    old: str
    new: str
    role: str
    """What the new device has, or gets."""
    step: str
    """`done`, or what it waits for: `seat`, `put out`."""
    proposal_id: str = ""
    effective: bool = True
    waits_for: tuple[str, ...] = ()
    """Bare ids."""


class RecoveryKey(Struct, frozen=True):
    key: str
    """To be printed: whoever has it is an owner."""
    device_id: str
    """Display form of the owner that it is."""
    proposal_id: str
    effective: bool
    waits_for: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"RecoveryKey(device_id={self.device_id!r}, …)"


class Recovered(Struct, frozen=True):
    owner: str
    """Display id."""
    evicted: str | None = None
    signed_anew: int = 0
    """Entries of the lost device that the key signed again."""


class ProposalSigned(Struct, frozen=True):
    signed: str
    effective: bool | None = None
    waits_for: tuple[str, ...] = ()


class ProposalDenied(Struct, frozen=True):
    denied: str


class ProposalWithdrawn(Struct, frozen=True):
    withdrawn: str


# ── invitations ───────────────────────────────────────────────────────────────────────────────────────────────────────


class InviteCreated(Struct, frozen=True):
    text: str
    """The link: who has it is let in."""
    id: str
    exp: int
    """Unix seconds."""
    effective: bool = True
    waits_for: tuple[str, ...] = ()


class InviteRow(Struct, frozen=True):
    id: str
    exp: int
    uses: int
    by: tuple[str, ...]
    """Bare ids of whom it let in."""
    made: int
    note: str = ""


class InvitesAnswer(Struct, frozen=True):
    invites: tuple[InviteRow, ...]


class InviteRevoked(Struct, frozen=True):
    revoked: str


class InvitationTaken(Struct, frozen=True, omit_defaults=True, rename={"sender": "from", "sender_label": "from_label"}):
    """What an invitation leads to, or did."""

    network: str
    """Record id."""
    network_id: str
    label: str
    kind: str
    sender: str
    """Display id of the inviter."""
    sender_label: str
    """What it calls itself; proves nothing."""
    servers: tuple[str, ...]
    turn: tuple[str, ...]
    """Hosts."""
    exp: int
    present: bool
    """The network was here before."""
    settings: Mapping[str, Any] | None = None
    """The network's settings as the link has them, passwords of TURN servers included; of a dry run only."""


# ── the lock on signatures ────────────────────────────────────────────────────────────────────────────────────────────


class MfaEnrolled(Struct, frozen=True):
    """Shown once: nothing of it can be asked for again."""

    secret: str
    """For the authenticator, base32."""
    otpauth_uri: str
    """The same as an address that authenticator programs scan."""
    recovery_codes: tuple[str, ...]
    """Each lets one signature pass, or the lock be taken off."""

    def __repr__(self) -> str:
        return "MfaEnrolled(…)"


class MfaStatus(Struct, frozen=True):
    enrolled: bool
    problem: str | None = None
    """Why it could not be read; nothing is signed then. Said by our daemon only."""


class MfaDisabled(Struct, frozen=True):
    disabled: bool = True


# ── events, calls, channels ───────────────────────────────────────────────────────────────────────────────────────────


class EventsSubscribed(Struct, frozen=True):
    subscribed: bool
    client_id: str


class NetworkRecorded(Struct, frozen=True):
    path: str
    """The file, in the daemon's home."""
    inputs: int


class TraceSubscribed(Struct, frozen=True):
    subscribed: bool
    stream: str
    network: str
    """As the client called it."""


class MethodRegistered(Struct, frozen=True):
    registered: bool = True


class MethodReleased(Struct, frozen=True):
    released: bool


class CallResolved(Struct, frozen=True):
    resolved: bool = True


class ChunkDelivered(Struct, frozen=True):
    delivered: bool = True


class StreamClosed(Struct, frozen=True):
    closed: bool


class CallAnswer(Struct, frozen=True):
    response: Any = None


class StreamStarted(Struct, frozen=True):
    request_id: str


class ChannelSubscribed(Struct, frozen=True):
    subscribed: bool = True


class ChannelUnsubscribed(Struct, frozen=True):
    unsubscribed: bool = True


class MessageSent(Struct, frozen=True):
    sent: bool = True
    """Handed to the link; whether it arrives is not known."""


class MessageDelivered(Struct, frozen=True):
    delivered: bool = True
    """The peer's daemon has it; one without acknowledgements was sent it."""


class MessageDispatched(Struct, frozen=True):
    dispatched_to: int
    """Peers whose links took it."""
