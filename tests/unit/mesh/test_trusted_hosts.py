"""Whose services a device uses without asking anybody: a whole network of a device, on a real disk (spec 06 K)."""

from __future__ import annotations

import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from msgspec import Raw

from mesh_common.events import PeerAuthenticated
from mesh_common.views import CapabilityAdvert
from myownmesh.mesh.building import build_network
from myownmesh.protocol.transitions import KindChange, RoleGrant
from myownmesh.roster import Entry, Roster
from myownmesh.sealing.budgets import Allowance
from myownmesh.store import Store
from myownmesh.store.network_config import NetworkConfig
from myownmesh.store.paths import Home
from support.governance import ALICE, BOB, CAROL, DAVE, DEVICES, ERIN, FRANK, NETWORK, book_of, entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from myownmesh.mesh.network import Network
    from myownmesh.protocol.frames import NetworkKind

LOG = (
    entry(KindChange("closed"), ALICE),
    entry(RoleGrant(BOB, "owner"), ALICE),
    entry(RoleGrant(CAROL, "controller"), ALICE),
)
NOBODY_APPROVED = "nobody here approved this device; `myownmesh ctl roster approve` does"


def hosts_relay(number: int) -> CapabilityAdvert:
    services = {"services": {"signaling_url": f"ws://198.51.100.{number}:4848"}}
    return CapabilityAdvert(("service:signaling",), None, None, Raw(json.dumps(services).encode()))


@asynccontextmanager
async def device(folder: Path, kind: NetworkKind) -> AsyncIterator[Network]:
    """Frank's; it holds the log of a closed network. Erin is let in by hand, Dave by somebody else."""
    store = Store(Home(folder))
    roster = Roster(NETWORK, [Entry(each, "", 1) for each in (ALICE, BOB, CAROL, DAVE)]).approve(ERIN, "", 1)
    store.save_roster(NETWORK, roster)
    if kind == "closed":
        store.save_governance(NETWORK, book_of(LOG, FRANK))

    async def gate(_network: str, _code: str | None) -> None:
        await trio.lowlevel.checkpoint()

    async def is_locked(_network: str) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    network = await build_network(
        NetworkConfig(id="1", network_id=NETWORK, label="", kind=kind),
        {},
        identity=DEVICES["frank"],
        store=store,
        signaling=lambda _record, _network_id, _desk: (),
        app_id="test",
        on_event=lambda _event: None,
        gate=gate,
        is_locked=is_locked,
        clock_ahead_s=lambda: 0.0,
        rng=random.Random(1),
        allowance=Allowance(),
    )

    async def no_links() -> Any:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.driver.run, no_links)
        await trio.sleep(1.0)
        yield network
        network.driver.stop()


@pytest.mark.parametrize("kind", ["closed", "open"])
async def test_authorities_of_a_closed_network_need_no_approval_here_and_members_do(
    tmp_path: Path, kind: NetworkKind, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    async with device(tmp_path, kind) as network:
        monkeypatch.setattr(network, "is_linked", lambda _device: True)
        for number, each in enumerate((BOB, CAROL, DAVE, ERIN), 1):
            network.adopting.heard_event(PeerAuthenticated(NETWORK, each, "", "", hosts_relay(number)))
        await trio.sleep(1.0)
        used = {each.device_id for each in network.adopting.adopted}
        waiting = {each.device_id: each.why for each in network.adopting.waiting}
        if kind == "closed":
            assert (used, waiting) == ({BOB, CAROL, ERIN}, {DAVE: NOBODY_APPROVED})
        else:
            assert (used, waiting) == ({ERIN}, dict.fromkeys((BOB, CAROL, DAVE), NOBODY_APPROVED))
        await network.remove_peer(ERIN)
        await trio.sleep(1.0)
        assert ERIN not in {each.device_id for each in network.adopting.adopted}
        assert network.distrust(ERIN) == "it is no member"


async def test_who_was_approved_before_that_was_noted_is_approved_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    """The roster of an older release does not say by whom; the reason that is shown names the command."""
    async with device(tmp_path, "open") as network:
        monkeypatch.setattr(network, "is_linked", lambda _device: True)
        network.adopting.heard_event(PeerAuthenticated(NETWORK, DAVE, "", "", hosts_relay(1)))
        await trio.sleep(1.0)
        assert [each.why for each in network.adopting.waiting] == [NOBODY_APPROVED]
        await network.approve(DAVE, "")
        await trio.sleep(10.0)
        assert [each.device_id for each in network.adopting.adopted] == [DAVE]


async def test_what_an_authority_hosts_is_used_again_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    async with device(tmp_path, "closed") as network:
        monkeypatch.setattr(network, "is_linked", lambda _device: True)
        network.adopting.heard_event(PeerAuthenticated(NETWORK, BOB, "", "", hosts_relay(1)))
        await trio.sleep(1.0)
        assert [each.device_id for each in network.adopting.adopted] == [BOB]
    async with device(tmp_path, "closed") as network:
        assert [each.device_id for each in network.adopting.adopted] == [BOB]
        await trio.sleep(60.0)
        assert [each.device_id for each in network.adopting.adopted] == [BOB]
    assert [each.device_id for each in Store(Home(tmp_path)).load_offers(NETWORK)] == [BOB]
