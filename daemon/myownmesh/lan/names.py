"""How an advert is named (spec 03 §18.1)."""

from __future__ import annotations

from typing import Final

_DOMAIN: Final = ".local."
_TYPE: Final = "_myownmesh._tcp"
SERVICE_TYPE: Final = f"{_TYPE}{_DOMAIN}"
"""Of all networks."""

HOST_TTL_S: Final = 120
"""Of SRV and A: a device that crashed is gone after two minutes."""
OTHER_TTL_S: Final = 4500
"""Of PTR and TXT."""
_KEPT: Final = 8


def instance_label(room: str, device_id: str) -> str:
    """The label of a device's advert in a room."""
    return f"{room_prefix(room)}{_first(device_id)}"


def room_prefix(room: str) -> str:
    """How the labels of all adverts of a room begin; adverts of other rooms may begin so as well."""
    return f"mom-{_first(room)}-"


def full_name(label: str) -> str:
    """The name of an advert's records."""
    return f"{label}.{SERVICE_TYPE}"


def host_name(label: str) -> str:
    """The name of the address records of an advert."""
    return f"{label}{_DOMAIN}"


def registration_type(name: str) -> str:
    """A type of services, or an instance, without the domain."""
    return name.removesuffix(_DOMAIN)


def label_of(name: str) -> str | None:
    """The label in the full name of an advert; None for a name of something else."""
    relative = registration_type(name.lower())
    label = relative.removesuffix(f".{_TYPE}")
    return None if label == relative else label


def _first(text: str) -> str:
    kept = [letter.lower() for letter in text if letter.isascii() and letter.isalnum()]
    return "".join(kept[:_KEPT])
