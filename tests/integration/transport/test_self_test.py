"""The installation's own check of the WebRTC stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from integration.transport.pairs import guest_test
from myownmesh.transport import SelfTestFailed, open_threaded_factory, self_test
from myownmesh.transport.checking import PINNED
from myownmesh.transport.udp import UdpSocket

if TYPE_CHECKING:
    from myownmesh.transport.session import SessionFactory


@guest_test
async def test_self_test_passes_and_is_quick(factory: SessionFactory) -> None:
    report = await self_test(factory)
    assert report.libraries == PINNED
    assert 0 < report.open_ms < 3_000
    assert 0 < report.restart_ms < 3_000
    assert 0 < report.close_ms < 3_000


async def test_self_test_passes_for_an_embedder() -> None:
    with trio.fail_after(20):
        async with open_threaded_factory() as factory:
            await self_test(factory)


@guest_test
async def test_self_test_names_the_step_that_failed(factory: SessionFactory, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr("myownmesh.transport.checking.LIMIT_SECONDS", 0.3)
    monkeypatch.setattr(UdpSocket, "sendto", lambda *args: None)
    with pytest.raises(SelfTestFailed, match=r"the link did not open within 0\.3 s"):
        await self_test(factory)
