"""What a device offers: the app's blob inside the daemon's advert, packed and read back (spec 08 FE-7.1, FE-7.2, §9.3).

Pure. A peer's blob is hostile: every field is read on its own, and a malformed one falls back to its default alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec

from mesh_common.labels import clean_label
from myownllm.coerce import as_object, is_number, strings

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_common.views import CapabilityAdvert
    from myownllm.coerce import Json, JsonObject

FEATURES: Final = (
    "infer_request", "move_request", "two_phase_move", "move_target_folder", "capabilities_v1", "catalog_announce",
    "ring_shelve", "file_transfer_v1", "app_version", "transcribe_request", "session_view_v1", "infer_tools_v1",
    "agent_permissions_v1", "prompts_v1",
)  # fmt: skip
BASELINE_FEATURES: Final = FEATURES[:7]
"""What a peer that predates the list can do."""
ADVERT_MAX_BYTES: Final = 48 * 1024
"""What a daemon takes as this app's part of an advert (spec 05 §12)."""
ACCEPTING: Final = ("available", "limited", "busy")
BUSY_TEXT: Final = "local accepting policy is busy"
"""What a busy host answers (spec 08 §9.4, FE-9.28)."""
GPU_TYPES: Final = ("nvidia", "amd", "apple", "none")


def _is_size(value: Json) -> bool:
    return is_number(value) and math.isfinite(value) and value >= 0


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


def _is_bool(value: Json) -> bool:
    return isinstance(value, bool)


_HARDWARE: Final[dict[str, tuple[Json, Callable[[Json], bool]]]] = {
    "gpu_type": ("none", lambda v: v in GPU_TYPES),
    "ram_gb": (0, _is_size),
    "vram_gb": (None, lambda v: v is None or _is_size(v)),
    "soc": (None, lambda v: v is None or _is_text(v)),
    "arch": ("", _is_text),
}


def pack(capabilities: JsonObject) -> JsonObject:
    """The daemon's advert: the whole blob travels in `extra`, or every peer would look empty."""
    return {
        "tags": [],
        "app_version": capabilities.get("app_version"),
        "max_connections": None,
        "extra": capabilities,
    }


def fitted(blob: JsonObject) -> tuple[JsonObject, int]:
    """The blob as far as an advert holds it, and how many models had to go, from the end (FE-9.50)."""
    models = list(blob.get("llms", ()))
    dropped = 0
    while models and len(msgspec.json.encode(blob)) > ADVERT_MAX_BYTES:
        least = max(1, len(models) // 8)
        models, dropped = models[:-least], dropped + least
        blob = {**blob, "llms": models}
    return blob, dropped


def unpack(advert: CapabilityAdvert | None) -> JsonObject:
    """The blob in an advert, validated field by field."""
    extra = as_object(None if advert is None else advert.extra)
    accepting = extra.get("accepting")
    version = (None if advert is None else advert.app_version) or extra.get("app_version")
    return {
        "llms": _objects(extra.get("llms")),
        "asr": _objects(extra.get("asr")),
        "diarize": extra.get("diarize") is True,
        "hardware": _merged(extra.get("hardware"), _HARDWARE),
        "inputs": _merged(extra.get("inputs"), {"mic": (False, _is_bool), "camera": (False, _is_bool)}),
        "outputs": _merged(extra.get("outputs"), {"speaker": (False, _is_bool), "display": (False, _is_bool)}),
        "accepting": accepting if accepting in ACCEPTING else "available",
        "app_version": version if isinstance(version, str) else "",
        "features": list(strings(extra.get("features"))),
        **({"embedders": list(embedders)} if (embedders := strings(extra.get("embedders"))) else {}),
    }


def announced_label(advert: CapabilityAdvert | None) -> str:
    """What a device calls itself now; empty when its advert does not say. A hello knows the name of its moment only."""
    label = as_object(None if advert is None else advert.extra).get("label")
    return clean_label(label) if isinstance(label, str) else ""


def _objects(value: Json) -> list[JsonObject]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _merged(value: Json, fields: dict[str, tuple[Json, Callable[[Json], bool]]]) -> JsonObject:
    """An object over its defaults: known members checked, unknown ones kept."""
    raw = as_object(value)
    checked = {name: raw[name] if name in raw and ok(raw[name]) else default for name, (default, ok) in fields.items()}
    return {**checked, **{k: v for k, v in raw.items() if k not in fields}}


def supports(capabilities: JsonObject, feature: str) -> bool:
    """Does a device offer `feature` (spec 08 FE-9.5)?"""
    features = strings(capabilities.get("features"))
    if features:
        return feature in features
    return capabilities.get("accepting") is not None and feature in BASELINE_FEATURES


def compatibility(capabilities: JsonObject) -> tuple[int, int, list[str]]:
    """(known features offered, all known features, the missing ones in advertised order)."""
    offered: tuple[str, ...] = strings(capabilities.get("features"))
    if not offered and "accepting" in capabilities:
        offered = BASELINE_FEATURES
    missing = [f for f in FEATURES if f not in offered]
    return len(FEATURES) - len(missing), len(FEATURES), missing


# ── in a few words (spec 08 FE-9.15) ──────────────────────────────────────────────────────────────────────────────────


def summary(capabilities: JsonObject) -> str:
    """The machine: its chip or graphics, then the memory that models run in."""
    hardware = as_object(capabilities.get("hardware"))
    gpu = hardware.get("gpu_type")
    parts = [hardware.get("soc") or (gpu if gpu != "none" else "")]
    for member, name in (("vram_gb", "VRAM"), ("ram_gb", "RAM")):
        size: Json = hardware.get(member)
        if is_number(size) and size > 0:
            parts.append(f"{size:g} GB {name}")
            break
    return " · ".join(part for part in parts if part)


def badges(capabilities: JsonObject) -> list[str]:
    """What it can be asked for, and how much it likes that."""
    found = {
        "LLM": bool(capabilities.get("llms")),
        "ASR": bool(capabilities.get("asr")),
        "diarize": capabilities.get("diarize") is True,
        "mic": as_object(capabilities.get("inputs")).get("mic") is True,
    }
    accepting = capabilities.get("accepting")
    return [name for name, is_there in found.items() if is_there] + [a for a in ("busy", "limited") if accepting == a]


def compatibility_line(capabilities: JsonObject, ours: str) -> str:
    """Its app's release beside `ours`, and which features it lacks; empty when it does not say its release."""
    version = capabilities.get("app_version")
    if not version:
        return ""
    matched, total, missing = compatibility(capabilities)
    line = f"v{version}" + (" ≠ ours" if version != ours else "")
    if not missing:
        return f"{line} · all features"
    names = ", ".join(missing[:2]) + ("…" if len(missing) > 2 else "")
    return f"{line} · {matched}/{total} (missing {names})"
