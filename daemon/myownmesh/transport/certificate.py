"""Key and certificate of a transport, and the DTLS settings that go with them (spec 01 §3.3).

Written with OpenSSL's own binding: aiortc's module for it would bring SRTP, RTP and media statistics along.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL

DTLS_1_2: Final = 0xFEFD
_CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"
)
"""What v0.3.8 is known to accept; the first is its choice."""
_SRTP_PROFILES: Final = b"SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"
"""v0.3.8 negotiates them even for data alone."""
_VALID_BEFORE: Final = timedelta(days=1)
_VALID_AFTER: Final = timedelta(days=30)
"""Nobody looks at the dates: the binding is what counts."""


class Certificate:
    """Key and self-signed P-256 certificate of one transport."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(16))])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _VALID_BEFORE)
            .not_valid_after(now + _VALID_AFTER)
            .sign(self._key, SHA256())
        )
        self.fingerprint = f"sha-256 {self._certificate.fingerprint(SHA256()).hex(':').upper()}"
        """The value of the SDP line, hex in upper case as v0.3.8 writes it."""
        self.binding = self.fingerprint.lower()
        """The channel binding (spec 01 §3.3)."""

    def context(self) -> SSL.Context:
        """Settings of one association: DTLS 1.2 at most, any certificate of the peer, but one there must be."""
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU)
        context.set_max_proto_version(DTLS_1_2)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(self._certificate)
        context.use_privatekey(self._key)
        context.set_cipher_list(_CIPHERS)
        context.set_tlsext_use_srtp(_SRTP_PROFILES)
        return context
