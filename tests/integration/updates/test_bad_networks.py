"""An updater on a bad network, with a host that has bad days, and on a full disk (spec 09 §12, §13)."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import socket
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from integration.bundler import release_server as trouble
from integration.bundler.bench import QUICK
from integration.updates.test_feeds import ASSET, NEW, PROGRAM
from mesh_bundler.client import Client
from mesh_bundler.feed import Feed
from myownmesh.store.config import AutoUpdate
from myownmesh.updates import obtain, staging
from myownmesh.updates.errors import UpdateError
from myownmesh.updates.installation import Installation
from myownmesh.updates.place import Place
from myownmesh.updates.records import Staged
from myownmesh.updates.updater import Updater

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAG = f"v{NEW}"
STORED = f"{TAG}/{ASSET}"
CALM = replace(QUICK, connect=20, read=20, total=600, floor_rate=0)
"""A machine that stands still for a moment is no slow host."""
WHOLE = "no program for any machine"
"""What is said of the published program once all its bytes are here and verified: it is none."""


class Device:
    """One installation, whose feed is the release host."""

    def __init__(self, root: Path, server: trouble.ReleaseServer) -> None:
        self.program = root / "myownmesh"
        self.program.write_bytes(b"the old one")
        self.place = Place(root / "home")
        self.server = server
        self.url = f"http://127.0.0.1:{server.port}/latest"
        server.once = False

    def publish(self, data: bytes = PROGRAM) -> None:
        server = self.server
        server.publish(TAG, ASSET, data)
        rows = [{"name": n, "browser_download_url": server.storage_url(TAG, n)} for n in (ASSET, f"{ASSET}.sha256")]
        server.script("latest", trouble.instead(json.dumps({"tag_name": TAG, "assets": rows}).encode()))

    def updater(self, **environ: str) -> Updater:
        return Updater(self.place, Installation("file", self.program), AutoUpdate(stable_url=self.url), environ)

    def refusal(self, **environ: str) -> str:
        """What a check fails with; it is noted, and nothing has changed."""
        with pytest.raises((UpdateError, OSError)) as caught:
            self.updater(**environ).check()
        assert self.place.failures().reason == str(caught.value)
        assert self.place.staged() is None
        assert self.program.read_bytes() == b"the old one"
        return str(caught.value)

    def asked(self, part: str) -> list[dict[str, str]]:
        """The headers of each request whose path has this in it."""
        return [headers for _, path, headers in self.server.requests if path.endswith(part)]


@pytest.fixture
def waits() -> list[float]:
    """How long was waited before another try, in steps of a second or less; none of it passes."""
    return []


@pytest.fixture
def device(tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    monkeypatch.setattr(obtain, "Client", partial(Client, limits=CALM, sleep=waits.append))
    with trouble.ReleaseServer().running() as server:
        device = Device(tmp_path, server)
        device.publish()
        yield device


def test_nobody_listens(device: Device, waits: list[float]) -> None:
    """F16: asked once more, later."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        device.url = f"http://127.0.0.1:{free.getsockname()[1]}/latest"
        assert "could not be fetched" in device.refusal()
    assert waits


def test_a_host_that_cannot_be_trusted_is_not_asked_again(device: Device, waits: list[float]) -> None:
    """F16."""
    device.url = device.url.replace("http:", "https:")  # it speaks no TLS at all
    assert "could not be trusted" in device.refusal()
    assert waits == []


def test_a_connection_that_dies_is_continued(device: Device) -> None:
    """F18."""
    device.server.script(STORED, trouble.cut(0.6), None)
    assert WHOLE in device.refusal()
    ranges = [headers.get("Range") for headers in device.asked(STORED)]
    assert ranges == [None, f"bytes={int(len(device.server.assets[TAG, ASSET]) * 0.6)}-"]


def test_the_next_look_continues_what_the_last_one_began(
    device: Device, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F18."""
    once = replace(CALM, attempts=1)
    monkeypatch.setattr(obtain, "Client", partial(Client, limits=once, sleep=waits.append))
    device.server.script(STORED, trouble.cut(0.4))
    assert "could not be fetched" in device.refusal()
    device.server.scripts.pop(STORED)
    assert WHOLE in device.refusal()
    assert device.asked(STORED)[-1]["Range"].startswith("bytes=")


@pytest.mark.parametrize("second", [trouble.ignoring_ranges, trouble.status(416)], ids=["ignores", "416"])
def test_a_host_that_will_not_continue_is_asked_for_all(device: Device, second: Any) -> None:
    """F19."""
    device.server.script(STORED, trouble.cut(0.5), second, None)
    assert WHOLE in device.refusal()


def test_a_file_that_changed_meanwhile_is_fetched_whole(
    device: Device, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F19."""
    once = replace(CALM, attempts=1)
    monkeypatch.setattr(obtain, "Client", partial(Client, limits=once, sleep=waits.append))
    device.server.script(STORED, trouble.cut(0.5))
    device.refusal()
    device.server.scripts.pop(STORED)
    device.publish(PROGRAM[:-1000] + bytes(1000))
    assert "was expected" not in device.refusal()
    assert device.asked(STORED)[-1]["If-Range"]


def test_a_slow_drip_is_given_up(device: Device, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """F20."""
    monkeypatch.setattr(obtain, "Client", partial(Client, limits=QUICK, sleep=waits.append))
    device.server.script(STORED, trouble.drip(200, 0.02))
    assert "bytes per second" in device.refusal()
    assert len(device.asked(STORED)) == QUICK.attempts
    assert waits


def test_a_rate_limit_tells_of_the_token_and_the_time(device: Device, waits: list[float]) -> None:
    """F21: a long one is not waited for; the next look comes by itself."""
    reset = str(int(time.time()) + 3600)
    device.server.script("latest", trouble.status(403, X_RateLimit_Remaining="0", X_RateLimit_Reset=reset))
    said = device.refusal()
    assert "refuses more requests from this address until 20" in said
    assert "MYOWNMESH_GITHUB_TOKEN" in said
    assert waits == []


def test_a_short_rate_limit_is_waited_for(device: Device, waits: list[float]) -> None:
    """F21."""
    device.server.script(STORED, trouble.status(429, Retry_After="7"), None)
    assert WHOLE in device.refusal()
    assert sum(waits) == 7


def test_a_token_that_expired_is_left_out(
    device: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F22: with a warning. Here the release host takes the place of the one that tokens are for."""
    monkeypatch.setattr(obtain, "is_elsewhere", lambda _url: False)
    monkeypatch.setattr(obtain, "Feed", lambda base: Feed(base=base, api=f"http://127.0.0.1:{device.server.port}"))
    said = device.server.scripts["latest"][0]
    assert said is not None
    device.server.script("latest", trouble.status(401), said)
    with caplog.at_level(logging.WARNING):
        assert WHOLE in device.refusal(GH_TOKEN="expired")
    assert [headers.get("Authorization") for headers in device.asked("latest")] == ["Bearer expired", None]
    assert "refused the token" in caplog.text


def test_no_token_goes_to_a_feed_of_ones_own(device: Device) -> None:
    device.refusal(GH_TOKEN="secret", MYOWNMESH_GITHUB_TOKEN="secret", GITHUB_TOKEN="secret")
    assert device.asked("latest")
    assert not [headers for _, _, headers in device.server.requests if "Authorization" in headers]


def test_no_space_before_the_download(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """F33."""
    usage = shutil.disk_usage(device.program.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    assert "1000 bytes free" in device.refusal()


@pytest.mark.parametrize("step", ["extract", "sync", "sync_folder"])
def test_a_disk_that_fills_up_costs_no_version(device: Device, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """F33: the release may be good, so it is not put in quarantine."""

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(staging, step, full)
    assert "No space left" in device.refusal()
    monkeypatch.undo()
    state = device.place.state()
    assert state is None or not state.quarantine


def test_a_disk_that_fills_up_while_it_is_noted(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """F33: what cannot be written down is not staged."""
    monkeypatch.setattr(staging, "try_out", lambda *_: None)
    write = Place.write

    def full(place: Place, value: Any) -> None:
        if isinstance(value, Staged):
            raise OSError(errno.ENOSPC, "No space left on device", "staged.json")
        write(place, value)

    monkeypatch.setattr(Place, "write", full)
    assert "No space left" in device.refusal()


def folders(place: Place) -> list[str]:
    return sorted(entry.name for entry in place.root.iterdir() if entry.is_dir())


def test_downloads_do_not_pile_up(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """BW27: what was staged before, what was broken off, and what will not do."""
    for old in ("0.3.700", "0.3.800"):
        folder = device.place.version_folder(old)
        folder.mkdir(parents=True)
        (folder / f"{ASSET}.part").write_bytes(b"half")
    device.refusal()
    assert folders(device.place) == [], "the new one was refused for good"
    device.place.write(device.updater().state().without_quarantined(NEW))
    folder = device.place.version_folder("0.3.800")
    folder.mkdir()
    monkeypatch.setattr(staging, "try_out", lambda *_: None)
    assert device.updater().check().outcome == "staged"
    assert folders(device.place) == [NEW]
    assert device.updater().apply() == NEW
    assert folders(device.place) == []
