"""An invitation to a network that is here already."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
import trio.testing

from myownmesh.identity import Identity
from myownmesh.invitations.book import Invite
from myownmesh.invitations.link import link_of
from myownmesh.invitations.tokens import TOKEN_BYTES, id_of, token_text
from myownmesh.mesh.accepting import OTHER_FOUNDER, How, accept
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.invite_texts import invitation_to
from myownmesh.protocol.transitions import KindChange
from myownmesh.store.network_config import NetworkConfig

if TYPE_CHECKING:
    from unit.mesh.desk import Desk

TOKEN = bytes(TOKEN_BYTES)


@pytest.mark.parametrize("is_the_same", [True, False])
async def test_the_founder_is_looked_at_once_the_files_are_read(desk: Desk, *, is_the_same: bool) -> None:
    """A network that was added just now holds nothing yet: that is no other founder."""
    await desk.governing.propose(KindChange("closed"), None)
    founder = desk.book.pin.founder if is_the_same else Identity.from_seed(b"1" * 32).device_id
    assert founder is not None
    read = trio.Event()

    async def book() -> object:
        await read.wait()
        return desk.book

    network: Any = SimpleNamespace(
        kind="closed",
        config_id="home",
        governing=SimpleNamespace(book=book, held=SimpleNamespace(pin=SimpleNamespace(founder=None))),
        is_approved=lambda _: True,
        is_linked=lambda _: True,
    )
    mesh: Any = SimpleNamespace(identity=Identity.from_seed(b"2" * 32), get=lambda _: network)
    text = link_of(
        invitation_to(
            NetworkConfig(id="home", network_id="home"),
            "home",
            Identity.from_seed(b"3" * 32),
            Invite(id_of(TOKEN), token_text(TOKEN), 2**32, 0, 1),
            kind="closed",
            founder=founder,
            with_turn_passwords=False,
        )
    )
    ended: list[object] = []

    async def use() -> None:
        try:
            ended.append((await accept(cast("Any", mesh), text, How())).present)
        except MeshError as error:
            ended.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == []
        read.set()
    assert ended == [True if is_the_same else OTHER_FOUNDER]
