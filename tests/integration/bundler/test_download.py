"""Mirrors, tokens, proxies, back-off, progress, cancellation: the download beside the failure matrix (spec 09 §8)."""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING

import pytest

from integration.bundler import release_server as trouble
from integration.bundler.bench import ASSET, QUICK, TAG, Machine, publish
from integration.bundler.fakes import daemon
from integration.bundler.release_server import ReleaseServer
from mesh_bundler import Cancelled, Refused, client
from mesh_bundler import trouble as refusals
from mesh_bundler.feed import Feed
from mesh_bundler.fetch import Fetcher

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.Client, "pause", lambda _self, _seconds: None)


@pytest.mark.usefixtures("no_waiting")
def test_mirrors_are_tried_in_order_and_do_not_vouch_for_themselves(tmp_path: Path, server: ReleaseServer) -> None:
    with ReleaseServer().running() as mirror:
        publish(mirror)
        machine = Machine(tmp_path, server, env={"MYOWNMESH_RELEASE_MIRRORS": f"http://127.0.0.1:1/x {mirror.base}"})
        server.once = False
        server.script(ASSET, trouble.status(503))
        result = machine.run()
        assert result.outcome == "staged"
        assert machine.said().count("mirror_tried") == 2
        assert server.count(f"{ASSET}.sha256") > 0, "the checksum comes from the canonical place"
        assert mirror.count(f"{ASSET}.sha256") == 0

        server.script(f"{ASSET}.sha256", trouble.status(503))
        machine = Machine(tmp_path / "b", server, env={"MYOWNMESH_RELEASE_MIRRORS": mirror.base})
        assert machine.refusal().code == "network"
        assert machine.run(trust_mirror_checksums=True).outcome == "staged"


def test_a_folder_can_be_the_feed(tmp_path: Path, server: ReleaseServer) -> None:
    folder = tmp_path / "feed" / TAG
    folder.mkdir(parents=True)
    for name in (ASSET, f"{ASSET}.sha256"):
        (folder / name).write_bytes(server.assets[TAG, name])
    machine = Machine(tmp_path, env={"MYOWNMESH_RELEASE_BASE": (tmp_path / "feed").as_uri()})
    assert machine.run().outcome == "staged"
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    assert machine.refusal().code == "asset_not_found"


def test_a_private_repository_is_read_through_the_api(tmp_path: Path, server: ReleaseServer) -> None:
    machine = Machine(tmp_path, server, env={"GH_TOKEN": server.token})
    server.private = True
    with ReleaseServer().running() as public:  # where the plain address answers 404
        machine.env["MYOWNMESH_RELEASE_BASE"] = public.base
        result = machine.run(api_base=server.api)
    assert result.outcome == "staged"
    assert all("Authorization" not in headers for _, _, headers in public.requests), "the token went to the wrong host"


@pytest.mark.usefixtures("no_waiting")
def test_f22_a_token_that_expired_is_dropped_with_a_warning(tmp_path: Path, server: ReleaseServer) -> None:
    machine = Machine(tmp_path, server, env={"GITHUB_TOKEN": "expired"})
    del server.assets[TAG, f"{ASSET}.sha256"]
    server.script(TAG, trouble.status(401))  # the API's answer while the token is sent
    result = machine.run(api_base=server.api.replace("127.0.0.1", "localhost"))
    assert result.outcome == "staged"
    assert "token_refused" in [notice.id for notice in result.warnings]
    assert "expired" not in " ".join(notice.text for notice in machine.notices)
    plain = [headers for _, path, headers in server.requests if "/releases/download/" in path]
    assert all("Authorization" not in headers for headers in plain)


def test_the_api_digest_is_a_witness_when_there_is_no_checksum_file(machine: Machine, server: ReleaseServer) -> None:
    del server.assets[TAG, f"{ASSET}.sha256"]
    assert machine.run(api_base=server.api).verified == "checksum"


def test_a_proxy_that_wants_a_password_is_named(
    tmp_path: Path, server: ReleaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
    monkeypatch.setattr(trouble.Handler, "do_CONNECT", lambda handler: handler.reply(407), raising=False)
    machine = Machine(tmp_path, env={"MYOWNMESH_RELEASE_BASE": "https://mirror.invalid/releases"})
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("proxy_auth_required", 6)
    assert "HTTPS_PROXY" in refusal.hint


@pytest.mark.usefixtures("no_waiting")
def test_an_https_feed_is_asked_through_the_proxy(
    tmp_path: Path, server: ReleaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def connect(handler: trouble.Handler) -> None:
        asked.append(handler.path)
        handler.reply(502)

    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
    monkeypatch.setattr(trouble.Handler, "do_CONNECT", connect, raising=False)
    machine = Machine(tmp_path, env={"MYOWNMESH_RELEASE_BASE": "https://mirror.invalid/releases"})
    assert machine.refusal().code == "network"
    assert set(asked) == {"mirror.invalid:443"}


def test_f42_a_certificate_error_that_smells_of_a_wrong_clock_says_so() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate is not yet valid"
    refusal = refusals.tls("https://x", error)
    assert "clock" in refusal.hint
    error.verify_message = "self-signed certificate"
    assert "SSL_CERT_FILE" in refusals.tls("https://x", error).hint


def test_back_off_doubles_with_jitter_and_ends_with_the_budget(server: ReleaseServer) -> None:
    server.once = False
    server.script(f"{ASSET}.sha256", trouble.status(503))
    now, waits = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        now[0] += seconds
        waits.append(seconds)

    asking = client.Client(
        Feed(base=server.base),
        limits=client.Limits(attempts=8, total=20),
        clock=lambda: now[0],
        sleep=sleep,
        rng=lambda: 1.0,
    )
    fetcher = Fetcher(asking)
    with pytest.raises(Refused) as caught:
        fetcher.small(f"{server.base}/{TAG}/{ASSET}.sha256", 100)
    fetcher.close()
    assert caught.value.code == "network"
    assert sum(waits) == 1 + 2 + 4 + 8, "the fifth wait would pass the budget of 20 s"


def test_progress_names_rate_and_remaining_time(machine: Machine, server: ReleaseServer) -> None:
    machine.run()
    last = machine.progress[-1]
    size = len(server.assets[TAG, ASSET])
    assert (last.asset, last.done, last.total, last.finished) == (ASSET, size, size, True)
    assert "MB/s" in last.text()
    assert machine.progress[0].remaining is not None


def test_a_cancelled_run_leaves_nothing_and_the_next_one_works(machine: Machine, server: ReleaseServer) -> None:
    polls = iter(range(1000))
    with pytest.raises(Cancelled):
        machine.run(cancelled=lambda: next(polls) > 5)
    assert not machine.slot.exists()
    assert not list(machine.dest.glob("*.incoming*"))
    assert machine.run().outcome == "staged"


def test_a_cache_that_everybody_may_write_to_is_not_used(machine: Machine, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    result = machine.run()
    assert (result.outcome, [notice.id for notice in result.warnings]) == ("staged", ["cache_refused"])
    assert list(cache.iterdir()) == []


def test_the_record_tells_where_the_daemon_came_from(machine: Machine, server: ReleaseServer) -> None:
    result = machine.run()
    digest = hashlib.sha256(server.assets[TAG, ASSET]).hexdigest()
    assert result.asset == {
        "name": ASSET,
        "sha256": digest,
        "url": f"{server.base}/{TAG}/{ASSET}",
        "resumed": False,
        "from_cache": False,
    }
    assert result.sha256 == hashlib.sha256(daemon("0.1.2")).hexdigest()
    assert result.to_json()["format"] == 1


def test_current_means_no_network_and_no_writes(machine: Machine, server: ReleaseServer) -> None:
    machine.run()
    before = {path: path.stat().st_mtime_ns for path in machine.folder.rglob("*")}
    server.requests.clear()
    assert machine.run(limits=QUICK).outcome == "current"
    assert server.requests == []
    assert {path: path.stat().st_mtime_ns for path in machine.folder.rglob("*")} == before
