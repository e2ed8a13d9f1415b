"""The network that a run has: NAT kinds, TURN, relays, clocks, delay and loss, as values from which a seed draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from myownmesh.simulator.nat import Nat

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from myownmesh.simulator.world import World

MIXED: Final = "mixed"
"""Each device is behind a kind that the seed draws, and behind another one after each move."""
NAT_CHOICES: Final = (*(nat.value for nat in Nat), MIXED)
RELAYS_EACH: Final = 2
"""Of several relays each device has so many, so that some pairs share none."""


@frozen
class Conditions:
    """What holds for all of a run; the defaults are a good local network."""

    nat: str = Nat.NONE.value
    turn: float = 0.0
    """Share of the devices that have a TURN server."""
    relays: int = 1
    skew_s: float = 0.0
    """Clocks are wrong by at most this, either way."""
    latency_ms: float = 0.5
    """One way, between devices."""
    loss: float = 0.0
    """Share of the packets; what is lost comes again later and holds up what is behind it, as SCTP does."""

    @classmethod
    def drawn(cls, rng: random.Random) -> Conditions:
        """Good ones in half of the cases, and otherwise whatever comes."""
        if rng.random() < 0.5:
            return cls()
        return cls(
            nat=rng.choice(NAT_CHOICES),
            turn=rng.choice((0.0, 0.5)),
            relays=rng.choice((1, 2, 4)),
            skew_s=rng.choice((0.0, 5000.0)),
            latency_ms=rng.choice((0.5, 50.0, 300.0)),
            loss=rng.choice((0.0, 0.05)),
        )

    def lay_out(self, world: World, ids: Sequence[str]) -> None:
        """Draw for each device what is its own."""
        wire, room = world.wire, world.room
        wire.latency_s, wire.loss = self.latency_ms / 1000, self.loss
        for device_id in ids:
            rng = world.sources.of(f"conditions {device_id}")
            self.place(world, device_id, rng)
            if rng.random() < self.turn:
                wire.turn.add(device_id)
            if self.relays > 1:
                room.relays_of[device_id] = frozenset(rng.sample(range(self.relays), RELAYS_EACH))
            world.skews_ms[device_id] = round(rng.uniform(-1.0, 1.0) * self.skew_s * 1000)

    def place(self, world: World, device_id: str, rng: random.Random) -> None:
        """Put a device behind a router; it may stand behind another one already."""
        nat = rng.choice(list(Nat)) if self.nat == MIXED else Nat(self.nat)
        if nat is not Nat.NONE:
            world.wire.nats[device_id] = nat
        else:
            world.wire.nats.pop(device_id, None)  # in a world without routers no packet is asked for any

    def options(self) -> str:
        """As the command line has them; nothing for the defaults."""
        usual = Conditions()
        given = {
            "--nat": (self.nat, usual.nat),
            "--turn": (f"{self.turn:g}", f"{usual.turn:g}"),
            "--relays": (str(self.relays), str(usual.relays)),
            "--skew": (f"{self.skew_s:g}", f"{usual.skew_s:g}"),
            "--latency": (f"{self.latency_ms:g}", f"{usual.latency_ms:g}"),
            "--loss": (f"{self.loss:g}", f"{usual.loss:g}"),
        }
        return "".join(f" {name} {value}" for name, (value, default) in given.items() if value != default)
