"""What a device offers: the app's blob inside the daemon's advert, packed and read back (spec 08 FE-7.1, FE-7.2, §9.3).

Pure. A peer's blob is hostile: every field is read on its own, and a malformed one falls back to its default alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict, replace

from mesh_common.labels import clean_label
from myownllm.coerce import UNREADABLE, as_object, strings, tolerant

if TYPE_CHECKING:
    from mesh_common.views import CapabilityAdvert
    from myownllm.coerce import Json, JsonObject

S = TypeVar("S", bound=Struct)

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
Size = Annotated[int, Meta(ge=0, le=2**53)] | Annotated[float, Meta(ge=0, le=2**53)]
"""Gigabytes, a fraction where they are told in one."""


class Hardware(Struct, frozen=True):
    """A machine, as far as its app could tell."""

    gpu_type: Literal["nvidia", "amd", "apple", "none"] = "none"
    ram_gb: Size = 0
    vram_gb: Size | None = None
    soc: str | None = None
    arch: str = ""


class Inputs(Struct, frozen=True):
    mic: bool = False
    camera: bool = False


class Outputs(Struct, frozen=True):
    speaker: bool = False
    display: bool = False


class LanguageModel(Struct, frozen=True):
    """A model that answers chats. A label of the wrong type counts as none; a model without a tag cannot be named."""

    tag: str = ""
    family: str | None = None
    mode: str | None = None
    context_length: int | float | None = None


class Recogniser(Struct, frozen=True):
    backend: str | None = None
    tier: str | None = None


class Capabilities(Struct, frozen=True):
    """What a device offers. `told` is the same as JSON, with the members of its parts that nobody here knows."""

    llms: tuple[LanguageModel, ...] = ()
    asr: tuple[Recogniser, ...] = ()
    diarize: bool = False
    hardware: Hardware = Hardware()
    inputs: Inputs = Inputs()
    accepting: str | UnsetType | None = UNSET
    """how much it likes to be asked; unset for an app that does not say"""
    app_version: str = ""
    features: tuple[str, ...] = ()
    embedders: tuple[str, ...] = ()
    told: dict[str, Any] = {}


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


def unpack(advert: CapabilityAdvert | None) -> Capabilities:
    """The blob in an advert, validated field by field."""
    extra = as_object(None if advert is None else advert.extra)
    accepting = extra.get("accepting")
    version = (None if advert is None else advert.app_version) or extra.get("app_version")
    return read(
        {
            "llms": _objects(extra.get("llms")),
            "asr": _objects(extra.get("asr")),
            "diarize": extra.get("diarize") is True,
            "hardware": _merged(Hardware, extra.get("hardware")),
            "inputs": _merged(Inputs, extra.get("inputs")),
            "outputs": _merged(Outputs, extra.get("outputs")),
            "accepting": accepting if accepting in ACCEPTING else "available",
            "app_version": version if isinstance(version, str) else "",
            "features": list(strings(extra.get("features"))),
            **({"embedders": list(embedders)} if (embedders := strings(extra.get("embedders"))) else {}),
        }
    )


def read(blob: JsonObject) -> Capabilities:
    """A blob that was told already, ours or an unpacked one; what is malformed in it counts as absent."""
    try:
        return msgspec.convert({**blob, "told": blob}, Capabilities)
    except UNREADABLE:
        rows = {"llms": _each(LanguageModel, blob.get("llms")), "asr": _each(Recogniser, blob.get("asr"))}
        return replace(tolerant(Capabilities, {**blob, "told": blob}), **rows)


def announced_label(advert: CapabilityAdvert | None) -> str:
    """What a device calls itself now; empty when its advert does not say. A hello knows the name of its moment only."""
    label = as_object(None if advert is None else advert.extra).get("label")
    return clean_label(label) if isinstance(label, str) else ""


def _objects(value: Json) -> list[JsonObject]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _each(cls: type[S], value: Json) -> tuple[S, ...]:
    return tuple(tolerant(cls, row) for row in _objects(value))


def _merged(cls: type[Struct], value: Json) -> JsonObject:
    """An object over its defaults: known members checked, unknown ones kept."""
    known = asdict(tolerant(cls, value))
    return {**known, **{name: member for name, member in as_object(value).items() if name not in known}}


def supports(capabilities: Capabilities, feature: str) -> bool:
    """Does a device offer `feature` (spec 08 FE-9.5)?"""
    if capabilities.features:
        return feature in capabilities.features
    return capabilities.accepting not in (None, UNSET) and feature in BASELINE_FEATURES


def compatibility(capabilities: Capabilities) -> tuple[int, int, list[str]]:
    """(known features offered, all known features, the missing ones in advertised order)."""
    offered = capabilities.features
    if not offered and capabilities.accepting is not UNSET:
        offered = BASELINE_FEATURES
    missing = [f for f in FEATURES if f not in offered]
    return len(FEATURES) - len(missing), len(FEATURES), missing


# ── in a few words (spec 08 FE-9.15) ──────────────────────────────────────────────────────────────────────────────────


def summary(capabilities: Capabilities) -> str:
    """The machine: its chip or graphics, then the memory that models run in."""
    machine = capabilities.hardware
    parts = [machine.soc or (machine.gpu_type if machine.gpu_type != "none" else "")]
    for size, name in ((machine.vram_gb, "VRAM"), (machine.ram_gb, "RAM")):
        if size is not None and size > 0:
            parts.append(f"{size:g} GB {name}")
            break
    return " · ".join(part for part in parts if part)


def badges(capabilities: Capabilities) -> list[str]:
    """What it can be asked for, and how much it likes that."""
    found = {
        "LLM": bool(capabilities.llms),
        "ASR": bool(capabilities.asr),
        "diarize": capabilities.diarize,
        "mic": capabilities.inputs.mic,
    }
    accepting = capabilities.accepting
    return [name for name, is_there in found.items() if is_there] + [a for a in ("busy", "limited") if accepting == a]


def compatibility_line(capabilities: Capabilities, ours: str) -> str:
    """Its app's release beside `ours`, and which features it lacks; empty when it does not say its release."""
    version = capabilities.app_version
    if not version:
        return ""
    matched, total, missing = compatibility(capabilities)
    line = f"v{version}" + (" ≠ ours" if version != ours else "")
    if not missing:
        return f"{line} · all features"
    names = ", ".join(missing[:2]) + ("…" if len(missing) > 2 else "")
    return f"{line} · {matched}/{total} (missing {names})"
