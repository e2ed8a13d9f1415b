"""Ops that explain a network's governance to a person, and those of its recovery key (spec 10 §2.2).

What peers said of themselves stands in these answers as data; clients make it fit for a terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.control.request import Task
from myownmesh.engine.notices import FROM_FILE
from myownmesh.governance.checkup import findings
from myownmesh.governance.history import history
from myownmesh.governance.overview import MAY, authorities, refused
from myownmesh.governance.recovery_key import printed
from myownmesh.governance.telling import Names, said
from myownmesh.governance.waiting import waits
from myownmesh.identity import Identity
from myownmesh.identity.keys import SEED_BYTES
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.recovering import recover_with
from myownmesh.protocol.ids import BadDeviceId, display_id, parse_device_id
from myownmesh.protocol.schema import U32
from myownmesh.protocol.transitions import RoleGrant

if TYPE_CHECKING:
    from myownmesh.control.control import Control
    from myownmesh.governance.book import Book
    from myownmesh.governance.foresight import Outlook
    from myownmesh.governance.history import Arrival


class GovernanceLog(Task, frozen=True):
    network: str
    limit: U32 = 200

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network)
        book = await network.governing.book()
        names = Names(network.labels(), book.me)
        arrivals = await control.mesh.arrivals(network)
        return success(await trio.to_thread.run_sync(_log, book, arrivals, names, self.limit))


class GovernanceWho(Task, frozen=True):
    network: str
    device: str | None = None
    """Also: what this device once signed and did not get."""

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network)
        book, labels = await network.governing.book(), network.labels()
        names = Names(labels, book.me)
        heard = network.last_heard
        statuses = {peer.device_id: peer.status for peer in network.peers()}
        rows = tuple(
            answers.AuthorityRow(
                device_id=display_id(each.device),
                label=labels.get(each.device, ""),
                role=each.role,
                may=MAY[each.role],
                me=each.device == book.me,
                status="active" if each.device == book.me else statuses.get(each.device, "not seen since the start"),
                last_heard=heard.get(each.device),
                refused=tuple(said(variant, names) for variant in each.refused),
            )
            for each in authorities(book)
        )
        wanted = () if self.device is None else refused(book, bare(self.device))
        return success(answers.WhoAnswer(rows, tuple(said(variant, names) for variant in wanted)))


class GovernancePending(Task, frozen=True):
    network: str

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network)
        book = await network.governing.book()
        names = Names(network.labels(), book.me)
        found = await trio.to_thread.run_sync(waits, book, names, network.approved())
        return success(
            answers.GovernancePending(
                tuple(
                    answers.PendingRow(
                        id=each.record.id,
                        sort=each.sort,
                        text=each.text,
                        digest=each.digest,
                        sign=each.sign,
                        deny=each.deny,
                        at=each.record.created_at,
                        proposer=_display(each.record.proposer),
                        signers=shown(each.record.signers),
                        deniers=shown(each.record.deniers),
                        decides=shown(each.decides),
                        mine=each.mine,
                    )
                    for each in found
                )
            )
        )


class GovernanceDoctor(Task, frozen=True):
    network: str

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network)
        book = await network.governing.book()
        names = Names(network.labels(), book.me)
        around = control.mesh.around(network)
        found = await trio.to_thread.run_sync(findings, book, around, names)
        return success(answers.DoctorAnswer(tuple(answers.GovernanceFinding(f.code, f.text, f.help) for f in found)))


class GovernanceRecoveryCreate(Task, frozen=True):
    network: str
    mfa_code: str | None = None

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network)
        seed = control.rng.randbytes(SEED_BYTES)
        key = Identity.from_seed(seed)
        done = await network.governing.propose(RoleGrant(key.device_id, "owner"), self.mfa_code)
        device = display_id(key.device_id)
        answer = answers.RecoveryKey(printed(seed), device, done.proposal_id, done.effective, done.waits_for)
        return success(answer)


class GovernanceRecover(Task, frozen=True):
    network: str
    key: str
    """The printed text: a secret."""
    owner: str | None = None
    """Who becomes owner; without it this device."""
    evict: str | None = None
    """The lost device."""

    async def run(self, control: Control) -> bytes:
        network = control.find(self.network)
        done = await recover_with(network.governing, self.key, self.owner, self.evict, control.rng)
        lost = None if done.lost is None else display_id(done.lost)
        return success(answers.Recovered(display_id(done.seat), lost, done.signed_anew))


def outlook_row(outlook: Outlook, names: Names) -> answers.GovernanceOutlook:
    """What a change would do, as clients read it."""
    founding = outlook.founding
    return answers.GovernanceOutlook(
        ends=shown(outlook.ends),
        falling_admits=shown(outlook.falling_admits),
        falling_removals=shown(outlook.falling_removals),
        let_in=shown(outlook.let_in),
        unreachable=shown(outlook.unreachable),
        owners=shown(outlook.owners),
        signed_anew=shown(outlook.signed_anew),
        refused=tuple(said(variant, names) for variant in outlook.refused),
        founding=None
        if founding is None
        else answers.GovernanceFounding(
            shown(founding.unsigned), shown(founding.planted), founding.is_guessable, founding.signed_before
        ),
    )


def _log(book: Book, arrivals: dict[bytes, Arrival], names: Names, limit: int) -> answers.LogAnswer:
    lines = history(book, arrivals)
    rows = tuple(
        answers.LogLine(
            at=line.entry.at,
            text=line.sentence(names),
            log=line.log,
            state=line.state,
            signers=tuple(map(_display, line.entry.signers)),
            first_held=line.since,
            through=_display(line.brought_by) if line.brought_by else None,
            vouched_by=tuple(map(_display, line.through)),
            own=line.own,
        )
        for line in lines[:limit]
    )
    return answers.LogAnswer(rows, len(lines) - len(rows))


def shown(devices: tuple[str, ...]) -> tuple[str, ...]:
    """Devices with their suffixes."""
    return tuple(map(_display, devices))


def _display(device: str) -> str:
    if device == FROM_FILE:
        return "a file"
    try:
        return display_id(parse_device_id(device))
    except BadDeviceId:
        return ascii(device[:64])


def bare(text: str) -> str:
    """The bare id of a device that is named by any form of it. Raises `MeshError`."""
    try:
        return parse_device_id(text)
    except BadDeviceId as error:
        raise MeshError(f"network: {error}") from error
