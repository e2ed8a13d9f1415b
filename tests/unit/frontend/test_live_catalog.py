"""The saved networks while the app runs and people edit the file by hand (spec 08 FE-12.25, FE-6.3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio

from myownllm.catalog.file import CatalogFile
from myownllm.catalog.live import SETTLE_S, LiveCatalog
from myownllm.errors import HomeError

if TYPE_CHECKING:
    from pathlib import Path


class Desk:
    """A home with one saved network, read by a running app."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.json"
        self.write(network_id="home")
        file: CatalogFile = CatalogFile(self.path, in_use=lambda: self.live.is_in_use)
        self.live = LiveCatalog(file)
        self.told: list[str] = []
        self.live.on_notice.append(lambda level, text: self.told.append(f"{level} {text}"))

    def write(self, **members: Any) -> None:
        record = {"id": "net-1", "stun_servers": [], **members}
        self.path.write_text(json.dumps({"cloud_mesh": {"networks": [record], "active_network_id": "net-1"}}))

    async def handles(self) -> list[str]:
        return [n.wire_id for n in (await self.live.load()).networks]


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    """A test that lets time pass asks for the virtual clock itself: from a fixture alone it does not take effect."""
    made = Desk(tmp_path)
    assert await made.handles() == ["home"]
    assert not made.live.changed()
    return made


async def test_a_file_that_is_truncated_and_then_written_is_just_an_edit(desk: Desk, autojump_clock: Any) -> None:
    desk.path.write_text("")
    assert desk.live.changed()
    assert await desk.handles() == ["home"]
    await trio.sleep(SETTLE_S - 1)
    assert not desk.live.changed()
    desk.write(network_id="work")
    assert desk.live.changed()
    assert await desk.handles() == ["work"]
    assert desk.told == []


async def test_a_damaged_file_is_told_once_when_it_stays_and_never_moved(desk: Desk, autojump_clock: Any) -> None:
    desk.path.write_text('{"cloud_mesh"')
    assert await desk.handles() == ["home"]
    await trio.sleep(SETTLE_S)
    assert desk.live.changed()
    for _ in range(3):
        assert await desk.handles() == ["home"]
        assert not desk.live.changed()
    assert len(desk.told) == 1
    assert "warn" in desk.told[0]
    assert "line 1 column 14" in desk.told[0]
    assert desk.path.read_text() == '{"cloud_mesh"'
    assert not list(desk.path.parent.glob("*corrupt*"))
    desk.path.write_text('{"cloud_mesh": ')
    assert desk.live.changed()
    assert await desk.handles() == ["home"]
    await trio.sleep(SETTLE_S)
    assert await desk.handles() == ["home"]
    assert len(desk.told) == 2, "another damage is told anew"


async def test_a_missing_file_changes_nothing_until_it_has_been_missing_for_seconds(
    desk: Desk, autojump_clock: Any
) -> None:
    desk.path.rename(desk.path.with_name("elsewhere"))
    assert desk.live.changed()
    assert await desk.handles() == ["home"]
    await trio.sleep(0.5)
    desk.path.with_name("elsewhere").rename(desk.path)
    assert await desk.handles() == ["home"]
    assert desk.told == []
    desk.path.unlink()
    assert await desk.handles() == ["home"]
    await trio.sleep(SETTLE_S)
    assert desk.live.changed()
    assert await desk.handles() == []
    assert not desk.live.changed()
    assert ["is gone" in told for told in desk.told] == [True]


async def test_values_that_are_not_in_force_are_told_once(desk: Desk, autojump_clock: Any) -> None:
    """FE-8.10."""
    desk.write(
        network_id="home",
        stun_servers=["http://foo"],
        signaling_servers=["foo bar", "ws://127.0.0.1:1"],
        turn_servers=[{"url": "turn:t.example:3478", "username": "bob"}],
        auto_approve="yes",
    )
    for _ in range(2):
        await desk.handles()
    told = "\n".join(desk.told)
    for part in ("'http://foo' is no STUN", "'foo bar' is no relay", "has no password", "auto_approve is 'yes'"):
        assert told.count(part) == 1, told
    desk.write(network_id="home")
    await desk.handles()
    desk.write(network_id="home", stun_servers=["http://foo"])
    await desk.handles()
    assert "http://foo" in desk.told[-1], "and again when it comes back"


async def test_a_file_that_was_never_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(HomeError):
        await LiveCatalog(CatalogFile(tmp_path / "config.json")).load()
