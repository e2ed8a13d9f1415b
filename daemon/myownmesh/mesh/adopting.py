"""Uses what members of one network host: relays, STUN, TURN (spec 06 K, L, M).

Of devices that a person here approved, and of authorities in closed networks, without asking; all else waits. What is
used is kept over restarts. A network in which nobody hosts anything pays one look at each advert.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
import trio
from msgspec import Struct

from mesh_common.events import PeerApproved, PeerAuthenticated, PeerCapabilitiesChanged, PeerDropped
from myownmesh.mesh import clock
from myownmesh.store import StoreError
from myownmesh.transport.session import IceServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mesh_common.events import MeshEvent
    from mesh_common.views import CapabilityAdvert
    from myownmesh.mesh.offers import Adopted, Adoption, Waiting
    from myownmesh.store.offers_file import OfferRecord

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0
"""How soon what a removed device hosts is used no more."""
PAUSE_S: Final = 0.2
"""Between two looks: adverts of one peer often come together."""
ASK_S: Final = 11.0
"""The host answers once in ten seconds."""
TIRED_AFTER: Final = 3
TIRED_S: Final = 600.0
"""Who has not answered three times (v0.3.8 never does) is asked that seldom."""
MOST_HOSTS: Final = 64
"""Linked devices that advertise a service and are looked at."""
PLAUSIBLE_TTL_S: Final = 7 * 86400


class Surroundings(Struct, frozen=True):
    """What the rest of the network does for this part of it."""

    is_linked: Callable[[str], bool]
    distrust: Callable[[str], str | None]
    """Why what this device hosts waits for a person; None if it does not."""
    reached_at: Callable[[str], frozenset[str]]
    """Addresses at which a linked device is reached."""
    post: Callable[[str, msgspec.Raw], None]
    """Send a frame of the channel `__services__/v1`."""
    use_relays: Callable[[tuple[str, ...]], None]


class Adopting:
    """All services of other members of one network."""

    def __init__(
        self,
        *,
        load: Callable[[], Sequence[OfferRecord]],
        save: Callable[[Sequence[OfferRecord]], None],
        is_on: Callable[[], bool],
        around: Surroundings,
        steady: Callable[[], float] = clock.steady,
        unix_s: Callable[[], int] = lambda: clock.now().wall_ms // 1000,
    ) -> None:
        """`load` and `save` block for a disk access and raise `StoreError`; `is_on`: the network's `adopt_services`."""
        self._save = save
        self._is_on = is_on
        self._around = around
        self._steady = steady
        self._unix_s = unix_s
        self._adverts: dict[str, CapabilityAdvert] = {}
        """Of linked devices that host something."""
        self._passwords: dict[str, _Password] = {}
        self._asked: dict[str, _Asked] = {}
        self._relays: tuple[str, ...] = ()
        self._own_relay: str | None = None
        self._news = trio.Event()
        self._adoption: Adoption | None = None
        """None as long as there never was anything."""
        self._saved: tuple[Adopted, ...] = ()
        self._kept: Sequence[OfferRecord] = ()
        """What the file had; nobody knows before `begin` whom it is trusted of."""
        self._begun = trio.Event()
        try:
            self._kept = load()
        except StoreError as error:
            log.warning("%s", error)

    # ── what is used ──────────────────────────────────────────────────────────────────────────────────────────────────

    def ice_servers(self) -> Iterator[IceServer]:
        """STUN servers, and TURN servers that there is a password for; they come behind the configured ones."""
        if self._adoption is None or not self._is_on():
            return
        for each in self._adoption.adopted:
            if self._around.distrust(each.device_id) is not None:
                continue
            if each.kind == "stun":
                yield IceServer(each.urls)
            elif each.kind == "turn" and (password := self._password(each.device_id)) is not None:
                yield IceServer(each.urls, password.username, password.password)

    @property
    def adopted(self) -> tuple[Adopted, ...]:
        """What is used, in the order of its adoption."""
        return () if self._adoption is None or not self._is_on() else self._adoption.adopted

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What linked devices host besides, and why it is not used."""
        return () if self._adoption is None else self._adoption.waiting

    def missing(self, adopted: Adopted) -> str | None:
        """What an adopted service lacks to be of use at the moment."""
        if adopted.kind == "turn" and self._password(adopted.device_id) is None:
            return "its host has given no password yet"
        return None

    def _password(self, device_id: str) -> _Password | None:
        held = self._passwords.get(device_id)
        return None if held is None or self._steady() >= held.until else held

    # ── what comes in ─────────────────────────────────────────────────────────────────────────────────────────────────

    def heard_event(self, event: MeshEvent) -> None:
        """An event of the network."""
        if isinstance(event, PeerAuthenticated | PeerCapabilitiesChanged):
            self._advertised(event.device_id, event.capabilities)
        elif isinstance(event, PeerApproved):
            if event.device_id in self._adverts:
                self._ask_anew(event.device_id)
                self.look_soon()
        elif isinstance(event, PeerDropped) and self._adverts.pop(event.device_id, None) is not None:
            self.look_soon()

    def _advertised(self, device_id: str, advert: CapabilityAdvert) -> None:
        known = self._adverts.get(device_id)
        if not advert.tags and known is None:
            return
        from myownmesh.mesh.offers import hosts_anything

        if known is None and (not hosts_anything(advert) or len(self._adverts) >= MOST_HOSTS):
            return
        self._adverts[device_id] = advert  # also one that hosts nothing now: a service may be back soon
        self.look_soon()

    def heard(self, device_id: str, payload: msgspec.Raw) -> None:
        """A frame of the channel `__services__/v1`."""
        if device_id not in self._asked:
            return
        from myownmesh.mesh.credentials import read_answer

        answer = read_answer(payload)
        if not answer:
            return
        credential = answer[0]
        ttl_s = min(credential.ttl_s, PLAUSIBLE_TTL_S)
        if ttl_s <= 0:
            return
        now = self._steady()
        self._passwords[device_id] = _Password(credential.username, credential.credential, now + ttl_s / 2, now + ttl_s)
        self._asked[device_id].unanswered = 0
        self.look_soon()

    def look_soon(self) -> None:
        """Somebody was approved or removed, or the record of the network is another one."""
        self._news.set()

    def host(self, relay: str | None) -> None:
        """Members that have no other relay left meet at the one that this device hosts, so it has to be there, too."""
        if relay != self._own_relay:
            self._own_relay = relay
            self._use_relays()

    # ── life ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Use what was kept, before anybody is linked, and once it is known who is an authority."""
        if self._kept:
            from myownmesh.mesh.offers import Adopted, Adoption

            self._adoption = Adoption(
                Adopted(each.device_id, each.kind, each.urls, each.seen)  # type: ignore[arg-type]  # the file's reader knows the kinds
                for each in self._kept
            )
            self._kept, self._saved = (), self._adoption.adopted
            self._apply(self._adoption)
        self._begun.set()

    async def run(self) -> None:
        """Look at what members say, ask for passwords and keep what is used, until cancelled."""
        await self._begun.wait()  # bounded by what goes before the start of the network
        while True:
            news = self._news = trio.Event()
            wait_s = self._look()
            await self._keep()
            with trio.move_on_after(wait_s):
                await news.wait()
            await trio.sleep(PAUSE_S)

    def _look(self) -> float:
        """Returns the seconds until the next look is due if nothing happens."""
        if self._adoption is None:
            if not self._adverts:
                return math.inf
            from myownmesh.mesh.offers import Adoption

            self._adoption = Adoption(())
        self._apply(self._adoption)
        if not self._adoption.adopted:
            return math.inf if not self._adverts else LOOK_S
        now = self._steady()
        return min([LOOK_S, *(self._ask(each.device_id, now) for each in self._adoption.of_kind("turn"))])

    def _apply(self, adoption: Adoption) -> None:
        from myownmesh.mesh.offers import Member, offers_of

        around, is_on = self._around, self._is_on()
        off = "adopt_services of this network is off"
        unix_s = self._unix_s()
        trusted = {each.device_id for each in adoption.adopted if around.distrust(each.device_id) is None}
        adoption.keep_only(trusted if is_on else (), unix_s)
        members = [
            Member(
                device_id,
                offers_of(advert),
                around.reached_at(device_id),
                around.distrust(device_id) if is_on else off,
            )
            for device_id, advert in self._adverts.items()
            if around.is_linked(device_id)
        ]
        adoption.look(members, self._steady(), unix_s)
        hosts = {each.device_id for each in adoption.of_kind("turn")}
        for gone in self._passwords.keys() - hosts:
            del self._passwords[gone]
        self._use_relays()

    def _use_relays(self) -> None:
        adopted = () if self._adoption is None else self._adoption.of_kind("relay")
        own = () if self._own_relay is None or not self._is_on() else (self._own_relay,)
        relays = (*own, *(url for each in adopted for url in each.urls))
        if relays != self._relays:
            self._relays = relays
            self._around.use_relays(relays)

    def _ask_anew(self, device_id: str) -> None:
        """Behind a new link: who was removed and approved again has a password that is worth nothing, as has everybody
        whose host has lost its secret, and neither is told. The one that is held is used until there is another."""
        self._asked.pop(device_id, None)
        held = self._passwords.get(device_id)
        if held is not None:
            self._passwords[device_id] = msgspec.structs.replace(held, renew_at=self._steady())

    def _ask(self, device_id: str, now: float) -> float:
        """Ask for a password if it is time; returns the seconds until it is."""
        held = self._passwords.get(device_id)
        if held is not None and now < held.renew_at:
            return held.renew_at - now
        if not self._around.is_linked(device_id):
            return math.inf
        asked = self._asked.setdefault(device_id, _Asked())
        wait_s = asked.at + (ASK_S if asked.unanswered < TIRED_AFTER else TIRED_S) - now
        if wait_s > 0:
            return wait_s
        from myownmesh.mesh.credentials import Question

        asked.at = now
        asked.unanswered += 1
        self._around.post(device_id, msgspec.Raw(msgspec.json.encode(Question())))
        return ASK_S

    async def _keep(self) -> None:
        if self._adoption is None or self._adoption.adopted == self._saved:
            return
        adopted = self._adoption.adopted
        from myownmesh.store.offers_file import OfferRecord

        rows = [OfferRecord(device_id=e.device_id, kind=e.kind, urls=e.urls, seen=e.seen) for e in adopted]
        try:
            with trio.CancelScope(shield=True):  # bounded by one write of a file
                await trio.to_thread.run_sync(self._save, rows)
        except StoreError as error:
            log.warning("%s", error)  # it is used, and found again after a restart when members say it again
        self._saved = adopted


class _Password(Struct, frozen=True):
    username: str
    password: str
    renew_at: float
    until: float


class _Asked(Struct):
    at: float = -math.inf
    unanswered: int = 0
