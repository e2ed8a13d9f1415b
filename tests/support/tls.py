"""TLS in front of a relay, with certificates that are valid around any day."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def self_signed(folder: Path, valid_in_days: int = 0, *, address: str = "127.0.0.1") -> Path:
    """A file with a certificate for an address, which is valid around that day, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName("localhost")])
    today = dt.datetime.now(dt.UTC) + dt.timedelta(days=valid_in_days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(names, critical=False)
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
