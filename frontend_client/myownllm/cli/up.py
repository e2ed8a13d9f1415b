"""`myownllm up`: the app in the foreground, until Ctrl-C.

Most of a start is loading modules. So the daemon is looked for, and started, while those of the app are still loading.
"""

from __future__ import annotations

import gc
import signal
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import trio

from mesh_common.groups import unwrapped
from mesh_common.streams import words
from myownllm.cli.lines import LineQueue
from myownllm.cli.texts import json_text
from myownllm.errors import FAILURES, AlreadyRunningError, AppError
from myownllm.home import AppHome
from myownllm.supervisor.footing import footing

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNNING_S = 5.0
"""A second `up` waits no longer for the first one's screen."""


class Output:
    """Lines for people, or one JSON object per line with `event` and `t` (milliseconds)."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.lines = LineQueue(self._lost)

    def emit(self, event: str, line: str | None, **members: Any) -> None:
        """Say one thing. `line` None means that only the JSON form tells it."""
        if self._as_json:
            line = self._json(event, **members)
        if line is not None:
            self.lines.put(line)

    def progress(self, text: str) -> None:
        self.emit("progress", f"  {text}", message=text)

    @staticmethod
    def _json(event: str, **members: Any) -> str:
        return json_text({"event": event, "t": time.time_ns() // 1_000_000, **members}).decode()

    def _lost(self, count: int) -> str:
        text = f"{count} {'line was' if count == 1 else 'lines were'} lost: nobody read them for too long"
        return self._json("lost", lines=count, message=text) if self._as_json else f"  … {text}"


async def _run(output: Output, label: str | None, channels: tuple[str, ...], verbose: bool) -> None:
    async with trio.open_nursery() as writing:
        writing.start_soon(output.lines.pass_on)
        try:
            await _run_app(output, label, channels, verbose=verbose)
        except AlreadyRunningError as error:
            url = await trio.to_thread.run_sync(_screen_of_running)
            shown = f"\nScreen: {url}" if url else ""
            output.emit("already_running", f"{error}{shown}", pid=error.pid, url=url or None)
            _hand_over(output, label, channels)
        await output.lines.finish()
        writing.cancel_scope.cancel()


def _hand_over(output: Output, label: str | None, channels: tuple[str, ...]) -> None:
    """What was asked of this `up` is done beside the running app, or refused. Raises AppError, ControlError."""
    if channels:
        raise AppError("the running app listens to its own channels; end it, then start it with --listen")
    if label is None:
        return
    from myownllm.cli import context

    home = context.home()
    context.need_daemon(home).ask("identity_set_label", label=label)
    words.work_is_done()
    context.tell_peers_the_name(home)
    output.emit("label", f"This device is now called {label}.", label=label)


def _screen_of_running() -> str:
    """Where to look at the app that runs already (spec 08 FE-12.7); empty when it has no screen, or says nothing."""
    from myownllm.cli.open import link

    try:
        return link(RUNNING_S)
    except FAILURES:
        return ""


async def _run_app(output: Output, label: str | None, channels: tuple[str, ...], *, verbose: bool) -> None:
    async with footing(AppHome.from_environment(), report=output.progress) as ground:
        with trio.open_signal_receiver(*_endings()) as signals:
            screen = await trio.to_thread.run_sync(import_module, "myownllm.cli.screen")
            gc.freeze()  # what is loaded stays, so no collection looks at it again
            gc.enable()
            await screen.show_app(ground, output, signals, label, channels, verbose=verbose)
    output.emit("stopped", "Stopped.")


def _endings() -> Iterator[signal.Signals]:
    """Signals that end the app in good order. A hang-up that `nohup` has it ignore stays ignored."""
    yield from (signal.SIGINT, signal.SIGTERM)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        yield signal.SIGHUP


def run_up(label: str | None, channels: tuple[str, ...], *, verbose: bool, as_json: bool) -> None:
    """Run until a signal. A second `up` in the same home says so and ends well (spec 08 FE-12.7)."""
    try:
        trio.run(_run, Output(as_json=as_json), label, channels, verbose)
    except BaseExceptionGroup as group:
        cause = unwrapped(group, (KeyboardInterrupt,))
        if not isinstance(cause, KeyboardInterrupt):
            raise
        raise SystemExit(130) from None  # a second Ctrl-C while it was stopping
