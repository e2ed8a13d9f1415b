"""A convergence pass against a daemon: exactly the active network joined, as it is saved (spec 08 §5.4, FE-8.3).

The decisions are in `myownllm.convergence`; this file asks, carries out, and reads back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

from myownllm import convergence, wire
from myownllm.catalog.coerce import as_object, strings
from myownllm.errors import MeshError
from myownllm.ids import comparable_network_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.bridge import Bridge
    from myownllm.catalog.coerce import JsonObject
    from myownllm.catalog.model import Catalog
    from myownllm.catalog.network import SavedNetwork
    from myownllm.client.owned import OwnedNetworks
    from myownllm.convergence import DaemonMode

REMOVE_TIMEOUT_S: Final = 10.0  # the reference may never answer a second removal (FE-4.16)


@attrs.frozen
class PassResult:
    """What a pass found and did. `changed` means that registrations made before it may be gone."""

    joined: tuple[str, ...]
    changed: bool
    error: str = ""
    """why the active network is not joined, or not as saved"""


class Converger:
    """Runs passes, one at a time."""

    def __init__(self, owned: OwnedNetworks, warn: Callable[[str], None], stuck: Callable[[], None]) -> None:
        self._owned = owned
        self._warn = warn
        self._stuck = stuck
        self._lock = trio.Lock()

    async def run(self, bridge: Bridge, mode: DaemonMode, catalog: Catalog, *, check_drift: bool) -> PassResult:
        """One pass. Raises MeshError when the joined set cannot be read: an unread set is not an empty one."""
        async with self._lock:
            status = as_object(await bridge.command("status"))
            device_id = str(status.get("device_id", ""))
            joined = strings(status.get("joined_networks"))
            active = catalog.active
            operations = convergence.plan(
                joined,
                active,
                mode,
                self._owned.of(device_id) if mode == "shared" else (),
                strict=catalog.strict_single_network,
            )
            error = ""
            for operation in operations:
                match operation:
                    case convergence.Leave(network_id):
                        await self._leave(bridge, device_id, network_id)
                    case convergence.Join() if active is not None:
                        error = await self._join(bridge, mode, device_id, active)
            if operations:
                joined = await _joined(bridge)
                return PassResult(joined, changed=True, error=error)
            if active is not None and check_drift:
                return await self._apply_edits(bridge, mode, device_id, active, joined)
            return PassResult(joined, changed=False)

    async def _leave(self, bridge: Bridge, device_id: str, network_id: str) -> None:
        try:
            await bridge.command("network_remove", network=network_id, timeout_s=REMOVE_TIMEOUT_S)
        except MeshError as error:
            if error.kind == "connection_lost":
                raise
            outcome = convergence.remove_outcome(error.text) if error.kind == "daemon_error" else "failed"
            if outcome != "done":
                self._warn(f"leaving network '{network_id}': {error.text}")
            if error.kind == "timeout":
                self._stuck()  # the reference never answers again after a deferred removal; only a restart helps
            if outcome == "failed":
                return
        self._owned.remove(device_id, network_id)

    async def _join(self, bridge: Bridge, mode: DaemonMode, device_id: str, network: SavedNetwork) -> str:
        """Add the network; returns why it is not joined, or an empty text."""
        for is_last in (False, True):
            try:
                await bridge.command("network_add", config=network.to_daemon())
            except MeshError as error:
                if error.kind == "connection_lost":
                    raise
                outcome = convergence.add_outcome(error.text) if error.kind == "daemon_error" else "failed"
                if outcome == "done_unsaved":
                    self._warn(f"network '{network.handle}' is joined but will not survive a restart: {error.text}")
                elif outcome == "failed" or is_last:
                    if convergence.is_joined(await _joined(bridge), network.network_id):
                        break
                    return error.text
                elif not convergence.is_joined(await _joined(bridge), network.network_id):
                    await self._clear_conflict(bridge, device_id, network)
                    continue
            break
        if mode == "shared":
            self._owned.add(device_id, network.id, network.wire_id)
        return ""

    async def _clear_conflict(self, bridge: Bridge, device_id: str, network: SavedNetwork) -> None:
        """Our record id or handle is taken by another record of the daemon: free it, once (FE-5.9)."""
        summaries = as_object(await bridge.command("networks_list")).get("networks")
        for summary in summaries if isinstance(summaries, list) else []:
            row = as_object(summary)
            if row.get("config_id") == network.id or row.get("network_id") == network.wire_id:
                await self._leave(bridge, device_id, str(row.get("config_id")))

    async def _apply_edits(
        self, bridge: Bridge, mode: DaemonMode, device_id: str, network: SavedNetwork, joined: tuple[str, ...]
    ) -> PassResult:
        """Bring an edited record into the daemon: one `network_update`, or leave and join on an old daemon (FE-8.3)."""
        wanted = network.to_daemon()
        stored = _stored_record(as_object(await bridge.command("config_show")), network)
        if stored is None or not convergence.drifted(stored, wanted):
            return PassResult(joined, changed=False)
        try:
            answer = as_object(await bridge.command("network_update", config=convergence.overlay(stored, wanted)))
        except MeshError as error:
            if error.kind == "connection_lost":
                raise
            if wire.is_unsupported(error) or error.text.startswith("unknown network"):
                await self._leave(bridge, device_id, network.wire_id)
                text = await self._join(bridge, mode, device_id, network)
                return PassResult(await _joined(bridge), changed=True, error=text)
            if "save failed" in error.text:
                self._warn(f"settings of '{network.handle}' are live but will not survive a restart: {error.text}")
                return PassResult(joined, changed=False)
            self._warn(f"settings of '{network.handle}' were not applied: {error.text}")
            return PassResult(await _joined(bridge), changed=False)
        return PassResult(joined, changed=answer.get("restarted") is True)


async def _joined(bridge: Bridge) -> tuple[str, ...]:
    return strings(as_object(await bridge.command("status")).get("joined_networks"))


def _stored_record(config_answer: JsonObject, network: SavedNetwork) -> JsonObject | None:
    """The daemon's saved record of the network, whatever local id it has there."""
    rows = as_object(config_answer.get("config")).get("networks")
    records = [as_object(r) for r in rows] if isinstance(rows, list) else []
    return next((r for r in records if comparable_network_id(str(r.get("network_id", ""))) == network.wire_id), None)
