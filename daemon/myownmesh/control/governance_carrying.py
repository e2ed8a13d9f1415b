"""Ops that carry a network's governance further: as a file, and to another key (spec 10 §2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.control.governance_reports import bare
from myownmesh.mesh.replacing import replace
from myownmesh.protocol.ids import display_id

if TYPE_CHECKING:
    from myownmesh.control import requests
    from myownmesh.control.control import Control


async def governance_export(control: Control, request: requests.GovernanceExport) -> bytes:
    document = await control.find(request.network).governing.export()
    return success(answers.GovernanceExported(msgspec.Raw(document)))


async def governance_import(control: Control, request: requests.GovernanceImport) -> bytes:
    found = await control.find(request.network).governing.take_in(bytes(request.document))
    return success(
        answers.GovernanceImported(
            found.log, found.why, found.new, found.refused, found.waiting, proposals=found.proposals
        )
    )


async def governance_replace(control: Control, request: requests.GovernanceReplace) -> bytes:
    network = control.find(request.network)
    old, new = bare(request.old), bare(request.new)
    done = await replace(network.governing, old, new, request.mfa_code, request.keep)
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
