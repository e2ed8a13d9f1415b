"""What to do when a daemon is gone: restart delays and the decision after a loss (spec 08 §3.6). Pure and total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from mesh_common.values import Value
from myownllm.beat import TICK_S

if TYPE_CHECKING:
    from myownllm.membership import DaemonMode

BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
JITTER: Final = 0.2
"""± share of a delay, so that two apps do not restart in step."""
HEALTHY_RESET_S: Final = 60.0
"""This long without trouble, and the next crash is a first one again."""
CRASH_WINDOW_S: Final = 60.0
CRASH_LIMIT: Final = 5
"""Crashes within the window that make the app stop trying by itself."""
RETRY_FAILED_S: Final = 60.0
"""And how soon it tries again nevertheless."""
SILENT_CHILD_S: Final = 8.0
"""A living child whose connection broke gets this long to answer anew."""
PULSE_S: Final = TICK_S
"""Between two looks whether the connected daemon answers: one `status`, a millisecond of work."""
PATIENCE_S: Final = (1.6, 2.0, 2.4)
"""For the first unanswered look and those that follow at once: silence is said within three seconds, and all of them
together are what a busy machine may need."""
RENEWED_S: Final = 0.25
"""Between two attempts to reach a socket that refuses, or whose file is gone."""
SILENT_OTHER_S: Final = 30.0
"""A silent daemon that is not ours to end is given up after this: nothing can be done but look for another one."""
SHARED_GLANCE_S: Final = 10.0
"""Between two looks whether a shared daemon has appeared beside the own one: one `stat` while there is none."""
TERMINATE_GRACE_S: Final = 5.0
"""Between a polite signal and a hard one (FE-3.16)."""
SILENT_GRACE_S: Final = 1.0
"""For a farewell of a daemon that has already been silent for seconds."""
SHARED_SEARCHES: Final = 5
"""Looks for a shared daemon that went away, before an own one is started."""
SHARED_SEARCH_S: Final = 2.0


def backoff_s(crash: int) -> float:
    """Seconds to wait before the restart after crash number `crash` (1 is the first), before jitter."""
    return BACKOFF_S[min(max(crash, 1), len(BACKOFF_S)) - 1]


def patience_s(unanswered: int) -> float:
    """How long the next look may take after this many unanswered ones in a row."""
    return PATIENCE_S[min(unanswered, len(PATIENCE_S) - 1)]


def too_silent(silent_s: float, *, is_ours: bool) -> bool:
    """Has a connected daemon been silent for so long that it is given up?"""
    return silent_s >= (sum(PATIENCE_S) if is_ours else SILENT_OTHER_S)


def restart_after_s(crash: int, *, was_silent: bool) -> float:
    """The pause before a restart, before jitter: a daemon that was waited for in silence has had much of it."""
    return max(0.0, backoff_s(crash) - (sum(PATIENCE_S) if was_silent else 0.0))


def jittered(delay_s: float, uniform: float) -> float:
    """A delay within ± 20 %; `uniform` is drawn from [0, 1)."""
    return delay_s * (1 - JITTER + 2 * JITTER * uniform)


class CrashHistory(Value, frozen=True):
    """Crashes so far: which number the next one has, and whether there were too many."""

    consecutive: int = 0
    recent: tuple[float, ...] = ()
    """monotonic seconds of the crashes within the window"""
    clean_restarts: int = 0
    """restarts after an exit with status 0, which count as crashes from the second on"""

    def after_crash(self, now: float, up_since: float) -> CrashHistory:
        """Count a crash of a daemon that had been up since `up_since`."""
        base = 0 if now - up_since >= HEALTHY_RESET_S else self.consecutive
        recent = (*(t for t in self.recent if now - t < CRASH_WINDOW_S), now)
        return CrashHistory(base + 1, recent, self.clean_restarts)

    @property
    def too_many(self) -> bool:
        return len(self.recent) >= CRASH_LIMIT


class Reattach(Value, frozen=True):
    """The daemon answers: only the event connection broke."""


class RestartNow(Value, frozen=True):
    """It ended on purpose (update, reset): start it again at once, this one time."""


class RestartAfterBackoff(Value, frozen=True):
    """It crashed."""


class AwaitChild(Value, frozen=True):
    """It lives but does not answer: give it a while, then end and restart it."""


class SearchShared(Value, frozen=True):
    """Another app's daemon is gone: it may come back; start an own one only later."""


class SearchAnew(Value, frozen=True):
    """A daemon that nobody here started is gone: look in the usual order, start one if there is none."""


Decision = Reattach | RestartNow | RestartAfterBackoff | AwaitChild | SearchShared | SearchAnew


def after_loss(
    *,
    answers: bool,
    mode: DaemonMode,
    child: Literal["none", "alive", "exited"],
    exit_status: int | None,
    clean_restarts: int,
    was_silent: bool = False,
) -> Decision:
    """The row of the table for what is known right after a connection was lost, or given up because of silence."""
    if answers:
        return Reattach()
    match child:
        case "alive":
            return RestartAfterBackoff() if was_silent else AwaitChild()
        case "exited":
            return RestartNow() if exit_status == 0 and clean_restarts == 0 else RestartAfterBackoff()
        case "none":
            return SearchShared() if mode == "shared" else SearchAnew()
