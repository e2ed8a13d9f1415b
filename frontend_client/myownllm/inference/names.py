"""Names of devices in model ids: `tag@device` (spec 08 FE-10.5). Pure.

A device is called by its label where only it has that label, by the beginning of its id otherwise, so a name never
means two devices, and no device can take another's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LABEL_MAX_CHARS: Final = 64
SHORT_CHARS: Final = 8


class Named(Protocol):
    """A device with its id and the label that its owner gave it."""

    @property
    def device_pubkey(self) -> str: ...
    @property
    def label(self) -> str: ...


NamedT = TypeVar("NamedT", bound=Named)


def device_names(devices: Sequence[Named]) -> dict[str, str]:
    """A name for each device, by its id."""
    keys = [d.device_pubkey for d in devices]
    folded = [d.label.casefold() for d in devices]
    return {
        d.device_pubkey: d.label
        if _is_name(d.label, keys) and folded.count(d.label.casefold()) == 1
        else _short(d, keys)
        for d in devices
    }


def _is_name(label: str, keys: Iterable[str]) -> bool:
    """A label that can stand in a model id and is no beginning of anybody's id."""
    return (
        0 < len(label) <= LABEL_MAX_CHARS
        and label.isprintable()
        and label == label.strip()
        and "@" not in label
        and not (len(label) >= SHORT_CHARS and any(key.startswith(label.casefold()) for key in keys))
    )


def _short(device: Named, keys: Sequence[str]) -> str:
    length = SHORT_CHARS
    while length < len(device.device_pubkey) and sum(k.startswith(device.device_pubkey[:length]) for k in keys) > 1:
        length += 1
    return device.device_pubkey[:length]


def split_model(text: str) -> tuple[str, str]:
    """Tag and device of `tag@device`; the device is empty for a model of this one."""
    tag, at, device = text.rpartition("@")
    return (tag, device) if at and tag else (text, "")


def find_device(name: str, devices: Sequence[NamedT]) -> NamedT | None:
    """The device of that name, or of that whole id."""
    names = device_names(devices)
    exact = [d for d in devices if name in (names[d.device_pubkey], d.device_pubkey)]
    loose = [d for d in devices if names[d.device_pubkey].casefold() == name.casefold()]
    found = exact or loose
    return found[0] if len(found) == 1 else None
