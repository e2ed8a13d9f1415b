"""Which of several working pairs sends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from myownmesh.transport.lean_imports import without_media

with without_media():
    import aioice
    from aioice.ice import CandidatePair

    from myownmesh.transport.ice import Generation

PRIORITIES = {"host": 2_130_706_431, "srflx": 1_694_498_815, "relay": 16_777_215}


class Case:
    """A generation that is asked nothing but what follows from a pair's success."""

    def __init__(self, *, controlling: bool) -> None:
        self.ups = 0
        self.generation = Generation(
            asyncio.get_running_loop(), controlling=controlling, on_data=lambda data: None, on_up=self._up
        )

    def _up(self, generation: Generation) -> None:
        self.ups += 1

    def succeed(self, kind: str, port: int) -> None:
        local = aioice.Candidate("1", 1, "udp", PRIORITIES[kind], "192.0.2.1", port, kind)
        remote = aioice.Candidate("2", 1, "udp", PRIORITIES["host"], "192.0.2.2", port, "host")
        transport = SimpleNamespace(sendto=lambda data, address: None)
        pair = CandidatePair(cast("Any", SimpleNamespace(local_candidate=local, transport=transport)), remote)
        pair.state = CandidatePair.State.SUCCEEDED
        pair.nominated = True
        self.generation._check_list.append(pair)
        self.generation.check_complete(pair)

    @property
    def local_kind(self) -> str | None:
        kinds = self.generation.selected_kinds
        return kinds[0] if kinds else None


@pytest.mark.parametrize("controlling", [True, False])
def test_a_better_pair_takes_over_and_a_worse_one_does_not(controlling: bool) -> None:
    async def main() -> None:
        case = Case(controlling=controlling)
        assert case.local_kind is None
        assert not case.generation.is_up
        case.succeed("relay", 1)
        assert case.local_kind == "relay"
        case.succeed("host", 2)
        assert case.local_kind == "host"
        case.succeed("relay", 3)
        case.succeed("host", 4)
        assert case.local_kind == "host"
        assert case.generation._nominated[1].remote_candidate.port == 2
        assert case.ups == 2

    asyncio.run(main())
