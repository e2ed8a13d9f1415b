"""What is said on one relay socket, without the socket (spec 03 §7.2, §8): one `Conversation` per open WebSocket.

The trio side feeds it texts and time and sends what it puts out. It never waits and never fails: a relay that
misbehaves only makes it end.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from msgspec import Struct

from myownmesh.protocol.clock import Instant
from myownmesh.protocol.tokens import TokenBucket
from myownmesh.signaling import relayframes as frames
from myownmesh.signaling.nostr import KIND_PRESENCE
from myownmesh.signaling.outbound import PacedQueue, Urgency
from myownmesh.signaling.receive import LIES, PRESENCE_WINDOW_S, Dropped
from myownmesh.signaling.standing import Standing, State
from myownmesh.signaling.trouble import Kind, Trouble, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.signaling.membership import Membership
    from myownmesh.signaling.outbound import Outbound

ADMISSION_WITHOUT_EOSE_S = 5.0
REPLAY_LIMIT_S = 5.0
STABLE_AFTER_S = 10.0
_NARROW_AGAIN_S = 10.0
"""A peer that flips its caps must not make us subscribe and unsubscribe at its pace."""
_MAX_REFUSALS = 3
_MAX_UNANSWERED = 512
_RATE_LIMIT_PAUSE_S = 1.0
_MAX_RATE_LIMIT_PAUSE_S = 8.0
_ANNOUNCE_PAUSE_S = 5.0
_MAX_ANNOUNCE_PAUSE_S = 60.0
ANSWER_WITHIN_S = 10.0
"""By then a relay has confirmed what we published, or told us of it as of anything in the room; slow ones take 5 s."""
_HEARS_NOTHING = "it is connected and does not answer"
_CONFIRMS_NOTHING = "it takes what this device publishes and neither confirms nor delivers it"

# What a relay may make us read: a replay at once, then a rate that costs a few percent of a core.
_INBOUND_BURST = 2000.0
_INBOUND_PER_S = 400.0
_BYTES_PER_TOKEN = 1024
_LIE_TOKENS = 20.0


class Subscription(Struct):
    """One of our three subscriptions on this relay."""

    sub: str
    limited: bool = True
    open: bool = False
    refusals: int = 0
    refusal: Trouble | None = None
    ask_again_at: float | None = None
    replaying_since: Instant | None = None
    """When it was asked for, until its EOSE: the relay may still be telling what it has stored for it."""


class Conversation:
    """One link, from the WebSocket upgrade to its end."""

    def __init__(self, member: Membership, relay: str, now: Instant) -> None:
        self._member = member
        self.relay = relay
        self._out: deque[str] = deque()
        self._queue = PacedQueue(now.mono)
        self._unanswered: OrderedDict[str, Outbound] = OrderedDict()
        self._inbound = TokenBucket(_INBOUND_PER_S, _INBOUND_BURST, now.mono)
        self._pause_s = _RATE_LIMIT_PAUSE_S
        self._announce_pause_s = _ANNOUNCE_PAUSE_S
        self._subs = {sub: Subscription(sub) for sub in (frames.SUB_PRESENCE, frames.SUB_TAGGED, frames.SUB_CATCH_ALL)}
        self._asked_at = now
        self._narrow_not_before = now.mono
        self._refused = False
        self._asked_the_room = False
        """What time it is, by what the relay has stored."""
        self._refused_kinds: dict[int, Trouble] = {}
        """By event kind, what the relay said of the last event when it turned it down."""
        self._notice: Trouble | None = None
        self._waits_since: float | None = None
        """Since when something published is neither confirmed nor delivered."""
        self._again: tuple[float, Outbound] | None = None
        """The announce to repeat, and when."""
        self._ping_unanswered = False
        self._heard = False
        """The relay has said something that admits a link."""
        self.last_refusal: Trouble | None = None
        """Of whatever kind, in the words of the relay."""
        self.admitted_at: float | None = None
        self.ended: str | None = None
        """Why the link is to be closed, once it is."""
        self.dropped: dict[Dropped, int] = {}
        self.on_output: Callable[[], None] = _nobody
        """Called whenever there is something new to send or another timer; the trio side sets it."""

    # ── what the trio side calls ──────────────────────────────────────────────────────────────────────────────────────

    def open(self, now: Instant) -> None:
        """Subscribe before anything else, then announce: whoever answers finds us listening."""
        self._asked_at = now
        for sub in self._subs:
            if sub != frames.SUB_TAGGED or self._member.tags_accepted_by(self.relay):
                self._ask(sub, now)
        announce = self._member.announce_on(self.relay, now)
        if announce is not None:
            self.send(announce)

    def send(self, outbound: Outbound) -> None:
        self._queue.put(outbound)
        self.on_output()

    def discard_queue(self) -> None:
        self._queue.clear()

    def receive(self, text: str, now: Instant) -> InboundSignal | None:
        """Take one text frame; return the signal that it carried for the engine, if any."""
        self._inbound.force(now.mono, 1 + len(text) / _BYTES_PER_TOKEN)
        match frames.decode_relay_frame(text):
            case frames.EventFrame(event):
                self._heard = True
                self._admit(now)
                return self._receive_event(event, now)
            case frames.EoseFrame(sub):
                self._replayed(sub)
                self._heard = True
                self._admit(now)
            case frames.OkFrame(event_id, accepted, reason):
                self._answered(event_id, accepted, reason, now)
            case frames.ClosedFrame(sub, reason):
                self._closed(sub, reason, now)
            case frames.NoticeFrame() as notice:
                self._noticed(notice, now)
            case _:
                pass
        return None

    def read_again_at(self, now: float) -> float:
        """A relay that floods is read no faster than this allows; its own socket fills, nobody else waits."""
        return self._inbound.ready_at(now)

    def take_output(self, now: Instant) -> list[str]:
        """The texts to send now, in order."""
        texts = list(self._out)
        self._out.clear()
        while (outbound := self._queue.take(now.mono)) is not None:
            event = outbound.for_relay(tagged=self._member.tags_accepted_by(self.relay), key=self._member.key)
            self._unanswered[event.id] = outbound
            if self._waits_since is None:
                self._waits_since = now.mono
            if len(self._unanswered) > _MAX_UNANSWERED:
                self._unanswered.popitem(last=False)
            texts.append(frames.encode_event_frame(event))
        return texts

    def next_timer(self, now: float) -> float | None:
        times = [sub.ask_again_at for sub in self._subs.values()]
        times.append(self._queue.ready_at(now))
        if self._may_be_admitted_by_silence:
            times.append(self._asked_at.mono + ADMISSION_WITHOUT_EOSE_S)
        if self._again is not None:
            times.append(self._again[0])
        if self._waits_since is not None and now < self._waits_since + ANSWER_WITHIN_S:
            times.append(self._waits_since + ANSWER_WITHIN_S)
        if self._wants_narrowing():
            times.append(self._narrow_not_before)
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: Instant) -> None:
        if self._may_be_admitted_by_silence and now.mono >= self._asked_at.mono + ADMISSION_WITHOUT_EOSE_S:
            self._admit(now)
        if self._again is not None and now.mono >= self._again[0]:
            outbound, self._again = self._again[1], None
            if not self._member.leaving:
                self.send(outbound)
        for sub in self._subs.values():
            if sub.ask_again_at is not None and now.mono >= sub.ask_again_at:
                self._ask(sub.sub, now)
        self.fit_catch_all(now)

    def pinged(self) -> None:
        """A WebSocket ping went out: until its answer, silence is no sign of a relay that serves."""
        self._ping_unanswered = True

    def ponged(self) -> None:
        self._ping_unanswered = False
        self.on_output()

    def standing(self, now: Instant) -> Standing:
        """How the relay serves us on this link."""
        why = self._trouble(now)
        if self.admitted_at is None:
            return Standing(State.CONNECTING, why or self.last_refusal)
        if why is None:
            return Standing(State.UP)
        return Standing(State.SILENT if why.kind is Kind.SILENT else State.REFUSING, why)

    def is_stable(self, now: float) -> bool:
        """Admitted long enough that its end is no reason to wait longer before the next dial."""
        return self.admitted_at is not None and now - self.admitted_at >= STABLE_AFTER_S

    def fit_catch_all(self, now: Instant) -> None:
        """Open or close the third subscription as the room demands (spec 03 §7.1)."""
        catch_all = self._subs[frames.SUB_CATCH_ALL]
        if self._wants_narrowing():
            if now.mono >= self._narrow_not_before:
                catch_all.open = False
                self._narrow_not_before = now.mono + _NARROW_AGAIN_S
                self._out.append(frames.encode_close(catch_all.sub))
                self.on_output()
        elif not catch_all.open and catch_all.ask_again_at is None and self._needs_catch_all():
            self._ask(catch_all.sub, now)

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _needs_catch_all(self) -> bool:
        return self._member.needs_catch_all or not self._member.tags_accepted_by(self.relay)

    def _wants_narrowing(self) -> bool:
        return self._subs[frames.SUB_CATCH_ALL].open and not self._needs_catch_all()

    def _ask(self, sub: str, now: Instant) -> None:
        subscription = self._subs[sub]
        subscription.open, subscription.ask_again_at = True, None
        subscription.replaying_since = now
        match sub:
            case frames.SUB_PRESENCE:
                asks = self._member.timepiece.may_ask_the_room
                since_s = None if asks else now.wall_ms // 1000 - PRESENCE_WINDOW_S
                text = frames.presence_request(self._member.handle, since_s, limited=subscription.limited)
            case frames.SUB_TAGGED:
                text = frames.tagged_request(self._member.handle, self._member.device_id, limited=subscription.limited)
            case _:
                text = frames.catch_all_request(self._member.handle, limited=subscription.limited)
        self._out.append(text)
        self.on_output()

    @property
    def _may_be_admitted_by_silence(self) -> bool:
        """Nobody refused anything, and the other end is alive (spec 03 §23-O)."""
        return self.admitted_at is None and not self._refused and not self._ping_unanswered

    def _trouble(self, now: Instant) -> Trouble | None:
        for subscription in self._subs.values():
            asked = subscription.replaying_since
            answered = asked is None or now.mono - asked.mono >= ADMISSION_WITHOUT_EOSE_S
            if subscription.refusal is not None and (subscription.ask_again_at is not None or not answered):
                return subscription.refusal
        if self._refused_kinds:
            return next(reversed(self._refused_kinds.values()))
        if self._ping_unanswered and self.admitted_at is None:
            return Trouble(Kind.SILENT, _HEARS_NOTHING)
        silent = self.admitted_at is not None and not self._heard
        if silent or (self._waits_since is not None and now.mono - self._waits_since >= ANSWER_WITHIN_S):
            return self._notice or Trouble(Kind.SILENT, _CONFIRMS_NOTHING)
        return None

    def _noticed(self, notice: frames.NoticeFrame, now: Instant) -> None:
        self._notice = refusal(notice.text)
        if self.admitted_at is None:
            # Instead of an answer to what we asked: whoever serves us confirms or delivers something besides.
            self._refused = True
            self.last_refusal = self._notice
        if notice.rejects:
            self._refused = True
            self.last_refusal = self._notice
            self.ended = "the relay refuses us: too many connections"

    def _admit(self, now: Instant) -> None:
        if self.admitted_at is None:
            self.admitted_at = now.mono
            sent = set(self._unanswered.values())
            for outbound in self._member.unconfirmed(now):
                if outbound not in sent and outbound not in self._queue:
                    self._queue.put(outbound)
            self.on_output()

    def _receive_event(self, event: Raw, now: Instant) -> InboundSignal | None:
        outcome = self._member.hear(event, now, self._replaying_since(now))
        if isinstance(outcome, Dropped):
            self.dropped[outcome] = self.dropped.get(outcome, 0) + 1
            if outcome is Dropped.OWN_ECHO:
                self._waits_since = None
            if outcome in LIES:
                self._inbound.force(now.mono, _LIE_TOKENS)
            return None
        self._waits_since = None
        return outcome

    def _replaying_since(self, now: Instant) -> int | None:
        """Unix second of the oldest request whose stored events may still be on their way; None when all are here."""
        asked = [sub.replaying_since for sub in self._subs.values() if sub.replaying_since is not None]
        # By the clock of now: what the relay told since then may have corrected it.
        ages_s = (age for at in asked if (age := now.mono - at.mono) < REPLAY_LIMIT_S)
        return None if (oldest := max(ages_s, default=None)) is None else int(now.wall_ms / 1000 - oldest)

    def _replayed(self, sub: str | None) -> None:
        """The relay has told what it had. A relay that names no subscription of ours means all of them."""
        known = None if sub is None else self._subs.get(sub)
        for subscription in self._subs.values() if known is None else (known,):
            subscription.replaying_since = None

    def _answered(self, event_id: str | None, accepted: bool, reason: str, now: Instant) -> None:
        outbound = None if event_id is None else self._unanswered.pop(event_id, None)
        self._waits_since = None
        if accepted or reason.startswith("duplicate:"):
            self._heard = True
            self._admit(now)
            self._pause_s = _RATE_LIMIT_PAUSE_S
            if outbound is not None:
                if outbound.event.kind == KIND_PRESENCE:
                    self._again, self._announce_pause_s = None, _ANNOUNCE_PAUSE_S
                self._refused_kinds.pop(outbound.event.kind, None)
                self._member.confirmed(outbound)
            return
        if outbound is None:
            return
        if _refused_for_tag(reason) and outbound.event.id == event_id and outbound.event.tag_values("p"):
            # Some relays take every `p` value for a Nostr key (spec 03 §23-A); ours are device ids.
            self._member.tags_refused_by(self.relay)
            self.fit_catch_all(now)
            self.send(outbound)
            return
        self._refused = True
        why = self.last_refusal = refusal(reason)
        self._refused_kinds.pop(outbound.event.kind, None)
        self._refused_kinds[outbound.event.kind] = why
        if why.kind is Kind.CLOCK:
            self._stamp_refused(now)
        if why.kind is Kind.RATE_LIMITED:
            if outbound.urgency is not Urgency.AT_ONCE:
                self._queue.put_back(outbound, now.mono + self._pause_s)
                self._pause_s = min(self._pause_s * 2, _MAX_RATE_LIMIT_PAUSE_S)
            elif outbound.event.kind == KIND_PRESENCE:
                # It does not wait in the queue, and the next one may be two minutes away.
                self._again = (now.mono + self._announce_pause_s, outbound)
                self._announce_pause_s = min(self._announce_pause_s * 2, _MAX_ANNOUNCE_PAUSE_S)
        self.on_output()

    def _stamp_refused(self, now: Instant) -> None:
        """Our clock is not the relay's. If it has told its own, what comes next is stamped by that."""
        timepiece = self._member.timepiece
        timepiece.stamp_refused()
        if timepiece.may_ask_the_room and not self._asked_the_room:
            self._asked_the_room = True
            self._ask(frames.SUB_PRESENCE, now)

    def _closed(self, sub: str | None, reason: str, now: Instant) -> None:
        subscription = None if sub is None else self._subs.get(sub)
        if subscription is None or not subscription.open:
            return
        subscription.open = False
        if subscription.sub == frames.SUB_TAGGED and "bad req" in reason.lower():
            self._member.tags_refused_by(self.relay)
            self.fit_catch_all(now)
        elif subscription.limited and (subscription.sub != frames.SUB_PRESENCE or _may_mean_the_form(reason)):
            subscription.limited = False
            self._ask(subscription.sub, now)
        else:
            self._refused = True
            subscription.refusals += 1
            why = subscription.refusal = self.last_refusal = refusal(reason)
            if subscription.refusals >= _MAX_REFUSALS:
                self.ended = f"the relay refuses the subscription {subscription.sub}: {why.text}"
            subscription.ask_again_at = now.mono + min(2.0**subscription.refusals, 60.0)
            self.on_output()


def _may_mean_the_form(reason: str) -> bool:
    """Whether a relay that turns a subscription down may mind that it has two filters, or a `limit` of 0."""
    return refusal(reason).kind in (Kind.INVALID, Kind.ERROR)


def _refused_for_tag(reason: str) -> bool:
    """Whether a relay that turns an event down means one of its tags."""
    return "tag" in reason.lower() and not reason.startswith("rate-limited:")


def _nobody() -> None:
    """Nobody listens yet."""
