"""What a run of the bundler answers (the JSON object of spec 09 §9)."""

from __future__ import annotations

from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from mesh_bundler.decision import Reason
    from mesh_bundler.errors import Notice
    from mesh_common.pins import NoPin, Pin


@dataclass(frozen=True, slots=True)
class EnsureResult:
    """What is in the slot now and how it got there."""

    outcome: str  # "staged" | "current" | "skipped" | "stub" | "would_stage"
    slot: Path
    triple: str
    platform: str
    pin: Pin | NoPin
    source: str | None = None
    version: str | None = None
    size: int | None = None
    sha256: str | None = None
    verified: str | None = None
    key_id: str | None = None
    asset: dict[str, object] | None = None
    warnings: tuple[Notice, ...] = ()
    duration_ms: int = 0
    reasons: tuple[Reason, ...] = field(default=())

    def to_json(self) -> dict[str, object]:
        """The object of spec 09 §9."""
        return {
            "format": 1,
            "outcome": self.outcome,
            "slot": str(self.slot),
            "triple": self.triple,
            "platform": self.platform,
            "pin": self.pin.to_json(),
            "source": self.source,
            "version": self.version,
            "size": self.size,
            "sha256": self.sha256,
            "verified": self.verified,
            "key_id": self.key_id,
            "asset": self.asset,
            "warnings": [notice.to_json() for notice in self.warnings],
            "duration_ms": self.duration_ms,
            "error": None,
        }
