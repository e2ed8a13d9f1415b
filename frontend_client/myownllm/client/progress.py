"""Work under way, brought to the screens: what matters at once, mere progress so often and not more often. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownllm.client.procedures import NO_LIFE, pause

if TYPE_CHECKING:
    from myownllm.client.procedures import Procedure, Procedures
    from myownllm.client.state import Picture
    from myownllm.client.work import Work

PROGRESS_S: Final = 0.1
"""So often progress of work under way is shown, at most."""


class Progress:
    """What the picture says about the work; `work` is None where nobody works."""

    def __init__(self, work: Work | None, picture: Picture, procedures: Procedures) -> None:
        self._work, self._picture, self._procedures = work, picture, procedures
        self._waits = False
        self._shown_at = 0.0

    def show(self, *, urgent: bool) -> None:
        """The work has changed; `urgent`: by more than progress."""
        if self._work is None:
            return
        if urgent or self._procedures.now >= self._shown_at + PROGRESS_S:
            self._shown_at = self._procedures.now
            self._picture.show_work(self._work)
        elif not self._waits:
            self._waits = True
            self._procedures.begin(self._show_soon(), NO_LIFE)

    def _show_soon(self) -> Procedure[None]:
        yield pause(PROGRESS_S)
        self._waits = False
        self.show(urgent=True)
