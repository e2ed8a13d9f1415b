"""The text of an invitation (spec 11 §1.1): what one person hands to another over a channel they trust.

Whoever can send a text can write one. So it is read strictly, every refusal is one sentence, and nothing of it counts
before a person or the caller has decided to use it.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from mesh_common.addresses import BadAddress, relay_address, stun_address, turn_address
from myownmesh.invitations.tokens import read_token
from myownmesh.protocol import base64url
from myownmesh.protocol.frames import NetworkKind
from myownmesh.protocol.ids import BadNetworkId, is_device_id, normalize_network_id
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.modes import TopologyMode
from myownmesh.protocol.schema import U32, U64, Absent, read, shape
from myownmesh.protocol.strict_json import members, proven

PREFIX: Final = "myownllm://join#"
KIND: Final = "myownllm.invite"
NETWORK_KIND: Final = "myownllm.network-settings"
VERSION: Final = 1
MAX_CHARACTERS: Final = 2048
MAX_SERVERS: Final = 16
MAX_SERVER_CHARACTERS: Final = 256
CLOCK_TOLERANCE_S: Final = 2 * 3600
"""Clocks differ: only so long after its end is an invitation refused where it is used."""


class BadInvitation(ValueError):
    """A text that is no invitation, or none for this device; the message is for a person."""


class TurnServer(msgspec.Struct, frozen=True, omit_defaults=True):
    url: str
    username: str | None = None
    credential: str | None = None

    def __repr__(self) -> str:
        return f"TurnServer(url={self.url!r}, username={self.username!r})"


class Network(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the joiner needs to know of the network: the envelope of 08 FE-6.7 without what an import fills in."""

    kind: str
    version: U32
    network_id: str
    label: str = ""
    network_kind: NetworkKind = "open"
    topology: TopologyMode | None = None
    signaling_servers: tuple[str, ...] = ()
    stun_servers: Annotated[tuple[str, ...] | None, Absent(None)] = None
    turn_servers: Annotated[tuple[TurnServer, ...] | None, Absent(None)] = None
    """None, as for STUN: the usual ones; empty: none."""


class Signaling(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the network's devices find each other, where that is not the default."""

    strategy: str = "nostr"
    mdns: bool = True
    redundancy: U32 = 5
    denylist: tuple[str, ...] | None = None
    public_fallback: bool = True
    sealed: str = "prefer"


_ATTRIBUTES: Final = {"from": "sender"}
"""Members whose names are no names in Python."""


class Invitation(msgspec.Struct, frozen=True, omit_defaults=True, rename={"sender": "from"}):
    """One invitation. Its text is a secret: it stands in no log and no error."""

    kind: str
    version: U32
    network: Network
    sender: str
    """Bare id of the inviter."""
    token: str
    exp: U64
    """Unix seconds, by the inviter's clock."""
    signaling: Annotated[Signaling | None, Absent(None)] = None
    label: str = ""
    """What the inviter calls itself; proves nothing."""
    founder: str | None = None

    def __repr__(self) -> str:
        return f"Invitation(network={self.network.network_id!r}, sender={self.sender!r}, exp={self.exp})"

    def is_expired(self, now: float) -> bool:
        """Whether it is refused where it is used, at `now` in Unix seconds."""
        return now > self.exp + CLOCK_TOLERANCE_S


class _Head(msgspec.Struct, frozen=True):
    """Enough to tell a text of a later version from one that is none."""

    kind: str
    version: U32


def link_of(invitation: Invitation) -> str:
    """The text of an invitation. Raises `BadInvitation` when it would be longer than any reader takes."""
    text = PREFIX + base64url.encode(msgspec.json.encode(invitation))
    if len(text) > MAX_CHARACTERS:
        raise BadInvitation(
            f"the invitation would have {len(text)} characters, {MAX_CHARACTERS} are the most; name fewer servers"
        )
    return text


def read_link(text: str, *, me: str) -> Invitation:
    """The invitation that a text holds, checked. `me` is this device's bare id. Raises `BadInvitation`.

    White space anywhere is removed, for mail and terminals wrap; the prefix may be missing or in any letter case.
    """
    compact = "".join(text[: 4 * MAX_CHARACTERS].split())
    if compact[: len(PREFIX)].lower() == PREFIX:
        compact = compact[len(PREFIX) :]
    elif "://" in compact:
        scheme = compact.partition("://")[0][:20]
        raise BadInvitation(
            f"this is no invitation: a link that begins with {ascii(scheme)[1:-1]}:// is for another program"
        )
    if not compact:
        raise BadInvitation("this is no invitation: the text is empty")
    if len(compact) > MAX_CHARACTERS:
        raise BadInvitation(f"this is no invitation: more than {MAX_CHARACTERS} characters")
    try:
        data = proven(base64url.decode(compact))
        head = read(_Head, data)
    except ValueError:
        raise BadInvitation("this is no invitation, or part of it is missing: copy the whole link") from None
    if head.kind != KIND:
        raise BadInvitation(f"this is no invitation but a {ascii(head.kind[:40])[1:-1]}")
    if head.version > VERSION:
        raise BadInvitation("this invitation was made by a newer version of the program: update this one")
    try:
        found = [
            (_ATTRIBUTES.get(name, name), value) for name, value in members(data) if name not in _ATTRIBUTES.values()
        ]
        invitation: Invitation = shape(Invitation).build(found)
    except JsonError as error:
        raise BadInvitation(f"this invitation is damaged: {error}") from None
    _check(invitation, me)
    return invitation


def _check(invitation: Invitation, me: str) -> None:
    network = invitation.network
    if invitation.version != VERSION or network.kind != NETWORK_KIND or network.version != VERSION:
        raise BadInvitation("this invitation is damaged: its version is none that ever was")
    if not is_device_id(invitation.sender):
        raise BadInvitation("this invitation is damaged: it names no device that invites")
    if invitation.sender == me:
        raise BadInvitation("this invitation leads to this very device: use it on another one")
    try:
        normalized = normalize_network_id(network.network_id)
    except BadNetworkId as error:
        raise BadInvitation(f"this invitation is damaged: {error}") from None
    if normalized != network.network_id:
        raise BadInvitation("this invitation is damaged: its network is not written in its normal form")
    try:
        read_token(invitation.token)
    except ValueError:
        raise BadInvitation("this invitation is damaged: its token is none") from None
    if invitation.founder is not None and not is_device_id(invitation.founder):
        raise BadInvitation("this invitation is damaged: its founder is no device")
    if network.network_kind == "closed" and invitation.founder is None:
        raise BadInvitation("this invitation to a closed network does not name the founder: ask for a new one")
    if invitation.signaling is not None and invitation.signaling.sealed not in ("prefer", "require", "off"):
        raise BadInvitation("this invitation is damaged: it asks for a sealing that does not exist")
    _check_servers(network)


def _check_servers(network: Network) -> None:
    stun = network.stun_servers or ()
    turn = tuple(server.url for server in network.turn_servers or ())
    for servers in (network.signaling_servers, stun, turn):
        if len(servers) > MAX_SERVERS or any(len(each) > MAX_SERVER_CHARACTERS for each in servers):
            raise BadInvitation(
                f"this invitation is refused: it names more than {MAX_SERVERS} servers, or one of more than "
                f"{MAX_SERVER_CHARACTERS} characters"
            )
    try:
        for relay in network.signaling_servers:
            relay_address(relay)
        for server in stun:
            stun_address(server)
        for url in turn:
            turn_address(url)
    except BadAddress as error:
        raise BadInvitation(f"this invitation is refused: {error}") from None
