"""``config.json`` as a value (spec 07 §4): defaults, migration, and the text that is written back.

Reading and writing the file is `myownmesh.store.config_file`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.modes import FullMesh, Ring
from myownmesh.protocol.schema import U32, read, reader, shape
from myownmesh.protocol.strict_json import elements, proven
from myownmesh.store.errors import StoreError
from myownmesh.store.network_config import DEFAULT_TURN_URLS, GUEST_PASSWORD, GUEST_USER, NetworkConfig, switches
from myownmesh.store.record import Record
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class AutoUpdate(Record, frozen=True, kw_only=True):
    """The updater's preferences."""

    SHAPE = "struct AutoUpdateConfig"
    enabled: bool = True
    channel: str = "stable"
    auto_apply: str = "all"
    check_interval_hours: U32 = 6
    stable_url: str | None = None
    beta_url: str | None = None

    @property
    def allow_socket_urls(self) -> bool:
        """Whether the control socket may name another feed; our own optional member (spec 05 W2)."""
        return self.unknown.get("allow_socket_urls") is True

    @property
    def restart(self) -> str:
        """`idle`: a version that waits has the daemon restart when nothing is under way; else `never`.

        Our own optional member (spec 09 §10.6).
        """
        return "idle" if self.unknown.get("restart") == "idle" else "never"


class AutoCleanup(Record, frozen=True, kw_only=True):
    """Stored, without effect: what an update no longer needs is deleted in any case."""

    SHAPE = "struct AutoCleanupConfig"
    updates: bool = False


class DaemonConfig(Record, frozen=True, kw_only=True):
    """The daemon process itself. Only `control_socket` has an effect; the others are stored."""

    enabled: bool = True
    control_socket: str | None = None
    log_level: str = "info"

    @property
    def socket_group(self) -> str | None:
        """A system group that may use the control socket; our own optional member (spec 05 W1)."""
        value = self.unknown.get("socket_group")
        return value if isinstance(value, str) and value else None

    @property
    def also_default_socket(self) -> bool:
        """Serve a link at the default place too; our own optional member (spec 07 C14)."""
        return self.unknown.get("also_default_socket") is True

    @property
    def metrics_bind(self) -> object:
        """Where metrics may be had over HTTP, as it was written; None: nowhere. Our own optional member."""
        return self.unknown.get("metrics_bind")


class MeshConfig(Record, frozen=True, kw_only=True):
    """The whole configuration of this device."""

    version: U32 = CONFIG_VERSION
    identity_path: str | None = None  # stored, ignored
    auto_update: AutoUpdate = msgspec.field(default_factory=AutoUpdate)
    auto_cleanup: AutoCleanup = msgspec.field(default_factory=AutoCleanup)
    daemon: DaemonConfig = msgspec.field(default_factory=DaemonConfig)
    services: ServicesConfig = msgspec.field(default_factory=ServicesConfig)
    networks: tuple[NetworkConfig, ...] = ()

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
    def read(cls, data: bytes) -> tuple[MeshConfig, tuple[Problem, ...]]:
        """Decode the text of the file and migrate.

        A bad network record is skipped and a bad ``services`` block replaced by the default, each with a `Problem`
        (spec 07 C3, 06 R). Raises `JsonError` when the file as a whole is unusable, `ConfigTooNew` for a later one.
        """
        plan = shape(cls)
        found = plan.members(proven(data))
        # Before anything else: what a newer release writes may well have another shape.
        version = _read_version(dict(found).get("version", Raw(b"%d" % CONFIG_VERSION)))
        if version > CONFIG_VERSION:
            raise ConfigTooNew(version)
        problems: list[Problem] = []

        def services(block: Raw) -> ServicesConfig:
            try:
                return read(ServicesConfig, block)
            except JsonError as error:
                problems.append(Problem(where="services", reason=str(error)))
                return ServicesConfig()

        def networks(records: Raw) -> tuple[NetworkConfig, ...]:
            good: list[NetworkConfig] = []
            for index, record in enumerate(elements(records)):
                try:
                    good.append(_migrate(read(NetworkConfig, record), version))
                except JsonError as error:
                    problems.append(Problem(where=f"networks[{index}]", reason=str(error)))
            return tuple(good)

        config = plan.build(found, {"services": services, "networks": networks})
        return replace(config, version=CONFIG_VERSION), tuple(problems)

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


_read_version: Final = reader(U32)
