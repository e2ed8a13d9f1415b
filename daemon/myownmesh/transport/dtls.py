"""DTLS over an exchangeable path, without tasks: a datagram in is a record out, in the same call.

aiortc's own DTLS transport reads through a coroutine and a queue per datagram, which costs half of the throughput; this
one drives OpenSSL directly. It gives `RTCSctpTransport` the few members that it needs (`state`, `_role`, `_send_data`,
`_register_data_receiver`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from myownmesh.protocol.binding import certificate_binding
from myownmesh.transport.records import Records

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from myownmesh.transport.certificate import Certificate

log = logging.getLogger(__name__)

PATH_MTU_BYTES = 1_200
"""Largest DTLS datagram of a handshake: fits every path that IPv6 allows, with room for TURN."""
RECORD_HEADER_BYTES = 13
_APPLICATION_DATA = 23


class DtlsLink:
    """One DTLS association.

    `send` takes datagrams for the path, `send_burst` several of them at once. `on_connected` is called once;
    `on_closed(reason)` once, when the peer ended the association or the handshake failed, never after `close`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        certificate: Certificate,
        *,
        send: Callable[[bytes], None],
        send_burst: Callable[[list[bytes]], None],
        on_connected: Callable[[], None],
        on_closed: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._certificate = certificate
        self._send = send
        self._send_burst = send_burst
        self._held: list[bytes] | None = None
        self._on_connected = on_connected
        self._on_closed = on_closed
        self._on_data: Callable[[bytes], None] | None = None
        self._ssl: Records | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._role = "auto"
        self.state = "new"
        """`new`, `connecting`, `connected`, `closed` or `failed`."""

    # What RTCSctpTransport asks of its transport.

    def _register_data_receiver(self, receiver: object) -> None:
        """The receiver is wired by `on_data`; nothing to do."""

    def _unregister_data_receiver(self, receiver: object) -> None:
        self._on_data = None

    # Ours.

    def start(self, role: str) -> None:
        """Begin the handshake as `client` or `server`."""
        assert self.state == "new"
        self._role = role
        self._ssl = Records(self._certificate.context())
        self._ssl.set_ciphertext_mtu(PATH_MTU_BYTES)
        if role == "server":
            self._ssl.set_accept_state()
        else:
            self._ssl.set_connect_state()
        self.state = "connecting"
        self._handshake()

    def set_receiver(self, on_data: Callable[[bytes], None]) -> None:
        self._on_data = on_data

    def peer_binding(self) -> str | None:
        """Channel binding of the certificate that the peer presented."""
        certificate = self._ssl.get_peer_certificate(as_cryptography=True) if self._ssl is not None else None
        if certificate is None:
            return None
        return certificate_binding(certificate.public_bytes(Encoding.DER))

    def datagram(self, data: bytes) -> None:
        """Take one datagram from the path."""
        ssl = self._ssl
        if ssl is None or self.state not in ("connecting", "connected"):
            return
        ssl.feed(data)
        if self.state == "connecting":
            self._handshake()
            if self.state != "connected":
                return
        # Most datagrams carry one record; asking OpenSSL for a second one costs an exception.
        several = len(data) < RECORD_HEADER_BYTES or (data[11] << 8) + data[12] + RECORD_HEADER_BYTES < len(data)
        while True:
            try:
                plain = ssl.open_record()
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                self._flush()
                self._end("closed", "the peer closed DTLS")
                return
            except SSL.Error as error:
                self._flush()
                self._end("failed", f"DTLS failed: {error}")
                return
            if plain and self._on_data is not None:
                self._on_data(plain)
            if not several or self.state != "connected":
                break
        if data[0] != _APPLICATION_DATA:
            self._flush()

    def send_record(self, data: bytes) -> None:
        """Encrypt and send; dropped unless connected."""
        ssl = self._ssl
        if self.state != "connected" or ssl is None:
            return
        try:
            record = ssl.seal(data)
        except SSL.Error as error:
            log.debug("cannot encrypt a record: %s", error)
            return
        if self._held is None:
            self._send(record)
        else:
            self._held.append(record)

    def hold(self) -> None:
        """Keep what `send_record` makes until `release`, which follows in the same call from the loop."""
        self._held = []

    def release(self) -> None:
        """Send what was kept as one burst."""
        held, self._held = self._held, None
        if held:
            self._send_burst(held)

    async def _send_data(self, data: bytes) -> None:
        self.send_record(data)

    def close(self) -> None:
        """Send close_notify. No callback follows."""
        ssl = self._ssl
        self._cancel_timer()
        if ssl is not None and self.state in ("connecting", "connected"):
            try:
                ssl.shutdown()
            except SSL.Error as error:
                log.debug("no close_notify: %s", error)
            self._flush()
        self.state = "closed"
        self._on_data = None
        self._ssl = None

    def _handshake(self) -> None:
        ssl = self._ssl
        assert ssl is not None
        try:
            ssl.do_handshake()
        except SSL.WantReadError:
            self._flush()
            self._start_timer(ssl)
            return
        except SSL.Error as error:
            self._flush()
            self._end("failed", f"DTLS handshake failed: {error}")
            return
        self._cancel_timer()
        self._flush()
        self.state = "connected"
        self._on_connected()

    def _start_timer(self, ssl: Records) -> None:
        self._cancel_timer()
        timeout = ssl.DTLSv1_get_timeout()
        if timeout is not None:
            self._timer = self._loop.call_later(max(timeout, 0.01), self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        ssl = self._ssl
        if ssl is None or self.state != "connecting":
            return
        try:
            ssl.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._end("failed", f"DTLS handshake failed: {error}")
            return
        self._flush()
        self._start_timer(ssl)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        """Send what OpenSSL has written, several records to a datagram but never a torn one."""
        ssl = self._ssl
        if ssl is None:
            return
        written = b""
        while True:
            try:
                written += ssl.bio_read(65_536)
            except SSL.Error:
                break
        datagram = b""
        position = 0
        while position + RECORD_HEADER_BYTES <= len(written):
            end = position + RECORD_HEADER_BYTES + int.from_bytes(written[position + 11 : position + 13], "big")
            if datagram and len(datagram) + end - position > PATH_MTU_BYTES:
                self._send(datagram)
                datagram = b""
            datagram += written[position:end]
            position = end
        if datagram:
            self._send(datagram)

    def _end(self, state: str, reason: str) -> None:
        self._cancel_timer()
        self.state = state
        self._on_closed(reason)
