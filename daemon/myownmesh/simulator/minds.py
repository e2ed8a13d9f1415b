"""Devices of a closed network that are not ours: those that run v0.3.8, and one that wishes everybody ill.

Their links are our engine's; what they say and believe of governance is the plain reading in `reference_governance`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from myownmesh.governance.sync import FEATURE
from myownmesh.protocol.codec import decode_frame, encode_frame
from myownmesh.protocol.frames import (
    Deny,
    Hello,
    NetworkState,
    NetworkStateAck,
    NetworkStatePropose,
    NetworkStateSplit,
    RosterEntries,
    RosterRequest,
    RosterSummary,
)
from myownmesh.protocol.transitions import RoleGrant
from myownmesh.simulator.node import NETWORK, Node
from myownmesh.simulator.reference_governance import signed_entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine import EngineConfig
    from myownmesh.engine.links import LinkEvent
    from myownmesh.identity import Identity
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.transitions import Transition, Variant
    from myownmesh.simulator.node import Place
    from myownmesh.simulator.reference_governance import ReferenceGovernance
    from myownmesh.simulator.session import FakeSession

LOOK_S: Final = 2.0
ABOUT_GOVERNANCE: Final = (
    Deny,
    NetworkState,
    NetworkStateAck,
    NetworkStatePropose,
    NetworkStateSplit,
    RosterEntries,
    RosterRequest,
    RosterSummary,
)


_read: Final = lru_cache(1024)(decode_frame)
"""The same frame goes to many devices, and each of these looks at it on its way out, on its way in and inside."""


class Muffled:
    """A session over which our engine says nothing of governance, nor that it understands what we added."""

    def __init__(self, session: FakeSession) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def send(self, data: bytes, *order: Any) -> None:
        frame = _read(data)
        if isinstance(frame, Hello):
            features = tuple(each for each in frame.features if each != FEATURE)
            data = encode_frame(msgspec.structs.replace(frame, features=features))
        if not isinstance(frame, ABOUT_GOVERNANCE):
            self._session.send(data, *order)


class OldNode(Node):
    """A device that runs v0.3.8."""

    def __init__(self, world: Place, identity: Identity, config: EngineConfig, mind: ReferenceGovernance) -> None:
        super().__init__(world, identity, config)
        self.mind = mind
        self._greeted: set[str] = set()
        world.clock.after(LOOK_S, self._look)

    def decide(self, variant: Variant) -> None:
        """A person there proposes something; whatever it may decide is in force then."""
        known = f"prop_{int.from_bytes(self.rng.randbytes(8), 'big'):016x}"
        self._tell_all(self.mind.propose(known, variant, self.now().wall_ms // 1000))

    def links(self) -> dict[str, FakeSession]:
        """Open sessions of admitted peers, by their ids."""
        found = {}
        for session in self.sessions():
            owner = self.owner_at(session)
            if owner is not None and session.channel and self.engine.is_linked(owner):
                found[owner] = session
        return found

    def told(self, frame: Frame, sender: str, session: FakeSession) -> None:
        """A frame about governance."""
        for answer in self.mind.hear(frame, sender):
            if session.channel and not session.closed:
                session.send(encode_frame(answer))
        self._tell_all(self.mind.news())

    def _open_session(
        self, *, offerer: bool, on_event: Callable[[LinkEvent], None], on_frame: Callable[[bytes], None]
    ) -> FakeSession:
        def take(data: bytes) -> None:
            frame = _read(data)
            if not isinstance(frame, ABOUT_GOVERNANCE):
                on_frame(data)
                return
            sender = self.owner_at(session)
            if sender is not None and self.running and (isinstance(frame, Deny) or self.engine.is_linked(sender)):
                self.told(frame, sender, session)

        session = super()._open_session(offerer=offerer, on_event=on_event, on_frame=take)
        return Muffled(session)  # type: ignore[return-value]  # all that the switch asks for

    def _tell_all(self, frames: list[Frame]) -> None:
        for session in self.links().values():
            for frame in frames:
                session.send(encode_frame(frame))

    def _look(self) -> None:
        if not self.running:
            return
        links = self.links()
        for device, session in links.items():
            if device not in self._greeted:
                session.send(encode_frame(self.mind.counts()))
            if self.mind.is_evicted(device):
                for proof in self.mind.denial():
                    session.send(encode_frame(proof))
        self._greeted = set(links)
        self.world.clock.after(LOOK_S, self._look)


class HostileNode(OldNode):
    """A member that keeps all it ever heard and shows it again, twisted."""

    def __init__(self, world: Place, identity: Identity, config: EngineConfig, mind: ReferenceGovernance) -> None:
        super().__init__(world, identity, config, mind)
        self._shown: list[Transition] = [*mind.members, *mind.log]
        self._logs: list[tuple[Transition, ...]] = [tuple(mind.log)]

    def told(self, frame: Frame, sender: str, session: FakeSession) -> None:
        if isinstance(frame, RosterEntries):
            self._logs = [*self._logs, *([frame.transitions] if frame.transitions else [])][-20:]
            self._shown = [*self._shown, *frame.member_log, *frame.transitions][-400:]
        super().told(frame, sender, session)

    def _look(self) -> None:
        super()._look()
        links = self.links()
        if self.running and links:
            session = links[self.rng.choice(sorted(links))]
            session.send(encode_frame(self._lie()))

    def _lie(self) -> RosterEntries:
        rng = self.rng
        log = list(rng.choice(self._logs))
        own = signed_entry(NETWORK, self.identity, RoleGrant(self.device_id, "owner"), 0)
        match rng.randrange(5):
            case 0:
                log = log[: rng.randrange(len(log) + 1)]
            case 1:
                log += rng.choices(self._shown, k=2)
            case 2:
                log.insert(rng.choice([0, len(log)]), own)
            case 3:
                log = [self._twisted(each) for each in log]
            case _:
                del log[rng.randrange(len(log))]
        members = [self._twisted(each) for each in rng.choices(self._shown, k=6)]
        vouched = True if rng.random() < 0.5 else msgspec.UNSET
        return RosterEntries((), tuple(log), tuple(members), vouched)

    def _twisted(self, each: Transition) -> Transition:
        now = self.now().wall_ms // 1000
        return msgspec.structs.replace(each, at=self.rng.choice([each.at, now, now + 3000, 0, 2**63]))
