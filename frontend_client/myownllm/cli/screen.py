"""What `myownllm up` shows of the running app: what a person would see on the app's screen, line by line."""

from __future__ import annotations

from collections import deque
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from msgspec.structs import replace

from mesh_common.client.errors import ControlError
from mesh_common.client.session import command
from mesh_common.labels import shown
from mesh_common.version import VERSION
from myownllm.app import running_app
from myownllm.cli.texts import size_text
from myownllm.client.work import ENDED_KEPT
from myownllm.desktop import notify
from myownllm.features import builtin
from myownllm.features.screens import sight
from myownllm.headline import verdict
from myownllm.knocks import Interruptions, Knocks, Waits
from myownllm.ui.opening import Opening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from myownllm.app import App
    from myownllm.cli.up import Output
    from myownllm.client import ClientState, Diag, InboundCall
    from myownllm.headline import Headline
    from myownllm.peers import PeerEntry
    from myownllm.supervisor import SupervisorState
    from myownllm.supervisor.footing import Footing

KNOCK_TITLE = "A device wants to join your mesh"


class Screen:
    """Turns state into lines."""

    def __init__(self, output: Output, *, verbose: bool) -> None:
        self._emit = output.emit
        self._verbose = verbose
        self._headline: Headline | None = None
        self._daemon: tuple[int, str] = (0, "")
        self._daemon_line = ""
        self._peers: dict[str, PeerEntry] = {}
        self._offers: set[str] = set()
        self._arrived: deque[tuple[str, int]] = deque(maxlen=ENDED_KEPT)
        """each end of a transfer by its id and time: one that was broken off may go on and end again"""
        self._notes: set[str] = set()
        self._waits = Waits()

    def page(self, url: str, note: str) -> None:
        """Where the app can be seen in a browser, or why it cannot."""
        if url:
            line = f"Screen: {url}" + (f" ({note})" if note else "")
            self._emit(
                "screen", f"{line}\n  the link works once; `myownllm open` makes another one", url=url, note=note
            )
        else:
            self._emit("screen", f"  {note}", url=None, note=note)

    def warn(self, text: str) -> None:
        self._emit("diag", f"  warn: {text}", level="warn", message=text)

    def diag(self, diag: Diag) -> None:
        is_told = self._verbose or diag.level in ("warn", "error")
        line = f"  {diag.level}: {shown(diag.message)}" if is_told else None
        self._emit("diag", line, level=diag.level, message=diag.message, ts=diag.ts)

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
            self._emit(
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
            self._emit("daemon", f"Daemon {state.state}: {state.error}", state=state.state, error=state.error)
        for note in state.notes:
            if note not in self._notes:
                self._notes.add(note)
                self._emit("daemon", f"  warn: {note}", state=state.state, note=note)

    def client(self, state: ClientState, supervisor: SupervisorState) -> float:
        """The headline and every peer that changed; when to look again although nothing may have changed."""
        now = trio.current_time()
        state = replace(state, peers=self._waits.settled(state.peers, now))
        headline = verdict(sight(state, supervisor))
        if headline != self._headline:
            self._headline = headline
            line = shown(headline.line.partition("\n")[0], 500)
            step = f"\n  {shown(headline.next_step, 500)}" if headline.next_step else ""
            self._emit(
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
                self._emit("peer", None, peer_id=key, label=peer.label, status="gone", was=peer.status)
        self._peers = present
        self._files(state)
        return self._waits.next(now)

    def _files(self, state: ClientState) -> None:
        """Files that are offered, and files that have come."""
        for offer in state.inbound_offers:
            if offer.id not in self._offers:
                label, name = shown(offer.peer_label, 40), shown(offer.filename, 60)
                self._emit(
                    "offer",
                    f"{label} offers {name} ({size_text(offer.size_bytes)}): myownllm inbox accept {offer.id[:8]}",
                    **offer.to_json(),
                )
        self._offers = {offer.id for offer in state.inbound_offers}
        for file in state.files:
            end = (file.id, file.ended_at)
            if file.direction == "inbound" and file.ended_at and end not in self._arrived:
                self._arrived.append(end)
                words = f": {shown(file.error)}" if file.error else ""
                self._emit(
                    "file",
                    f"{shown(file.filename, 60)} of {shown(file.peer_label, 40)}: {file.status}{words}",
                    **file.to_json(),
                )

    def _peer(self, peer: PeerEntry, before: PeerEntry | None) -> None:
        label = shown(peer.label, 40)
        if before is None or before.status != peer.status or before.label != peer.label:
            line = None
            if peer.status == "active" and (before is None or before.status != "active"):
                line = f"{label} is connected"
            elif before is not None and before.status == "active":
                line = f"{label} is {peer.status}" if peer.status != "active" else f"{label} (was {before.label})"
            elif peer.status == "pending_remote":
                line = f"{label} is approved here; waiting for its approval"
            self._emit(
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
        self._emit(
            "knock",
            f"A device wants to join: {shown(peer.label, 40)} ({peer.display})\n"
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
        self._emit(
            "call",
            f"{shown(peer.label, 40)} called {call.method}",
            peer_id=peer.device_pubkey,
            label=peer.label,
            method=call.method,
        )

    def message(self, peer: PeerEntry, channel: str, payload: Any) -> None:
        text = shown(msgspec.json.encode(payload).decode(), 400)
        self._emit(
            "message",
            f"{shown(peer.label, 40)} on {channel}: {text}",
            peer_id=peer.device_pubkey,
            label=peer.label,
            channel=channel,
            payload=payload,
        )


async def show_app(
    footing: Footing,
    output: Output,
    signals: AsyncIterator[int],
    label: str | None,
    channels: tuple[str, ...],
    *,
    verbose: bool,
) -> None:
    """Run the app and show it until a signal comes, or until nobody takes the lines any more."""
    screen = Screen(output, verbose=verbose)
    async with running_app(
        footing,
        lambda client: builtin.install(client, VERSION, screen.call, screen.message, channels),
        app_version=VERSION,
    ) as app:
        for diag in app.client.diag:  # what was noted while nobody listened yet
            screen.diag(diag)
        app.client.on_diag.append(screen.diag)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_show_daemon, app, screen)
            nursery.start_soon(show_client, app, screen)
            page = Opening(app, screen.page)
            nursery.start_soon(page.run)
            nursery.start_soon(show_knocks, app, screen, page)
            if label is not None:
                nursery.start_soon(_set_label, app, screen, label)
            nursery.start_soon(_cancel_when_gone, output, nursery.cancel_scope)
            async for _ in signals:
                output.emit("stopping", "Stopping…")
                nursery.cancel_scope.cancel()
                break


async def _cancel_when_gone(output: Output, scope: trio.CancelScope) -> None:
    """Whoever read this has left, or the disk behind it is full: the app leaves too, and the status says which."""
    await output.lines.gone.wait()
    scope.cancel()


async def _show_daemon(app: App, screen: Screen) -> None:
    state = app.supervisor.watch.value
    while True:
        screen.supervisor(state)
        screen.client(app.client.state, state)  # the headline tells why a daemon is silent
        state = await app.supervisor.watch.changed()


async def show_client(app: App, screen: Screen) -> None:
    """Show every change of the client, and what has stood for a moment."""
    while True:
        with trio.move_on_at(screen.client(app.client.state, app.supervisor.watch.value)):
            await app.client.watch.changed()


async def show_knocks(app: App, screen: Screen, page: Opening) -> None:
    """Say who knocks; while no tab is open, on the desktop, too."""
    knocks, interruptions = Knocks(), Interruptions()
    async with trio.open_nursery() as nursery:
        while True:
            now = trio.current_time()
            for peer in knocks.due(app.client.state.peers, now):
                screen.knock(peer)
                if page.should_call and interruptions.may(peer.device_pubkey, now):
                    body = f"{shown(peer.label, 40)} · {peer.device_suffix}"
                    nursery.start_soon(
                        partial(trio.to_thread.run_sync, notify, KNOCK_TITLE, body, abandon_on_cancel=True)
                    )
            due = knocks.next()
            with trio.move_on_at(inf if due is None else due):
                await app.client.watch.changed()


async def _set_label(app: App, screen: Screen, label: str) -> None:
    """Name the device as asked on the command line, once a daemon is there."""
    state = await app.supervisor.watch.until(lambda s: s.connection is not None)
    assert state.connection is not None
    try:
        identity = await command(state.connection.socket, "identity_show")
        if not isinstance(identity, dict) or identity.get("label") != label:
            await command(state.connection.socket, "identity_set_label", label=label)
            app.client.name_changed()
    except ControlError as error:
        screen.warn(f"the label was not set: {error}")
