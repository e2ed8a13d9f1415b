"""What members host is asked for, used, kept and given up."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
from msgspec import Raw

from mesh_common.events import PeerApproved, PeerAuthenticated, PeerCapabilitiesChanged, PeerDropped
from mesh_common.views import CapabilityAdvert, DropReason
from myownmesh.mesh.adopting import MOST_HOSTS, PLAUSIBLE_TTL_S, Adopting, Surroundings
from myownmesh.mesh.credentials import Answer, Credential
from myownmesh.store import StoreError
from myownmesh.store.offers_file import OfferRecord
from myownmesh.transport.session import IceServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

BOB, CAROL = "b" * 51 + "a", "c" * 51 + "a"
NET = "home"
NOW = 1_700_000_000
HALF = 6 * 3600.0
TURN = ("turn:198.51.100.7:3478", "turn:198.51.100.7:3478?transport=tcp")
SERVICES: dict[str, Any] = {
    "signaling_url": "ws://198.51.100.7:4848",
    "stun_url": "stun:198.51.100.7:3478",
    "turn_url": TURN[0],
    "turn_urls": TURN,
}
ADVERT = CapabilityAdvert(
    ("service:signaling", "service:stun", "service:turn"), None, None, Raw(msgspec.json.encode({"services": SERVICES}))
)
NOTHING = CapabilityAdvert(("llm",))


class Stage:
    """One network's adopting, with members that are lists here."""

    def __init__(self, kept: Sequence[OfferRecord] = (), *, begins: bool = True) -> None:
        self.linked = {BOB, CAROL}
        self.approved = {BOB}
        self.is_on = True
        self.questions: list[tuple[float, str]] = []
        self.relays: tuple[str, ...] = ()
        self.disk: list[OfferRecord] = [*kept]
        self.writes = 0
        self.refusal: StoreError | None = None
        self.adopting = Adopting(
            load=lambda: self.disk,
            save=self._save,
            is_on=lambda: self.is_on,
            around=Surroundings(
                is_linked=lambda device: device in self.linked,
                distrust=lambda device: None if device in self.approved else "nobody here approved this device",
                reached_at=lambda _: frozenset(),
                post=self._post,
                use_relays=self._use,
            ),
            steady=trio.current_time,
            unix_s=lambda: NOW + int(trio.current_time()),
        )
        if begins:
            self.adopting.begin()

    def _save(self, rows: Sequence[OfferRecord]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.disk, self.writes = [*rows], self.writes + 1

    def _post(self, device: str, payload: Raw) -> None:
        assert bytes(payload) == b'{"v":1,"want":"turn"}'
        self.questions.append((trio.current_time(), device))

    def _use(self, urls: tuple[str, ...]) -> None:
        self.relays = urls

    def comes(self, device: str, advert: CapabilityAdvert = ADVERT) -> None:
        self.adopting.heard_event(PeerAuthenticated(NET, device, "", "", advert))
        self.adopting.heard_event(PeerApproved(NET, device, ""))

    def answers(self, device: str, ttl_s: int = int(2 * HALF), name: str = "1:x") -> None:
        credential = Credential(TURN, name, "word", ttl_s)
        self.adopting.heard(device, Raw(msgspec.json.encode(Answer(turn=(credential,)))))

    def ice(self) -> list[IceServer]:
        return [*self.adopting.ice_servers()]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.adopting.run)
            await trio.sleep(1.0)
            yield
            nursery.cancel_scope.cancel()


async def test_what_an_approved_device_hosts_is_used_and_the_rest_waits(autojump_clock: object) -> None:
    stage = Stage()
    async with stage.open():
        stage.comes(BOB)
        stage.comes(CAROL)
        await trio.sleep(1.0)
        assert stage.relays == ("ws://198.51.100.7:4848",)
        assert stage.ice() == [IceServer(("stun:198.51.100.7:3478",))]
        assert {(each.device_id, each.why) for each in stage.adopting.waiting} == {
            (CAROL, "nobody here approved this device")
        }
        (turn,) = [each for each in stage.adopting.adopted if each.kind == "turn"]
        assert stage.adopting.missing(turn) == "its host has given no password yet"
        assert [device for _, device in stage.questions] == [BOB]
        stage.answers(CAROL)  # nobody asked it
        stage.answers(BOB)
        await trio.sleep(1.0)
        assert stage.ice()[1] == IceServer(TURN, "1:x", "word")
        assert stage.adopting.missing(turn) is None
        assert [(row.device_id, row.kind) for row in stage.disk] == [(BOB, kind) for kind in ("relay", "stun", "turn")]
        assert stage.writes == 1


@pytest.mark.heavy
async def test_passwords_are_renewed_at_half_and_are_worth_nothing_at_their_end(autojump_clock: object) -> None:
    stage = Stage()
    async with stage.open():
        stage.comes(BOB)
        await trio.sleep(1.0)
        stage.answers(BOB)
        asked_at = trio.current_time()
        await trio.sleep(HALF - 10)
        assert len(stage.questions) == 1
        await trio.sleep(20)
        assert len(stage.questions) == 2
        assert abs(stage.questions[1][0] - asked_at - HALF) < 10
        stage.answers(BOB, name="2:x")
        await trio.sleep(1.0)
        assert stage.ice()[1].username == "2:x"
        stage.linked.clear()  # nobody to ask
        await trio.sleep(2 * HALF)
        assert [server.username for server in stage.ice()] == [None]
        assert len(stage.questions) == 2


@pytest.mark.heavy
async def test_who_never_answers_is_asked_seldom(autojump_clock: object) -> None:
    stage = Stage()
    async with stage.open():
        stage.comes(BOB)
        await trio.sleep(3600)
        gaps = [later - earlier for (earlier, _), (later, _) in zip(stage.questions, stage.questions[1:], strict=False)]
        assert min(gaps) >= 10
        assert len(stage.questions) < 12


async def test_a_device_that_was_let_in_again_is_asked_at_once_however_silent_it_was(autojump_clock: object) -> None:
    stage = Stage()
    async with stage.open():
        stage.comes(BOB)
        await trio.sleep(100.0)
        silent = len(stage.questions)
        stage.adopting.heard_event(PeerApproved(NET, BOB, ""))
        await trio.sleep(1.0)
        assert len(stage.questions) == silent + 1


async def test_behind_a_new_link_a_password_is_asked_for_and_the_old_one_used_until_it_comes(
    autojump_clock: object,
) -> None:
    """The host may have removed this device meanwhile, or lost what it made passwords with: it says neither."""
    stage = Stage()
    async with stage.open():
        stage.comes(BOB)
        await trio.sleep(1.0)
        stage.answers(BOB, name="1:x")
        await trio.sleep(100.0)
        assert len(stage.questions) == 1
        stage.adopting.heard_event(PeerDropped(NET, BOB, DropReason("user_left")))
        stage.comes(BOB)
        await trio.sleep(1.0)
        assert len(stage.questions) == 2
        assert stage.ice()[1].username == "1:x"
        stage.answers(BOB, name="2:x")
        await trio.sleep(100.0)
        assert stage.ice()[1].username == "2:x"
        assert len(stage.questions) == 2


async def test_no_password_is_believed_for_longer_than_is_plausible(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PLAUSIBLE_TTL_S == 7 * 86400
    monkeypatch.setattr("myownmesh.mesh.adopting.PLAUSIBLE_TTL_S", 600)
    stage = Stage()
    async with stage.open():
        stage.comes(BOB)
        await trio.sleep(1.0)
        stage.answers(BOB, ttl_s=2**40)
        stage.linked.clear()
        await trio.sleep(590.0)
        assert len(stage.ice()) == 2
        await trio.sleep(20.0)
        assert len(stage.ice()) == 1


async def test_of_a_crowd_of_hosts_sixty_four_are_looked_at_and_who_goes_makes_room(autojump_clock: object) -> None:
    stage = Stage()
    crowd = [f"{number:a>52}" for number in range(MOST_HOSTS + 1)]
    stage.linked = set(crowd)
    async with stage.open():
        for device in crowd:
            stage.comes(device)
        await trio.sleep(1.0)
        assert {each.device_id for each in stage.adopting.waiting} == set(crowd[:-1])
        stage.adopting.heard_event(PeerDropped(NET, crowd[0], DropReason("user_left")))
        stage.comes(crowd[-1])
        await trio.sleep(1.0)
        assert {each.device_id for each in stage.adopting.waiting} == set(crowd[1:])


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"v":1,"turn":[]}', b'{"v":1,"turn":[{"urls":[]}]}', b'{"v":1,"want":"turn"}']
)
async def test_answers_that_say_nothing_are_nothing(answer: bytes, autojump_clock: object) -> None:
    stage = Stage()
    async with stage.open():
        stage.comes(BOB)
        await trio.sleep(1.0)
        stage.adopting.heard(BOB, Raw(answer))
        stage.answers(BOB, ttl_s=0)
        await trio.sleep(1.0)
        assert len(stage.ice()) == 1


async def test_with_the_device_goes_what_it_hosts_and_over_restarts_it_stays(autojump_clock: object) -> None:
    stage = Stage()
    async with stage.open():
        stage.comes(BOB)
        await trio.sleep(1.0)
        stage.adopting.heard_event(PeerDropped(NET, BOB, DropReason("user_left")))
        stage.linked.clear()
        await trio.sleep(1000.0)
        assert stage.relays
    again = Stage(stage.disk)
    again.linked.clear()
    assert again.relays == ("ws://198.51.100.7:4848",)
    assert again.ice() == [IceServer(("stun:198.51.100.7:3478",))]
    async with again.open():
        again.approved.clear()  # removed
        assert again.ice() == []
        await trio.sleep(6.0)
        assert (again.relays, again.disk) == ((), [])


async def test_what_was_kept_is_neither_used_nor_forgotten_before_it_is_known_who_is_trusted(
    autojump_clock: object,
) -> None:
    kept = OfferRecord(device_id=BOB, kind="relay", urls=("ws://198.51.100.7:4848",), seen=NOW)
    stage = Stage([kept], begins=False)
    stage.approved.clear()
    async with stage.open():
        stage.adopting.host("ws://127.0.0.1:4848")
        await trio.sleep(100.0)
        assert (stage.relays, stage.disk, stage.writes) == (("ws://127.0.0.1:4848",), [kept], 0)
        stage.approved = {BOB}
        stage.adopting.begin()
        assert stage.relays == ("ws://127.0.0.1:4848", "ws://198.51.100.7:4848")


async def test_a_network_that_adopts_nothing_uses_nothing(autojump_clock: object) -> None:
    stage = Stage()
    async with stage.open():
        stage.comes(BOB)
        await trio.sleep(1.0)
        stage.is_on = False
        stage.adopting.look_soon()
        await trio.sleep(1.0)
        assert (stage.relays, stage.ice(), stage.adopting.adopted) == ((), [], ())
        assert {each.why for each in stage.adopting.waiting} == {"adopt_services of this network is off"}
        stage.is_on = True
        stage.adopting.look_soon()
        await trio.sleep(1.0)
        assert stage.relays


async def test_where_nobody_hosts_anything_nothing_is_done(autojump_clock: object) -> None:
    stage = Stage()
    async with stage.open():
        stage.comes(BOB, NOTHING)
        stage.adopting.heard_event(PeerCapabilitiesChanged(NET, BOB, NOTHING))
        await trio.sleep(1000.0)
        assert (stage.adopting.waiting, stage.adopting.adopted, stage.writes, stage.ice()) == ((), (), 0, [])


async def test_a_disk_that_refuses_costs_only_what_is_kept(autojump_clock: object) -> None:
    stage = Stage()
    stage.refusal = StoreError("offers: write: no space")
    async with stage.open():
        stage.comes(BOB)
        await trio.sleep(10.0)
        assert stage.relays
    assert stage.disk == []


async def test_the_host_is_at_its_own_relay_too(autojump_clock: object) -> None:
    stage = Stage()
    async with stage.open():
        stage.adopting.host("ws://127.0.0.1:4848")
        assert stage.relays == ("ws://127.0.0.1:4848",)
        stage.comes(BOB)
        await trio.sleep(1.0)
        assert stage.relays == ("ws://127.0.0.1:4848", "ws://198.51.100.7:4848")
        stage.adopting.host(None)
        assert stage.relays == ("ws://198.51.100.7:4848",)
