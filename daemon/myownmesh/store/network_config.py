"""One network's record in ``config.json`` (spec 07 §4.3); the same object travels in ``network_add`` requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from myownmesh.protocol.frames import NetworkKind
from myownmesh.protocol.ids import BadDeviceId, parse_device_id
from myownmesh.protocol.modes import FullMesh, TopologyMode
from myownmesh.protocol.schema import U32, Rest
from myownmesh.store.record import Record

DEFAULT_STUN_URL = "stun:stun.myownmesh.com:3478"
DEFAULT_TURN_URLS = (
    "turn:turn.myownmesh.com:3478",
    "turn:turn.myownmesh.com:3478?transport=tcp",
    "turns:turn.myownmesh.com:5349?transport=tcp",
)
GUEST_USER, GUEST_PASSWORD = "guest", "theguestpassword"


class StunEntry(Record, frozen=True, kw_only=True):
    """One STUN server; it knows no credential."""

    SHAPE = "struct StunServer"
    urls: tuple[str, ...]

    def __repr__(self) -> str:
        return f"StunEntry(urls={self.urls!r})"


class TurnEntry(Record, frozen=True, kw_only=True):
    """One TURN server. Never log the credential."""

    SHAPE = "struct TurnServer"
    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None

    def __repr__(self) -> str:
        return f"TurnEntry(urls={self.urls!r}, username={self.username!r})"


class SignalingConfig(Record, frozen=True, kw_only=True):
    """How devices of one network find each other."""

    strategy: str = "nostr"  # "none" turns remote signaling off; an unknown word attaches nothing, loudly
    mdns: bool = True
    servers: tuple[str, ...] = ()  # relay URLs; empty means the built-in list
    redundancy: U32 = 5
    denylist: tuple[str, ...] = ("relay.damus.io", "chorus.pjv.me")
    public_fallback: bool = True
    listen_only: bool = False
    sealed: Literal["prefer", "require", "off"] | msgspec.UnsetType = msgspec.UNSET  # spec 11 §2.2; not in v0.3.8

    @property
    def sealing(self) -> Literal["prefer", "require", "off"]:
        """Whether descriptions are sealed for their receiver; where nothing is said, between those that can."""
        return "prefer" if self.sealed is msgspec.UNSET else self.sealed


class NetworkConfig(Record, frozen=True, kw_only=True):
    """What this device knows about one network before it joins.

    `id` is the local record id, any text; `network_id` the rendezvous name, kept as written, normalised when joining.
    """

    id: str
    network_id: str
    label: str = ""
    kind: NetworkKind = "open"  # seeds a network without signed history; afterwards the state file rules
    topology: TopologyMode = msgspec.field(default_factory=FullMesh)
    topology_unknown: Annotated[Mapping[str, object], Rest("topology")] = {}
    signaling: SignalingConfig = msgspec.field(default_factory=SignalingConfig)
    stun_servers: tuple[StunEntry, ...] = (StunEntry(urls=(DEFAULT_STUN_URL,)),)
    turn_servers: tuple[TurnEntry, ...] = (
        TurnEntry(urls=DEFAULT_TURN_URLS, username=GUEST_USER, credential=GUEST_PASSWORD),
    )
    roster_path: str | None = None  # stored, ignored
    pinned_peers: tuple[str, ...] = ()  # bare device ids, dialled whenever seen
    auto_approve: bool = False

    @property
    def compat(self) -> Mapping[str, bool]:
        """Compatibility switches of this network (spec 10 §3); they win over the root's."""
        return switches(self.unknown)

    @property
    def adopt_services(self) -> bool:
        """Whether relays, STUN and TURN of trusted members are used; our own optional member (spec 06 K)."""
        return self.unknown.get("adopt_services") is not False

    @property
    def founder(self) -> str | None:
        """Bare id of the device that founds this network, as a person says (02 §24.2); None if nobody said."""
        value = self.unknown.get("founder")
        try:
            return parse_device_id(value) if isinstance(value, str) else None
        except BadDeviceId:
            return None


def switches(unknown: Mapping[str, object]) -> Mapping[str, bool]:
    """The boolean members of a ``compat`` object; anything else in it is left alone and counts as unset."""
    value = unknown.get("compat")
    if not isinstance(value, Mapping):
        return {}
    return {name: switch for name, switch in value.items() if isinstance(switch, bool)}
