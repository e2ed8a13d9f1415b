"""Which model serves a request, and which device is asked (spec 08 §9.4, FE-9.18). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from mesh_common.values import Value
from myownllm.capabilities import BUSY_TEXT, supports
from myownllm.errors import AppError
from myownllm.refusals import NO_MODEL_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from myownllm.capabilities import Capabilities
    from myownllm.peers import PeerStatus

PURPOSES: Final = ("text", "transcribe", "tp")
"""What a host can be pinned for: chats, transcription, talking points."""
MODEL_FEATURE: Final = "infer_model_v1"
"""Our id: an `infer` request may name a `model` and `options`."""


class Host(Protocol):
    """What choosing needs of a peer."""

    @property
    def device_pubkey(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def status(self) -> PeerStatus: ...
    @property
    def authorized(self) -> bool: ...
    @property
    def capabilities(self) -> Capabilities: ...


class Labelled(Protocol):
    """What choosing needs of a model: its tag, and the labels that peers choose by."""

    @property
    def tag(self) -> str: ...
    @property
    def family(self) -> str | None: ...
    @property
    def mode(self) -> str | None: ...


HostT = TypeVar("HostT", bound=Host)
Need = Literal["model", "recogniser", "any"]
"""What a device must have told of to be asked: a model that answers chats, a recogniser, or anything."""


class HostError(AppError):
    """A device cannot be asked; `kind` is what a program may branch on."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


# ── here ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def pick_model(llms: Iterable[Labelled], family: str, mode: str) -> str:
    """The tag that serves a request: of this family and mode, else of this mode, else the first; empty without any."""
    present = [m for m in llms if m.tag]
    exact = [m for m in present if m.family == family and m.mode == mode]
    near = [m for m in present if m.mode == mode]
    chosen = (*exact, *near, *present)
    return chosen[0].tag if chosen else ""


class Admission(Value, frozen=True):
    """May a request be served? Either a `model` serves it or there is a `refusal`."""

    model: str = ""
    refusal: str = ""


def admit(accepting: str, llms: Sequence[Labelled] | None, family: str, mode: str, model: str = "") -> Admission:
    """The host's gate. `llms` is what was last told to peers, None before the first time.

    A request that names a model gets that one or a refusal, never another.
    """
    if accepting == "busy":
        return Admission(refusal=BUSY_TEXT)
    if model:
        present = any(m.tag == model for m in llms or ())
        return Admission(model) if present else Admission(refusal=f"this device has no model '{model[:200]}'")
    picked = pick_model(llms or (), family, mode)
    return Admission(picked) if picked else Admission(refusal=NO_MODEL_TEXT)


# ── there ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def can_serve_inference(capabilities: Capabilities) -> bool:
    """Does a device of these capabilities answer chats?"""
    return capabilities.accepting != "busy" and bool(capabilities.llms)


def can_serve_transcribe(capabilities: Capabilities) -> bool:
    """Does a device of these capabilities transcribe?"""
    return capabilities.accepting != "busy" and bool(capabilities.asr)


def eligible(peers: Iterable[HostT]) -> list[HostT]:
    """The peers that can be asked, best first: available ones before limited ones, then by name."""
    able = [p for p in peers if p.status == "active" and p.authorized and can_serve_inference(p.capabilities)]
    return sorted(able, key=lambda p: (p.capabilities.accepting == "limited", p.label, p.device_pubkey))


def of_family(peers: Iterable[HostT], family: str) -> tuple[HostT, str] | None:
    """The best of the peers that can be asked and have a model of a family, and that model's tag."""
    for host in eligible(peers):
        if tag := pick_model((m for m in host.capabilities.llms if m.family == family), family, "text"):
            return host, tag
    return None


def usable(host: Host | None, name: str, *, pinned: bool = False, need: Need = "model") -> Host:
    """The device, if it can be asked now for what is needed. Raises HostError that says why not."""
    what = "Pinned peer is" if pinned else "That device is"
    kind = "pinned_offline" if pinned else "device_away"
    shown = name if host is None else host.label or name
    if host is None and not pinned:
        raise HostError(kind, f"No device called '{shown[:100]}' is connected; `myownllm peers` shows those that are")
    if host is None or host.status != "active":
        raise HostError(kind, f"{what} offline: {shown}. Nothing was run on this device instead")
    if not host.authorized:
        raise HostError(kind, f"{what} not approved: {shown}")
    if host.capabilities.accepting == "busy":
        raise HostError("device_busy", f"{what} busy: {shown} accepts no requests now")
    if need == "model" and not can_serve_inference(host.capabilities):
        raise HostError("no_model", f"{what} without a model: {shown} offers none now")
    if need == "recogniser" and not can_serve_transcribe(host.capabilities):
        raise HostError("no_recogniser", f"{what} without a recogniser: {shown} offers none now")
    return host


def route(peers: Sequence[HostT], pinned: str | None, *, need: Need = "model") -> HostT | None:
    """Where a request without a named device goes: None is this device.

    Remote devices are asked only by a pin, and a pinned device that cannot be asked is an error (FE-9.18): HostError.
    """
    if not pinned:
        return None
    host = next((p for p in peers if p.device_pubkey == pinned), None)
    usable(host, pinned[:8], pinned=True, need=need)
    return host


def request_labels(host: Host, model: str) -> tuple[str, str]:
    """Family and mode that make a host serve `model`; empty ones without a wish.

    Raises HostError for a model that it has not, or that an older app of it would silently replace by another.
    """
    if not model:
        return "", ""
    llms = host.capabilities.llms
    found = next((m for m in llms if m.tag == model), None)
    if found is None:
        raise HostError("no_model", f"{host.label} has no model '{model[:200]}'")
    labels = found.family or "", found.mode or ""
    if not supports(host.capabilities, MODEL_FEATURE) and pick_model(llms, *labels) != model:
        raise HostError("no_model", f"the app on {host.label} is too old to be asked for one model among several")
    return labels
