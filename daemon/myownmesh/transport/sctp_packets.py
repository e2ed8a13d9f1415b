"""Chunks become packets: one header and checksum around several DATA chunks, and an acknowledgement that rides along.

Every message passes here, so what all packets of an association have in common is made once. They leave as records of
DTLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google_crc32c import extend as extend_crc32c
from google_crc32c import value as crc32c

from myownmesh.transport import sctp_wire as wire

if TYPE_CHECKING:
    from myownmesh.transport.dtls import DtlsLink
    from myownmesh.transport.sctp_outstanding import Fragment
    from myownmesh.transport.sctp_receiving import Receiver


class Packets:
    """What leaves one association. Fragments wait in the packet that is being filled until it is full, or `flush`."""

    def __init__(self, dtls: DtlsLink, receiver: Receiver) -> None:
        self.ports = (0, 0)
        """Ours and the peer's; set before anything is put."""
        self.tag = 0
        """The peer's verification tag."""
        self.stream_id: int | None = None
        """The stream of the data channel, once there is one; no fragment comes before."""
        self._dtls = dtls
        self._receiver = receiver
        self._bundle: list[bytes] = []
        """Encoded chunks of the packet that is being filled."""
        self._bundle_bytes = 0
        self._head = b""
        """What every packet begins with, up to the checksum."""
        self._head_tag = -1
        self._head_checksum = 0

    def put(self, chunks: bytes) -> None:
        """Send one packet of these encoded chunks."""
        tag = self.tag
        if tag != self._head_tag:
            self._head_tag = tag
            self._head = wire.PACKET_HEAD.pack(*self.ports, tag)
            self._head_checksum = crc32c(self._head + wire.NO_CHECKSUM)
        checksum = wire.CHECKSUM.pack(extend_crc32c(self._head_checksum, chunks))
        self._dtls.send_record(b"".join((self._head, checksum, chunks)))

    def begin_with(self, chunk: bytes) -> None:
        """Let an encoded control chunk be the first of the packet that is being filled, in which nothing is yet."""
        self._bundle.append(chunk)
        self._bundle_bytes += len(chunk)

    def add(self, fragment: Fragment) -> None:
        """Put it into the packet that is being filled, or into the next one if it does not fit."""
        data = fragment.data
        size = wire.DATA_HEADER_BYTES + len(data)
        if self._bundle_bytes + size > wire.MAX_BUNDLE_BYTES:
            self.flush()
        chunk = wire.DATA_CHUNK.pack(
            wire.DATA, fragment.flags, size, fragment.tsn, self.stream_id, fragment.ssn, fragment.ppid
        )
        self._bundle += (chunk, data, wire.PADDING[size & 3])
        self._bundle_bytes += size + (-size & 3)

    def flush(self) -> None:
        """Send the packet that is being filled, with an acknowledgement if one is owed and has room."""
        size, self._bundle_bytes = self._bundle_bytes, 0
        if not size:
            return
        chunks = b"".join(self._bundle)
        self._bundle.clear()
        receiver = self._receiver
        if receiver.unacked_packets and size <= wire.MAX_BUNDLE_BYTES - wire.SACK_BYTES and receiver.sack_is_plain:
            chunks = receiver.take_sack() + chunks
        self.put(chunks)
