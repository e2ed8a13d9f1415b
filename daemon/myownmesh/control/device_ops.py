"""Ops about this device: status, identity, configuration, hosted services (spec 05 §7.1, §7.2, §14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common import answers
from mesh_common.labels import label_problem
from myownmesh.control.answers import success
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.ids import BadNetworkId, display_id, generate_network_id, normalize_network_id

if TYPE_CHECKING:
    from myownmesh.control import requests
    from myownmesh.control.control import Control
    from myownmesh.identity import Identity
    from myownmesh.signaling.clockoffset import Skew

MEDIA_LANES = 1
"""The protocol's minimum: this release carries no media, which `media_pipes` says too (spec 05 §17 no. 12)."""


def status(control: Control, _request: requests.Status) -> bytes:
    about = control.about
    return success(
        answers.StatusAnswer(
            version=about.version,
            device_id=display_id(control.mesh.identity.device_id),
            joined_networks=tuple(network.network_id for network in control.mesh.networks()),
            media_lanes=MEDIA_LANES,
            media_pipes=False,
            home=str(about.home),
            instance=about.instance,
            pid=about.pid,
            clock=_clock(control.mesh.clock_skew()),
        )
    )


def _clock(skew: Skew | None) -> answers.ClockSkew | None:
    return None if skew is None else answers.ClockSkew(ahead_ms=skew.ahead_ms, by=skew.basis)


def identity_show(control: Control, _request: requests.IdentityShow) -> bytes:
    identity = control.mesh.identity
    return success(_shown(identity))


async def identity_set_label(control: Control, request: requests.IdentitySetLabel) -> bytes:
    if (problem := label_problem(request.label)) is not None:
        raise MeshError(f"identity: {problem}")
    identity = await control.mesh.set_label(request.label)
    return success(_shown(identity))


def network_id_generate(control: Control, _request: requests.NetworkIdGenerate) -> bytes:
    return success(answers.NetworkIdAnswer(generate_network_id(control.rng)))


def network_id_normalize(_control: Control, request: requests.NetworkIdNormalize) -> bytes:
    try:
        network_id = normalize_network_id(request.input)
    except BadNetworkId as error:
        raise MeshError(f"identity: {error}") from error
    return success(answers.NetworkIdAnswer(network_id))


async def config_show(control: Control, _request: requests.ConfigShow) -> bytes:
    config = await control.mesh.config_on_disk()
    return success(answers.ConfigAnswer(config.to_json()))


def services_status(control: Control, _request: requests.ServicesStatus) -> bytes:
    mesh = control.mesh
    config = mesh.config.services
    return success(
        answers.ServicesAnswer(mesh.services_report(), config.to_json(), config_redacted=config.redacted().to_json())
    )


async def services_set(control: Control, request: requests.ServicesSet) -> bytes:
    services = request.services.keeping_own_members(control.mesh.config.services)
    return success(answers.ServicesSet(await control.mesh.services_set(services)))


def _shown(identity: Identity) -> answers.IdentityAnswer:
    return answers.IdentityAnswer(display_id(identity.device_id), identity.device_id, identity.label)
