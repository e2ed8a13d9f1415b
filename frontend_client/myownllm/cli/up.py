"""`myownllm up`: the app in the foreground. It shows what a person would see on the app's screen, until Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections import deque
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from mesh_common.client.errors import ControlError
from mesh_common.groups import unwrapped
from mesh_common.streams import words
from myownllm.app import App, running_app
from myownllm.cli import context
from myownllm.cli.files import size_text
from myownllm.cli.lines import LineQueue
from myownllm.cli.open import link
from myownllm.client import ClientState, Diag, InboundCall
from myownllm.client.work import ENDED_KEPT
from myownllm.desktop import notify
from myownllm.errors import FAILURES, AlreadyRunningError, AppError
from myownllm.features import builtin
from myownllm.features.screens import sight
from myownllm.headline import Headline, verdict
from myownllm.knocks import Interruptions, Knocks
from myownllm.peers import PeerEntry
from myownllm.supervisor import SupervisorState
from myownllm.ui.launch import Screen as Page

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOCK_TITLE = "A device wants to join your mesh"
RUNNING_S = 5.0
"""A second `up` waits no longer for the first one's screen."""


class Screen:
    """Turns state into lines: for people, or one JSON object per line with `event` and `t` (milliseconds)."""

    def __init__(self, *, as_json: bool, verbose: bool) -> None:
        self._as_json = as_json
        self._verbose = verbose
        self._headline: Headline | None = None
        self._daemon: tuple[int, str] = (0, "")
        self._daemon_line = ""
        self._peers: dict[str, PeerEntry] = {}
        self._offers: set[str] = set()
        self._arrived: deque[str] = deque(maxlen=ENDED_KEPT)
        self._notes: set[str] = set()
        self.lines = LineQueue(self._lost)

    def emit(self, event: str, line: str | None, **members: Any) -> None:
        """Say one thing. `line` None means that only the JSON form tells it."""
        if self._as_json:
            line = self._json(event, **members)
        if line is not None:
            self.lines.put(line)

    @staticmethod
    def _json(event: str, **members: Any) -> str:
        return context.json_text({"event": event, "t": time.time_ns() // 1_000_000, **members}).decode()

    def _lost(self, count: int) -> str:
        text = f"{count} {'line was' if count == 1 else 'lines were'} lost: nobody read them for too long"
        return self._json("lost", lines=count, message=text) if self._as_json else f"  … {text}"

    def progress(self, text: str) -> None:
        self.emit("progress", f"  {text}", message=text)

    def page(self, url: str, note: str) -> None:
        """Where the app can be seen in a browser, or why it cannot."""
        if url:
            line = f"Screen: {url}" + (f" ({note})" if note else "")
            self.emit("screen", f"{line}\n  the link works once; `myownllm open` makes another one", url=url, note=note)
        else:
            self.emit("screen", f"  {note}", url=None, note=note)

    def diag(self, diag: Diag) -> None:
        shown = self._verbose or diag.level in ("warn", "error")
        line = f"  {diag.level}: {context.shown(diag.message)}" if shown else None
        self.emit("diag", line, level=diag.level, message=diag.message, ts=diag.ts)

    def supervisor(self, state: SupervisorState) -> None:
        """A daemon came, went, or cannot be had."""
        connection = state.connection
        if connection is not None and self._daemon != (connection.generation, ""):
            self._daemon = (connection.generation, "")
            whose = "shared with another app" if connection.mode == "shared" else "of an earlier launch"
            how = "started by this app" if connection.owned_child else f"already running, {whose}"
            if connection.binary is not None:
                how += f": {connection.binary}, from {connection.origin}"
            line = f"Daemon {connection.daemon_version} ({how}), device {connection.device_id}"
            again, self._daemon_line = line == self._daemon_line, line
            self.emit(
                "daemon",
                None if again else line,
                state="up",
                version=connection.daemon_version,
                device_id=connection.device_id,
                mode=connection.mode,
                owned=connection.owned_child,
                pid=connection.pid,
                socket=str(connection.socket),
                binary=None if connection.binary is None else str(connection.binary),
                origin=connection.origin,
            )
        elif connection is None and state.error and self._daemon[1] != state.error:
            self._daemon = (self._daemon[0], state.error)
            self._daemon_line = ""
            self.emit("daemon", f"Daemon {state.state}: {state.error}", state=state.state, error=state.error)
        for note in state.notes:
            if note not in self._notes:
                self._notes.add(note)
                self.emit("daemon", f"  warn: {note}", state=state.state, note=note)

    def client(self, state: ClientState, supervisor: SupervisorState) -> None:
        """The headline and every peer that changed."""
        headline = verdict(sight(state, supervisor))
        if headline != self._headline:
            self._headline = headline
            line = context.shown(headline.line.partition("\n")[0], 500)
            step = f"\n  {context.shown(headline.next_step, 500)}" if headline.next_step else ""
            self.emit(
                "pill",
                line + step,
                text=headline.line,
                level=headline.level,
                reason=headline.reason,
                next_step=headline.next_step,
                status=state.status,
                phase=state.phase,
                network=state.network,
            )
        present = {p.device_pubkey: p for p in state.peers}
        for key, peer in present.items():
            self._peer(peer, self._peers.get(key))
        for key, peer in self._peers.items():
            if key not in present:
                self.emit("peer", None, peer_id=key, label=peer.label, status="gone", was=peer.status)
        self._peers = present
        self._files(state)

    def _files(self, state: ClientState) -> None:
        """Files that are offered, and files that have come."""
        for offer in state.inbound_offers:
            if offer.id not in self._offers:
                label, name = context.shown(offer.peer_label, 40), context.shown(offer.filename, 60)
                self.emit(
                    "offer",
                    f"{label} offers {name} ({size_text(offer.size_bytes)}): myownllm inbox accept {offer.id[:8]}",
                    **offer.to_json(),
                )
        self._offers = {offer.id for offer in state.inbound_offers}
        for file in state.files:
            if file.direction == "inbound" and file.ended_at and file.id not in self._arrived:
                self._arrived.append(file.id)
                words = f": {context.shown(file.error)}" if file.error else ""
                self.emit(
                    "file",
                    f"{context.shown(file.filename, 60)} of {context.shown(file.peer_label, 40)}: {file.status}{words}",
                    **file.to_json(),
                )

    def _peer(self, peer: PeerEntry, before: PeerEntry | None) -> None:
        label = context.shown(peer.label, 40)
        if before is None or before.status != peer.status or before.label != peer.label:
            line = None
            if peer.status == "active" and (before is None or before.status != "active"):
                line = f"{label} is connected"
            elif before is not None and before.status == "active":
                line = f"{label} is {peer.status}" if peer.status != "active" else f"{label} (was {before.label})"
            elif peer.status == "pending_remote":
                line = f"{label} is approved here; waiting for its approval"
            self.emit(
                "peer",
                line,
                peer_id=peer.device_pubkey,
                label=peer.label,
                status=peer.status,
                was=None if before is None else before.status,
            )

    def knock(self, peer: PeerEntry) -> None:
        """Somebody is to be let in or turned away."""
        codes = (peer.code_received, peer.code_sent)
        self.emit(
            "knock",
            f"A device wants to join: {context.shown(peer.label, 40)} ({peer.display})\n"
            f"  their code {codes[0]}, our code {codes[1]} — compare them on both screens, then:\n"
            f"  myownllm approve {peer.device_pubkey[:8]}",
            peer_id=peer.device_pubkey,
            label=peer.label,
            code=peer.verification_code,
            code_received=codes[0],
            code_sent=codes[1],
        )

    def call(self, call: InboundCall) -> None:
        peer = call.peer
        self.emit(
            "call",
            f"{context.shown(peer.label, 40)} called {call.method}",
            peer_id=peer.device_pubkey,
            label=peer.label,
            method=call.method,
        )

    def message(self, peer: PeerEntry, channel: str, payload: Any) -> None:
        text = context.shown(msgspec.json.encode(payload).decode(), 400)
        self.emit(
            "message",
            f"{context.shown(peer.label, 40)} on {channel}: {text}",
            peer_id=peer.device_pubkey,
            label=peer.label,
            channel=channel,
            payload=payload,
        )


async def _run(screen: Screen, label: str | None, channels: tuple[str, ...]) -> None:
    async with trio.open_nursery() as output:
        output.start_soon(screen.lines.pass_on)
        try:
            await _run_app(screen, label, channels)
        except AlreadyRunningError as error:
            url = await trio.to_thread.run_sync(_screen_of_running)
            shown = f"\nScreen: {url}" if url else ""
            screen.emit("already_running", f"{error}{shown}", pid=error.pid, url=url or None)
            _hand_over(screen, label, channels)
        await screen.lines.finish()
        output.cancel_scope.cancel()


def _hand_over(screen: Screen, label: str | None, channels: tuple[str, ...]) -> None:
    """What was asked of this `up` is done beside the running app, or refused. Raises AppError, ControlError."""
    if channels:
        raise AppError("the running app listens to its own channels; end it, then start it with --listen")
    if label is None:
        return
    home = context.home()
    context.need_daemon(home).ask("identity_set_label", label=label)
    words.work_is_done()
    context.tell_peers_the_name(home)
    screen.emit("label", f"This device is now called {label}.", label=label)


def _screen_of_running() -> str:
    """Where to look at the app that runs already (spec 08 FE-12.7); empty when it has no screen, or says nothing."""
    try:
        return link(RUNNING_S)
    except FAILURES:
        return ""


async def _run_app(screen: Screen, label: str | None, channels: tuple[str, ...]) -> None:
    home = context.home()
    async with running_app(
        home,
        lambda client: builtin.install(client, context.app_version(), screen.call, screen.message, channels),
        app_version=context.app_version(),
        report=screen.progress,
    ) as app:
        for diag in app.client.diag:  # what was noted while nobody listened yet
            screen.diag(diag)
        app.client.on_diag.append(screen.diag)
        with trio.open_signal_receiver(*_endings()) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_show_daemon, app, screen)
                nursery.start_soon(_show_client, app, screen)
                page = Page(app, screen.page)
                nursery.start_soon(page.run)
                nursery.start_soon(show_knocks, app, screen, page)
                if label is not None:
                    nursery.start_soon(_set_label, app, screen, label)
                nursery.start_soon(_cancel_when_gone, screen, nursery.cancel_scope)
                async for _ in signals:
                    screen.emit("stopping", "Stopping…")
                    nursery.cancel_scope.cancel()
                    break
    screen.emit("stopped", "Stopped.")


def _endings() -> Iterator[signal.Signals]:
    """Signals that end the app in good order. A hang-up that `nohup` has it ignore stays ignored."""
    yield from (signal.SIGINT, signal.SIGTERM)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        yield signal.SIGHUP


async def _cancel_when_gone(screen: Screen, scope: trio.CancelScope) -> None:
    """Whoever read this has left, or the disk behind it is full: the app leaves too, and the status says which."""
    await screen.lines.gone.wait()
    scope.cancel()


async def _show_daemon(app: App, screen: Screen) -> None:
    state = app.supervisor.watch.value
    while True:
        screen.supervisor(state)
        screen.client(app.client.state, state)  # the headline tells why a daemon is silent
        state = await app.supervisor.watch.changed()


async def _show_client(app: App, screen: Screen) -> None:
    while True:
        screen.client(app.client.state, app.supervisor.watch.value)
        await app.client.watch.changed()


async def show_knocks(app: App, screen: Screen, page: Page) -> None:
    """Say who knocks; while no tab is open, on the desktop, too."""
    knocks, interruptions = Knocks(), Interruptions()
    async with trio.open_nursery() as nursery:
        while True:
            now = trio.current_time()
            for peer in knocks.due(app.client.state.peers, now):
                screen.knock(peer)
                if page.should_call and interruptions.may(peer.device_pubkey, now):
                    body = f"{context.shown(peer.label, 40)} · {peer.device_suffix}"
                    nursery.start_soon(
                        partial(trio.to_thread.run_sync, notify, KNOCK_TITLE, body, abandon_on_cancel=True)
                    )
            due = knocks.next()
            with trio.move_on_at(inf if due is None else due):
                await app.client.watch.changed()


async def _set_label(app: App, screen: Screen, label: str) -> None:
    """Name the device as asked on the command line, once a daemon is there."""
    from mesh_common.client.session import command

    state = await app.supervisor.watch.until(lambda s: s.connection is not None)
    assert state.connection is not None
    try:
        identity = await command(state.connection.socket, "identity_show")
        if not isinstance(identity, dict) or identity.get("label") != label:
            await command(state.connection.socket, "identity_set_label", label=label)
            app.client.name_changed()
    except ControlError as error:
        screen.emit("diag", f"  warn: the label was not set: {error}", level="warn", message=str(error))


def run_up(label: str | None, channels: tuple[str, ...], *, verbose: bool, as_json: bool) -> None:
    """Run until a signal. A second `up` in the same home says so and ends well (spec 08 FE-12.7)."""
    screen = Screen(as_json=as_json, verbose=verbose)
    try:
        trio.run(_run, screen, label, channels)
    except BaseExceptionGroup as group:
        cause = unwrapped(group, (KeyboardInterrupt,))
        if not isinstance(cause, KeyboardInterrupt):
            raise
        raise SystemExit(130) from None  # a second Ctrl-C while it was stopping
