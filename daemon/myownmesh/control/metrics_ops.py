"""The op that tells a monitor how this daemon does (spec 10 §2.2, docs/hosting.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.control.request import Task

if TYPE_CHECKING:
    from myownmesh.control.control import Control


class Metrics(Task, frozen=True):
    async def run(self, control: Control) -> bytes:
        from myownmesh.control.metrics import exposition  # a daemon that is never asked does not load it

        return success(answers.MetricsAnswer(await exposition(control)))
