"""``config.json`` as a value (spec 07 §4): defaults, migration, and the text that is written back.

Every class keeps members that it does not know and writes them back behind the known ones (spec 07 C2).
Reading and writing the file is `myownmesh.store.config_file`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec.structs import replace

from myownmesh.protocol.modes import FullMesh, Ring

from .errors import StoreError
from .network_config import (
    DEFAULT_TURN_URLS,
    GUEST_PASSWORD,
    GUEST_USER,
    IceServerConfig,
    NetworkConfig,
    SignalingConfig,
    switches,
    topology_from_json,
    topology_to_json,
)
from .services_config import (
    NodeService,
    RelayService,
    ServicesConfig,
    SignalingLimits,
    SignalingService,
    StunService,
    TurnCredential,
    TurnService,
    Unknown,
)
from .shape import U32, ShapeError, boolean, members, nullable, string, unsigned, wrong_type

if TYPE_CHECKING:
    from .shape import Decoder

__all__ = [
    "CONFIG_VERSION",
    "AutoCleanup",
    "AutoUpdate",
    "ConfigTooNew",
    "DaemonConfig",
    "IceServerConfig",
    "MeshConfig",
    "NetworkConfig",
    "NodeService",
    "Problem",
    "RelayService",
    "ServicesConfig",
    "ShapeError",
    "SignalingConfig",
    "SignalingLimits",
    "SignalingService",
    "StunService",
    "TurnCredential",
    "TurnService",
    "topology_from_json",
    "topology_to_json",
]

CONFIG_VERSION = 3
_LEGACY_TURN_URL = DEFAULT_TURN_URLS[0]

COMPAT_SWITCHES = frozenset(
    {
        "adopt_any_genesis",
        "any_local_user",
        "closed_local_approve",
        "controller_demotes_owner",
        "immediate_leave",
        "open_network_evict",
        "ratify_everything",
        "relay_any_filter",
        "replayable_logs",
        "roles_from_open_phase",
        "turn_private_peers",
        "unauthorised_splits",
    }
)
"""Names of spec 10 §3; an unknown one is a warning."""


class ConfigTooNew(StoreError):
    """The file was written by a newer release; nothing is moved aside and nothing is guessed."""

    def __init__(self, version: int) -> None:
        super().__init__(f"config: config version {version} is from a newer build (this one expects v{CONFIG_VERSION})")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the file that was skipped or taken as its default, for the log and a diagnostic.

    `where` is a path such as ``networks[1]`` or ``services``; `reason` the decoder's words.
    """

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class AutoUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The updater's preferences."""

    enabled: bool = True
    channel: str = "stable"
    auto_apply: str = "all"
    check_interval_hours: int = 6
    stable_url: str | None = None
    beta_url: str | None = None
    unknown: Unknown = {}

    @classmethod
    def from_json(cls, value: object) -> AutoUpdate:
        """Raises `ShapeError`."""
        known, unknown = members(value, _AUTO_UPDATE, expected="struct AutoUpdateConfig")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order."""
        return {
            "enabled": self.enabled,
            "channel": self.channel,
            "auto_apply": self.auto_apply,
            "check_interval_hours": self.check_interval_hours,
            "stable_url": self.stable_url,
            "beta_url": self.beta_url,
            **self.unknown,
        }


class AutoCleanup(msgspec.Struct, frozen=True, kw_only=True):
    """Stored, without effect."""

    updates: bool = False
    unknown: Unknown = {}

    @classmethod
    def from_json(cls, value: object) -> AutoCleanup:
        """Raises `ShapeError`."""
        known, unknown = members(value, _AUTO_CLEANUP, expected="struct AutoCleanupConfig")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order."""
        return {"updates": self.updates, **self.unknown}


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon process itself. Only `control_socket` has an effect; the others are stored."""

    enabled: bool = True
    control_socket: str | None = None
    log_level: str = "info"
    unknown: Unknown = {}

    @property
    def socket_group(self) -> str | None:
        """A system group that may use the control socket; our own optional member (spec 05 W1)."""
        value = self.unknown.get("socket_group")
        return value if isinstance(value, str) and value else None

    @property
    def also_default_socket(self) -> bool:
        """Serve a link at the default place too; our own optional member (spec 07 C14)."""
        return self.unknown.get("also_default_socket") is True

    @classmethod
    def from_json(cls, value: object) -> DaemonConfig:
        """Raises `ShapeError`."""
        known, unknown = members(value, _DAEMON, expected="struct DaemonConfig")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order."""
        return {
            "enabled": self.enabled,
            "control_socket": self.control_socket,
            "log_level": self.log_level,
            **self.unknown,
        }


class MeshConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration of this device."""

    version: int = CONFIG_VERSION
    identity_path: str | None = None  # stored, ignored
    auto_update: AutoUpdate = msgspec.field(default_factory=AutoUpdate)
    auto_cleanup: AutoCleanup = msgspec.field(default_factory=AutoCleanup)
    daemon: DaemonConfig = msgspec.field(default_factory=DaemonConfig)
    services: ServicesConfig = msgspec.field(default_factory=ServicesConfig)
    networks: tuple[NetworkConfig, ...] = ()
    unknown: Unknown = {}

    @property
    def compat(self) -> Mapping[str, bool]:
        """Compatibility switches of spec 10 §3; an absent one is false."""
        return switches(self.unknown)

    def compat_switch(self, name: str, network: NetworkConfig | None = None) -> bool:
        """Whether a switch is on, for `network` if given: its own setting wins."""
        if network is not None and name in network.compat:
            return network.compat[name]
        return self.compat.get(name, False)

    @classmethod
    def from_json(cls, value: object) -> tuple[MeshConfig, tuple[Problem, ...]]:
        """Decode and migrate.

        A bad network record is skipped and a bad ``services`` block replaced by the default, each with a `Problem`
        (spec 07 C3, 06 R). Raises `ShapeError` when the file as a whole is unusable, `ConfigTooNew` for a later one.
        """
        if not isinstance(value, Mapping):
            raise wrong_type(value, "struct MeshConfig")
        # Before anything else: what a newer release writes may well have another shape.
        version = unsigned(U32)(value.get("version", CONFIG_VERSION))
        if version > CONFIG_VERSION:
            raise ConfigTooNew(version)
        problems: list[Problem] = []

        def services(block: object) -> ServicesConfig:
            try:
                return ServicesConfig.from_json(block)
            except ShapeError as error:
                problems.append(Problem(where="services", reason=str(error)))
                return ServicesConfig()

        def networks(records: object) -> tuple[NetworkConfig, ...]:
            if not isinstance(records, list):
                raise wrong_type(records, "a sequence")
            good: list[NetworkConfig] = []
            for index, record in enumerate(records):
                try:
                    good.append(_migrate(NetworkConfig.from_json(record), version))
                except ShapeError as error:
                    problems.append(Problem(where=f"networks[{index}]", reason=str(error)))
            return tuple(good)

        decoders = {**_ROOT, "services": services, "networks": networks}
        known, unknown = members(value, decoders, expected="struct MeshConfig")
        known["version"] = CONFIG_VERSION
        return cls(**known, unknown=unknown), tuple(problems)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The configuration in schema order, secrets included."""
        return {
            "version": self.version,
            "identity_path": self.identity_path,
            "auto_update": self.auto_update.to_json(),
            "auto_cleanup": self.auto_cleanup.to_json(),
            "daemon": self.daemon.to_json(),
            "services": self.services.to_json(),
            "networks": [network.to_json() for network in self.networks],
            **self.unknown,
        }

    def text(self) -> str:
        """What stands in the file: two spaces, schema order, no final newline."""
        return pretty(self.to_json())

    def unknown_switches(self) -> list[str]:
        """Names in ``compat`` objects that mean nothing, for one warning at start."""
        names = set(self.compat)
        for network in self.networks:
            names.update(network.compat)
        return sorted(names - COMPAT_SWITCHES)


def pretty(value: object) -> str:
    """JSON for a file: two spaces, UTF-8 unescaped, members in their order."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def _migrate(network: NetworkConfig, version: int) -> NetworkConfig:
    """Bring a record of an older file up to date (spec 07 §4.5); applying it twice changes nothing more."""
    if version < 2 and isinstance(network.topology, Ring):
        # Rings of that time never shaped connections, so a full mesh is what the person had.
        network = replace(network, topology=FullMesh(), topology_unknown={})
    if version < 3 and len(network.turn_servers) == 1:
        turn = network.turn_servers[0]
        if (turn.urls, turn.username, turn.credential) == ((_LEGACY_TURN_URL,), GUEST_USER, GUEST_PASSWORD):
            # Only the untouched old default gains the TCP and TLS addresses; choices of a person stay.
            network = replace(network, turn_servers=(replace(turn, urls=DEFAULT_TURN_URLS),))
    return network


_AUTO_UPDATE: dict[str, Decoder[object]] = {
    "enabled": boolean,
    "channel": string,
    "auto_apply": string,
    "check_interval_hours": unsigned(U32),
    "stable_url": nullable(string),
    "beta_url": nullable(string),
}
_AUTO_CLEANUP: dict[str, Decoder[object]] = {"updates": boolean}
_DAEMON: dict[str, Decoder[object]] = {"enabled": boolean, "control_socket": nullable(string), "log_level": string}
_ROOT: dict[str, Decoder[object]] = {
    "version": unsigned(U32),
    "identity_path": nullable(string),
    "auto_update": cast("Decoder[object]", AutoUpdate.from_json),
    "auto_cleanup": cast("Decoder[object]", AutoCleanup.from_json),
    "daemon": cast("Decoder[object]", DaemonConfig.from_json),
}
