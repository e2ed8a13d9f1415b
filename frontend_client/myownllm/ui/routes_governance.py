"""Routes about who decides in the active network: what is signed, and what a person signs (spec 02, 05, 08 FE-10.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import trio

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.errors import NoNetworkError
from myownllm.ids import DEVICE_ID, bare_id
from myownllm.sightings import Sightings
from myownllm.ui import words
from myownllm.ui.calls import route
from myownllm.ui.daemon import Daemon
from myownllm.ui.decisions import Explained, Names, decisions, outlook
from myownllm.ui.failures import UiError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.routing import Route

    from mesh_common.answers import Proposed
    from myownllm.ui.calls import Call, Desk

AnswerT = TypeVar("AnswerT")
LOG_LINES = 50


def all_of(desk: Desk) -> list[Route]:
    return [
        route(desk, "GET", "/api/governance", None, _governance),
        route(desk, "POST", "/api/governance/propose", words.Propose, _propose),
        route(desk, "POST", "/api/governance/pending/{id}/sign", words.Sign, _sign),
        route(desk, "POST", "/api/governance/pending/{id}/deny", words.Nothing, _deny),
        route(desk, "POST", "/api/governance/pending/{id}/withdraw", words.Nothing, _withdraw),
    ]


def _network(call: Call) -> str:
    network = call.app.client.state.network
    if not network:
        raise NoNetworkError
    return network


async def _names(call: Call, network: str) -> Names:
    state = call.app.client.state
    former = await trio.to_thread.run_sync(Sightings(call.app.home.sightings_file).labels, network)
    return Names(state.device_id, state.peers, former)


async def _explained(asked: Awaitable[AnswerT]) -> AnswerT | None:
    """The answer of an operation that older daemons do not have."""
    try:
        return await asked
    except ControlError as error:
        if error.kind is not ErrorKind.UNSUPPORTED:
            raise
        return None


async def _governance(call: Call, _: None) -> dict[str, Any]:
    network, daemon = _network(call), Daemon(call.app)
    answer = await daemon.governance(network)
    who = await _explained(daemon.governance_who(network))
    log = await _explained(daemon.governance_log(network, limit=LOG_LINES))
    pending = await _explained(daemon.governance_pending(network))
    amiss = await _explained(daemon.governance_doctor(network)) if answer.state.kind == "closed" else ()
    explained = Explained(who=who, log=log, pending=pending, amiss=amiss or ())
    return {"network": network, **decisions(answer, await _names(call, network), explained)}


async def _propose(call: Call, asked: words.Propose) -> dict[str, Any]:
    network, daemon = _network(call), Daemon(call.app)
    code = asked.code or None
    if asked.what != "kind" and not DEVICE_ID.match(asked.device):
        raise UiError(400, "validation", "no device is named")
    done: Proposed
    match asked.what:
        case "kind":
            done = await daemon.propose_kind(network, asked.to, mfa_code=code, dry_run=asked.look)
        case "role":
            done = await _change_role(daemon, network, asked)
        case "revoke":
            done = await daemon.revoke_role(network, asked.device, mfa_code=code, dry_run=asked.look)
        case "evict":
            done = await daemon.evict(network, asked.device, mfa_code=code, dry_run=asked.look)
    names = await _names(call, network)
    return {
        "effective": done.effective,
        "waits_for": names.all(done.waits_for),
        "outlook": outlook(done.outlook, names.of),
        "is_new": done.proposal_id != "" or asked.look,
    }


async def _change_role(daemon: Daemon, network: str, asked: words.Propose) -> Proposed:
    """A grant; an authority becomes a member by losing its role, for an admit leaves it what it is (spec 02 §10, §19).

    One that was never signed in as a member is signed in then. Behind a lock that is a second signature: its code is
    refused, and the next one signs it in.
    """
    device, code = bare_id(asked.device), asked.code or None
    if asked.role == "member" and await _role(daemon, network, device) in ("owner", "controller"):
        done = await daemon.revoke_role(network, device, mfa_code=code, dry_run=asked.look)
        if asked.look or not done.effective or await _role(daemon, network, device) == "member":
            return done
    return await daemon.grant_role(network, device, asked.role, mfa_code=code, dry_run=asked.look)


async def _role(daemon: Daemon, network: str, device: str) -> str | None:
    return (await daemon.governance(network)).state.roles.get(device)


async def _sign(call: Call, asked: words.Sign) -> dict[str, Any]:
    """What was shown is what is signed: with other content by now it is refused."""
    network = _network(call)
    done = await Daemon(call.app).sign_proposal(
        network, call.part("id"), mfa_code=asked.code or None, digest=asked.digest
    )
    return {"effective": done.effective, "waits_for": (await _names(call, network)).all(done.waits_for)}


async def _deny(call: Call, _: words.Nothing) -> None:
    await Daemon(call.app).deny_proposal(_network(call), call.part("id"))


async def _withdraw(call: Call, _: words.Nothing) -> None:
    await Daemon(call.app).withdraw_proposal(_network(call), call.part("id"))
