"""The authenticator lock on what this device signs (spec 02 §17, FIX 27): codes and the gate, as values."""

from __future__ import annotations

from myownmesh.custody.errors import CustodyError
from myownmesh.custody.lock import Lock, Locks, Mark, canonical_keys, disable, enroll, gate, is_enrolled, reset
from myownmesh.custody.provisioning import Enrolment

__all__ = [
    "CustodyError",
    "Enrolment",
    "Lock",
    "Locks",
    "Mark",
    "canonical_keys",
    "disable",
    "enroll",
    "gate",
    "is_enrolled",
    "reset",
]
