"""A relay does not notice that its rooms are sealed (spec 11 §2): it stores, carries and forgets as in clear."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from myownmesh.relay.client import Limits
from myownmesh.relay.hub import Hub
from myownmesh.signaling.nostr import NostrKey
from support.many_rooms import met
from support.relay_words import texts

if TYPE_CHECKING:
    from myownmesh.sealing.desk import Mode

ROOMS = 1000
MEETINGS = 20
"""Rooms whose devices also negotiate and leave; in the others both stay."""
STAYED = 4
"""Lines of a room in which nobody has negotiated yet: both ask, both announce themselves."""


@frozen
class Day:
    """What a relay did."""

    heard: tuple[tuple[str, ...], ...]
    """The kinds of what each connection was told, in order."""
    rooms: int
    relayed: int
    characters: int
    """Of all that it told."""


def day(mode: Mode) -> Day:
    hub = Hub(Limits(), NostrKey(b"\x03" * 32))
    clients, heard, characters = [], [], 0
    for number in range(ROOMS):
        said = list(islice(met(hub, number, mode), None if number < MEETINGS else STAYED))
        for client, text in said:
            hub.receive(client, text.encode(), 0.0)
        clients += list(dict.fromkeys(client for client, _ in said))
    for client in clients:
        assert client.ended is None
        told = client.take_output()
        characters += len(told)
        values = texts(told)
        assert all(value[2] is True for value in values if value[0] == "OK"), "nothing was refused"
        heard.append(tuple(str(value[0]) for value in values))
    return Day(tuple(heard), hub.activity.rooms, hub.activity.events_relayed, characters)


@pytest.mark.heavy
def test_a_thousand_sealed_rooms_are_a_thousand_rooms() -> None:
    clear, sealed = day("off"), day("prefer")
    assert sealed.heard == clear.heard, "each device hears as many events as in clear, in the same order"
    assert (sealed.rooms, sealed.relayed) == (clear.rooms, clear.relayed)
    assert clear.rooms == ROOMS - MEETINGS, "of the others both have left"
    assert sealed.characters < 1.5 * clear.characters
