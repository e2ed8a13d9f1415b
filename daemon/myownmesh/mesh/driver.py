"""Drives one network's switch: its timer, its signaling and the saving of its roster, and who hears of a bug in it."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, ParamSpec

import trio

from myownmesh.engine.moves import Move
from myownmesh.mesh import clock
from myownmesh.mesh.effects import NEVER
from myownmesh.mesh.ports import Outside
from myownmesh.mesh.saver import Saver
from myownmesh.mesh.switch import Switch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mesh_common.events import MeshEvent
    from myownmesh.engine import Engine
    from myownmesh.engine.links import LinkEvent
    from myownmesh.mesh.ports import SessionOpener
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.signals import Carried, InboundSignal, OutboundSignal
    from myownmesh.roster import Roster
    from myownmesh.signaling.driver import Signaling
    from myownmesh.signaling.standing import News, RelayReport
    from myownmesh.transport.session import IceServer, Session, SessionFactory

log = logging.getLogger(__name__)

P = ParamSpec("P")

MAX_EARLY = 1024
"""What the room says while WebRTC loads; announces beyond it are repeated."""


class Driver:
    """Runs one switch against the world: construct, `run` in a nursery, `leave` or `stop` to end it."""

    def __init__(
        self,
        engine: Engine,
        *,
        signaling: Sequence[Signaling],
        ice_servers: Callable[[], tuple[IceServer, ...]],
        save_roster: Callable[[Roster], None],
        on_event: Callable[[MeshEvent], None],
        rng: Rng,
        close: Callable[[OutboundSignal], Carried | None] | None = None,
    ) -> None:
        """`close` puts what goes into the room into the form that it travels in, None where it must not go."""
        self._saver = Saver(lambda: engine.roster, save_roster)
        outside = Outside(
            now=clock.now,
            publish=self._publish,
            redial=self._redial,
            set_pace=self._set_pace,
            save_roster=self._saver.request,
            on_event=on_event,
            wake_at=self._wake_at,
        )
        self.switch = Switch(engine, outside, rng)
        self.ready = trio.Event()
        """Set once WebRTC is loaded and signaling runs: from then on peers can be dialled."""
        self.beside: list[Callable[[], Awaitable[None]]] = []
        """What else runs as long as the network does; whoever makes this may add to it before `run`."""
        self.prepare: Callable[[], Awaitable[None]] | None = None
        """What has to be there before anybody is linked; whoever makes this may set it before `run`."""
        self._signaling = tuple(signaling)
        self._close = close
        self._ice_servers = ice_servers
        self._early: list[Callable[[], None]] | None = []
        """What came before the switch was started; None from then on."""
        self._failure: Exception | None = None
        self._failed = trio.Event()
        self._cancel_scope = trio.CancelScope()
        self._alarm = trio.CancelScope()
        self._alarm_at = NEVER
        self._trio_offset_s = 0.0
        """From our clock to trio's."""

    # ── life ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, factory: Callable[[], Awaitable[SessionFactory]]) -> None:
        """Serve the network until `leave` or `stop`, or cancellation. `factory` is awaited for the session factory.

        A bug in the engine ends this call with its traceback; the sessions are closed in every case.
        """
        try:
            with self._cancel_scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch_for_failure)
                    nursery.start_soon(self._saver.run)
                    for each in self.beside:
                        nursery.start_soon(each)
                    for signaling in self._signaling:  # the way to the relays is walked while WebRTC loads
                        signaling.on_up = self._guarded(self._once_started(self.switch.signaling_is_up))
                        signaling.on_news = self._guarded(self._once_started(self._tell))
                        nursery.start_soon(signaling.run, self._guarded(self._once_started(self._hear)))
                    prepared = trio.Event()
                    nursery.start_soon(self._prepare, prepared)
                    sessions = await factory()
                    await prepared.wait()  # bounded by reading two files
                    self._trio_offset_s = trio.current_time() - clock.now().mono
                    self.switch.start(self._opener(sessions))
                    nursery.start_soon(self._run_timer)
                    early, self._early = self._early or [], None
                    for act in early:
                        act()
                    self.ready.set()
        finally:
            self.stop()
            self._saver.finish()

    async def leave(self) -> None:
        """Announce the departure, let it reach the room and `stop` (spec 04 §1.2)."""
        await trio.sleep(self.switch.leave())
        self.stop()

    def stop(self) -> None:
        """Close every session, fail every call and end `run`."""
        self.switch.stop()
        self._cancel_scope.cancel()

    def network_moved(self, move: Move, detail: dict[str, object]) -> None:
        """This machine's network changed (spec 04 §7.7); `detail` is for the diagnostics."""
        for signaling in self._signaling:
            signaling.network_moved(offline=move is Move.OFFLINE)
        self.switch.network_moved(move, detail)

    def use_relays(self, urls: Sequence[str]) -> None:
        """Meet the room on these relays of members as well."""
        from myownmesh.signaling.driver import UsesRelays  # most networks adopt nothing

        for signaling in self._signaling:
            if isinstance(signaling, UsesRelays):
                signaling.adopt(urls)

    def relays(self) -> list[RelayReport]:
        """How each relay of the network serves it at the moment."""
        return [report for signaling in self._signaling for report in signaling.report()]

    @property
    def is_met_locally(self) -> bool:
        """Whether devices in the local network find this one, and it them, without a relay."""
        return any(signaling.is_met_locally for signaling in self._signaling)

    async def roster_saved(self) -> None:
        """Wait until the roster as it is now is on disk. Raises `MeshError` when it could not be written."""
        await self._saver.flush()

    # ── what the switch asks for ──────────────────────────────────────────────────────────────────────────────────────

    def _opener(self, factory: SessionFactory) -> SessionOpener:
        def open_session(
            *, offerer: bool, on_event: Callable[[LinkEvent], None], on_frame: Callable[[bytes], None]
        ) -> Session:
            return factory.open(
                offerer=offerer,
                ice_servers=self._ice_servers(),
                on_event=self._guarded(on_event),
                on_frame=self._guarded(on_frame),
            )

        return open_session

    async def _prepare(self, done: trio.Event) -> None:
        if self.prepare is not None:
            await self.prepare()
        done.set()

    def _hear(self, signal: InboundSignal) -> None:
        engine = self.switch.engine
        before = engine.twin
        self.switch.receive_signal(signal)
        twin = engine.twin
        if twin is not None and (before is None or before.stands_aside != twin.stands_aside):
            how = "it was here first, so this one stands aside" if twin.stands_aside else "give one of the two its own"
            log.error("another device uses the identity of this one: %s", how)

    def _publish(self, signal: OutboundSignal) -> None:
        carried = signal if self._close is None else self._close(signal)
        if carried is None:
            return
        for signaling in self._signaling:
            signaling.publish(carried)

    def _redial(self, if_mute: bool) -> None:
        if not any(signaling.report() for signaling in self._signaling):
            self.switch.has_no_relays()
        for signaling in self._signaling:
            signaling.redial(if_mute=if_mute)

    def _set_pace(self, quiet: bool) -> None:
        for signaling in self._signaling:
            signaling.set_pace(quiet=quiet)

    def _tell(self, news: News) -> None:
        why = news.standing.why
        detail: dict[str, object] = {"relay": news.url, "state": news.standing.state}
        if why is not None:
            detail |= {"kind": why.kind, "text": why.text}
        self.switch.tell("info" if why is None else "warn", "signaling", news.text, detail)

    def _wake_at(self, second: float) -> None:
        self._alarm_at = second
        self._alarm.deadline = second + self._trio_offset_s

    async def _run_timer(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._alarm_at + self._trio_offset_s) as self._alarm:
                await trio.sleep_forever()
            self._alarm_at = NEVER
            self.switch.handle_timer()

    def _once_started(self, act: Callable[P, None]) -> Callable[P, None]:
        """An input of the room, which may be there before the switch is started."""

        def enter(*args: P.args, **kwargs: P.kwargs) -> None:
            if self._early is None:
                act(*args, **kwargs)
            elif len(self._early) < MAX_EARLY:
                self._early.append(partial(act, *args, **kwargs))

        return enter

    # ── bugs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _guarded(self, act: Callable[P, None]) -> Callable[P, None]:
        """An input that comes from a foreign callback, where an exception would get lost."""

        def enter(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                act(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - carried into our own task, which raises it
                if self._failure is None:
                    self._failure = error
                    self._failed.set()

        return enter

    async def _watch_for_failure(self) -> None:
        await self._failed.wait()  # no deadline: a failure is a bug and may never come
        assert self._failure is not None
        raise self._failure
