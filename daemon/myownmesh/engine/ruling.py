"""A change of the signed state, put into effect: links, roster, shape, this device itself, and who is told (02 §24.3).

The only place where a book is replaced. Whoever judged it hands it in; what follows is read off the two books.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from myownmesh.engine import approval, evictions, gossip, presence, shelving, slices
from myownmesh.engine.actions import SaveBook
from myownmesh.engine.peer import Link
from myownmesh.engine.timers import NetworkTimer
from myownmesh.governance.entries import is_removal, target_of
from myownmesh.governance.first_contact import FirstContact
from myownmesh.governance.ratifying import settled
from myownmesh.governance.remnant import is_short
from myownmesh.governance.sync import waiting_for_words

if TYPE_CHECKING:
    from collections.abc import Collection

    from myownmesh.engine.core import Core
    from myownmesh.governance.book import Book
    from myownmesh.governance.signatures import Slices
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Role
    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.protocol.transitions import Transition

GOVERNED: Final = (
    "this network's topology is governed by a signed owner transition — "
    "propose a change instead (`networks topology-propose` / GovernanceProposeTopology)"
)

HELD_S: Final = 60.0
"""Entries from the future, among others, are judged again so often."""

HOLDOUTS_S: Final = 12.0
"""Between the looks at what is kept out (`holdouts`): after three a person is asked, within a minute, and not while
logs are still on their way."""

DEVICES_PER_SLICE: Final = 300
"""Whose verdict is taken between two pauses: about two milliseconds."""


def take(core: Core, book: Book, now: Instant, about: Collection[str] = ()) -> None:
    """Hold another book from now on, and act on it. `about`: whom entries of the member log are about.

    A verdict acts at once, whatever the disk does.
    """
    government = core.government
    before = government.book
    if book is before:
        return
    book = settled(book)
    founding = book.log.founding
    is_new_here = before.log.founding is None and founding is not None and core.me not in founding.authors
    if is_new_here:
        # Whoever showed the log may be whom it puts out later on: somebody who can know is asked (24.3 no. 50).
        government.contact = government.contact or FirstContact()
        book = replace(book, pin=book.pin.awaiting(contact=True))
    government.book = book
    core.out.append(SaveBook())
    if is_new_here:
        for peer in core.live_peers():
            gossip.ask(core, peer, now, at_once=True)
    logs = book.log is not before.log or book.members is not before.members
    if logs:
        government.logs_told += 1
    if book.kind != core.kind:
        _change_kind(core, book, now)
    if book.log is not before.log:
        _apply_shape(core, now)
        about = {*about, *_seats_changed(before, book)}
    back = [device for device in about if before.is_evicted(device) and book.role(device) is not None]
    if book.log is not before.log:
        linked = [peer.device_id for peer in core.peers.values() if isinstance(peer, Link)]
        look_at(core, {*about, *linked, core.me}, now)
        slices.put(core, gossip.OWN, _mirror(core, book), now)
    elif about:
        look_at(core, about, now)
    if book.members.left_out != before.members.left_out:  # whoever is unlisted may be out from now on
        look_at(core, {peer.device_id for peer in core.peers.values() if isinstance(peer, Link)}, now)
    if book.log is not before.log or book.branches is not before.branches:
        _look_at_branches(core, now)
    approval.reconsider_all(core, now)
    for device in back:
        if device != core.me and core.kind == "closed":
            evictions.welcome(core, device, now)
    if logs:
        _ask_for_words(core, now)
        gossip.spread(core, now)
    look_later(core, now)


def _ask_for_words(core: Core, now: Instant) -> None:
    """A grant that only somebody's word makes count was heard: whoever can give it is asked, once (24.3 no. 48).

    Equal counts are no reason to ask, so that this device would wait for it until the next round.
    """
    government = core.government
    book = government.book
    wanted = frozenset(waiting_for_words(book))
    if not wanted <= government.wanted_words:
        for peer in core.live_peers():
            if gossip.is_ours(peer) and book.standing.is_authority(peer.device_id):
                gossip.ask(core, peer, now)
    government.wanted_words = wanted


def decided(core: Core, book: Book, entry: Transition, now: Instant) -> None:
    """`take` after an entry came into force here. A removal on an open network is one from this device's roster."""
    target = target_of(entry.variant)
    take(core, book, now, {target or core.me})
    if core.kind != "closed" and target not in (None, core.me) and is_removal(entry.variant):
        approval.user_removes(core, target or "", now)


def look_at(core: Core, devices: Collection[str], now: Instant) -> None:
    """Bring links and rows of these devices in line with what is signed of them."""
    book = core.government.book
    if core.kind == "closed":
        roles: dict[str, Role] = {}
        removed: set[str] = set()
        for device in devices:
            role = book.role(device)
            if role is not None:
                roles[device] = role
            elif book.is_evicted(device):
                removed.add(device)
        known = {device for device in removed if core.is_rostered(device)}
        roster = core.roster.mirror_of(devices, roles, removed, now.wall_ms // 1000, me=core.me)
        if roster is not core.roster:
            core.save_roster(roster)
        for device in removed - {core.me}:
            if (peer := core.peers.get(device)) is not None:
                evictions.put_out(core, peer, now)
                continue
            if device in known:
                core.intents.clear(device)
            evictions.end_waits(core, device)
    evictions.consider_self(core, now)


def start(core: Core, book: Book, now: Instant) -> None:
    """The book of the files, before anybody is linked."""
    government = core.government
    government.book = book
    government.kind_is_stored = not book.is_founded and book.configured != core.config.kind
    core.kind = book.kind
    _apply_shape(core, now)
    slices.put(core, gossip.OWN, _mirror(core, book), now)
    evictions.consider_self(core, now)
    _look_at_branches(core, now)
    look_later(core, now)


def look_later(core: Core, now: Instant) -> None:
    """Look in a minute at what waits for an answer, for its time or for somebody's decision, if anything does."""
    government = core.government
    book = government.book
    waits = government.unanswered or book.aside.held or book.proposals.records or is_short(book)
    waits = waits or government.refused_at is not None
    if waits and not core.timers.is_set(NetworkTimer.HELD, ""):
        core.timers.set(NetworkTimer.HELD, "", now.mono + HELD_S)


def _look_at_branches(core: Core, now: Instant) -> None:
    """The held log or its branches changed. What is kept out is found out later, however often they change."""
    government = core.government
    government.kept_out = None
    if government.book.branches.others and not core.timers.is_set(NetworkTimer.HOLDOUTS, ""):
        core.timers.set(NetworkTimer.HOLDOUTS, "", now.mono + HOLDOUTS_S)


def governed_shape(core: Core) -> TopologyMode | None:
    """The shape that an owner signed, while the network is closed."""
    return core.government.book.standing.topology if core.kind == "closed" else None


def _mirror(core: Core, book: Book) -> Slices[None]:
    """Rows for everybody whom signed state lists, in slices; a newer book has a job of its own."""
    if core.kind != "closed":
        return
    devices = [*dict.fromkeys((*book.standing.roles, *book.members.targets, *book.pin.evicted))]
    for start_at in range(0, len(devices), DEVICES_PER_SLICE):
        if core.government.book.log is not book.log:
            return
        look_at(core, devices[start_at : start_at + DEVICES_PER_SLICE], core.government.now)
        yield
    tags = {entry.device_id for entry in core.roster.entries if entry.role != "member"}
    look_at(core, tags, core.government.now)


def _seats_changed(before: Book, after: Book) -> set[str]:
    roles = {*before.standing.roles.items()} ^ {*after.standing.roles.items()}
    kept = {*before.pin.evicted.items()} ^ {*after.pin.evicted.items()}
    return {device for device, _ in (*roles, *kept)}


def _change_kind(core: Core, book: Book, now: Instant) -> None:
    was, core.kind = core.kind, book.kind
    core.changes += 1
    detail = {"hint": "kind_changed", "network": core.network_id, "from": was, "to": core.kind}
    core.diag(now, "info", "governance", f"this network is {core.kind} now", detail)
    presence.reconsider_all(core, now)


def configure(core: Core, now: Instant) -> None:
    """The record changed: its kind counts while nothing is signed, its shape while none is governed."""
    government, config = core.government, core.config
    if not government.book.is_founded and not government.kind_is_stored:
        government.book = replace(government.book, configured=config.kind)
    if government.book.kind != core.kind:
        _change_kind(core, government.book, now)
    core.set_topology(governed_shape(core) or config.topology)


def _apply_shape(core: Core, now: Instant) -> None:
    """The governed shape outranks the record's while the network is closed (FIX 32)."""
    mode = governed_shape(core) or core.config.topology
    if mode != core.topology:
        core.set_topology(mode)
        shelving.reevaluate(core, now)
        presence.reconsider_all(core, now)
