"""What a network's record decides about its engine."""

from __future__ import annotations

import msgspec

from mesh_common.version import VERSION
from myownmesh.governance.rules import STRICT, Rules
from myownmesh.governance.sync import FEATURE as GOVERNANCE_CHECKED
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.frames import FEATURES, NetworkKind
from myownmesh.protocol.modes import FullMesh, TopologyMode

"""`hello.app_version`: the release that we are compatible with."""


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The record as the engine needs it; `Engine.configure` replaces it whole."""

    kind: NetworkKind = "open"
    """While nothing is signed; and a floor: what is silent stays so."""
    rules: Rules = STRICT
    """The compatibility switches of signed governance."""
    auto_approve: bool = False
    topology: TopologyMode = msgspec.field(default_factory=FullMesh)
    pinned_peers: frozenset[str] = frozenset()
    """Bare device ids; dialled whatever the role rule says, never shelved."""
    capabilities: Capabilities = msgspec.field(default_factory=lambda: Capabilities(app_version=VERSION))
    """The advert at the start; `Engine.set_capabilities` replaces it."""
    features: tuple[str, ...] = (*FEATURES, GOVERNANCE_CHECKED)
    """`hello.features`: what we understand when a peer sends it."""
    app_version: str | None = VERSION
    listens_only: bool = False
    """It tells the room nothing of itself, and dials nobody unless it is told to: who it dials knows of it."""
    stun_urls: int = 0
    turn_urls: int = 0
    """How many ICE servers the transports will use; only told in a diagnostic."""
    immediate_leave: bool = False
    """Compatibility switch of spec 10 §3: a leave closes a live link at once."""
