"""Devices of the governance vectors, and entries that they sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.schema import read
from myownmesh.protocol.strict_json import dumps
from myownmesh.protocol.transitions import Transition
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.protocol.transitions import Variant

NETWORK: Final = "fleet-1"

DEVICES: Final[dict[str, Identity]] = {
    key["name"]: Identity.from_seed(bytes.fromhex(key["seed_hex"])) for key in load("governance", "keys")
}
IDS: Final = {name: device.device_id for name, device in DEVICES.items()}
ALICE, BOB, CAROL, DAVE, ERIN, FRANK, GRACE, HEIDI, MALLORY = IDS.values()
NAMES: Final = {device_id: name for name, device_id in IDS.items()}


def entry_of(value: dict[str, Any]) -> Transition:
    """An entry from the JSON of a vector."""
    return read(Transition, dumps(value))


def entries_of(values: list[dict[str, Any]]) -> tuple[Transition, ...]:
    """A log from the JSON of a vector."""
    return tuple(map(entry_of, values))


def variant_of(value: dict[str, Any]) -> Variant:
    """A variant from the JSON of a vector."""
    return entry_of({"at": 0, "variant": value, "signers": [], "signatures": []}).variant


def sign(signer: str, variant: Variant, network: str = NETWORK) -> str:
    """What `signer`, a device id, signs like v0.3.8: always the same."""
    return base32.encode(DEVICES[NAMES[signer]].sign(signed_bytes(network, variant)))


def entry(variant: Variant, *signers: str, at: int = 1000, network: str = NETWORK) -> Transition:
    """An entry signed by these device ids, in this order."""
    return Transition(at, variant, signers, tuple(sign(signer, variant, network) for signer in signers))
