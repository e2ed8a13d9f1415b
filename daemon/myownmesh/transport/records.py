"""Records of one DTLS association, in memory: what pyOpenSSL's `Connection` does, without its detours.

Its `send`, `bio_read`, `bio_write` and `recv` allocate and ask after errors anew each time; a datagram costs two of
them, and they were an eighth of what a call costs. The methods here go straight to OpenSSL and end in the library's own
error handling as soon as OpenSSL says no.
"""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

RECORD_BYTES: Final = 2_048
"""No datagram is longer (`udp.MAX_DATAGRAM_BYTES`), so no record is."""

_read, _write, _bio_read, _bio_write = lib.SSL_read, lib.SSL_write, lib.BIO_read, lib.BIO_write


class Records(SSL.Connection):
    """A connection without a socket. Errors are `SSL.Error`, as the base class raises them."""

    def __init__(self, context: SSL.Context) -> None:
        super().__init__(context)
        self._room = ffi.new("char[]", RECORD_BYTES)
        self._bytes = ffi.buffer(self._room)

    def feed(self, datagram: bytes) -> None:
        """Take what has come from the peer; not empty."""
        _bio_write(self._into_ssl, datagram, len(datagram))

    def open_record(self) -> bytes:
        """The text of the next record that was fed. Raises `SSL.WantReadError` when there is none."""
        size = _read(self._ssl, self._room, RECORD_BYTES)
        if size <= 0:
            self._raise_ssl_error(self._ssl, size)
        text: bytes = self._bytes[:size]
        return text

    def seal(self, data: bytes) -> bytes:
        """The record of a text that fits into one."""
        written = _write(self._ssl, data, len(data))
        if written <= 0:
            self._raise_ssl_error(self._ssl, written)
        size = _bio_read(self._from_ssl, self._room, RECORD_BYTES)
        record: bytes = self._bytes[: max(size, 0)]
        return record
