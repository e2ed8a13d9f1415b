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
from myownmesh.control.keep import KEEP_ALL, Kept
from myownmesh.control.request import Task
from myownmesh.governance.foresight import outlook
from myownmesh.governance.state_file import shown
from myownmesh.governance.telling import Names
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.governing import or_refused
from myownmesh.protocol.frames import NetworkKind, Role
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, TopologyChange
from myownmesh.topology.modes import BadTopology, parse_topology

if TYPE_CHECKING:
    from myownmesh.control.control import Control
    from myownmesh.governance.state_file import StateFile
    from myownmesh.governance.succession import Keep
    from myownmesh.protocol.transitions import Variant


class GovernanceState(Task, frozen=True):
    network: str

    async def run(self, control: Control) -> bytes:
        state, evicted = await control.find(self.network).governing.state()
        return await trio.to_thread.run_sync(_state_line, state, tuple(evicted))


class GovernanceProposeKindChange(Task, frozen=True):
    network: str
    to: NetworkKind
    mfa_code: str | None = None
    force: bool = False
    """Also with a clock that others call wrong."""
    dry_run: bool = False
    """Only say what it would do."""

    async def run(self, control: Control) -> bytes:
        variant = KindChange(self.to)
        return await _propose(control, self.network, variant, self.mfa_code, force=self.force, dry_run=self.dry_run)


class GovernanceProposeRoleGrant(Task, frozen=True):
    network: str
    target: str
    role: Role
    mfa_code: str | None = None
    keep: Kept = KEEP_ALL
    force: bool = False
    dry_run: bool = False

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network).config_id
        variant, code = RoleGrant(bare(self.target), self.role), self.mfa_code
        return await _propose(control, network, variant, code, keep=self.keep, force=self.force, dry_run=self.dry_run)


class GovernanceProposeRoleRevoke(Task, frozen=True):
    network: str
    target: str
    mfa_code: str | None = None
    keep: Kept = KEEP_ALL
    dry_run: bool = False

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network).config_id
        variant = RoleRevoke(bare(self.target))
        return await _propose(control, network, variant, self.mfa_code, keep=self.keep, dry_run=self.dry_run)


class GovernanceProposeEvict(Task, frozen=True):
    network: str
    target: str
    mfa_code: str | None = None
    keep: Kept = KEEP_ALL
    dry_run: bool = False

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network).config_id
        variant = Evict(bare(self.target))
        return await _propose(control, network, variant, self.mfa_code, keep=self.keep, dry_run=self.dry_run)


class GovernanceProposeTopology(Task, frozen=True):
    network: str
    topology: str
    hub: str | None = None
    mfa_code: str | None = None

    async def run(self, control: Control) -> bytes:
        try:
            mode = parse_topology(self.topology, self.hub)
        except BadTopology as error:
            raise MeshError(str(error)) from error
        return await _propose(control, self.network, TopologyChange(mode), self.mfa_code)


class GovernanceSign(Task, frozen=True):
    network: str
    proposal_id: str
    mfa_code: str | None = None
    digest: str | None = None
    """What the person was shown, as `content_digest` says it."""
    keep: Kept = KEEP_ALL

    async def run(self, control: Control) -> bytes:
        governing = control.find(self.network).governing
        done = await governing.sign(self.proposal_id, self.mfa_code, self.digest, keep=self.keep)
        return success(answers.ProposalSigned(self.proposal_id, done.effective, done.waits_for))


class GovernanceDeny(Task, frozen=True):
    network: str
    proposal_id: str

    async def run(self, control: Control) -> bytes:
        await control.find(self.network).governing.deny(self.proposal_id)
        return success(answers.ProposalDenied(self.proposal_id))


class GovernanceWithdraw(Task, frozen=True):
    network: str
    proposal_id: str

    async def run(self, control: Control) -> bytes:
        await control.find(self.network).governing.withdraw(self.proposal_id)
        return success(answers.ProposalWithdrawn(self.proposal_id))


class GovernanceSpawnSplit(Task, frozen=True):
    network: str
    proposal_id: str

    async def run(self, control: Control) -> bytes:
        """Splits are never authored (02 FIX 7): their entries need no authority and leave logs that differ for good."""
        await control.find(self.network).governing.check_split(self.proposal_id)
        raise MeshError("splits only apply to stuck open→closed proposals")


class GovernanceSettle(Task, frozen=True):
    network: str
    proposal_id: str
    """The question which branch to hold."""
    mfa_code: str | None = None

    async def run(self, control: Control) -> bytes:
        governing = control.find(self.network).governing
        done = await governing.settle(self.proposal_id, self.mfa_code)
        return success(answers.ProposalSigned(self.proposal_id, done.effective, done.waits_for))


async def _outlook(control: Control, network: str, variant: Variant, keep: Keep | None) -> bytes:
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
    dry_run: bool = False,
) -> bytes:
    """Propose, or only say what would come of it."""
    if dry_run:
        return await _outlook(control, network, variant, keep)
    done = await control.find(network).governing.propose(variant, code, keep=keep, force=force)
    return success(answers.Proposed(done.proposal_id, done.effective, done.waits_for))


def _state_line(state: StateFile, evicted: tuple[str, ...]) -> bytes:
    told = msgspec.json.decode(shown(state), type=answers.GovernanceState)
    return success(answers.GovernanceAnswer(told, evicted))
