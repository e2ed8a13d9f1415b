"""Ops about what is signed in a network (spec 05 §9).

Targets are named by any form of their id; the bare one is signed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.control.governance_reports import bare, outlook_row
from myownmesh.governance.foresight import outlook
from myownmesh.governance.state_file import shown
from myownmesh.governance.telling import Names
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.governing import or_refused
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, TopologyChange
from myownmesh.topology.modes import BadTopology, parse_topology

if TYPE_CHECKING:
    from myownmesh.control import requests
    from myownmesh.control.control import Control
    from myownmesh.governance.state_file import StateFile
    from myownmesh.governance.succession import Keep
    from myownmesh.protocol.transitions import Variant


async def governance_state(control: Control, request: requests.GovernanceState) -> bytes:
    state, evicted = await control.find(request.network).governing.state()
    return await trio.to_thread.run_sync(_state_line, state, tuple(evicted))


async def governance_propose_kind_change(control: Control, request: requests.GovernanceProposeKindChange) -> bytes:
    if request.dry_run:
        return await _outlook(control, request.network, KindChange(request.to))
    return await _propose(control, request.network, KindChange(request.to), request.mfa_code, force=request.force)


async def governance_propose_role_grant(control: Control, request: requests.GovernanceProposeRoleGrant) -> bytes:
    network = control.find(request.network)
    variant = RoleGrant(bare(request.target), request.role)
    if request.dry_run:
        return await _outlook(control, request.network, variant, request.keep)
    code = request.mfa_code
    return await _propose(control, network.config_id, variant, code, keep=request.keep, force=request.force)


async def governance_propose_role_revoke(control: Control, request: requests.GovernanceProposeRoleRevoke) -> bytes:
    network = control.find(request.network)
    variant = RoleRevoke(bare(request.target))
    if request.dry_run:
        return await _outlook(control, request.network, variant, request.keep)
    return await _propose(control, network.config_id, variant, request.mfa_code, keep=request.keep)


async def governance_propose_evict(control: Control, request: requests.GovernanceProposeEvict) -> bytes:
    network = control.find(request.network)
    variant = Evict(bare(request.target))
    if request.dry_run:
        return await _outlook(control, request.network, variant, request.keep)
    return await _propose(control, network.config_id, variant, request.mfa_code, keep=request.keep)


async def governance_propose_topology(control: Control, request: requests.GovernanceProposeTopology) -> bytes:
    try:
        mode = parse_topology(request.topology, request.hub)
    except BadTopology as error:
        raise MeshError(str(error)) from error
    return await _propose(control, request.network, TopologyChange(mode), request.mfa_code)


async def governance_sign(control: Control, request: requests.GovernanceSign) -> bytes:
    governing = control.find(request.network).governing
    done = await governing.sign(request.proposal_id, request.mfa_code, request.digest, keep=request.keep)
    return success(answers.ProposalSigned(request.proposal_id, done.effective, done.waits_for))


async def governance_deny(control: Control, request: requests.GovernanceDeny) -> bytes:
    await control.find(request.network).governing.deny(request.proposal_id)
    return success(answers.ProposalDenied(request.proposal_id))


async def governance_withdraw(control: Control, request: requests.GovernanceWithdraw) -> bytes:
    await control.find(request.network).governing.withdraw(request.proposal_id)
    return success(answers.ProposalWithdrawn(request.proposal_id))


async def governance_spawn_split(control: Control, request: requests.GovernanceSpawnSplit) -> bytes:
    """Splits are never authored (02 FIX 7): their entries need no authority and leave logs that differ for good."""
    await control.find(request.network).governing.check_split(request.proposal_id)
    raise MeshError("splits only apply to stuck open→closed proposals")


async def governance_settle(control: Control, request: requests.GovernanceSettle) -> bytes:
    governing = control.find(request.network).governing
    done = await governing.settle(request.proposal_id, request.mfa_code)
    return success(answers.ProposalSigned(request.proposal_id, done.effective, done.waits_for))


async def _outlook(control: Control, network: str, variant: Variant, keep: Keep | None = None) -> bytes:
    """The answer of a dry run."""
    found = control.find(network)
    book = await found.governing.book()
    linked = found.linked
    look = partial(outlook, book, variant, linked, keep=keep, rostered=found.rostered())
    would = await trio.to_thread.run_sync(partial(or_refused, look))
    row = outlook_row(would, Names(found.labels(), book.me))
    return success(answers.Proposed("", would.effective, would.waits_for, row))


async def _propose(
    control: Control,
    network: str,
    variant: Variant,
    code: str | None,
    *,
    keep: Keep | None = None,
    force: bool = False,
) -> bytes:
    done = await control.find(network).governing.propose(variant, code, keep=keep, force=force)
    return success(answers.Proposed(done.proposal_id, done.effective, done.waits_for))


def _state_line(state: StateFile, evicted: tuple[str, ...]) -> bytes:
    told = msgspec.json.decode(shown(state), type=answers.GovernanceState)
    return success(answers.GovernanceAnswer(told, evicted))
