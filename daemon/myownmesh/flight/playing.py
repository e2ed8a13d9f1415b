"""An engine that plays a recording: the same inputs, the same chance, and so the same decisions."""

from __future__ import annotations

import base64
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from myownmesh.engine import Engine, EngineConfig, EngineError, FrameTooLarge
from myownmesh.engine.government import Government
from myownmesh.flight.governed import Governed, command
from myownmesh.flight.graph import BadGraph, Decoder
from myownmesh.flight.recording import BadRecording
from myownmesh.flight.tape import GOVERN, INPUTS
from myownmesh.governance.book import Book
from myownmesh.identity import Identity
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Channel
from myownmesh.protocol.introduction import Introduction
from myownmesh.roster import Roster
from myownmesh.topology.choices import BY_IDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from myownmesh.engine.actions import Action
    from myownmesh.engine.core import Core
    from myownmesh.flight.recording import Recording, Step

_KNOWN: Final = frozenset({*INPUTS, "start", "handle_timer", "receive_frame", "application", GOVERN})
_SOMETHING: Final = encode_frame(Channel(channel="recorded", payload=msgspec.Raw(b"null")))
"""Stands for frames of applications, which are not recorded."""


_SOME_INVITATION: Final = Introduction("0" * 16, "a" * 52)
"""Stands for proofs, which are not recorded."""


class _Drawn:
    """Gives the recorded chance again; what was not drawn then is zeros."""

    def __init__(self) -> None:
        self.left: deque[bytes] = deque()

    def randbytes(self, n: int, /) -> bytes:
        drawn = self.left.popleft() if self.left else b""
        return drawn if len(drawn) == n else bytes(n)


class _Chosen:
    """What shapes chose then, by the ids that the devices really have."""

    def __init__(self) -> None:
        self._homes: dict[str, frozenset[str]] = {}
        self._nearest: deque[str] = deque()

    def go_on(self, step: Step) -> None:
        self._homes |= {spoke: frozenset(homes) for spoke, homes in step.homes.items()}
        self._nearest = deque(step.nearest)

    def homes(self, spoke: str, hubs: Sequence[str], count: int, /) -> frozenset[str]:
        known = self._homes.get(spoke)
        return BY_IDS.homes(spoke, hubs, count) if known is None else known

    def serves(self, hub: str, spoke: str, hubs: Sequence[str], count: int, /) -> bool:
        known = self._homes.get(spoke)
        return BY_IDS.serves(hub, spoke, hubs, count) if known is None else hub in known

    def nearest(self, dest: str, peers: Sequence[str], /) -> str:
        if self._nearest and (known := self._nearest.popleft()) in peers:
            return known
        return BY_IDS.nearest(dest, peers)


class Player:
    """Plays steps one after another. Raises `BadRecording` for what is none of an engine of this release."""

    def __init__(self, recording: Recording) -> None:
        self.now: Instant | None = None
        """Of the last step."""
        self._drawn = _Drawn()
        self._verdicts: deque[bool] = deque()
        self._chosen = _Chosen()
        self.engine = Engine(Identity.from_seed(bytes(32)), "network", EngineConfig(), Roster("network"), self._drawn)
        fresh = self.engine.core
        try:
            core = Decoder().decode(recording.state)
        except BadGraph as error:
            raise BadRecording(f"the state: {error}") from error
        if type(core) is not type(fresh):
            raise BadRecording("the state is none of an engine")
        core.identity, core.rng, core.out, core.verify = fresh.identity, self._drawn, [], self._verify
        core.choices = self._chosen
        core.set_topology(core.topology)
        core.introduce = self._introduce
        core.government = self._government(recording, core)
        self.engine.go_on_as(core)

    def _government(self, recording: Recording, core: Core) -> Government:
        try:
            governed = Decoder().decode(recording.governed)
        except BadGraph as error:
            raise BadRecording(f"what is signed: {error}") from error
        if isinstance(governed, Governed):
            return governed.again(frozenset(recording.good))
        return Government(Book(core.network_id, core.me, configured=core.kind))

    def play(self, step: Step) -> list[Action]:
        """Do one input; what the engine decided."""
        if step.name not in _KNOWN:
            raise BadRecording(f"{step.name} is no input of this release")
        try:
            args = _decoded(step.args)
            options = dict(zip(step.options, _decoded(step.options.values()), strict=True))
        except BadGraph as error:
            raise BadRecording(f"{step.name}: {error}") from error
        self._drawn.left = deque(map(base64.b64decode, step.drawn))
        self._verdicts = deque(step.verdicts)
        self._chosen.go_on(step)
        self.now = next((arg for arg in args if isinstance(arg, Instant)), self.now)
        if step.name == "application":
            peer, epoch, now = args
            self.engine.receive_frame(peer, epoch, _SOMETHING, now)
        elif step.name == GOVERN:
            self._govern(*args)
        else:
            with suppress(EngineError, FrameTooLarge):  # as it was refused then
                getattr(self.engine, step.name)(*args, **options)
        return self.engine.actions()

    def _govern(self, name: str, args: tuple[Any, ...], now: Instant) -> None:
        try:
            command(self.engine.governor, name, args, now)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadRecording(f"{name} is no command of this release") from error

    def _introduce(self, _peer: str, _binding: str) -> Introduction | None:
        return _SOME_INVITATION if self._verdicts and self._verdicts.popleft() else None

    def _verify(self, nonce: str, signer: str, verifier: str, binding: str, signature: str) -> bool:
        return self._verdicts.popleft() if self._verdicts else False


def _decoded(graphs: Iterable[Any]) -> list[Any]:
    return [Decoder().decode(graph) for graph in graphs]
