"""How a life begins and ends: from the first `status` to "online", and back (spec 08 §5.3, §5.8).

Nothing says "online" before events, handlers and capabilities are in place; what was registered is undone in reverse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from mesh_common.versions import version_meets
from myownllm import capabilities, phases
from myownllm.catalog.coerce import as_object, strings
from myownllm.errors import MeshError
from myownllm.ids import comparable_network_id

if TYPE_CHECKING:
    from myownllm.catalog.coerce import JsonObject
    from myownllm.catalog.model import Catalog
    from myownllm.client.client import CatalogPort, MeshClient
    from myownllm.client.convergence import Converger
    from myownllm.client.features import FeatureSet
    from myownllm.client.life import Life
    from myownllm.supervisor import Connection

STATUS_ATTEMPTS: Final = 30  # FE-5.5
STATUS_RETRY_S: Final = 0.2
RELEASE_BUDGET_S: Final = 3.0  # FE-5.23
TOO_OLD_TEXT: Final = "daemon too old for LLM features"


class Starter:
    """Carries lives of one client up and down; keeps no state of its own."""

    def __init__(
        self,
        client: MeshClient,
        catalog: CatalogPort,
        converger: Converger,
        features: FeatureSet,
        *,
        pin: str | None,
        blob: JsonObject,
        app_version: str,
    ) -> None:
        self._client = client
        self._catalog = catalog
        self._converger = converger
        self._features = features
        self._pin = pin
        self._blob = blob
        self._app_version = app_version

    async def run(self, life: Life) -> None:
        """The steps of spec 08 §5.3. Raises AppError."""
        await self._status_with_retry(life)
        bridge, connection = life.bridge, life.connection
        assert bridge is not None
        assert connection is not None
        bridge.attach(life.early.append)
        catalog = await self._catalog.load()
        await trio.lowlevel.checkpoint_if_cancelled()
        life.network, life.catalog_read = catalog.active, True
        refusal = ""
        try:
            result = await self._converger.run(bridge, connection.mode, catalog, check_drift=True)
            refusal = result.error
        except MeshError as error:
            if error.kind == "connection_lost":
                raise
            refusal = error.text
        await trio.lowlevel.checkpoint_if_cancelled()
        if refusal:
            self._client.note("warn", f"network sync failed: {refusal}")
        status = await self._status_with_retry(life)
        joined = strings(status.get("joined_networks"))
        active = catalog.active
        life.wire_id = self._bound_wire_id(catalog, connection, joined)
        self._client.show_active(catalog)
        if not life.wire_id:
            self._client.note("warn", "no network configured — `myownllm networks add` creates one")
            self._client.update(status="off", phase="off", peers=())
            life.early.clear()
            bridge.attach(lambda frame: self._client.dispatcher.dispatch(life, frame))
            life.online = True
            return
        phase: tuple[phases.Phase, phases.Status] | None = None
        try:
            self._client.apply_peers(await life.command("peers_list", network=life.wire_id))
            phase = await self.daemon_phase(life)
        except MeshError as error:
            if error.kind == "connection_lost":
                raise
            self._client.note("warn", f"peers_list failed: {error.text}")
        await self._install(life)
        await self._publish(life)
        if active is not None and not any(comparable_network_id(j) == life.wire_id for j in joined):
            why = refusal or "the daemon does not list it"
            self._client.update(status="error", phase="error", error=f"cannot join '{active.handle}': {why}")
        else:
            shown = phase or ("signaling-up", "online")
            self._client.update(phase=shown[0], status=shown[1], error="")
        life.online = True
        early, life.early = life.early, []
        for frame in early:
            self._client.dispatcher.dispatch(life, frame)
        bridge.attach(lambda frame: self._client.dispatcher.dispatch(life, frame))

    def _bound_wire_id(self, catalog: Catalog, connection: Connection, joined: tuple[str, ...]) -> str:
        if catalog.active is not None:
            return catalog.active.wire_id
        return joined[0] if joined and connection.mode == "own_llm" else ""

    async def _status_with_retry(self, life: Life) -> JsonObject:
        """Thirty attempts, 200 ms apart, also while no daemon is connected yet. Raises the last MeshError (FE-5.5)."""
        for attempt in range(STATUS_ATTEMPTS):
            if life.bridge is None:
                life.bridge, life.connection = self._client.bridge, self._client.connection
            try:
                status = as_object(await life.command("status"))
            except MeshError as error:
                if error.kind == "connection_lost":
                    raise
                last = error
            else:
                self._show_daemon(life, status)
                return status
            await trio.sleep(STATUS_RETRY_S)
            if attempt == STATUS_ATTEMPTS - 1:
                raise last
        raise AssertionError  # the loop returns or raises

    async def daemon_phase(self, life: Life) -> tuple[phases.Phase, phases.Status] | None:
        """The network's phase; `joining` counts as unknown, a lone device of the reference never leaves it."""
        rows = as_object(await life.command("networks_list")).get("networks")
        for row in rows if isinstance(rows, list) else []:
            summary = as_object(row)
            if comparable_network_id(str(summary.get("network_id", ""))) == life.wire_id:
                word = str(summary.get("phase", ""))
                return None if word == "joining" else phases.from_daemon(word)
        return None

    async def _install(self, life: Life) -> None:
        """Register every method and channel of the feature set for the bound network; one failure is one warning."""
        assert life.bridge is not None
        client_id, network = life.bridge.client_id, life.wire_id

        async def claim(operation: str, undo: str, what: str, **members: Any) -> None:
            try:
                await life.command(operation, client_id=client_id, network=network, **members)
            except MeshError as error:
                if error.kind == "connection_lost":
                    raise
                reason = TOO_OLD_TEXT if error.text.startswith("parse: unknown variant") else error.text
                self._client.note("warn", f"{what} handler install failed: {reason}")
            else:
                key = {k: v for k, v in members.items() if k != "streaming"}
                life.registered.append((undo, {"client_id": client_id, "network": network, **key}))

        for method in self._features.methods:
            await claim("rpc_register", "rpc_unregister", method.name, method=method.name, streaming=method.streaming)
        for channel, _ in self._features.channels:
            await claim("channel_subscribe", "channel_unsubscribe", channel, channel=channel)

    async def _publish(self, life: Life) -> None:
        """Advertise what this device offers."""
        blob = {
            **capabilities.unpack(None),
            **self._blob,
            "accepting": life.network.accepting if life.network is not None else "available",
            "app_version": self._app_version,
            "features": list(self._features.feature_ids),
        }
        try:
            await life.command("capabilities_set", network=life.wire_id, capabilities=capabilities.pack(blob))
        except MeshError as error:
            if error.kind == "connection_lost":
                raise
            reason = TOO_OLD_TEXT if error.text.startswith("parse: unknown variant") else error.text
            self._client.note("warn", f"capabilities were not published: {reason}")

    async def release(self, life: Life) -> None:
        """Undo registrations in reverse, best effort, and let go of the frame stream."""
        bridge = life.bridge
        if bridge is None:
            return
        bridge.detach()
        if bridge.lost.is_set():
            return
        with trio.move_on_after(RELEASE_BUDGET_S, shield=True):
            for operation, members in reversed(life.registered):
                try:
                    await bridge.command(operation, **members)
                except MeshError as error:
                    if error.kind == "connection_lost":
                        return
                    self._client.note("warn", f"feature release failed: {error.text}")
        life.registered.clear()

    def _show_daemon(self, life: Life, status: JsonObject) -> None:
        connection = life.connection
        version = str(status.get("version", ""))
        meets = self._pin is None or version_meets(version, self._pin)
        if not meets and version != self._client.state.daemon_version:
            text = f"the daemon is {version}, this app is built against {self._pin}; some features may be missing"
            self._client.note("warn", text)
        self._client.update(
            device_id=str(status.get("device_id", "")),
            daemon_version=version,
            daemon_mode="" if connection is None else connection.mode,
            daemon_socket="" if connection is None else str(connection.socket),
            meets_pin=meets,
        )
