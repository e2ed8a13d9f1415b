"""Ops that explain a network's governance to a person, and those of its recovery key (spec 10 §2.2).

What peers said of themselves stands in these answers as data; clients make it fit for a terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from mesh_common import answers
from myownmesh.control.answers import success
from myownmesh.governance.checkup import Surroundings, findings
from myownmesh.governance.history import history
from myownmesh.governance.overview import MAY, authorities, refused
from myownmesh.governance.recovery_key import BadRecoveryKey, printed, read_key
from myownmesh.governance.telling import Names, said
from myownmesh.identity import Identity
from myownmesh.identity.keys import SEED_BYTES
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.recovering import recover
from myownmesh.protocol.ids import BadDeviceId, display_id, parse_device_id
from myownmesh.protocol.transitions import RoleGrant

if TYPE_CHECKING:
    from myownmesh.control import requests
    from myownmesh.control.control import Control
    from myownmesh.governance.book import Book
    from myownmesh.governance.foresight import Outlook
    from myownmesh.governance.history import Arrival
    from myownmesh.mesh.network import Network


async def governance_log(control: Control, request: requests.GovernanceLog) -> bytes:
    network = control.find(request.network)
    book = await network.governing.book()
    names = Names(labels_in(network), book.me)
    arrivals = await control.mesh.arrivals(network)
    return success(await trio.to_thread.run_sync(_log, book, arrivals, names, request.limit))


async def governance_who(control: Control, request: requests.GovernanceWho) -> bytes:
    network = control.find(request.network)
    book, labels = await network.governing.book(), labels_in(network)
    names = Names(labels, book.me)
    statuses = {peer.device_id: peer.status for peer in network.peers()}
    rows = tuple(
        answers.AuthorityRow(
            device_id=display_id(each.device),
            label=labels.get(each.device, ""),
            role=each.role,
            may=MAY[each.role],
            me=each.device == book.me,
            status="active" if each.device == book.me else statuses.get(each.device, "never seen since the start"),
            refused=tuple(said(variant, names) for variant in each.refused),
        )
        for each in authorities(book)
    )
    wanted = () if request.device is None else refused(book, _bare(request.device))
    return success(answers.WhoAnswer(rows, tuple(said(variant, names) for variant in wanted)))


async def governance_doctor(control: Control, request: requests.GovernanceDoctor) -> bytes:
    network = control.find(request.network)
    book = await network.governing.book()
    names = Names(labels_in(network), book.me)
    skew = control.mesh.clock_skew()
    around = Surroundings(
        rostered=tuple(parse_device_id(row.device_id) for row in network.roster()),
        v038=network.linked_v038,
        ahead_s=0.0 if skew is None else skew.ahead_ms / 1000,
    )
    found = await trio.to_thread.run_sync(findings, book, around, names)
    return success(answers.DoctorAnswer(tuple(answers.GovernanceFinding(f.code, f.text, f.help) for f in found)))


async def governance_recovery_create(control: Control, request: requests.GovernanceRecoveryCreate) -> bytes:
    network = control.find(request.network)
    seed = control.rng.randbytes(SEED_BYTES)
    key = Identity.from_seed(seed)
    done = await network.governing.propose(RoleGrant(key.device_id, "owner"), request.mfa_code)
    return success(
        answers.RecoveryKey(printed(seed), display_id(key.device_id), done.proposal_id, done.effective, done.waits_for)
    )


async def governance_recover(control: Control, request: requests.GovernanceRecover) -> bytes:
    network = control.find(request.network)
    try:
        key = read_key(request.key)
    except BadRecoveryKey as error:
        raise MeshError(f"network: {error}") from error
    seat = control.mesh.identity.device_id if request.owner is None else _bare(request.owner)
    lost = None if request.evict is None else _bare(request.evict)
    if lost in (seat, key.device_id):
        raise MeshError("network: the lost device and the new owner are the same")
    signed_anew = await recover(network.governing, key, seat, lost, control.rng)
    return success(answers.Recovered(display_id(seat), None if lost is None else display_id(lost), signed_anew))


def labels_in(network: Network) -> dict[str, str]:
    """Labels by bare id; what a person here called a device goes before what it calls itself."""
    labels = {peer.device_id: peer.label for peer in network.peers() if peer.label}
    return {**labels, **{parse_device_id(row.device_id): row.label for row in network.roster() if row.label}}


def outlook_row(outlook: Outlook) -> answers.GovernanceOutlook:
    """What a change would do, as clients read it."""
    return answers.GovernanceOutlook(
        ends=_shown(outlook.ends),
        falling_admits=_shown(outlook.falling_admits),
        falling_removals=_shown(outlook.falling_removals),
        let_in=_shown(outlook.let_in),
        unreachable=_shown(outlook.unreachable),
        owners=_shown(outlook.owners),
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


def _shown(devices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_display, devices))


def _display(device: str) -> str:
    try:
        return display_id(parse_device_id(device))
    except BadDeviceId:
        return ascii(device[:64])


def _bare(text: str) -> str:
    try:
        return parse_device_id(text)
    except BadDeviceId as error:
        raise MeshError(f"network: {error}") from error
