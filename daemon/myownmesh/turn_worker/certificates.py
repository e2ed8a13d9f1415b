"""The certificate that TLS clients see, read again when its files change: it is renewed while we run."""

from __future__ import annotations

import errno
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from myownmesh.turn_worker.messages import TlsFiles


class BadCertificate(OSError):
    """The sentence, `strerror`, names the files."""


class Certificates:
    """What the files said when they could be read last."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises `BadCertificate`."""
        self._files = files
        self._seen = self._stamps()
        self.context = self._read()
        self.problem: str | None = None
        """Why the files as they are now are not in use."""

    def look(self) -> None:
        """Read the files if they have changed. What cannot be used leaves the old certificate in use."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        try:
            self.context, self._seen, self.problem = self._read(), stamps, None
        except BadCertificate as error:
            self.problem = f"{error.strerror}; the certificate from before is still in use"

    def _stamps(self) -> tuple[object, ...]:
        return tuple(_stamp(Path(path)) for path in (self._files.cert_file, self._files.key_file))

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # a write never waits for a read, and nobody makes us sign for ever
        files = self._files
        try:
            context.load_cert_chain(files.cert_file, files.key_file, password=_no_password)
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None) or error
            raise BadCertificate(
                errno.EINVAL, f"cannot use {files.cert_file} with {files.key_file}: {reason}"
            ) from error
        return context


def _no_password() -> str:
    raise ValueError("the key has a password")  # OpenSSL would ask for it on the terminal


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino
