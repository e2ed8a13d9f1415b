"""A relay behind a proxy that speaks TLS, as `wss://` URLs name it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import ssl
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from myownmesh.protocol.signals import PeerAnnounced
from myownmesh.signaling import websocket
from support.signaling import eventually, new_device, relay_server, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def self_signed(folder: Path, valid_in_days: int = 0) -> Path:
    """A file with a certificate for 127.0.0.1, which is valid around that day, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    today = dt.datetime.now(dt.UTC) + dt.timedelta(days=valid_in_days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "relay.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@asynccontextmanager
async def tls_proxy(certificate: Path, port: int) -> AsyncIterator[str]:
    """The URL of a proxy that terminates TLS in front of a port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def serve(client: trio.SSLStream[trio.SocketStream]) -> None:
        async with client, await trio.open_tcp_stream("127.0.0.1", port) as relay:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_copy, client, relay, nursery.cancel_scope)
                    nursery.start_soon(_copy, relay, client, nursery.cancel_scope)
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    secured = trio.SSLListener(listener, context, https_compatible=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, serve, [secured]))
        yield f"wss://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def _copy(source: trio.abc.Stream, target: trio.abc.Stream, scope: trio.CancelScope) -> None:
    while data := await source.receive_some(65536):
        await target.send_all(data)
    scope.cancel()


async def test_devices_meet_through_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path)
    trusted = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(websocket, "trust_store", lambda: trusted)
    async with relay_server() as server, tls_proxy(certificate, server.port) as url:
        first, second = new_device(1, url), new_device(2, url)
        async with running(first, second):
            await first.hears(PeerAnnounced)
            await second.hears(PeerAnnounced)


@pytest.mark.parametrize("days", [365, -365])
async def test_a_certificate_out_of_date_may_mean_our_clock(
    days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    certificate = self_signed(tmp_path, days)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    websocket.trust_store.cache_clear()
    async with relay_server() as server, tls_proxy(certificate, server.port) as url, running(new_device(1, url)):
        await eventually(lambda: "or this device's clock is wrong" in caplog.text)
    websocket.trust_store.cache_clear()


async def test_a_certificate_that_nobody_vouches_for_is_refused_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with relay_server() as server, tls_proxy(self_signed(tmp_path), server.port) as url:
        async with running(new_device(1, url)):
            await eventually(lambda: "certificate verify failed" in caplog.text)
        assert "clock" not in caplog.text
        assert server.activity.connections_total == 0


async def test_tls_spoken_to_a_plain_relay_fails_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with relay_server() as server, running(new_device(1, f"wss://127.0.0.1:{server.port}")):
        await eventually(lambda: "TLS with 127.0.0.1 failed" in caplog.text)
