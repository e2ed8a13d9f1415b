"""What a client can ask: one class per op that this release serves (spec 05 §7–§14).

The members of a class are the op's members, its defaults are those of absent members, its name is the op's name; how a
line is read follows from that (`myownmesh.protocol.schema`, `decoding`). Free JSON values stay raw text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from msgspec import UNSET, Raw, Struct, UnsetType

from myownmesh.control.client_id import read_client_id
from myownmesh.control.keep import read_keep
from myownmesh.governance.succession import Keep
from myownmesh.invitations.book import DEFAULT_TTL_S
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.frames import NetworkKind, Role
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import U32, U64, Checked, Derived, ReadBy, tag_by_name
from myownmesh.protocol.strict_json import members
from myownmesh.store.network_config import NetworkConfig
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.protocol.strict_json import Members

MAX_TYPED_BYTES: Final = 256 * 1024
"""Largest ``config`` or ``services`` object; real ones have some kilobytes."""

ClientId = Annotated[int, ReadBy(read_client_id)]
"""Number of an event connection; ``c<number>`` on the wire."""

Milliseconds = U64

Kept = Annotated[Keep, ReadBy(read_keep)]
"""Which admits of an authority that goes are signed anew: all, none, those of some devices, or those before a time."""
KEEP_ALL: Final = Keep()


def _check_size(value: Raw) -> None:
    nbytes = len(memoryview(value))
    if nbytes > MAX_TYPED_BYTES:
        raise JsonError(f"object too large ({nbytes} bytes; at most {MAX_TYPED_BYTES})")


def _given(found: Members) -> frozenset[str]:
    """The members that ``config`` really had, those of ``signaling`` as ``signaling.<name>``."""
    config = members(dict(found)["config"])
    signaling = dict(config).get("signaling")
    inner = [] if signaling is None else members(signaling)
    return frozenset([*(name for name, _ in config), *(f"signaling.{name}" for name, _ in inner)])


class Request(Struct, frozen=True, tag_field="op", tag=tag_by_name):
    """Base of all requests. The name of a class is its op: ``RpcCall`` is ``rpc_call``."""


# ── this device ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Status(Request, frozen=True):
    pass


class IdentityShow(Request, frozen=True):
    pass


class IdentitySetLabel(Request, frozen=True):
    label: str


class NetworkIdGenerate(Request, frozen=True):
    pass


class NetworkIdNormalize(Request, frozen=True):
    input: str


class ConfigShow(Request, frozen=True):
    pass


class ServicesStatus(Request, frozen=True):
    pass


class ServicesSet(Request, frozen=True):
    services: Annotated[ServicesConfig, Checked(_check_size)]


# ── networks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class NetworksList(Request, frozen=True):
    pass


class NetworkAdd(Request, frozen=True):
    config: Annotated[NetworkConfig, Checked(_check_size)]
    mfa_code: str | None = None
    """Where a lock is on and the record weakens the network's governance."""


class NetworkUpdate(Request, frozen=True):
    config: Annotated[NetworkConfig, Checked(_check_size)]
    given: Annotated[frozenset[str], Derived(_given)] = frozenset()
    """What `config` really had, those of `signaling` as ``signaling.<name>``: an update leaves some of what was not
    mentioned alone (spec 05 W23)."""
    mfa_code: str | None = None


class NetworkRecord(Request, frozen=True):
    network: str
    for_ms: Milliseconds = 0
    """0: what went in during the last minutes."""


class NetworkRemove(Request, frozen=True):
    network: str
    purge: bool = False


class NetworkReconnect(Request, frozen=True):
    network: str
    peer: str | None = None


class NetworkConnectPeer(Request, frozen=True):
    network: str
    peer: str
    pin: bool = False
    wait_ms: Milliseconds = 0


class TopologySet(Request, frozen=True):
    network: str
    topology: str
    hub: str | None = None


class CapabilitiesSet(Request, frozen=True):
    network: str
    capabilities: Capabilities


# ── peers and roster ──────────────────────────────────────────────────────────────────────────────────────────────────


class PeersList(Request, frozen=True):
    network: str


class RosterList(Request, frozen=True):
    network: str


class RosterApprove(Request, frozen=True):
    network: str
    device_id: str
    label: str | None = None
    mfa_code: str | None = None
    """On a closed network an authority signs the admit."""


class RosterRemove(Request, frozen=True):
    network: str
    device_id: str


# ── invitations (spec 11 §1; no op of the reference) ──────────────────────────────────────────────────────────────────


class InviteCreate(Request, frozen=True):
    network: str
    ttl_s: U64 = DEFAULT_TTL_S
    uses: U64 = 1
    note: str = ""
    turn_credentials: bool = False
    mfa_code: str | None = None


class InviteList(Request, frozen=True):
    network: str


class InviteRevoke(Request, frozen=True):
    network: str
    id: str


class NetworkJoinInvite(Request, frozen=True):
    text: str
    dry_run: bool = False
    approve_inviter: bool = False
    ahead: bool = False
    """Only prepare a network that is not here: whoever asks adds it with a record of its own."""


# ── the lock on signatures (spec 02 §17) ──────────────────────────────────────────────────────────────────────────────


class GovernanceMfaEnroll(Request, frozen=True):
    network: str


class GovernanceMfaStatus(Request, frozen=True):
    network: str


class GovernanceMfaDisable(Request, frozen=True):
    network: str
    code: str


# ── events, calls, channels ───────────────────────────────────────────────────────────────────────────────────────────


class EventsSubscribe(Request, frozen=True):
    pass


class TraceSubscribe(Request, frozen=True):
    network: str


class RpcRegister(Request, frozen=True):
    client_id: ClientId
    network: str
    method: str
    streaming: bool


class RpcUnregister(Request, frozen=True):
    client_id: ClientId
    network: str
    method: str


class RpcRespond(Request, frozen=True):
    request_id: str
    ok: Raw | UnsetType = UNSET
    error: str | None = None


class RpcStreamChunk(Request, frozen=True):
    request_id: str
    payload: Raw


class RpcStreamEnd(Request, frozen=True):
    request_id: str
    error: str | None = None


class RpcCall(Request, frozen=True):
    network: str
    peer: str
    method: str
    payload: Raw
    timeout_ms: Milliseconds | None = None


class RpcCallStream(Request, frozen=True):
    client_id: ClientId
    network: str
    peer: str
    method: str
    payload: Raw


class ChannelSubscribe(Request, frozen=True):
    client_id: ClientId
    network: str
    channel: str


class ChannelUnsubscribe(Request, frozen=True):
    client_id: ClientId
    network: str
    channel: str


class ChannelSendTo(Request, frozen=True):
    network: str
    channel: str
    peer: str
    payload: Raw


class ChannelSendReliable(Request, frozen=True):
    network: str
    channel: str
    peer: str
    payload: Raw
    ttl_ms: U64 = 0
    """0 means the reference's minute."""


class ChannelSendAll(Request, frozen=True):
    network: str
    channel: str
    payload: Raw


# ── signed governance ─────────────────────────────────────────────────────────────────────────────────────────────────


class GovernanceState(Request, frozen=True):
    network: str


class GovernanceProposeKindChange(Request, frozen=True):
    network: str
    to: NetworkKind
    mfa_code: str | None = None
    force: bool = False
    """Also with a clock that others call wrong."""
    dry_run: bool = False
    """Only say what it would do."""


class GovernanceProposeRoleGrant(Request, frozen=True):
    network: str
    target: str
    role: Role
    mfa_code: str | None = None
    keep: Kept = KEEP_ALL
    force: bool = False
    dry_run: bool = False


class GovernanceProposeRoleRevoke(Request, frozen=True):
    network: str
    target: str
    mfa_code: str | None = None
    keep: Kept = KEEP_ALL
    dry_run: bool = False


class GovernanceProposeEvict(Request, frozen=True):
    network: str
    target: str
    mfa_code: str | None = None
    keep: Kept = KEEP_ALL
    dry_run: bool = False


class GovernanceProposeTopology(Request, frozen=True):
    network: str
    topology: str
    hub: str | None = None
    mfa_code: str | None = None


class GovernanceSign(Request, frozen=True):
    network: str
    proposal_id: str
    mfa_code: str | None = None
    digest: str | None = None
    """What the person was shown, as `content_digest` says it."""
    keep: Kept = KEEP_ALL


class GovernanceDeny(Request, frozen=True):
    network: str
    proposal_id: str


class GovernanceWithdraw(Request, frozen=True):
    network: str
    proposal_id: str


class GovernanceSpawnSplit(Request, frozen=True):
    network: str
    proposal_id: str


# ── governance for a person (spec 10 §2.2; no ops of the reference) ───────────────────────────────────────────────────


class GovernanceLog(Request, frozen=True):
    network: str
    limit: U32 = 200


class GovernanceWho(Request, frozen=True):
    network: str
    device: str | None = None
    """Also: what this device once signed and did not get."""


class GovernanceDoctor(Request, frozen=True):
    network: str


class GovernancePending(Request, frozen=True):
    network: str


class GovernanceSettle(Request, frozen=True):
    network: str
    proposal_id: str
    """The question which branch to hold."""
    mfa_code: str | None = None


class GovernanceReplace(Request, frozen=True):
    network: str
    old: str
    new: str
    mfa_code: str | None = None
    keep: Kept = KEEP_ALL


class GovernanceExport(Request, frozen=True):
    network: str


class GovernanceImport(Request, frozen=True):
    network: str
    document: Raw
    """What `governance_export` answered, here or on another device."""


class GovernanceRecoveryCreate(Request, frozen=True):
    network: str
    mfa_code: str | None = None


class GovernanceRecover(Request, frozen=True):
    network: str
    key: str
    """The printed text: a secret."""
    owner: str | None = None
    """Who becomes owner; without it this device."""
    evict: str | None = None
    """The lost device."""


SERVED: Final[Mapping[str, type[Request]]] = {
    str(cls.__struct_config__.tag): cls
    for cls in list(vars().values())
    if isinstance(cls, type) and issubclass(cls, Request) and cls is not Request
}
"""Op name → request class, for every op of this release."""
