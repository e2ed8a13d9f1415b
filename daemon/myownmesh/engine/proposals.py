"""Proposals, signatures under them, denials and splits that peers send (spec 02 §11.4, §12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import firstcontact, gossip, hearing, ruling
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.government import Unanswered
from myownmesh.governance.authoring import expire
from myownmesh.governance.intake import hear_ack, hear_propose, hear_split, saying, unanswered
from myownmesh.governance.words import SAID_SECONDS, Speaker
from myownmesh.protocol.frames import NetworkStateAck, NetworkStatePropose, NetworkStateSplit

if TYPE_CHECKING:
    from mesh_common.events import Level
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import OpenLink
    from myownmesh.governance.intake import Intake
    from myownmesh.protocol.clock import Instant


def receive(
    core: Core, peer: OpenLink, frame: NetworkStatePropose | NetworkStateAck | NetworkStateSplit, now: Instant
) -> None:
    """One frame of an admitted peer; one signature is checked for it."""
    government, device, wall = core.government, peer.device_id, now.wall_ms // 1000
    if core.is_silent() or not government.may_check(device, now.mono):
        return
    book, checks = government.book, government.checks
    match frame:
        case NetworkStatePropose():
            done = hear_propose(book, frame, device, checks, wall, rostered=core.is_rostered(device))
        case NetworkStateAck():
            done = hear_ack(book, frame, device, checks, wall)
        case _:
            done = hear_split(book, frame, device, checks)
    government.charge(device, now.mono, done.charge)
    letter = government.letter(device)
    if done.word is not None and not isinstance(frame, NetworkStateSplit):
        letter.say(done.word, saying(book, frame), now.mono)
    if done.result == "pull" and isinstance(frame, NetworkStatePropose):
        government.unanswered.append(Unanswered(frame, now.mono + SAID_SECONDS))
        ruling.look_later(core, now)
    _tell(core, device, frame, done, now)
    if done.entry is None:
        ruling.take(core, done.book, now)
    else:
        ruling.decided(core, done.book, done.entry, now)
    if done.word is not None and done.result != "claim":
        # Its answer tells when it was; so its very next one is wanted, whoever was asked lately.
        gossip.ask(core, peer, now)


def look(core: Core, now: Instant) -> None:
    """Every minute: proposals without an answer, entries whose time has come, and what nobody decided in a month."""
    government = core.government
    while government.unanswered and government.unanswered[0].due <= now.mono:
        frame = government.unanswered.popleft().frame
        entry = unanswered(government.book, frame)
        if entry is not None:
            speaker = Speaker(frame.proposer, said=frozenset({frame.signature}))
            hearing.hear_one(core, entry, speaker, now)
    ruling.take(core, expire(government.book, now.wall_ms // 1000), now)
    firstcontact.look_for_the_missing(core, now)
    if government.book.aside.held or government.book.aside.strangers:
        hearing.hear_waiting(core, now)
    hearing.ask_for_refused(core, now)
    ruling.look_later(core, now)


def _tell(
    core: Core,
    device: str,
    frame: NetworkStatePropose | NetworkStateAck | NetworkStateSplit,
    done: Intake,
    now: Instant,
) -> None:
    if not core.is_watched:
        return
    detail = {
        "hint": f"{frame.KIND}_{done.result}",
        "network": core.network_id,
        "peer": device,
        "reason": done.why,
        "proposal": getattr(frame, "proposal_id", None) or getattr(frame, "new_network_id", None),
    }
    level: Level = "warn" if done.result in ("dropped", "claim") else "info"
    because = f", {done.why}" if done.why else ""
    core.diag(now, level, "governance", f"a {frame.KIND} of {short_id(device)}: {done.result}{because}", detail)
