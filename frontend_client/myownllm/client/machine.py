"""The client's machine: the one place that decides what the app's mesh state is (spec 08 §5). Pure.

`handle(event, now, wall_ms)` takes what happened and returns what is to be done; `state` is what a person sees;
`next_timer` says when to come again although nothing happens. At most one life runs. A stop, a switch and a lost daemon
end it; a wish to be online, and a new connection, begin the next one. What is left is what was asked for last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.client import advert, asks, claims, leaving, messages, peerlist
from myownllm.client.following import Following
from myownllm.client.hearing import Hearing, refuse
from myownllm.client.life import Life
from myownllm.client.messages import Done, EndWork, Note, Up, Woken
from myownllm.client.procedures import NO_LIFE, Procedures, Until, pause
from myownllm.client.progress import Progress
from myownllm.client.sleep import SleepWatch
from myownllm.client.start import Opening
from myownllm.client.state import Picture
from myownllm.client.sync import Pass
from myownllm.client.upkeep import Upkeep
from myownllm.errors import FAILURES, NoNetworkError, not_connected, stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.client.messages import Command, Event, Link
    from myownllm.client.procedures import Procedure
    from myownllm.client.registry import Claim
    from myownllm.client.start import Offer
    from myownllm.client.state import ClientState
    from myownllm.errors import Failure

RELEASE_BUDGET_S: Final = 3.0
"""Seconds that a stop gives to what it releases (FE-5.23)."""
EXPLAIN_AFTER_S: Final = 8.0
"""A start that takes longer says what it waits for (FE-10.1)."""
START_AGAIN_S: Final = 10.0
"""After a start that failed although its daemon is connected."""

GONE: Final = (ErrorKind.NOT_CONNECTED, ErrorKind.CONNECTION_LOST, ErrorKind.CONNECT_FAILED)
OVERTAKEN_TEXT: Final = "the start was overtaken by a stop or a lost daemon"
CONVERGE_S: Final = 15.0


class Machine:
    """Events in; state and commands out."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._picture = Picture(offer.pin)
        self._procedures = Procedures()
        self._hearing = Hearing(offer.registry, self._picture, self._procedures)
        self._progress = Progress(offer.work, self._picture, self._procedures)
        self._link: Link | None = None
        self._known: Link | None = None
        """the connection before: what is different about the next one is told"""
        self._refusal = ""
        self._wanted = False
        self._life: Life | None = None
        self._lives = 0
        self._starters: list[int] = []
        """tickets of those who want a start while a life is still ending"""
        self._stoppers: list[int] = []
        self._following = Following(self._picture, self._procedures, lambda: self._life, self._switch)
        self._upkeep = Upkeep(
            self._picture, self._procedures, self._following.ask, lambda life: self._end(life, again=True)
        )
        self._sleep = SleepWatch()

    @property
    def state(self) -> ClientState:
        """What a person sees. `rev` grows with every change."""
        return self._picture.state

    def next_timer(self) -> float | None:
        """When to hand in `Woke`, on the clock of `now`; None when nothing is due."""
        return self._procedures.next_timer()

    def handle(self, event: Event, now: float, wall_ms: int) -> list[Command]:
        """Take an event at `now` (monotonic seconds) and `wall_ms` (milliseconds since the epoch)."""
        has_slept = self._sleep.has_slept(now, wall_ms, self._procedures.next_timer())
        self._procedures.now, self._picture.wall_ms = now, wall_ms
        if has_slept and self._life is not None and self._life.stage == "up":
            self._woken(self._life)
        match event:
            case messages.Start(ticket):
                self._start(ticket)
            case messages.Stop(ticket):
                self._stop(ticket)
            case messages.Reconcile(ticket, may_disrupt):
                if self._life is not None:
                    self._life.edited_at = now
                    self._life.may_disrupt = self._life.may_disrupt or may_disrupt
                self._following.ask(ticket)
            case messages.Preview(catalog):
                self._picture.show_active(catalog, "")
            case messages.Connected(link):
                self._connected(link)
            case messages.Disconnected(generation):
                self._disconnected(generation)
            case messages.NotSubscribed(reason):
                self._not_subscribed(reason)
            case messages.Answered(number, answer, error):
                self._procedures.reply(number, answer, error)
            case messages.Arrived(generation, frame):
                if self._link is not None and self._link.generation == generation:
                    self._hearing.take(frame, self._life)
            case messages.Served(order, refusal):
                if self._life is not None and self._life.number == order.life:
                    self._hearing.served(order, refusal, self._life)
            case messages.ClaimsChanged():
                if self._life is not None:
                    self._life.claims_dirty = True
            case messages.Confirm(ticket, claim):
                self._on_network(ticket, lambda life: self._await_claim(life, claim))
            case messages.Converge(ticket):
                self._procedures.begin(self._converge(ticket), NO_LIFE)
            case messages.Rediscover(ticket):
                self._on_network(ticket, self._rediscover)
            case messages.WorkChanged(urgent):
                self._progress.show(urgent=urgent)
            case messages.CapabilitiesChanged():
                if self._life is not None:
                    self._life.advert_changes += 1
            case messages.PeersChanged():
                if self._life is not None:
                    self._life.peers_dirty = True
            case messages.CatalogHeard(peer, entries):
                self._picture.show_conversations(peer, entries)
            case messages.UpdateShown(update):
                self._picture.update(daemon_update=update)
            case messages.Woke():
                pass  # the waits below see that their time has come
            case _:
                assert_never(event)
        self._procedures.settle()
        commands, self._procedures.out = self._procedures.out, []
        return commands

    # ── intents ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, ticket: int) -> None:
        """One run for all who ask (FE-5.4)."""
        self._wanted = True
        life = self._life
        match None if life is None else life.stage:
            case None:
                self._begin().starters.append(ticket)
            case "starting" if life is not None:
                life.starters.append(ticket)
            case "up":
                self._tell(Done(ticket))
            case _:
                self._starters.append(ticket)

    def _stop(self, ticket: int) -> None:
        self._wanted = False
        self._stoppers.append(ticket)
        self._overtaken(self._starters)
        if self._life is None:
            self._stopped()
        else:
            self._end(self._life)

    def _stopped(self) -> None:
        if not self._wanted:
            self._picture.show_nothing()
        for ticket in self._stoppers:
            self._tell(Done(ticket))
        self._stoppers.clear()

    def _overtaken(self, tickets: list[int], text: str = OVERTAKEN_TEXT) -> None:
        error = stopped(text)
        for ticket in tickets:
            self._tell(Done(ticket, error))
        tickets.clear()

    def _on_network(self, ticket: int, work: Callable[[Life], Procedure[Failure | None]]) -> None:
        """Do it in the life that is up or coming up, and tell how it went; the end of the life is an error, too."""
        life = self._life
        if life is None or life.stage == "ending" or (life.stage == "up" and not life.wire_id):
            self._tell(Done(ticket, NoNetworkError() if life is not None else not_connected()))
            return

        def run() -> Procedure[None]:
            yield Until(life.is_started)
            error = yield from work(life)
            life.asking.remove(ticket)
            yield Done(ticket, error)

        life.asking.append(ticket)
        self._procedures.begin(run(), life.number)

    def _await_claim(self, life: Life, claim: Claim) -> Procedure[Failure | None]:
        wanted = self._offer.registry
        yield Until(lambda: life.claimed.get(claim) or claim in life.refused or claim not in wanted.claims)
        return life.refused.get(claim)

    def _rediscover(self, life: Life) -> Procedure[Failure | None]:
        """Look for peers as if the network had just been joined (FE-5.26)."""
        assert life.link is not None
        self._picture.update(is_rediscovering=True)
        try:
            catalog = yield from asks.catalog()
            if (yield from Pass(life.link, (yield from asks.status())).rediscover(life.wire_id, catalog.active)):
                self._procedures.begin(self._rebind(life), NO_LIFE)
            life.peers_dirty = True
        except FAILURES as error:
            return error
        finally:
            self._picture.update(is_rediscovering=False)
        return None

    def _rebind(self, life: Life) -> Procedure[None]:
        yield pause(0)  # whoever asked for it hears of it first
        if self._life is life:
            self._end(life, again=True)

    def _converge(self, ticket: int) -> Procedure[None]:
        """Look at the daemon's networks now; over when a life is up again, or there is none (spec 08 §12 row 30)."""
        life = self._life
        if life is not None and life.stage == "up":
            before, life.recheck = life.looks, True
            yield Until(lambda: life.looks > before or life.stage == "ending", CONVERGE_S)
        yield Until(lambda: self._life is None or self._life.stage == "up", CONVERGE_S)
        yield Done(ticket)

    def _woken(self, life: Life) -> None:
        life.peers_dirty = life.resync = life.recheck = True
        life.advert_changes += 1
        life.published = None
        self._note(Note("info", "this device was asleep: everything is looked up again"))
        self._tell(Woken(life.number))

    # ── the connection ────────────────────────────────────────────────────────────────────────────────────────────────

    def _connected(self, link: Link) -> None:
        before, self._known, self._link = self._known, link, link
        self._refusal = ""
        self._hearing.forget()
        if before is not None and before.daemon_version != link.daemon_version:
            self._note(Note("info", f"daemon is now {link.daemon_version}, was {before.daemon_version}"))
        if before is not None and before.mode != link.mode:
            whose = "shared with another app" if link.mode == "shared" else "this app's own"
            self._note(Note("info", f"the mesh daemon is now {whose}"))
        if before is not None and before.device_id != link.device_id:
            text = f"this device is now {link.device_id}, was {before.device_id}: its peers must approve it anew"
            self._note(Note("warn", text))
        self._picture.update(subscription="live")
        if self._life is None and self._wanted:
            self._begin()
        elif self._life is not None and self._life.stage == "starting" and self._life.link is None:
            self._life.link = link

    def _disconnected(self, generation: int) -> None:
        if self._link is None or self._link.generation != generation:
            return
        self._link = None
        self._picture.update(subscription="disconnected")
        life = self._life
        if life is not None and life.link is not None and life.link.generation == generation:
            self._end(life, again=True)
        if self._wanted:
            self._picture.update(phase="starting")

    def _not_subscribed(self, reason: str) -> None:
        """Nothing can start, and that is shown instead of "joining"."""
        if reason != self._refusal:
            self._refusal = reason
            self._note(Note("warn", reason))
        if self._wanted:
            self._picture.update(phase="error", error=reason)

    # ── a life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> Life:
        self._lives += 1
        life = self._life = Life(self._lives, link=self._link)
        self._picture.update(phase="starting", error="", published=None)
        self._procedures.begin(self._explain(life), life.number)
        self._procedures.begin(self._run(life), life.number)
        return life

    def _run(self, life: Life) -> Procedure[None]:
        try:
            yield from Opening(life, self._offer, self._picture).run()
        except FAILURES as error:
            life.error = error
            self._start_failed(life, error)
            return
        life.stage = "up"
        for ticket in life.starters:
            yield Done(ticket)
        life.starters.clear()
        self._procedures.begin(self._upkeep.run(life), life.number)
        for keep in (
            peerlist.keep(life, self._picture),
            claims.keep(life, self._offer.registry),
            advert.keep(life, self._offer.registry, self._picture, self._offer.app_version),
            leaving.keep_watch(life, self._picture, self._procedures),
        ):
            self._procedures.begin(_until_lost(keep), life.number)
        if life.wire_id:
            self._tell(Up(life.number))
        self._hearing.catch_up(life)

    def _explain(self, life: Life) -> Procedure[None]:
        """Say what a long start waits for, so that "joining" never stands there without a reason."""
        while not life.is_started():
            yield Until(life.is_started, EXPLAIN_AFTER_S)
            operation = self._procedures.longest_ask(life.number)
            if operation is not None and not life.is_started():
                self._picture.update(error=f"the mesh daemon has not answered `{operation}` yet")

    def _start_failed(self, life: Life, error: Failure) -> None:
        if not isinstance(error, ControlError) or error.kind not in GONE:
            self._picture.update(phase="error", error=str(error))
            self._note(Note("error", f"start failed: {error}"))
            self._procedures.begin(self._start_again(life), NO_LIFE)
            self._end(life)
        elif self._refusal:
            self._picture.update(phase="error", error=self._refusal)
            self._end(life)
        else:  # not an error of the app: the supervisor says what it waits for (FE-5.5)
            self._picture.update(phase="starting")
            is_dead = error.kind is ErrorKind.CONNECTION_LOST and self._link is life.link  # `Disconnected` is under way
            self._end(life, again=self._link is not None and not is_dead)

    def _start_again(self, failed: Life) -> Procedure[None]:
        """A start that failed for another reason than the connection is repeated: nothing else would begin it."""
        yield pause(START_AGAIN_S)
        if self._wanted and self._life is None and self._lives == failed.number and self._link is not None:
            self._begin()

    def _end(self, life: Life, *, again: bool = False) -> None:
        """Cut a life off: its work stops at once, what it registered is taken back, then `_ended`."""
        life.again = again
        reachable = life.link is not None and life.link is self._link
        if life.stage == "ending":
            if not reachable:
                self._procedures.drop(-life.number)
                self._ended(life)
            return
        life.stage = "ending"
        self._procedures.drop(life.number)
        self._tell(EndWork(life.number))
        self._overtaken(life.asking, "stopped")
        if reachable and (life.claimed or life.serving):
            self._procedures.begin(self._release(life), -life.number)
            self._procedures.begin(self._end_release(life), -life.number)
        else:
            self._ended(life)

    def _release(self, life: Life) -> Procedure[None]:
        """Tell callers that nobody answers them any more, then give back what was claimed."""
        for order in tuple(life.serving.values()):
            yield from refuse(order.call.request_id, "stopped", streaming=order.method.streaming)
        yield from claims.release_all(life)
        self._ended(life)

    def _end_release(self, life: Life) -> Procedure[None]:
        yield pause(RELEASE_BUDGET_S)
        self._ended(life)

    def _ended(self, life: Life) -> None:
        """The life has left nothing behind; the next one may begin."""
        self._procedures.drop(-life.number)
        self._life = None
        if life.error is None:
            self._overtaken(life.starters)
        for ticket in life.starters:
            self._tell(Done(ticket, life.error))
        if self._stoppers:
            self._stopped()
        if self._wanted and self._starters:
            self._begin().starters.extend(self._starters)
            self._starters.clear()
        elif self._wanted and life.again:
            if self._link is not None:
                self._begin()
            else:
                self._picture.update(phase="starting")

    # ── another network ───────────────────────────────────────────────────────────────────────────────────────────────

    def _switch(self, handle: str | None) -> Procedure[None]:
        """A new life for what is active now; a stop that comes meanwhile has the last word."""
        self._wanted = True
        self._picture.update(handle=handle, phase="starting")  # "online" is about the old network
        old = self._life
        if old is not None:
            self._end(old)
            yield Until(lambda: self._life is not old)
        if not self._wanted:
            return
        self._picture.update(network="", peers=(), recent_ice_failure_at=None)
        new = self._life or self._begin()
        yield Until(new.is_started)
        if new.error is not None:
            yield Note("warn", f"start failed: {new.error}")

    # ── saying things ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, command: Command) -> None:
        self._procedures.out.append(command)

    def _note(self, note: Note) -> None:
        if not (self._picture.quiet and note.level in ("debug", "info")):
            self._tell(note)


def _until_lost(steps: Procedure[None]) -> Procedure[None]:
    """A keeper that ends with its connection: an answer may tell of the loss before `Disconnected` does."""
    try:
        yield from steps
    except ControlError as error:
        if error.kind is not ErrorKind.CONNECTION_LOST:
            raise
