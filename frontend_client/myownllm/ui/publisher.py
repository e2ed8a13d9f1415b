"""Pictures for every tab that looks: made when something has changed, each patch once for all of them."""

from __future__ import annotations

import secrets
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import trio

from mesh_common.client.errors import ControlError
from mesh_common.client.session import command
from mesh_common.values import Value
from myownllm.ui.picture import Seen, merged, patch_of, picture
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from myownllm.app import App
    from myownllm.client import Diag
    from myownllm.coerce import JsonObject
    from myownllm.remote.state import RemoteState
    from myownllm.supervisor import Connection

ListenerT = TypeVar("ListenerT")

SPACING_S: Final = 0.05
"""Between two pictures: two tabs agree within twice that."""
PATCHES_KEPT: Final = 64
"""A tab that is further behind gets a whole picture."""


class Message(Value, frozen=True):
    """What one tab is sent: the bytes, and which revision it knows then."""

    rev: int
    text: str


class Publisher:
    """Made once per screen; `run` must be running."""

    def __init__(self, app: App, remote: Watch[RemoteState]) -> None:
        self.epoch = secrets.token_hex(4)
        """tells a tab that another app counts the revisions now"""
        self.rev: Watch[int] = Watch(0)
        self._app, self._remote = app, remote
        self._picture: JsonObject | None = None
        self._whole: Message | None = None
        self._patches: deque[tuple[int, JsonObject, str]] = deque(maxlen=PATCHES_KEPT)
        self._dirty = trio.Event()
        self._viewers: Watch[int] = Watch(0)
        self._label = ""
        self._lines: deque[tuple[int, Diag]] = deque(enumerate(app.client.diag), maxlen=app.client.diag.maxlen)
        self._next_line = len(self._lines)

    async def run(self) -> None:
        """Watch the app, until cancelled."""
        client = self._app.client

        def changed(*_: object) -> None:
            self.changed()

        with (
            _told(client.on_state, changed),
            _told(client.on_diag, self._said),
            _told(self._app.live.on_sections, changed),
        ):
            await self._run()

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_label)
            app = self._app
            watches = (app.supervisor.watch, app.models.gate.prompts, app.models.api.watch, app.sharing.kept)
            for watch in (*watches, self._remote):
                nursery.start_soon(self._follow, watch)
            while True:
                await self._viewers.until(lambda count: count > 0)
                await self._dirty.wait()
                self._dirty = trio.Event()
                await self._publish()
                await trio.sleep(SPACING_S)

    @contextmanager
    def viewer(self) -> Iterator[None]:
        """Somebody looks for the length of the block; without anybody nothing is made."""
        self._viewers.set(self._viewers.value + 1)
        try:
            yield
        finally:
            self._viewers.set(self._viewers.value - 1)

    async def now(self) -> JsonObject:
        """The present picture, with its revision."""
        await self._publish()
        return {"epoch": self.epoch, "rev": self.rev.value, "snapshot": self._picture}

    async def first(self) -> Message:
        """A whole picture."""
        await self._publish()
        if self._whole is None or self._whole.rev != self.rev.value:
            whole = {"epoch": self.epoch, "rev": self.rev.value, "snapshot": self._picture}
            self._whole = Message(self.rev.value, msgspec.json.encode(whole).decode())
        return self._whole

    async def after(self, rev: int) -> Message:
        """What a tab that knows `rev` has to be told, as soon as there is something."""
        while self.rev.value == rev:
            await self.rev.changed()
        missed = [entry for entry in self._patches if entry[0] > rev]
        if not missed or missed[0][0] != rev + 1:
            return await self.first()
        if len(missed) == 1:
            return Message(missed[0][0], missed[0][2])
        both = missed[0][1]
        for _, patch, _ in missed[1:]:
            both = merged(both, patch)
        return Message(self.rev.value, _patch_text(rev, self.rev.value, both))

    def changed(self) -> None:
        """Something is another by now that nobody announces: the pins."""
        self._dirty.set()

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _said(self, line: Diag) -> None:
        self._lines.append((self._next_line, line))
        self._next_line += 1
        self.changed()

    def cleared(self) -> None:
        """The activity log was emptied."""
        self._lines.clear()
        self.changed()

    async def _follow(self, watch: Watch[Any]) -> None:
        while True:
            await watch.changed()
            self.changed()

    async def _publish(self) -> None:
        client = self._app.client
        catalog = await self._app.live.load()
        api = self._app.models.api.watch.value
        if client.state.diag_quiet:
            kept = [line for line in self._lines if line[1].level not in ("debug", "info")]
            self._lines.clear()
            self._lines.extend(kept)
        now = picture(
            Seen(
                state=client.state,
                supervisor=self._app.supervisor.watch.value,
                catalog=catalog,
                label=self._label,
                questions=self._app.models.gate.prompts.value,
                diag=tuple(self._lines),
                api=api.url or api.reason,
                remote=self._remote.value,
                log=str(self._app.home.daemon_log),
                folder=str(self._app.files.receiver.settings.folder),
                kept=self._app.sharing.kept.value,
                pins=self._app.models.asking.pins.all(),
            )
        )
        if self._picture is None:
            self._picture = now
            self.rev.set(self.rev.value + 1)
        elif patch := patch_of(self._picture, now):
            rev = self.rev.value
            self._picture = now
            self._patches.append((rev + 1, patch, _patch_text(rev, rev + 1, patch)))
            self.rev.set(rev + 1)

    async def _keep_label(self) -> None:
        """What this device is called: asked of each daemon that comes, and again when somebody has renamed it."""
        renamed: Watch[int] = Watch(0)
        with _told(self._app.client.on_name, lambda: renamed.set(renamed.value + 1)):
            await self._follow_label(renamed)

    async def _follow_label(self, renamed: Watch[int]) -> None:
        supervisor = self._app.supervisor
        while True:
            count, connection = renamed.value, supervisor.connection
            if connection is not None:
                await self._look_at_label(connection.socket)
            async with trio.open_nursery() as nursery:

                async def until_another(seen: Connection | None = connection) -> None:
                    await supervisor.watch.until(lambda s: s.connection is not seen)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until_another)
                while renamed.value == count:
                    await renamed.changed()
                nursery.cancel_scope.cancel()

    async def _look_at_label(self, socket: Path) -> None:
        try:
            identity = await command(socket, "identity_show")
        except ControlError:
            return  # the headline tells what is wrong with the daemon
        if isinstance(identity, dict):
            self._label = str(identity.get("label", ""))
            self.changed()


@contextmanager
def _told(listeners: list[ListenerT], listener: ListenerT) -> Iterator[None]:
    """It listens for the length of the block: the app outlives a screen that is closed and opened elsewhere."""
    listeners.append(listener)
    try:
        yield
    finally:
        listeners.remove(listener)


def _patch_text(base: int, rev: int, patch: JsonObject) -> str:
    return msgspec.json.encode({"base": base, "rev": rev, "patch": patch}).decode()
