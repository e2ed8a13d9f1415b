"""Ops that carry a network's governance further: as a file, and to another key (spec 10 §2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.control.governance_reports import bare
from myownmesh.control.keep import KEEP_ALL, Kept
from myownmesh.control.request import Task
from myownmesh.mesh.replacing import replace
from myownmesh.protocol.ids import display_id

if TYPE_CHECKING:
    from myownmesh.control.control import Control


class GovernanceExport(Task, frozen=True):
    network: str

    async def run(self, control: Control) -> bytes:
        document = await control.find(self.network).governing.export()
        return success(answers.GovernanceExported(msgspec.Raw(document)))


class GovernanceImport(Task, frozen=True):
    network: str
    document: Raw
    """What `governance_export` answered, here or on another device."""

    async def run(self, control: Control) -> bytes:
        found = await control.find(self.network).governing.take_in(bytes(self.document))
        return success(
            answers.GovernanceImported(
                found.log, found.why, found.new, found.refused, found.waiting, proposals=found.proposals
            )
        )


class GovernanceReplace(Task, frozen=True):
    network: str
    old: str
    new: str
    mfa_code: str | None = None
    keep: Kept = KEEP_ALL

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network)
        old, new = bare(self.old), bare(self.new)
        done = await replace(network.governing, old, new, self.mfa_code, self.keep)
        outcome = done.outcome
        return success(
            answers.GovernanceReplaced(
                old=display_id(old),
                new=display_id(new),
                role=done.role,
                step=done.step,
                proposal_id=outcome.proposal_id,
                effective=done.step == "done",
                waits_for=outcome.waits_for,
            )
        )
