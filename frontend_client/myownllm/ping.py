"""What a row of pings to a device says: the path, the round trips, what was lost."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh_common.answers import ServiceOffer
    from mesh_common.views import TurnPath

Outcome = Literal["direct", "relayed", "silent"]

EXIT_CODES: Final[dict[Outcome, int]] = {"direct": 0, "relayed": 4, "silent": 5}
"""The last answer came over a direct path; over TURN, for as long as was waited; none came."""


class Answer(Struct, frozen=True, kw_only=True):
    """One ping."""

    number: int
    ms: float | None = None
    """None: lost."""
    path: str | None = None
    """`LAN`, `STUN` or `TURN`, as in `peers`; None where there was none, or of daemons that do not say."""
    way: str = ""
    """The path in words, or why there is none."""

    @property
    def is_direct(self) -> bool:
        return self.ms is not None and self.path in ("LAN", "STUN")


class Summary(Struct, frozen=True, kw_only=True):
    """All of them."""

    outcome: Outcome
    sent: int
    answered: int
    loss_percent: int
    least_ms: float | None = None
    mean_ms: float | None = None
    most_ms: float | None = None
    path: str | None = None
    """Of the last answer."""
    way: str = ""


def summary(answers: Sequence[Answer]) -> Summary:
    """What they come to."""
    times = [each.ms for each in answers if each.ms is not None]
    last = next((each for each in reversed(answers) if each.ms is not None), None)
    outcome: Outcome = "silent" if last is None else "direct" if last.is_direct else "relayed"
    shown = last or (answers[-1] if answers else None)
    return Summary(
        outcome=outcome,
        sent=len(answers),
        answered=len(times),
        loss_percent=round(100 * (len(answers) - len(times)) / len(answers)) if answers else 0,
        least_ms=min(times, default=None),
        mean_ms=round(fmean(times), 1) if times else None,
        most_ms=max(times, default=None),
        path=None if last is None else last.path,
        way="" if shown is None else shown.way,
    )


def is_over(answers: Sequence[Answer], count: int, waited_s: float, wait_s: float) -> bool:
    """Whether there is nothing more to ask: `count` pings are done, and the path is direct or was waited for."""
    return len(answers) >= count and (answers[-1].is_direct or waited_s >= wait_s)


def way_of(path: str | None, turn: TurnPath | None, offers: Sequence[ServiceOffer], names: dict[str, str]) -> str:
    """The path in words. `names`: what devices are called, by their keys."""
    if path == "LAN":
        return "directly, in the local network"
    if path == "STUN":
        return "directly, over the internet"
    if path != "TURN":
        return "on a path that the daemon does not tell"
    if turn is None:
        return "over TURN"
    if turn.whose == "theirs":
        return f"over TURN: a server that the other device uses, at {turn.server}"
    host = next((each for each in offers if each.adopted and any(turn.server in url for url in each.urls)), None)
    owner = "configured here" if host is None else f"hosted by {names.get(host.device_id, host.device_id[:8])}"
    by = f" by {turn.over.upper()}" if turn.over else ""
    return f"over TURN{by}: {turn.server}, {owner}"


def sentence(found: Summary, name: str, waited_s: float) -> str:
    """The end of the story, for a person."""
    if found.outcome == "silent":
        return f"{name} did not answer{f': {found.way}' if found.way else ''}."
    if found.outcome == "direct":
        return f"{name} is reached {found.way}."
    return f"{name} is reached {found.way}; no direct path came within {waited_s:.0f} s. `myownllm netcheck` says why."
