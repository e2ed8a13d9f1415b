"""The Nostr driver of one network: one task per relay around a `NostrRoom`, which decides (spec 03 §4, §8)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from mesh_common.addresses import relay_address
from myownmesh.protocol.signals import InboundSignal
from myownmesh.signaling.doubts import Doubts
from myownmesh.signaling.nostrroom import NostrRoom
from myownmesh.signaling.pacing import Backoff, seconds_until
from myownmesh.signaling.preload import load
from myownmesh.signaling.relays import (
    FALLBACK_POLL_S,
    FallbackAction,
    all_private,
    fallback_action,
    is_denied,
    is_local,
    problems_by_text,
    select_fallback,
    select_relays,
)
from myownmesh.signaling.sources import RelaySources
from myownmesh.signaling.standing import RelayRecord, State
from myownmesh.signaling.timepiece import Timepiece
from myownmesh.signaling.trouble import Kind, Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.signals import Carried
    from myownmesh.sealing.desk import Desk
    from myownmesh.signaling.gate import ContentGate
    from myownmesh.signaling.room import SignalingSettings
    from myownmesh.signaling.standing import News, RelayReport

log = logging.getLogger(__name__)

OUTAGE_CONNECT_S = 4.0
"""While a relay is away a connection attempt is given up after this: TCP repeats its first packet after 1 and 3 s, then
ever more rarely, and a new attempt asks again at once."""
_NOBODY_THERE = (Kind.UNREACHABLE, Kind.SILENT)

Deliver = Callable[[InboundSignal], None]


class NostrSignaling:
    """Meets the room on every selected relay. Implements `signaling.driver.Signaling`."""

    def __init__(
        self,
        *,
        device_id: str,
        network_id: str,
        app_id: str,
        settings: SignalingSettings,
        now: Callable[[], Instant],
        rng: Rng,
        gate: ContentGate | None = None,
        sources: RelaySources | None = None,
        timepiece: Timepiece | None = None,
        sign: Callable[[bytes], bytes] | None = None,
        desk: Desk | None = None,
    ) -> None:
        """`network_id` is normalised and `device_id` bare; `gate` is shared with the network's other drivers.

        `sign` signs with the identity, to tell another process that has it that we are here. `desk` is the network's;
        without one nothing is signed, and what is sealed is dropped.

        `sources` is told from which address of this machine each relay link goes. `timepiece` is the one of the device,
        which all of its networks share; without it, what is learned of the time stays here, and `now` is steady.
        """
        self._timepiece = timepiece or Timepiece(now, lambda: now().mono)
        self._now = self._timepiece.now
        self._device_id = device_id
        self._primary = select_relays(app_id, settings.servers, settings.redundancy, settings.denylist)
        self._fallback: list[str] = []
        if settings.public_fallback and not all_private(settings.servers):
            self._fallback = select_fallback(self._primary, settings.denylist)
        self._unusable = problems_by_text(settings.servers)
        self._room = NostrRoom(
            device_id=device_id,
            network_id=network_id,
            app_id=app_id,
            listen_only=settings.listen_only,
            rng=rng,
            now=self._now(),
            gate=gate,
            timepiece=self._timepiece,
            sign=sign,
            desk=desk,
        )
        self.on_up: Callable[[], None] = _nobody
        """Called whenever a relay begins to serve us (spec 03 §8.2); whoever runs this may set it."""
        self.on_news: Callable[[News], None] = _tell_nobody
        """Called when a relay begins to be of no use, or serves again; whoever runs this may set it."""
        self._records = {url: self._record(url) for url in (*self._primary, *self._unusable)}
        """Of the relays that are in use, the network's own first."""
        self._sources = sources or RelaySources()
        self.is_offline = False
        """This machine has no network, so what failed waits for `redial`, but for relays on this machine."""
        self._denylist = settings.denylist
        self._adopted: tuple[str, ...] = ()
        """Relays of members, behind the network's own."""
        self._adopted_changed = trio.Event()
        self._redial = trio.Event()
        self._doubts = Doubts()
        self._tick_changed = trio.Event()

    @property
    def relays(self) -> list[str]:
        """The primary relays in use, best first."""
        return list(self._primary)

    @property
    def admitted(self) -> list[str]:
        """The relays that serve us at the moment."""
        return [link.relay for link in self._room.links if link.admitted_at is not None]

    @property
    def is_met_locally(self) -> bool:
        return False

    def report(self) -> list[RelayReport]:
        """How every relay in use serves us at the moment, the network's own first."""
        now = self._now().mono
        return [record.report(now) for record in self._records.values()]

    def publish(self, signal: Carried) -> None:
        self._room.publish(signal, self._now())
        if self._room.leaving:
            self._tick_changed.set()

    def redial(self, *, if_mute: bool = False) -> None:
        if self._room.leaving:
            return
        self._doubts.raise_one()
        if not if_mute:
            self._redial.set()
            self._redial = trio.Event()

    def network_moved(self, *, offline: bool) -> None:
        """What failed waits for `redial` where there is no network."""
        self.is_offline = offline

    def set_pace(self, *, quiet: bool) -> None:
        self._room.set_pace(self._now().mono, quiet=quiet)
        self._tick_changed.set()

    def adopt(self, urls: Sequence[str]) -> None:
        """Use relays of members as well (spec 06 K)."""
        own = {relay_address(url).url for url in self._primary}
        self._adopted = tuple(
            url for url in urls if relay_address(url).url not in own and not is_denied(url, self._denylist)
        )
        self._adopted_changed.set()

    async def run(self, deliver: Deliver, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then every open link gets a Close (at most 0.5 s, all at once)."""
        async with trio.open_nursery() as nursery:
            for url in self._primary:
                nursery.start_soon(self._run_link, url, deliver)
            self._tell_of_unusable_addresses()
            nursery.start_soon(self._run_ticker)
            nursery.start_soon(self._run_adopted, deliver)
            if self._fallback:
                nursery.start_soon(self._run_fallback, deliver)
            task_status.started()

    async def _run_ticker(self) -> None:
        while (due := self._room.next_tick()) is not None:
            self._tick_changed = trio.Event()
            with trio.move_on_after(seconds_until(due, self._now().mono)):
                await self._tick_changed.wait()
            self._room.handle_tick(self._now())

    async def _run_adopted(self, deliver: Deliver) -> None:
        running: dict[str, trio.CancelScope] = {}
        async with trio.open_nursery() as nursery:
            while True:
                self._adopted_changed = trio.Event()
                for url in running.keys() - set(self._adopted):
                    running.pop(url).cancel()
                for url in self._adopted:
                    if url not in running and not self._room.leaving:
                        running[url] = await nursery.start(self._run_links, [url], deliver)
                await self._adopted_changed.wait()  # no deadline: most networks adopt nothing

    async def _run_fallback(self, deliver: Deliver) -> None:
        down_since: float | None = self._now().mono
        active: trio.CancelScope | None = None
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(FALLBACK_POLL_S)
                primary = {*self._primary, *self._adopted}
                live = sum(link.admitted_at is not None for link in self._room.links if link.relay in primary)
                now = self._now().mono
                if live:
                    down_since = None
                elif down_since is None or self.is_offline:
                    down_since = now
                match fallback_action(
                    primary_live=live,
                    fallback_active=active is not None,
                    down_for_s=0.0 if down_since is None else now - down_since,
                ):
                    case FallbackAction.ACTIVATE if not self._room.leaving:
                        log.warning(
                            "no relay of this network answers; using public relays, which see who is in the room"
                        )
                        active = await nursery.start(self._run_links, self._fallback, deliver)
                    case FallbackAction.STAND_DOWN if active is not None:
                        active.cancel()
                        active = None
                    case _:
                        pass

    async def _run_links(
        self, urls: list[str], deliver: Deliver, *, task_status: trio.TaskStatus[trio.CancelScope]
    ) -> None:
        async with trio.open_nursery() as nursery:
            for url in urls:
                nursery.start_soon(self._run_link, url, deliver)
            task_status.started(nursery.cancel_scope)

    async def _run_link(self, url: str, deliver: Deliver) -> None:
        record = self._records.setdefault(url, self._record(url))
        try:
            await self._keep_link(url, record, deliver)
        finally:
            if url not in self._primary:
                del self._records[url]

    def _record(self, url: str) -> RelayRecord:
        return RelayRecord(url, public=url in self._fallback, on_news=self._told, since=self._now().mono)

    async def _keep_link(self, url: str, record: RelayRecord, deliver: Deliver) -> None:
        await load()  # by the first dial: a daemon without networks needs no WebSocket library
        from myownmesh.signaling.link import RelayLink

        address = relay_address(url)
        backoff = Backoff(self._device_id, self._room.handle, url)
        failing = False
        lost_at: float | None = None
        while True:
            redial, doubts = self._redial, self._doubts.raised
            record.connecting(self._now().mono)
            link = RelayLink(
                self._room, url, address, self._timepiece, deliver, lambda: self.on_up(), self._sources, record
            )
            limit_s = None if lost_at is None else OUTAGE_CONNECT_S
            why = await link.run(redial, self._doubts, connect_limit_s=limit_s)
            if link.was_up:
                lost_at = self._now().mono
                backoff.served()
            if redial.is_set() or link.was_mute:
                backoff.reset()
                continue
            if link.was_stable:
                backoff.reset()
                failing = False
            now = self._now().mono
            outage_s = now - lost_at if lost_at is not None and why.kind in _NOBODY_THERE else None
            broke = lost_at is not None and why.kind is Kind.CLOSED  # also while it was being greeted again
            wait_s = backoff.next_wait_ms(outage_s, broke=broke) / 1000
            is_held = self.is_offline and not is_local(address.host)
            record.down(why, now, None if is_held else now + wait_s)
            level = logging.DEBUG if failing else logging.WARNING
            until = "when there is a network" if is_held else f"in {wait_s:.1f} s"
            log.log(level, "relay %s: %s; next try %s", url, why.text, until)
            failing = True
            with trio.move_on_after(math.inf if is_held else wait_s):
                await self._doubts.after(doubts)
                backoff.reset()

    def _tell_of_unusable_addresses(self) -> None:
        now = self._now().mono
        for text, problem in self._unusable.items():
            log.warning("%s; this relay is left out", problem)
            self._records[text].down(Trouble(Kind.ADDRESS, problem), now, None)

    def _told(self, news: News) -> None:
        if news.standing.state in (State.REFUSING, State.SILENT):
            log.warning("%s", news.text)
        self.on_news(news)


def _nobody() -> None:
    """Nobody asked."""


def _tell_nobody(news: News) -> None:
    """Nobody asked."""
