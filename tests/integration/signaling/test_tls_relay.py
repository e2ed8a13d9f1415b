"""A relay behind a proxy that speaks TLS, as `wss://` URLs name it."""

from __future__ import annotations

import logging
import os
import ssl
from typing import TYPE_CHECKING

import pytest
import trio

from myownmesh.protocol.signals import PeerAnnounced
from myownmesh.signaling import tls
from myownmesh.signaling.timepiece import Timepiece
from myownmesh.signaling.trouble import Kind
from support.signaling import eventually, hostile_relay, new_device, relay_server, running, wall_clock
from support.strict_relay import StrictRelay
from support.tls import self_signed, tls_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


async def test_devices_meet_through_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path)
    trusted = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(tls, "trust_store", lambda: trusted)
    async with relay_server() as server, tls_proxy(certificate, server.port) as url:
        first, second = new_device(1, url), new_device(2, url)
        async with running(first, second):
            await first.hears(PeerAnnounced)
            await second.hears(PeerAnnounced)


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Path]]:
    """Makes a certificate that this process trusts, valid around that day."""

    def trust(days: int) -> Path:
        certificate = self_signed(tmp_path, days)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        tls.forget_trust_stores()
        return certificate

    yield trust
    tls.forget_trust_stores()


YEAR_D = 365


@pytest.mark.parametrize("behind_days", [YEAR_D, 2, 20 * YEAR_D])
async def test_a_clock_that_is_behind_learns_the_time_from_the_relay_whose_certificate_is_not_valid_yet(
    behind_days: int, trusting: Callable[[int], Path]
) -> None:
    certificate = trusting(behind_days)
    relay = StrictRelay(window_s=60, ahead_s=behind_days * 86_400)
    async with hostile_relay(relay.script) as plain, tls_proxy(certificate, int(plain.rpartition(":")[2])) as url:
        first, second = new_device(1, url), new_device(2, url)
        async with running(first, second):
            await first.hears(PeerAnnounced)
            await second.hears(PeerAnnounced)
    assert relay.refused == []


@pytest.mark.parametrize("told_days", [-YEAR_D, 0, -2 * YEAR_D, None])
async def test_an_expired_certificate_is_not_talked_back_into_validity(
    told_days: int | None, trusting: Callable[[int], Path]
) -> None:
    certificate = trusting(-YEAR_D)
    relay = StrictRelay(ahead_s=(told_days or 0) * 86_400, says_date=told_days is not None)
    async with hostile_relay(relay.script) as plain, tls_proxy(certificate, int(plain.rpartition(":")[2])) as url:
        device = new_device(1, url)
        async with running(device):
            await eventually(lambda: device.signaling.report()[0].standing.why is not None)
            (report,) = device.signaling.report()
            assert report.standing.why is not None
            assert report.standing.why.kind is Kind.TLS
            assert "this device's clock" in report.standing.why.text
            assert ("365 days later than the relay's" in report.standing.why.text) == (told_days == -YEAR_D)
            assert device.signaling.admitted == []


@pytest.mark.parametrize("other", ["plain", "expired too"])
async def test_a_clock_that_is_ahead_is_corrected_by_two_who_agree(other: str, trusting: Callable[[int], Path]) -> None:
    certificate = trusting(-YEAR_D)
    relay = StrictRelay(window_s=60, ahead_s=-YEAR_D * 86_400)
    async with hostile_relay(relay.script) as plain, tls_proxy(certificate, int(plain.rpartition(":")[2])) as url:
        # All relays of one host are one voice, so the other goes by another name of this machine.
        second = plain if other == "plain" else url
        device = new_device(1, url, second.replace("127.0.0.1", "localhost"))
        async with running(device):
            await device.admitted_by(url)


async def test_a_right_clock_beside_an_honest_relay_is_not_moved_by_certificates_from_the_future(
    trusting: Callable[[int], Path],
) -> None:
    certificate = trusting(YEAR_D)
    relay, honest = StrictRelay(ahead_s=YEAR_D * 86_400), StrictRelay()
    async with (
        hostile_relay(relay.script) as plain,
        tls_proxy(certificate, int(plain.rpartition(":")[2])) as url,
        hostile_relay(honest.script) as other,
    ):
        honest_url = other.replace("127.0.0.1", "localhost")
        timepiece = Timepiece(wall_clock, trio.current_time)
        device = new_device(1, honest_url, timepiece=timepiece)
        async with running(device):
            await device.admitted_by(honest_url)
        second = new_device(1, url, honest_url, timepiece=timepiece)
        async with running(second):
            await second.admitted_by(honest_url)
            await eventually(lambda: any(each.standing.why is not None for each in second.signaling.report()))
            assert second.signaling.admitted == [honest_url]


@pytest.mark.parametrize("days", [365, -365])
async def test_a_certificate_out_of_date_may_mean_our_clock(
    days: int, trusting: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    certificate = trusting(days)
    async with relay_server() as server, tls_proxy(certificate, server.port) as url, running(new_device(1, url)):
        await eventually(lambda: "or this device's clock is wrong" in caplog.text)


async def test_a_certificate_that_nobody_vouches_for_is_refused_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with relay_server() as server, tls_proxy(self_signed(tmp_path), server.port) as url:
        async with running(new_device(1, url)):
            await eventually(lambda: "certificate verify failed" in caplog.text)
        assert "clock" not in caplog.text
        assert server.activity.connections_total == 0


@pytest.mark.parametrize(
    ("variable", "what", "says"),
    [
        ("SSL_CERT_FILE", "nowhere", "nowhere: No such file or directory"),
        ("SSL_CERT_FILE", "junk", "junk, which holds no certificates"),
        ("SSL_CERT_FILE", "folder", "folder, which is no regular file"),
        ("SSL_CERT_FILE", "pipe", "pipe, which is no regular file"),
        ("SSL_CERT_DIR", "junk", "junk, which is no folder"),
        ("SSL_CERT_DIR", "nowhere", "nowhere, which is no folder"),
    ],
)
async def test_a_variable_that_names_no_certificates_is_named(
    variable: str,
    what: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "junk").write_text("junk")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv(variable, str(tmp_path / what))
    tls.forget_trust_stores()
    async with (
        relay_server() as server,
        tls_proxy(self_signed(tmp_path), server.port) as url,
        running(new_device(1, url)),
    ):
        await eventually(lambda: f"{variable} names {tmp_path}/{says}" in caplog.text)
    tls.forget_trust_stores()


async def test_certificates_that_are_installed_later_count_at_the_next_dial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    later = tmp_path / "later.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(later))
    tls.forget_trust_stores()
    async with relay_server() as server, tls_proxy(certificate, server.port) as url:
        device = new_device(1, url)
        async with running(device):
            await eventually(lambda: device.signaling.report()[0].standing.why is not None)
            later.write_bytes(certificate.read_bytes())
            device.signaling.redial()
            await device.admitted_by(url)
    tls.forget_trust_stores()


async def test_tls_spoken_to_a_plain_relay_fails_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with relay_server() as server, running(new_device(1, f"wss://127.0.0.1:{server.port}")):
        await eventually(lambda: "TLS with 127.0.0.1 failed" in caplog.text)
