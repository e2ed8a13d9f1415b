"""Who this device is, and how two devices prove it to each other."""

from __future__ import annotations

from myownmesh.identity.handshake import handshake_payload, sign_handshake, verify_handshake
from myownmesh.identity.keys import SEED_BYTES, Identity, verify

__all__ = ["SEED_BYTES", "Identity", "handshake_payload", "sign_handshake", "verify", "verify_handshake"]
