"""The saved policy and prompts of a network: edits by a person here, merges from its peers (spec 08 §7 gaps 3–5, §9.8).

Blocking and fast: a change of one small file, under its lock. The running app calls it from worker threads, a command
calls it directly when no app runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from myownllm import policy, prompts
from myownllm.errors import AppError
from myownllm.prompts import Prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myownllm.catalog.file import CatalogFile
    from myownllm.catalog.model import Catalog
    from myownllm.catalog.network import SavedNetwork
    from myownllm.coerce import Json
    from myownllm.policy import MergedPermissions, Permissions
    from myownllm.prompts import MergedPrompts, Prompt

NO_NETWORK: Final = "No active network — {what} are network-scoped. Pick one: `myownllm networks use <name>`"


class PolicyStore:
    """Gates of the saved networks."""

    def __init__(self, file: CatalogFile, now_ms: Callable[[], int]) -> None:
        self.broadcaster: Callable[[Permissions], None] | None = None
        """told each edit by a person, in the thread that made it; merges do not call it"""
        self._file, self._now_ms = file, now_ms

    def read(self) -> Permissions:
        """Those of the active network. Raises AppError without one, HomeError."""
        return _active(self._file.load().catalog, "permissions").permissions

    def edit(self, change: Callable[[Permissions, int], Permissions]) -> Permissions:
        """Change those of the active network; `change` gets the present time. Raises AppError, HomeError."""
        catalog = self._file.mutate(
            lambda c: _with(c, "permissions", lambda n: {"permissions": change(n.permissions, self._now_ms())})
        )
        edited = _active(catalog, "permissions").permissions
        if self.broadcaster is not None:
            self.broadcaster(edited)
        return edited

    def decide(self, change: Callable[[Permissions], Permissions]) -> Permissions:
        """Answer what waits for a person. That is no edit: nobody is told anything new."""
        catalog = self._file.mutate(lambda c: _with(c, "permissions", lambda n: {"permissions": change(n.permissions)}))
        return _active(catalog, "permissions").permissions

    def confirm_relaxing(self, confirm: bool) -> None:
        """Whether a peer's gate that lets more pass waits for a person (FE-9.42)."""
        self._file.mutate(lambda c: attrs.evolve(c, confirm_relaxing_policy=confirm))

    def merge(self, config_id: str, tools: Json, sender: str) -> MergedPermissions | None:
        """Take a peer's gates into that network; None when it is saved no longer. Raises HomeError."""
        merged: list[MergedPermissions] = []

        def change(catalog: Catalog) -> Catalog:
            network = catalog.by_id(config_id)
            if network is None:
                return catalog
            merged[:] = [
                policy.merge(
                    network.permissions,
                    tools,
                    sender=sender,
                    now_ms=self._now_ms(),
                    confirm_relaxing=catalog.confirm_relaxing_policy,
                )
            ]
            return catalog.update_network(config_id, permissions=merged[0].permissions)

        self._file.mutate(change)
        return merged[0] if merged else None


class PromptStore:
    """Prompts of the saved networks."""

    def __init__(self, file: CatalogFile, now_ms: Callable[[], int]) -> None:
        self.broadcaster: Callable[[Prompts], None] | None = None
        """told each edit by a person, in the thread that made it; merges do not call it"""
        self._file, self._now_ms = file, now_ms

    def read(self, network: str | None = None) -> Prompts:
        """Those of a network that a person names, or of the active one. Raises AppError, HomeError."""
        return _named(self._file.load().catalog, network).prompts or Prompts()

    def edit(self, change: Callable[[Prompts, int], tuple[Prompts, Prompt]]) -> Prompt:
        """Change those of the active network; returns the prompt it was about. Raises AppError, HomeError."""
        about: list[Prompt] = []

        def changed(network: SavedNetwork) -> dict[str, Prompts]:
            edited, prompt = change(network.prompts or Prompts(), self._now_ms())
            about[:] = [prompt]
            return {"prompts": edited}

        catalog = self._file.mutate(lambda c: _with(c, "prompts", changed))
        if self.broadcaster is not None:
            self.broadcaster(_active(catalog, "prompts").prompts or Prompts())
        return about[0]

    def use(self, text: str, network: str) -> Prompt:
        """Copy a prompt of another network to the active one (FE-9.41). Raises AppError, HomeError."""
        prompt = self.read(network).find(text)
        return self.edit(lambda records, now_ms: records.copy(prompt, now_ms))

    def merge(self, config_id: str, records: Json, tombstones: Json) -> MergedPrompts | None:
        """Take a peer's prompts into that network; None when it is saved no longer. Raises HomeError."""
        merged: list[MergedPrompts] = []

        def change(catalog: Catalog) -> Catalog:
            network = catalog.by_id(config_id)
            if network is None:
                return catalog
            before = network.prompts or Prompts()
            merged[:] = [prompts.merge(before, records, tombstones, now_ms=self._now_ms())]
            return catalog.update_network(config_id, prompts=merged[0].prompts) if merged[0].changed else catalog

        self._file.mutate(change)
        return merged[0] if merged else None


def _active(catalog: Catalog, what: str) -> SavedNetwork:
    if catalog.active is None:
        raise AppError(NO_NETWORK.format(what=what))
    return catalog.active


def _named(catalog: Catalog, text: str | None) -> SavedNetwork:
    if text is None:
        return _active(catalog, "prompts")
    found = catalog.find(text)
    if found is None:
        raise AppError(f"no saved network '{text}' (saved: {', '.join(n.wire_id for n in catalog.networks) or 'none'})")
    return found


def _with(catalog: Catalog, what: str, change: Callable[[SavedNetwork], Mapping[str, object]]) -> Catalog:
    """With members of the active record changed."""
    network = _active(catalog, what)
    return catalog.update_network(network.id, **change(network))
