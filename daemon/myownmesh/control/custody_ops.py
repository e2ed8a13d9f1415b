"""Ops about the lock on this device's signatures (spec 02 §17, 05 §9); what they answer on enrolment is a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.control.request import Task
from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from myownmesh.control.control import Control


class GovernanceMfaEnroll(Task, frozen=True):
    network: str

    async def run(self, control: Control) -> bytes:
        shown = await control.mesh.custody.enroll(self.network)
        return success(answers.MfaEnrolled(shown.secret, shown.otpauth_uri, shown.recovery_codes))


class GovernanceMfaStatus(Task, frozen=True):
    network: str

    async def run(self, control: Control) -> bytes:
        try:
            return success(answers.MfaStatus(await control.mesh.custody.is_on(self.network)))
        except MeshError as error:  # stock clients ask this of every network and want no failure (02 §17)
            return success(answers.MfaStatus(enrolled=False, problem=str(error)))


class GovernanceMfaDisable(Task, frozen=True):
    network: str
    code: str

    async def run(self, control: Control) -> bytes:
        await control.mesh.custody.disable(self.network, self.code)
        return success(answers.MfaDisabled())
