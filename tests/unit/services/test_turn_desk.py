"""Who gets TURN passwords, how often, and for how long they are good."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import msgspec
import trio
import trio.testing

from myownmesh.mesh.credentials import TTL_S, read_answer
from myownmesh.services.turn_desk import TurnDesk
from myownmesh.store import Store
from myownmesh.store.paths import Home
from myownmesh.turn.credentials import limited_password

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

    from myownmesh.mesh.network import Network
    from myownmesh.turn_worker.messages import Change

BOB, CAROL, DAVE = "b" * 51 + "a", "c" * 51 + "a", "d" * 51 + "a"
URLS = ("turn:203.0.113.9:3478",)
QUESTION = msgspec.Raw(b'{"v":1,"want":"turn","more":[1]}')

OTHER = (b"{}", b'{"v":2,"want":"turn"}', b'{"v":1,"want":"stun"}', b'{"v":1,"turn":[]}', b'"\xff"', b"7")


class Room:
    """A network as the desk sees it."""

    def __init__(self, *members: str) -> None:
        self.members = set(members)
        self.linked = set(members)
        self.sent: list[tuple[str, Any]] = []

    def is_linked(self, device_id: str) -> bool:
        return device_id in self.linked

    def is_approved(self, device_id: str) -> bool:
        return device_id in self.members

    def post_to(self, peer: str, channel: str, payload: msgspec.Raw, on_done: Callable[[str | None], None]) -> None:
        assert channel == "__services__/v1"
        self.sent.append((peer, payload))
        on_done(None)


class Stage:
    def __init__(self, folder: Path) -> None:
        self.room = Room(BOB, CAROL)
        self.store = Store(Home(folder))
        self.unix_s = 1_700_000_000
        self.changes: list[Change] = []
        self.desk = TurnDesk(
            self.store,
            lambda: [cast("Network", self.room)],
            steady=trio.current_time,
            unix_s=lambda: self.unix_s + int(trio.current_time()),
        )
        self.urls: tuple[str, ...] = URLS

    def asks(self, device_id: str, payload: msgspec.Raw = QUESTION) -> None:
        self.desk.heard(cast("Network", self.room), device_id, payload)

    async def _tell(self, change: Change) -> None:
        self.changes.append(change)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        secret, _ = await self.desk.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.desk.attend, self._tell, lambda: self.urls)
            await trio.testing.wait_all_tasks_blocked()
            yield secret
            nursery.cancel_scope.cancel()


async def test_a_member_is_answered_once_in_ten_seconds(tmp_path: Path, autojump_clock: object) -> None:
    stage = Stage(tmp_path)
    stage.asks(BOB)  # nothing runs yet
    async with stage.open() as secret:
        for payload in OTHER:
            stage.asks(BOB, msgspec.Raw(payload))
        stage.room.linked = {BOB, DAVE}
        stage.asks(CAROL)  # a member that has left meanwhile
        stage.asks(DAVE)  # linked, and waits for a person
        await trio.sleep(1.0)
        assert not stage.room.sent
        for _ in range(19):  # 9.5 s
            stage.asks(BOB)
            await trio.sleep(0.5)
        assert len(stage.room.sent) == 1
        peer, payload = stage.room.sent[0]
        answer = read_answer(payload)
        assert peer == BOB
        assert answer is not None
        (credential,) = answer
        until = stage.unix_s + 1 + TTL_S
        assert credential.username == f"{until}:{BOB}"
        assert credential.credential == limited_password(secret, credential.username)
        assert (credential.urls, credential.ttl_s) == (URLS, TTL_S)
        assert credential.credential not in repr(credential)
        await trio.sleep(1.0)
        stage.asks(BOB)
        await trio.sleep(0.5)
        assert len(stage.room.sent) == 2
    assert [change.admit for change in stage.changes] == [(BOB,), (BOB,)]


async def test_whoever_is_removed_is_expelled_within_five_seconds_and_a_rejoin_takes_nothing(
    tmp_path: Path, autojump_clock: object
) -> None:
    stage = Stage(tmp_path)
    async with stage.open():
        stage.asks(BOB)
        stage.asks(CAROL)
        await trio.sleep(1.0)
        stage.room.members = set()  # the network is joined anew
        await trio.sleep(1.5)
        stage.room.members = {BOB, CAROL}
        await trio.sleep(10.0)
        assert not any(change.expel for change in stage.changes)
        stage.room.members = {CAROL}
        removed_at = trio.current_time()
        while not any(change.expel for change in stage.changes):
            await trio.sleep(0.1)
        assert trio.current_time() - removed_at < 5.0
        assert stage.changes[-1].expel == (BOB,)
    assert [each.device_id for each in stage.store.load_turn_keys().holders] == [CAROL]
    # After a restart the server knows whose passwords are good.
    again = Stage(tmp_path)
    assert (await again.desk.open())[1] == (CAROL,)


async def test_whose_password_is_good_is_on_the_disk_before_it_is_handed_out_and_written_once_an_hour(
    tmp_path: Path, autojump_clock: object
) -> None:
    stage = Stage(tmp_path)

    def kept() -> list[tuple[str, int]]:
        return [(each.device_id, each.until) for each in stage.store.load_turn_keys().holders]

    async with stage.open():
        begun = stage.unix_s + int(trio.current_time())
        stage.asks(BOB)
        await trio.sleep(60.0)
        assert kept() == [(BOB, begun + TTL_S)]
        stage.asks(BOB)
        await trio.sleep(3600.0)
        assert len(stage.room.sent) == 2
        assert kept() == [(BOB, begun + TTL_S)], "a renewal costs no write"
        stage.asks(BOB)
        await trio.sleep(60.0)
        assert kept() == [(BOB, begun + 3660 + TTL_S)]


async def test_a_full_list_takes_nobody_else_and_renews_for_those_on_it(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("myownmesh.services.turn_desk.MOST_HOLDERS", 1)
    stage = Stage(tmp_path)
    async with stage.open():
        for device_id in (BOB, CAROL, BOB):
            stage.asks(device_id)
            await trio.sleep(11.0)
    assert [peer for peer, _ in stage.room.sent] == [BOB, BOB]


async def test_a_worker_that_takes_nothing_keeps_nobody_from_ending(tmp_path: Path, autojump_clock: object) -> None:
    stage = Stage(tmp_path)

    async def stuck(_change: Change) -> None:
        await trio.sleep_forever()

    await stage.desk.open()
    with trio.fail_after(100.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.desk.attend, stuck, lambda: URLS)
            await trio.testing.wait_all_tasks_blocked()
            stage.asks(BOB)
            await trio.sleep(10.0)
            nursery.cancel_scope.cancel()
    assert not stage.room.sent


async def test_a_host_that_does_not_say_where_it_is_hands_out_nothing(tmp_path: Path, autojump_clock: object) -> None:
    stage = Stage(tmp_path)
    stage.urls = ()
    async with stage.open():
        stage.asks(BOB)
        await trio.sleep(5.0)
    assert not stage.room.sent
    assert not stage.changes
