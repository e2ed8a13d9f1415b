"""The proof in `auth_response`: one signature over nonce, both ids and the signer's certificate (spec 01 §3.2).

The nonce makes a proof good for one connection, the order of the ids tells the two directions apart, and the binding
ties it to one DTLS channel. The nonce is the other side's text and may contain anything; the signer fixes the rest, so
no crafted nonce can make the signature mean another pair of devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.identity.keys import SIGNATURE_BYTES, verify
from myownmesh.protocol import base32
from myownmesh.protocol.ids import pubkey_part

if TYPE_CHECKING:
    from myownmesh.identity.keys import Identity

DOMAIN_TAG: Final = "myownmesh-mesh-auth-v1:"


def handshake_payload(nonce: str, signer: str, verifier: str, binding: str) -> bytes:
    """The bytes that `signer` signs for `verifier`. Display suffixes of the two ids are cut off.

    `nonce` is the one that the verifier sent, `binding` belongs to the signer's certificate (spec 01 §3.3).
    Raises `UnicodeEncodeError` when a part contains a lone surrogate, which no frame can carry.
    """
    return f"{DOMAIN_TAG}{nonce}|{pubkey_part(signer)}|{pubkey_part(verifier)}|{binding}".encode()


def sign_handshake(identity: Identity, nonce: str, verifier: str, binding: str) -> str:
    """Our signature for `verifier`, as it travels in `auth_response`; `binding` is that of our own certificate."""
    return base32.encode(identity.sign(handshake_payload(nonce, identity.device_id, verifier, binding)))


def verify_handshake(nonce: str, signer: str, verifier: str, binding: str, signature: str) -> bool:
    """True when `signer` answered our `nonce` over the certificate of `binding`; anything unreadable is a failure."""
    try:
        raw = base32.decode(signature, SIGNATURE_BYTES)
    except ValueError:
        return False
    return verify(signer, handshake_payload(nonce, signer, verifier, binding), raw)
