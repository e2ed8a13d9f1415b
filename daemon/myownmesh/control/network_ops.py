"""Ops about networks, their peers and their rosters (spec 05 §7.3 to §8.5, §12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.control.request import Immediate, Milliseconds, Task, check_size
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.capabilities import Capabilities, CapabilitiesTooLarge, checked
from myownmesh.protocol.schema import Checked, Derived
from myownmesh.protocol.strict_json import members
from myownmesh.store.network_config import NetworkConfig
from myownmesh.topology.modes import BadTopology, parse_topology

if TYPE_CHECKING:
    from myownmesh.control.control import Control
    from myownmesh.protocol.strict_json import Members


def _given(found: Members) -> frozenset[str]:
    """The members that ``config`` really had, those of ``signaling`` as ``signaling.<name>``."""
    config = members(dict(found)["config"])
    signaling = dict(config).get("signaling")
    inner = [] if signaling is None else members(signaling)
    return frozenset([*(name for name, _ in config), *(f"signaling.{name}" for name, _ in inner)])


class NetworksList(Immediate, frozen=True):
    def answer(self, control: Control) -> bytes:
        networks = sorted(control.mesh.networks(), key=lambda network: network.config_id.encode())
        return success(answers.NetworksAnswer(tuple(network.summary() for network in networks)))


class NetworkAdd(Task, frozen=True):
    config: Annotated[NetworkConfig, Checked(check_size)]
    mfa_code: str | None = None
    """Where a lock is on and the record weakens the network's governance."""

    async def run(self, control: Control) -> bytes:
        network = await control.mesh.add_network(self.config, self.mfa_code)
        return success(answers.NetworkAdded(network.at_join))


class NetworkRemove(Task, frozen=True):
    network: str
    purge: bool = False

    async def run(self, control: Control) -> bytes:
        return success(answers.NetworkRemoved(await control.mesh.remove_network(self.network, purge=self.purge)))


class NetworkUpdate(Task, frozen=True):
    config: Annotated[NetworkConfig, Checked(check_size)]
    given: Annotated[frozenset[str], Derived(_given)] = frozenset()
    """What `config` really had, those of `signaling` as ``signaling.<name>``: an update leaves some of what was not
    mentioned alone (spec 05 W23)."""
    mfa_code: str | None = None

    async def run(self, control: Control) -> bytes:
        network, restarted = await control.mesh.update_network(self.config, self.given, self.mfa_code)
        return success(answers.NetworkUpdated(network.at_join if restarted else network.config_id, restarted))


class NetworkReconnect(Immediate, frozen=True):
    network: str
    peer: str | None = None

    def answer(self, control: Control) -> bytes:
        control.find(self.network).reconnect(self.peer)
        return success(answers.NetworkReconnecting(self.network))


class NetworkRecord(Task, frozen=True):
    network: str
    for_ms: Milliseconds = 0
    """0: what went in during the last minutes."""

    ONLY_WAITS: ClassVar = True

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network)
        data, inputs = await network.record(self.for_ms / 1000)
        return success(answers.NetworkRecorded(str(await control.mesh.keep_recording(network, data)), inputs))


class NetworkConnectPeer(Task, frozen=True):
    network: str
    peer: str
    pin: bool = False
    wait_ms: Milliseconds = 0

    ONLY_WAITS: ClassVar = True

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network)
        if self.pin:
            await control.mesh.pin(network, self.peer)
        active = await network.connect_peer(self.peer, pin=self.pin, wait_ms=self.wait_ms)
        return success(answers.PeerConnecting(self.peer, self.network, self.pin, active))


class TopologySet(Task, frozen=True):
    network: str
    topology: str
    hub: str | None = None

    async def run(self, control: Control) -> bytes:
        try:
            mode = parse_topology(self.topology, self.hub)
        except BadTopology as error:
            raise MeshError(str(error)) from error
        network = control.find(self.network)
        await control.mesh.set_topology(network, mode)
        return success(answers.TopologySet(self.topology))


class CapabilitiesSet(Immediate, frozen=True):
    network: str
    capabilities: Capabilities

    def answer(self, control: Control) -> bytes:
        network = control.find(self.network)
        try:
            advert = checked(self.capabilities)
        except CapabilitiesTooLarge as error:
            raise MeshError(str(error)) from error
        control.mesh.set_capabilities(network, advert)
        return success(answers.CapabilitiesSet())


class PeersList(Immediate, frozen=True):
    network: str

    def answer(self, control: Control) -> bytes:
        return success(answers.PeersAnswer(tuple(control.find(self.network).peers())))


class RosterList(Immediate, frozen=True):
    network: str

    def answer(self, control: Control) -> bytes:
        return success(answers.RosterAnswer(control.find(self.network).roster()))


class RosterApprove(Task, frozen=True):
    network: str
    device_id: str
    label: str | None = None
    mfa_code: str | None = None
    """On a closed network an authority signs the admit."""

    async def run(self, control: Control) -> bytes:
        done = await control.find(self.network).approve(self.device_id, self.label or "", self.mfa_code)
        if done is None:
            return success(answers.DeviceApproved(self.device_id))
        return success(answers.DeviceApproved(self.device_id, done.proposal_id, done.effective, done.waits_for))


class RosterRemove(Task, frozen=True):
    network: str
    device_id: str

    async def run(self, control: Control) -> bytes:
        await control.find(self.network).remove_peer(self.device_id)
        return success(answers.DeviceRemoved(self.device_id))
