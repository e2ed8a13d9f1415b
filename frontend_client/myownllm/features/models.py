"""Models of the running app, wired together: the model server, who is asked, the local API, and the gate for functions.

What each does stands in its own room; here is only who knows whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from myownllm.api import ApiServer, ApiSettings
from myownllm.errors import AppError
from myownllm.features import embed, infer
from myownllm.features.asking import Asking
from myownllm.features.questions import Questions
from myownllm.features.releases import all_of
from myownllm.inference.gate import Gate
from myownllm.inference.pins import Pins
from myownllm.policy import Gate as ToolGate
from myownllm.runtimes import Runtimes, RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myownllm.client import MeshClient, Operations
    from myownllm.client.registry import Release
    from myownllm.coerce import JsonObject
    from myownllm.door.server import Door
    from myownllm.policy import Mode, Tool
    from myownllm.records import PolicyStore


class StoredPolicies:
    """The policy of the active network, in its file; peers are told what is changed here."""

    def __init__(self, store: PolicyStore) -> None:
        self._store = store

    async def gate(self, tool: Tool) -> ToolGate:
        try:
            permissions = await trio.to_thread.run_sync(self._store.read)
        except AppError:
            return ToolGate()  # without a network nothing is decided
        return permissions.in_force.gate(tool)

    async def allow(self, tool: Tool, literal: str) -> None:
        await trio.to_thread.run_sync(self._store.edit, lambda p, now_ms: p.allow(tool, literal, now_ms))

    async def set_mode(self, tool: Tool, mode: Mode) -> None:
        await trio.to_thread.run_sync(self._store.edit, lambda p, now_ms: p.set_mode(tool, mode, now_ms))


class Models:
    """Made once per app; `run` must be running."""

    def __init__(
        self,
        client: MeshClient,
        operations: Operations,
        policy: PolicyStore,
        pins_file: Path,
        now_ms: Callable[[], int],
    ) -> None:
        self._client, self._operations = client, operations
        self.runtimes = Runtimes()
        self.asking = Asking(client, operations, self.runtimes, Pins(pins_file))
        self.gate = Gate(StoredPolicies(policy), now_ms, lambda text: client.note("warn", text))
        self.api = ApiServer(self.asking, client.note)

    def install(self, door: Door) -> Release:
        """Answer peers with the models here, and commands with all there are."""
        Questions(self._operations, self.asking, self.gate, self.api).install(door)
        return all_of(infer.install(self._client, self.runtimes), embed.install(self._client, self.runtimes))

    def use(self, settings: JsonObject) -> None:
        """The configuration has been read; it may say something else than before."""
        self.runtimes.use(RuntimeSettings.read(settings))
        self.api.use(ApiSettings.read(settings))
        self.gate.look_again()

    async def run(self) -> None:
        """Look after the model server and keep the local API open, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.runtimes.run)
            nursery.start_soon(self.api.run)
