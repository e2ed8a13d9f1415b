"""Ops about networks, their peers and their rosters (spec 05 §7.3 to §8.5, §12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.capabilities import CapabilitiesTooLarge, checked
from myownmesh.topology.modes import BadTopology, parse_topology

if TYPE_CHECKING:
    from myownmesh.control import requests
    from myownmesh.control.control import Control


def networks_list(control: Control, _request: requests.NetworksList) -> bytes:
    networks = sorted(control.mesh.networks(), key=lambda network: network.config_id.encode())
    return success(answers.NetworksAnswer(tuple(network.summary() for network in networks)))


async def network_add(control: Control, request: requests.NetworkAdd) -> bytes:
    network = await control.mesh.add_network(request.config, request.mfa_code)
    return success(answers.NetworkAdded(network.at_join))


async def network_remove(control: Control, request: requests.NetworkRemove) -> bytes:
    return success(answers.NetworkRemoved(await control.mesh.remove_network(request.network, purge=request.purge)))


async def network_update(control: Control, request: requests.NetworkUpdate) -> bytes:
    network, restarted = await control.mesh.update_network(request.config, request.given, request.mfa_code)
    return success(answers.NetworkUpdated(network.at_join if restarted else network.config_id, restarted))


def network_reconnect(control: Control, request: requests.NetworkReconnect) -> bytes:
    control.find(request.network).reconnect(request.peer)
    return success(answers.NetworkReconnecting(request.network))


async def network_record(control: Control, request: requests.NetworkRecord) -> bytes:
    network = control.find(request.network)
    data, inputs = await network.record(request.for_ms / 1000)
    return success(answers.NetworkRecorded(str(await control.mesh.keep_recording(network, data)), inputs))


async def network_connect_peer(control: Control, request: requests.NetworkConnectPeer) -> bytes:
    network = control.find(request.network)
    if request.pin:
        await control.mesh.pin(network, request.peer)
    active = await network.connect_peer(request.peer, pin=request.pin, wait_ms=request.wait_ms)
    return success(answers.PeerConnecting(request.peer, request.network, request.pin, active))


async def topology_set(control: Control, request: requests.TopologySet) -> bytes:
    try:
        mode = parse_topology(request.topology, request.hub)
    except BadTopology as error:
        raise MeshError(str(error)) from error
    network = control.find(request.network)
    await control.mesh.set_topology(network, mode)
    return success(answers.TopologySet(request.topology))


def capabilities_set(control: Control, request: requests.CapabilitiesSet) -> bytes:
    network = control.find(request.network)
    try:
        advert = checked(request.capabilities)
    except CapabilitiesTooLarge as error:
        raise MeshError(str(error)) from error
    control.mesh.set_capabilities(network, advert)
    return success(answers.CapabilitiesSet())


def peers_list(control: Control, request: requests.PeersList) -> bytes:
    return success(answers.PeersAnswer(tuple(control.find(request.network).peers())))


def roster_list(control: Control, request: requests.RosterList) -> bytes:
    return success(answers.RosterAnswer(control.find(request.network).roster()))


async def roster_approve(control: Control, request: requests.RosterApprove) -> bytes:
    done = await control.find(request.network).approve(request.device_id, request.label or "", request.mfa_code)
    if done is None:
        return success(answers.DeviceApproved(request.device_id))
    return success(answers.DeviceApproved(request.device_id, done.proposal_id, done.effective, done.waits_for))


async def roster_remove(control: Control, request: requests.RosterRemove) -> bytes:
    await control.find(request.network).remove_peer(request.device_id)
    return success(answers.DeviceRemoved(request.device_id))
