"""How each relay of a network serves it at the moment, and since when: for `networks_list` and the trace (05 §7.3)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from mesh_common.views import RelayRefusal, RelayRow, RelayTrouble
from myownmesh.protocol.tokens import TokenBucket
from myownmesh.signaling.trouble import Trouble

_NEWS_BURST = 6.0
_NEWS_PER_S = 0.05
"""A relay that changes its mind all the time is told of three times a minute; what it is like then can be asked."""


class State(StrEnum):
    CONNECTING = "connecting"
    """Dialled, or connected and not admitted yet (spec 03 §8.2)."""
    UP = "up"
    REFUSING = "refusing"
    """Admitted, and it turns down what we publish or what we subscribe to."""
    SILENT = "silent"
    """Admitted, and it neither confirms nor delivers what we publish."""
    DOWN = "down"
    """No connection; the next try is being waited for."""


class Standing(Struct, frozen=True):
    state: State
    why: Trouble | None = None
    """What keeps it from being up; None when nothing is known yet."""


class RelayReport(Struct, frozen=True):
    """One relay as a local client is told of it; times in milliseconds before and after now."""

    url: str
    public: bool
    """One of the public relays that stand in for the network's own (spec 03 §4.3)."""
    standing: Standing
    since_ms: int
    refusal: Trouble | None
    """What it refused last, however well it serves now."""
    refused_ms: int | None
    retry_in_ms: int | None

    def row(self) -> RelayRow:
        """As `networks_list` shows it (spec 05 §7.3)."""
        why, refusal = self.standing.why, self.refusal
        return RelayRow(
            self.url,
            self.public,
            self.standing.state,
            self.since_ms,
            None if why is None else RelayTrouble(why.kind, why.text),
            None if refusal is None else RelayRefusal(refusal.kind, refusal.text, self.refused_ms),
            self.retry_in_ms,
        )


class News(Struct, frozen=True):
    """A relay began to be of no use, or serves again."""

    url: str
    standing: Standing

    @property
    def text(self) -> str:
        if self.standing.why is None:
            return f"relay {self.url} serves this network"
        return f"relay {self.url} is {self.standing.state}: {self.standing.why.text}"


OnNews = Callable[[News], None]


class RelayRecord:
    """What is known of one relay, over all links to it."""

    def __init__(self, url: str, *, public: bool, on_news: OnNews, since: float) -> None:
        self.url = url
        self.public = public
        self._on_news = on_news
        self._since = since
        self._standing = Standing(State.CONNECTING)
        self._told: Standing | None = None
        self._refusal: Trouble | None = None
        self._refused_at = 0.0
        self._retry_at: float | None = None
        self._allowance = TokenBucket(_NEWS_PER_S, _NEWS_BURST, since)

    def connecting(self, now: float) -> None:
        """A dial begins. What was wrong last time stays the reason until it is known better."""
        self._retry_at = None
        self._take(Standing(State.CONNECTING, self._standing.why), now)

    def links(self, standing: Standing, refusal: Trouble | None, now: float) -> None:
        """The link says this of itself; `refusal` is the last one on it."""
        if refusal is not None and refusal is not self._refusal:
            self._refusal, self._refused_at = refusal, now
        if standing.state is State.CONNECTING and standing.why is None:
            standing = Standing(State.CONNECTING, self._standing.why)
        self._take(standing, now)

    def down(self, why: Trouble, now: float, retry_at: float | None) -> None:
        """No connection until `retry_at`; None: never again."""
        self._retry_at = retry_at
        self._take(Standing(State.DOWN, why), now)

    def report(self, now: float) -> RelayReport:
        return RelayReport(
            url=self.url,
            public=self.public,
            standing=self._standing,
            since_ms=_ms(now - self._since),
            refusal=self._refusal,
            refused_ms=None if self._refusal is None else _ms(now - self._refused_at),
            retry_in_ms=None if self._retry_at is None else _ms(self._retry_at - now),
        )

    def _take(self, standing: Standing, now: float) -> None:
        if standing.state is not self._standing.state:
            self._since = now
        self._standing = standing
        if standing.state is not State.CONNECTING and self._is_news(standing) and self._allowance.take(now):
            self._told = standing
            self._on_news(News(self.url, standing))

    def _is_news(self, standing: Standing) -> bool:
        if self._told is None or standing.why is None or self._told.why is None:
            return self._told is None or standing.why is not self._told.why
        return (standing.state, standing.why.kind) != (self._told.state, self._told.why.kind)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
