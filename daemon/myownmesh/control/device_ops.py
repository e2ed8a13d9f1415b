"""Ops about this device: status, identity, configuration, hosted services (spec 05 §7.1, §7.2, §14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mesh_common import answers
from mesh_common.labels import label_problem
from myownmesh.control.answers import success
from myownmesh.control.request import Immediate, Task, check_size
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.ids import BadNetworkId, display_id, generate_network_id, normalize_network_id
from myownmesh.protocol.schema import Checked
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from myownmesh.control.control import Control
    from myownmesh.identity import Identity
    from myownmesh.signaling.clockoffset import Skew

MEDIA_LANES = 1
"""The protocol's minimum: this release carries no media, which `media_pipes` says too (spec 05 §17 no. 12)."""


class Status(Immediate, frozen=True):
    def answer(self, control: Control) -> bytes:
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


class IdentityShow(Immediate, frozen=True):
    def answer(self, control: Control) -> bytes:
        identity = control.mesh.identity
        return success(_shown(identity))


class IdentitySetLabel(Task, frozen=True):
    label: str

    async def run(self, control: Control) -> bytes:
        if (problem := label_problem(self.label)) is not None:
            raise MeshError(f"identity: {problem}")
        identity = await control.mesh.set_label(self.label)
        return success(_shown(identity))


class NetworkIdGenerate(Immediate, frozen=True):
    def answer(self, control: Control) -> bytes:
        return success(answers.NetworkIdAnswer(generate_network_id(control.rng)))


class NetworkIdNormalize(Immediate, frozen=True):
    input: str

    def answer(self, control: Control) -> bytes:
        try:
            network_id = normalize_network_id(self.input)
        except BadNetworkId as error:
            raise MeshError(f"identity: {error}") from error
        return success(answers.NetworkIdAnswer(network_id))


class ConfigShow(Task, frozen=True):
    async def run(self, control: Control) -> bytes:
        config = await control.mesh.config_on_disk()
        return success(answers.ConfigAnswer(config.to_json()))


class ServicesStatus(Immediate, frozen=True):
    def answer(self, control: Control) -> bytes:
        mesh = control.mesh
        config = mesh.config.services
        redacted = config.redacted().to_json()
        return success(answers.ServicesAnswer(mesh.services_report(), config.to_json(), config_redacted=redacted))


class ServicesOffers(Immediate, frozen=True):
    def answer(self, control: Control) -> bytes:
        networks = control.mesh.networks()
        return success(answers.ServicesOffers(tuple(row for each in networks for row in each.service_offers())))


class ServicesSet(Task, frozen=True):
    services: Annotated[ServicesConfig, Checked(check_size)]

    async def run(self, control: Control) -> bytes:
        services = self.services.keeping_own_members(control.mesh.config.services)
        return success(answers.ServicesSet(await control.mesh.services_set(services)))


def _shown(identity: Identity) -> answers.IdentityAnswer:
    return answers.IdentityAnswer(display_id(identity.device_id), identity.device_id, identity.label)
