"""What keeps signaling from listeners and forgers (spec 11 §2): signed announces, sealed descriptions."""

from __future__ import annotations
