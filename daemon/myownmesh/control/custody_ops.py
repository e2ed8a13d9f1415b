"""Ops about the lock on this device's signatures (spec 02 §17, 05 §9); what they answer on enrolment is a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from myownmesh.control import requests
    from myownmesh.control.control import Control


async def mfa_enroll(control: Control, request: requests.GovernanceMfaEnroll) -> bytes:
    shown = await control.mesh.custody.enroll(request.network)
    return success(answers.MfaEnrolled(shown.secret, shown.otpauth_uri, shown.recovery_codes))


async def mfa_status(control: Control, request: requests.GovernanceMfaStatus) -> bytes:
    try:
        return success(answers.MfaStatus(await control.mesh.custody.is_on(request.network)))
    except MeshError as error:  # stock clients ask this of every network and want no failure (02 §17)
        return success(answers.MfaStatus(enrolled=False, problem=str(error)))


async def mfa_disable(control: Control, request: requests.GovernanceMfaDisable) -> bytes:
    await control.mesh.custody.disable(request.network, request.code)
    return success(answers.MfaDisabled())
