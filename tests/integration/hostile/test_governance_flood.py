"""Governance frames of every kind, full of entries, as fast as a link bears them (spec 02 §14, 24.3 no. 58).

They come from a controller that has gone bad. What it can make the daemon of an owner remember is bounded: behind the
first hundreds the memory stays as it is. An honest device has its link all the while, and what holds is as before.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
import trio

from integration.hostile.test_hostile_peer import echo_works
from integration.hostile.test_rogue_controller import court, members_of, no_signature, said, until_in
from myownmesh.governance.entries import MAX_ENTRY_BYTES
from myownmesh.governance.signed_bytes import denied_bytes, signed_bytes
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import (
    Channel,
    NetworkState,
    NetworkStateAck,
    NetworkStatePropose,
    NetworkStateSplit,
)
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, Split, Transition, UnknownVariant
from support.attacks import ALICE, DAY, NETWORK, NOW, device, entries, signed
from support.probe import identity, probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from myownmesh.protocol.frames import Frame
    from support.daemons import Daemon
    from support.probe import Probe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
LIMIT_S: Final = 380.0
WARM: Final = 600
"""Frames behind which the lists that a peer can fill are full, and the memory of good signatures."""
FRAMES: Final = 1_400
"""In all; thirty thousand entries beside proposals, founders and splits."""
PER_FRAME: Final = 170
"""Entries that a frame has room for."""
PER_SECOND: Final = 45
BEHIND_IT: Final = device(8000)
ANSWERS_S: Final = 10.0
"""A thousand times what it takes: whoever held the loop for all that is sent would not be done by then."""
MAX_GROWTH_MB: Final = 10.0
"""For more again than filled those lists: 5, and 32 where what waits has no bound."""


class Flood:
    """Frames, none of which any honest device would send, and nearly each of which is new."""

    def __init__(self, owner: str, rogue: Identity) -> None:
        self._rng = Random(15)
        self._owner = owner
        self._rogue = rogue
        self._known = members_of(owner, rogue)

    def frames(self) -> Iterator[bytes]:
        while True:
            for frame in self._round():
                yield encode_frame(frame)
            yield from self._broken()

    def _broken(self) -> Iterator[bytes]:
        """What is no frame, is one in part, is longer than may be, and what only a later release understands."""
        rng, rogue = self._rng, self._rogue
        number = rng.randrange(1 << 16)
        whole = encode_frame(entries(members=self._known[:20]))
        yield whole[: rng.randrange(1, len(whole))]
        yield whole.replace(b'"at":', b'"at":-', 1)
        yield b'{"kind":"network_state_propose","variant":[%d]}' % number
        name = f"later-{number}"
        text = b'{"kind":"%b","x":"%b"}' % (name.encode(), b"x" * MAX_ENTRY_BYTES)
        longer = Transition(NOW, UnknownVariant(name, text), (rogue.device_id,), (no_signature(number),))
        yield encode_frame(entries(log=[longer], members=[longer]))
        split = Split(name, tuple(base32.encode(rng.randbytes(32)) for _ in range(1000)))
        yield encode_frame(entries(log=[signed(KindChange("closed"), ALICE, at=NOW - 9000), signed(split, rogue)]))
        yield encode_frame(entries(members=[self._of_later_release(each) for each in range(number, number + 15)]))

    def _of_later_release(self, number: int) -> Transition:
        variant = UnknownVariant("later", b'{"kind":"later","x":%d}' % number)
        return Transition(NOW, variant, (self._rogue.device_id,), (no_signature(number & 0xFFFF),))

    def _round(self) -> Iterator[Frame]:
        rng, rogue = self._rng, self._rogue
        stranger = Identity.from_seed(rng.randbytes(32))
        number = rng.randrange(1 << 16)
        grant = RoleGrant(base32.encode(rng.randbytes(32)), "owner")
        yield entries(members=[each for _ in range(15) for each in self._junk(stranger)])
        # What waits for its time, and what waits for its signer: as many as a frame holds.
        later = [self._of_the_day_after_tomorrow() for _ in range(PER_FRAME)]
        yield entries(members=later)
        unknown = RoleGrant(grant.target, "member")
        yield entries(members=[signed(unknown, stranger, at=NOW + each) for each in range(PER_FRAME)])
        # What only an owner may do; founders; proposals; words about proposals; splits.
        yield entries(log=[signed(KindChange("closed"), ALICE, at=NOW - 9000), signed(grant, rogue)])
        yield entries(log=[signed(KindChange("closed"), stranger, at=NOW - 9000 + number)])
        name = f"prop_{number}"
        proposed = base32.encode(rogue.sign(signed_bytes(NETWORK, grant)))
        yield NetworkStatePropose(name, grant, rogue.device_id, NOW, proposed)
        yield NetworkStatePropose(name, grant, stranger.device_id, NOW, proposed)
        denied = base32.encode(rogue.sign(denied_bytes(NETWORK, name, rogue.device_id)))
        yield NetworkStateAck(name, rogue.device_id, "deny", NOW, denied)
        split = Split(f"split-{number}", (rogue.device_id, grant.target))
        said = base32.encode(rogue.sign(signed_bytes(NETWORK, split)))
        yield NetworkStateSplit(name, split.new_network_id, split.members, rogue.device_id, NOW, said)
        # That everything is different here.
        yield NetworkState("closed", number, number, grant.target)

    def _of_the_day_after_tomorrow(self) -> Transition:
        member = RoleGrant(base32.encode(self._rng.randbytes(32)), "member")
        return signed(member, self._rogue, at=NOW + 2 * DAY)

    def _junk(self, stranger: Identity) -> Iterator[Transition]:
        """Member entries that change nothing for good."""
        rng, rogue = self._rng, self._rogue
        number = rng.randrange(1 << 16)
        member = RoleGrant(base32.encode(rng.randbytes(32)), "member")
        admitted = self._of_the_day_after_tomorrow()
        yield admitted  # held
        yield signed(member, rogue, at=(1 << 63) + number)
        yield signed(member, stranger)
        yield Transition(NOW, member, (rogue.device_id,), (admitted.signatures[0].upper(),))
        yield Transition(
            NOW, member, tuple(base32.encode(rng.randbytes(32)) for _ in range(9)), admitted.signatures * 9
        )
        yield rng.choice(self._known)
        if number % 15 == 0:  # more of them, and nothing else of it would be looked at
            yield Transition(NOW, Evict(self._owner), (ALICE.device_id,), (no_signature(number),))


async def pour(owner: Daemon, peer: Probe, flood: Iterator[bytes], count: int) -> None:
    """So many frames, as fast as a peer may send them that does not lose its link."""
    beginning = trio.current_time()
    for number in range(count):
        peer.send_bytes(next(flood))
        await trio.sleep_until(beginning + number / PER_SECOND)
    taken = await app_frames(owner)
    peer.send(Channel("flood", msgspec.Raw(b"null")))
    while await app_frames(owner) == taken:
        await trio.sleep(0.01)


async def answers(owner: Daemon) -> None:
    """Ask for the status again and again; every time the answer is there soon enough for a person."""
    control = await owner.control()
    while True:
        with trio.fail_after(ANSWERS_S):
            await control.ask("status")
        await trio.sleep(0.1)


async def app_frames(owner: Daemon) -> int:
    found: int = (await owner.ask("networks_list"))["networks"][0]["traffic"]["app_rx"]["frames"]
    return found


async def test_memory_is_flat_under_governance_frames_of_every_kind(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with court(tmp_path) as (owner, peer, relay):
            honest = identity(5, above=owner.device_id)
            await owner.ask("governance_propose_role_grant", network=NETWORK, target=honest.device_id, role="member")
            async with probe(NETWORK, relay, honest) as friend:
                friend.only = owner.device_id
                await friend.become_active()
                before = await said(owner)
                flood = Flood(owner.device_id, peer.identity).frames()
                await pour(owner, peer, flood, WARM)
                warm = owner.memory_mb()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(answers, owner)
                    for _ in range(4):
                        await pour(owner, peer, flood, (FRAMES - WARM) // 4)
                        await echo_works(owner, friend)
                    nursery.cancel_scope.cancel()
                # What anybody says of it now is heard: nothing of all that keeps others from their turn.
                friend.send(entries(members=[signed(RoleGrant(BEHIND_IT, "member"), ALICE)]))
                await until_in(owner, BEHIND_IT, friend)
                assert owner.memory_mb() - warm < MAX_GROWTH_MB
                assert friend.closed is None
                assert peer.closed is None
                roles, evicted = await said(owner)
                assert (roles, evicted) == (before[0] | {BEHIND_IT: "member"}, before[1])
