"""The danger zone (spec 05 §15). Behind the answer the daemon starts anew, in the same process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.control.request import Task

if TYPE_CHECKING:
    from myownmesh.control.control import Control


class ForgetAllNetworks(Task, frozen=True):
    async def run(self, control: Control) -> bytes:
        with control.beginning_anew():
            return success(await control.mesh.danger.forget_all())


class FactoryReset(Task, frozen=True):
    async def run(self, control: Control) -> bytes:
        with control.beginning_anew():
            await control.mesh.danger.reset()
            return success(answers.EverythingDeleted())
