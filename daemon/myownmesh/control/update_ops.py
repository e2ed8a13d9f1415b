"""Ops of the daemon's own updates (spec 05 §16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from msgspec import Raw, Struct
from msgspec.structs import replace

from myownmesh.control.answers import success
from myownmesh.control.request import MAX_TYPED_BYTES, Task
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import U32, read
from myownmesh.protocol.strict_json import dumps, python_value
from myownmesh.updates.errors import UpdateError

if TYPE_CHECKING:
    from myownmesh.control.control import Control
    from myownmesh.store.config import AutoUpdate

_CHANNELS: Final = ("stable", "beta")
_POLICIES: Final = ("patch", "minor", "all", "none")
_RESTARTS: Final = ("never", "idle")


class UpdateStatus(Task, frozen=True):
    async def run(self, control: Control) -> bytes:
        return await _status(control, (await control.mesh.config_on_disk()).auto_update)


class UpdateCheck(Task, frozen=True):
    async def run(self, control: Control) -> bytes:
        preferences = (await control.mesh.config_on_disk()).auto_update
        try:
            return success(await control.updates.check(preferences))
        except UpdateError as error:
            raise MeshError(str(error)) from error


class UpdateApply(Task, frozen=True):
    async def run(self, control: Control) -> bytes:
        preferences = (await control.mesh.config_on_disk()).auto_update
        try:
            return success(await control.updates.apply(preferences))
        except UpdateError as error:
            raise MeshError(str(error)) from error


class UpdateSetPrefs(Task, frozen=True):
    prefs: Raw

    async def run(self, control: Control) -> bytes:
        try:
            if len(memoryview(self.prefs)) > MAX_TYPED_BYTES:
                raise JsonError("object too large")
            # The last of members with one name counts here, as for v0.3.8.
            wanted = read(UpdatePrefs, dumps(python_value(self.prefs)))
        except JsonError as error:
            raise MeshError(f"bad update prefs: {error}") from error
        return await _status(control, await control.mesh.change_updates(wanted.applied_to))


class UpdatePrefs(Struct, frozen=True):
    """What `update_set_prefs` changes; None leaves a preference as it is."""

    enabled: bool | None = None
    channel: str | None = None
    auto_apply: str | None = None
    check_interval_hours: U32 | None = None
    stable_url: str | None = None
    beta_url: str | None = None
    restart: str | None = None
    """Ours."""

    def applied_to(self, preferences: AutoUpdate) -> AutoUpdate:
        """Raises `MeshError`."""
        if self.channel is not None and self.channel not in _CHANNELS:
            raise MeshError(f"invalid update channel '{self.channel}' (expected 'stable' or 'beta')")
        if self.auto_apply is not None and self.auto_apply not in _POLICIES:
            raise MeshError(f"invalid auto_apply policy '{self.auto_apply}' (expected patch | minor | all | none)")
        changes: dict[str, object] = {
            name: value for name in ("enabled", "channel", "auto_apply") if (value := getattr(self, name)) is not None
        }
        if self.restart is not None:
            if self.restart not in _RESTARTS:
                raise MeshError(f"invalid restart '{self.restart}' (expected never | idle)")
            changes["unknown"] = {**preferences.unknown, "restart": self.restart}
        if self.check_interval_hours is not None:
            changes["check_interval_hours"] = max(1, self.check_interval_hours)
        for name in ("stable_url", "beta_url"):
            if (text := getattr(self, name)) is not None:
                changes[name] = _address(name, text.strip(), getattr(preferences, name), preferences)
        return replace(preferences, **changes)


def _address(name: str, wanted: str, before: str | None, preferences: AutoUpdate) -> str | None:
    """Whoever can open the socket must not be able to name where programs come from (spec 05 W2)."""
    if wanted and wanted != before and not preferences.allow_socket_urls:
        raise MeshError(
            f"auto_update.{name} is not changed over this socket: write it into config.json, or allow it there with "
            '"allow_socket_urls": true'
        )
    return wanted or None


async def _status(control: Control, preferences: AutoUpdate) -> bytes:
    return success(await trio.to_thread.run_sync(control.updates.status, preferences))
