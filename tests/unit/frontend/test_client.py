"""The mesh client against a scripted daemon, on a clock that jumps: starts, switches, losses, and the seed's bug."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from mesh_common.client.errors import ControlError
from mesh_common.client.session import open_session
from myownllm.catalog.model import Catalog
from myownllm.catalog.network import SavedNetwork
from myownllm.client import CallRefusedError, MeshClient, Method, Offer, Operations
from myownllm.client.owned import OwnedNetworks
from myownllm.errors import NoNetworkError, PeerAwayError, PeerSelectorError
from myownllm.supervisor import Connection
from unit.frontend.fakes import DEVICE_B, FakeDaemon, peer_info

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mesh_common.client.session import Session as Bridge
    from myownllm.client import InboundCall
    from myownllm.peers import PeerEntry

HOME = SavedNetwork("net-1", "home", label="Home")
WORK = SavedNetwork("net-2", "work")


class MemoryCatalog:
    """Saved networks without a file."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._changed = False

    async def load(self) -> Catalog:
        await trio.lowlevel.checkpoint()
        self._changed = False
        return self._catalog

    def changed(self) -> bool:
        return self._changed

    def put(self, change: Callable[[Catalog], Catalog]) -> None:
        self._catalog = change(self._catalog)
        self._changed = True


async def _echo(call: InboundCall) -> Any:
    if call.payload == "no":
        raise CallRefusedError("declined")
    if call.payload == "sleep":
        await trio.sleep(3600)
    return call.payload


async def _count(call: InboundCall) -> AsyncIterator[Any]:
    for n in range(call.payload):
        yield {"n": n}
    if call.payload == 3:
        raise CallRefusedError("stopped counting")


@attrs.define
class World:
    daemon: FakeDaemon
    client: MeshClient
    do: Operations
    catalog: MemoryCatalog
    heard: list[Any]
    mode: Any = "own_llm"
    bridge: Bridge | None = None
    generation: int = 0
    identity: str = "me"
    nursery: trio.Nursery | None = None

    async def connect(self) -> None:
        """Bring a connection to the daemon up, as the app does."""
        assert self.nursery is not None
        self.daemon.alive = True
        self.generation += 1
        connection = Connection(
            self.generation, self.mode, Path("daemon.sock"), False, self.daemon.version, self.identity, None
        )
        await self.nursery.start(self._hold, connection)

    async def _hold(self, connection: Connection, *, task_status: trio.TaskStatus[None]) -> None:
        async with open_session(connection.socket, connection.generation, connect=self.daemon.connect) as bridge:
            self.client.connected(bridge, connection)
            task_status.started()
            await bridge.lost.wait()
        self.client.disconnected(connection.generation)

    async def follow(self) -> None:
        """Reconcile whenever the catalog changes, as the app does."""
        while True:
            await trio.sleep(0.2)
            if self.catalog.changed():
                await self.client.reconcile()

    @property
    def diag(self) -> list[str]:
        return [d.message for d in self.client.diag]


@asynccontextmanager
async def world(catalog: Catalog, tmp_path: Path, *, connected: bool = True) -> AsyncIterator[World]:
    daemon = FakeDaemon()
    heard: list[Any] = []
    memory = MemoryCatalog(catalog)
    offer = Offer(pin="v0.3.8", app_version="1.0")
    client = MeshClient(memory, OwnedNetworks(tmp_path / "owned.json"), offer, now_ms=lambda: 1)

    async def hear(peer: PeerEntry, payload: Any) -> None:
        heard.append((peer.label, "notice", payload))

    client.serve(Method("echo", answer=_echo))
    client.serve(Method("count", stream=_count))
    client.listen("notice", hear)
    client.add_features("capabilities_v1")
    made = World(daemon, client, Operations(client), memory, heard)
    async with trio.open_nursery() as nursery:
        daemon.nursery = made.nursery = nursery
        await nursery.start(client.run)
        if connected:
            await made.connect()
        yield made
        nursery.cancel_scope.cancel()


def active(*networks: SavedNetwork) -> Catalog:
    return Catalog(networks=networks, active_network_id=networks[0].id)


async def settled() -> None:
    """Let everything that is under way finish; costs no real time."""
    await trio.sleep(0.5)


async def test_first_start_joins_registers_and_only_then_says_online(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-2.1, FE-9.1."""
    async with world(active(HOME), tmp_path) as w:
        seen_online_at: list[list[str]] = []

        async def watch() -> None:
            await w.client.watch.until(lambda s: s.status == "online")
            seen_online_at.append(w.daemon.ops())

        assert w.nursery is not None
        w.nursery.start_soon(watch)
        await w.client.start()
        await settled()
        for operation in (
            "events_subscribe",
            "network_add",
            "peers_list",
            "rpc_register",
            "channel_subscribe",
            "capabilities_set",
        ):
            assert operation in seen_online_at[0], f"online before {operation}"
        assert w.daemon.joined == ["home"]
        assert set(w.daemon.claims) == {"echo", "count"}
        assert set(w.daemon.channels) == {"notice", "rpc/cancel", "blob/v1"}
        assert w.client.state.pill == "Online on Home — waiting for peer announces"
        assert all(r["network"] == "home" for r in w.daemon.log if r["op"].startswith(("rpc_", "channel_")))


async def test_second_launch_changes_nothing_in_the_daemon(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.7."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
    persisted = w.daemon.networks
    async with world(active(HOME), tmp_path) as again:
        again.daemon.networks = persisted
        await again.client.start()
        assert again.client.state.status == "online"
        assert again.daemon.mutations == []


async def test_two_starts_are_one_run(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.4, FE-12.1."""
    async with world(active(HOME), tmp_path) as w:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(w.client.start)
        await w.client.start()
        assert w.daemon.ops("events_subscribe") == ["events_subscribe"]
        assert w.daemon.ops("network_add") == ["network_add"]
        assert sorted(r["method"] for r in w.daemon.log if r["op"] == "rpc_register") == ["count", "echo"]


async def test_start_before_the_daemon_waits_for_it(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-2.2."""
    async with world(active(HOME), tmp_path, connected=False) as w:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(w.client.start)
            await trio.sleep(3)
            assert w.client.state.phase == "starting"
            await w.connect()
        assert w.client.state.status == "online"


async def test_start_without_a_daemon_gives_up_after_thirty_tries_and_comes_back_by_itself(
    autojump_clock: Any, tmp_path: Path
) -> None:
    """FE-2.3, FE-5.5."""
    async with world(active(HOME), tmp_path, connected=False) as w:
        began = trio.current_time()
        with pytest.raises(ControlError) as raised:
            await w.client.start()
        assert raised.value.kind == "not_connected"
        assert trio.current_time() - began == pytest.approx(6.0)
        assert w.client.state.status != "error"
        await w.connect()
        await settled()
        assert w.client.state.status == "online"


async def test_daemon_that_loses_its_networks_in_a_restart_gets_them_again(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        await w.daemon.die()
        await settled()
        assert w.client.state.pill == "Joining Home…"
        w.daemon.networks = []
        await w.connect()
        await settled()
        assert w.daemon.joined == ["home"]
        assert set(w.daemon.claims) == {"echo", "count"}
        assert w.client.state.status == "online"


async def test_event_connection_lost_but_daemon_alive_rebinds_with_the_new_client_id(
    autojump_clock: Any, tmp_path: Path
) -> None:
    """FE-4.9, FE-12.27, FE-12.28."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        await w.daemon.drop_events()
        await settled()
        await w.connect()
        await settled()
        assert w.client.state.status == "online"
        assert set(w.daemon.claims.values()) == {"c1"}
        assert w.daemon.ops("network_add") == ["network_add"]


async def test_network_removed_behind_the_apps_back_is_joined_again(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.13."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.daemon.networks = []
        w.daemon.claims.clear()
        await trio.sleep(6)
        assert w.daemon.joined == ["home"]
        assert set(w.daemon.claims) == {"echo", "count"}
        assert w.client.state.status == "online"


async def test_a_stopped_network_is_noticed_at_once(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.daemon.networks = []
        await w.daemon.event(event_kind="phase", kind="changed", prev="alone", next="stopped")
        await settled()
        assert w.daemon.joined == ["home"]
        assert w.client.state.status == "online"


@pytest.mark.parametrize("phase", ["joining", "alone", "discovering", "active", "degraded", "stopped", "warp"])
async def test_a_healthy_daemon_never_leaves_the_app_joining(autojump_clock: Any, tmp_path: Path, phase: str) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.phase = phase
        await w.client.start()
        await w.daemon.event(event_kind="phase", kind="changed", prev="stopped", next="joining")
        w.daemon.phase = "alone"
        await trio.sleep(10)
        assert w.client.state.status == "online"
        assert not w.client.state.pill.startswith("Joining")


async def test_a_relay_that_has_come_up_meanwhile_is_seen_with_the_first_device_that_it_brings(
    autojump_clock: Any, tmp_path: Path
) -> None:
    async with world(active(HOME), tmp_path) as w:
        row = {"url": "ws://r.example", "state": "connecting", "since_ms": 1, "public": False}
        w.daemon.network_members = {"relays": [row]}
        await w.client.start()
        assert [relay.state for relay in w.client.state.relays or ()] == ["connecting"]
        w.daemon.network_members = {"relays": [{**row, "state": "up"}]}
        await w.daemon.event(event_kind="phase", kind="changed", prev="alone", next="discovering")
        await trio.sleep(0.1)
        assert [relay.state for relay in w.client.state.relays or ()] == ["up"]


async def test_a_device_that_was_put_out_and_let_in_again_is_told_so(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        seen = []
        await w.client.start()
        for members in ({"twin": None, "put_out": True}, {}):
            w.daemon.network_members = members
            await trio.sleep(10)
            seen.append(w.client.state.is_put_out)
        assert seen == [True, False]


async def test_a_refused_join_says_why_and_is_tried_again(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.refuse["network_add"] = ["join: identity: bad"] * 3
        await w.client.start()
        assert w.client.state.pill == "Mesh error: cannot join 'Home': join: identity: bad"
        await trio.sleep(10)
        assert w.daemon.joined == ["home"]
        assert w.client.state.status == "online"


async def test_switch_leaves_the_old_network_then_joins_the_new_one(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.18."""
    async with world(active(HOME, WORK), tmp_path) as w:
        await w.client.start()
        w.daemon.peers = [peer_info()]
        w.client.peers_changed()
        await settled()
        w.daemon.log.clear()
        w.daemon.peers = []
        w.catalog.put(lambda c: c.set_active_network("net-2"))
        await w.client.reconcile()
        changes = [
            (r["op"], r.get("network") or r["config"]["network_id"])
            for r in w.daemon.log
            if r["op"] in ("network_add", "network_remove")
        ]
        assert changes == [("network_remove", "home"), ("network_add", "work")]
        assert w.daemon.joined == ["work"]
        assert w.client.state.network == "work"
        assert w.client.state.peers == ()
        unregistered = {r["network"] for r in w.daemon.log if r["op"] == "rpc_unregister"}
        registered = {r["network"] for r in w.daemon.log if r["op"] == "rpc_register"}
        assert (unregistered, registered) == ({"home"}, {"work"})


async def test_online_is_never_said_of_a_network_that_is_not_bound_yet(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME, WORK), tmp_path) as w:
        await w.client.start()
        seen: list[tuple[str, str]] = []

        async def watch() -> None:
            while True:
                seen.append((w.client.state.pill, w.client.state.network))
                await w.client.watch.changed()

        w.nursery.start_soon(watch)
        w.catalog.put(lambda c: c.set_active_network(WORK.id))
        await w.client.reconcile()
        await settled()
        assert {network for pill, network in seen if pill.startswith("Online on work")} == {"work"}


async def test_another_identity_is_told(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-12.19."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        await w.daemon.die()
        w.identity = "other"
        await w.connect()
        await settled()
        assert "this device is now other, was me: its peers must approve it anew" in w.diag


async def test_three_quick_switches_end_on_the_last_one(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-12.4."""
    async with world(active(HOME, WORK), tmp_path) as w:
        await w.client.start()
        async with trio.open_nursery() as nursery:
            for config_id in ("net-2", "net-1", "net-2"):
                w.catalog.put(lambda c, i=config_id: c.set_active_network(i))  # type: ignore[misc]  # mypy knows no default of a lambda
                nursery.start_soon(w.client.reconcile)
                await trio.lowlevel.checkpoint()
        assert w.daemon.joined == ["work"]
        assert w.client.state.network == "work"
        assert w.daemon.ops("network_add").count("network_add") <= 3


async def test_removing_the_active_network_leaves_it(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.22."""
    async with world(active(HOME, WORK), tmp_path) as w:
        await w.client.start()
        w.catalog.put(lambda c: c.remove_network("net-1"))
        await w.client.reconcile()
        assert w.daemon.joined == []
        assert w.client.state.pill == "No active network — pick one below"
        assert w.client.state.peers == ()
        w.catalog.put(lambda c: c.add_network(HOME, activate=True))
        await w.client.reconcile()
        assert w.daemon.joined == ["home"]
        assert w.client.state.status == "online"


async def test_a_running_app_follows_the_file(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME, WORK), tmp_path) as w:
        assert w.nursery is not None
        w.nursery.start_soon(w.follow)
        await w.client.start()
        w.catalog.put(lambda c: c.set_active_network("net-2"))
        await trio.sleep(2)
        assert w.client.state.network == "work"


async def test_stop_during_start_leaves_nothing_registered(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-12.2."""
    async with world(active(HOME), tmp_path) as w:
        w.daemon.hang.add("capabilities_set")
        async with trio.open_nursery() as nursery:

            async def start() -> None:
                with pytest.raises(ControlError):
                    await w.client.start()

            nursery.start_soon(start)
            await trio.sleep(1)
            await w.client.stop()
        assert w.daemon.claims == {}
        assert w.daemon.channels == {}
        assert w.client.state.status == "off"
        assert w.daemon.joined == ["home"], "stopping the app does not leave the network"


async def test_start_right_after_stop_starts(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(w.client.stop)
            await trio.lowlevel.checkpoint()
            nursery.start_soon(w.client.start)
        await settled()
        assert w.client.state.status == "online"
        assert set(w.daemon.claims) == {"echo", "count"}


async def test_daemon_lost_during_start_is_retried(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-12.5."""
    async with world(active(HOME), tmp_path) as w:
        w.daemon.hang.add("peers_list")

        async def start() -> None:
            with pytest.raises(ControlError):
                await w.client.start()

        assert w.nursery is not None
        w.nursery.start_soon(start)
        await trio.sleep(1)
        await w.daemon.die()
        w.daemon.hang.clear()
        await settled()
        await w.connect()
        await settled()
        assert w.client.state.status == "online"
        assert set(w.daemon.claims) == {"echo", "count"}


async def test_an_edit_becomes_one_update(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-8.2."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.catalog.put(lambda c: c.update_network("net-1", auto_approve=True))
        await w.client.reconcile()
        assert w.daemon.mutations == ["network_add", "network_update"]
        assert w.daemon.networks[0]["auto_approve"] is True
        assert w.daemon.networks[0]["signaling"]["redundancy"] == 5


async def test_an_old_daemon_without_update_gets_leave_and_join(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-8.5."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.daemon.refuse["network_update"] = ["parse: unknown variant `network_update`, expected one of `status`"]
        w.catalog.put(lambda c: c.update_network("net-1", stun_servers=()))
        await w.client.reconcile()
        await settled()
        assert w.daemon.mutations == ["network_add", "network_update", "network_remove", "network_add"]
        assert set(w.daemon.claims) == {"echo", "count"}


async def test_shared_daemon_keeps_networks_of_other_apps(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.12."""
    async with world(active(HOME, WORK), tmp_path, connected=False) as w:
        w.mode = "shared"
        w.daemon.networks = [{**SavedNetwork("x", "gui-net").to_daemon()}]
        await w.connect()
        await w.client.start()
        assert w.daemon.joined == ["gui-net", "home"]
        w.catalog.put(lambda c: c.set_active_network("net-2"))
        await w.client.reconcile()
        assert w.daemon.joined == ["gui-net", "work"]


async def test_config_id_held_by_another_network_is_freed_once(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.9, FE-12.31."""
    async with world(active(HOME), tmp_path, connected=False) as w:
        w.mode = "shared"
        w.daemon.networks = [{**SavedNetwork("net-1", "other").to_daemon()}]
        await w.connect()
        await w.client.start()
        assert w.daemon.joined == ["home"]


async def test_calls_are_answered_only_to_approved_peers(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-9.2."""
    async with world(active(HOME), tmp_path) as w:
        w.daemon.peers = [peer_info(), peer_info("c" * 52, status="pending_approval")]
        await w.client.start()
        for i, (sender, payload) in enumerate([(DEVICE_B, {"x": 1}), ("c" * 52, {}), ("d" * 52, {}), (DEVICE_B, "no")]):
            await w.daemon.emit(
                {
                    "kind": "rpc_inbound",
                    "network": "home",
                    "from": sender,
                    "request_id": f"r{i}",
                    "method": "echo",
                    "payload": payload,
                    "streaming": False,
                }
            )
        await settled()
        answers = {r["request_id"]: r for r in w.daemon.log if r["op"] == "rpc_respond"}
        assert answers["r0"]["ok"] == {"x": 1}
        assert answers["r1"]["error"] == answers["r2"]["error"] == "not authorized"
        assert answers["r3"]["error"] == "declined"


async def test_streams_are_sent_in_order_and_fail_inside(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-9.6, FE-9.9, FE-12.35."""
    async with world(active(HOME), tmp_path) as w:
        w.daemon.peers = [peer_info()]
        await w.client.start()
        for request_id, payload in (("s2", 2), ("s3", 3)):
            await w.daemon.emit(
                {
                    "kind": "rpc_inbound",
                    "network": "home",
                    "from": DEVICE_B,
                    "request_id": request_id,
                    "method": "count",
                    "payload": payload,
                    "streaming": True,
                }
            )
        await settled()

        def sent(request_id: str) -> list[Any]:
            rows = [r for r in w.daemon.log if r.get("request_id") == request_id]
            return [r["payload"] if r["op"] == "rpc_stream_chunk" else r["op"] for r in rows]

        assert sent("s2") == [{"n": 0}, {"n": 1}, "rpc_stream_end"]
        assert sent("s3") == [{"n": 0}, {"n": 1}, {"n": 2}, {"error": "stopped counting"}, "rpc_stream_end"]


async def test_a_peer_cannot_occupy_the_device(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-9.10."""
    async with world(active(HOME), tmp_path) as w:
        w.daemon.peers = [peer_info()]
        await w.client.start()
        for i in range(9):
            await w.daemon.emit(
                {
                    "kind": "rpc_inbound",
                    "network": "home",
                    "from": DEVICE_B,
                    "request_id": f"r{i}",
                    "method": "echo",
                    "payload": "sleep",
                    "streaming": False,
                }
            )
        await settled()
        refused = [r for r in w.daemon.log if r["op"] == "rpc_respond"]
        assert [r["error"] for r in refused] == ["host busy"]


async def test_messages_reach_their_handler_and_foreign_ones_do_not(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.peers = [peer_info()]
        await w.client.start()
        for network, channel in (("home", "notice"), ("work", "notice"), ("home", "other")):
            await w.daemon.emit(
                {"kind": "channel_inbound", "network": network, "from": DEVICE_B, "channel": channel, "payload": "hi"}
            )
        await settled()
        assert w.heard == [("Pi", "notice", "hi")]


async def test_peer_events_coalesce_into_few_refreshes(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.16, FE-12.42."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.daemon.log.clear()
        w.daemon.peers = [peer_info()]
        for _ in range(50):
            await w.daemon.event(event_kind="peer", kind="sighted", device_id=DEVICE_B)
        await settled()
        assert 1 <= len(w.daemon.ops("peers_list")) <= 4
        assert [p.label for p in w.client.state.peers] == ["Pi"]


async def test_lagging_events_cause_a_full_resync(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-12.26."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.daemon.phase = "active"
        w.daemon.peers = [peer_info()]
        await w.daemon.emit({"kind": "lagged", "skipped": 17})
        await settled()
        assert w.client.state.pill == "Connected · Home · 1 peer · auto-healing ring"
        assert "mesh event subscriber lagged; dropped 17 events" in w.diag


async def test_a_displaced_method_is_claimed_back_once(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.28, FE-12.29."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.daemon.log.clear()
        frame = {"kind": "handler_displaced", "network": "home", "method": "echo", "by": "c9"}
        await w.daemon.emit(frame)
        await trio.sleep(6)
        assert w.daemon.ops("rpc_register") == ["rpc_register"]
        await w.daemon.emit(frame)
        await trio.sleep(10)
        assert w.daemon.ops("rpc_register") == ["rpc_register"]
        assert "'echo' is served by another app on this daemon" in w.diag


async def test_a_daemon_too_old_for_calls_still_shows_peers(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-3.24."""
    async with world(active(HOME), tmp_path) as w:
        for operation in ("rpc_register", "capabilities_set"):
            w.daemon.refuse[operation] = [f"parse: unknown variant `{operation}`, expected one of `status`"] * 9
        w.daemon.peers = [peer_info(status="pending_approval", local_approve_sent=False)]
        await w.client.start()
        assert [peer.status for peer in w.client.state.peers] == ["pending_approval"]
        assert any("daemon too old for LLM features" in line for line in w.diag)


async def test_without_an_active_network_nothing_is_registered(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(Catalog(), tmp_path) as w:
        await w.client.start()
        w.client.capabilities_changed()
        await trio.sleep(2)
        assert w.daemon.ops() == ["events_subscribe", "status"]
        assert w.client.state.pill == "No active network — pick one below"


async def test_frames_between_connecting_and_attaching_are_not_lost(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.networks = [HOME.to_daemon()]
        await w.daemon.event(event_kind="phase", kind="changed", prev="alone", next="discovering")
        await settled()
        await w.client.start()
        assert w.client.state.phase == "peer-discovered"


# ── operations ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_operations_without_a_daemon_or_network_fail_at_once(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-2.3."""
    async with world(active(HOME), tmp_path, connected=False) as w:
        with pytest.raises(ControlError, match="mesh daemon not connected — it's still starting up"):
            await w.do.approve(DEVICE_B)
    async with world(Catalog(), tmp_path) as w:
        await w.client.start()
        with pytest.raises(NoNetworkError, match="no active network"):
            await w.do.broadcast("notice", 1)


async def test_approval_sends_the_announced_label_and_refreshes(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.peers = [peer_info(status="pending_approval", local_approve_sent=False, remote_approve_seen=False)]
        await w.client.start()
        w.daemon.peers = [peer_info(status="pending_approval", remote_approve_seen=False)]
        await w.do.approve(DEVICE_B)
        await settled()
        assert w.daemon.roster[0]["label"] == "Pi"
        assert [p.status for p in w.client.state.peers] == ["pending_remote"]
        await w.do.remove(DEVICE_B)
        assert w.daemon.log[-1]["op"] in ("roster_remove", "peers_list")


async def test_an_approved_device_that_is_away_is_said_to_be_away(autojump_clock: Any, tmp_path: Path) -> None:
    """Its name names it all the same; "no device has been seen" sends a person on a wrong track."""
    async with world(active(HOME), tmp_path) as w:
        w.daemon.peers = [peer_info()]
        w.daemon.roster = [
            {"device_id": DEVICE_B, "label": "Pi", "approved_at": 1, "role": "member"},
            {"device_id": "q" * 52, "label": "Desk", "approved_at": 1, "role": "member"},
        ]
        await w.client.start()
        assert (await w.do.named("pi")).device_pubkey == DEVICE_B
        with pytest.raises(PeerAwayError, match=r"Desk \(qqqqqqqq…\S*\) is away: it is approved here"):
            await w.do.named("Desk")
        assert (await w.do.named("Desk", also_away=True)).status == "offline"
        with pytest.raises(PeerSelectorError, match=r"no peer 'Nobody'; known here: .*Pi"):
            await w.do.named("Nobody")
        w.daemon.refuse["roster_list"] = []
        with pytest.raises(PeerSelectorError, match=r"no peer 'Desk'; known here: .*Pi"):
            await w.do.named("Desk")


async def test_an_approval_that_is_given_twice_is_no_error(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-12.43."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.daemon.peers = [peer_info(status="pending_approval", local_approve_sent=False, remote_approve_seen=False)]
        operations = Operations(w.client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(operations.approve, DEVICE_B)
            nursery.start_soon(operations.approve, DEVICE_B)
        assert w.daemon.ops("roster_approve") == ["roster_approve"] * 2


async def test_an_approval_given_elsewhere_is_seen(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.peers = [peer_info(status="pending_approval", local_approve_sent=False, remote_approve_seen=False)]
        await w.client.start()
        w.daemon.peers = [peer_info(status="pending_approval", remote_approve_seen=False)]
        await trio.sleep(1)
        assert [p.status for p in w.client.state.peers] == ["pending_remote"]


async def test_calls_answer_time_out_and_fail_with_the_daemons_text(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-9.4."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        assert await w.do.call(DEVICE_B, "echo", {"x": 1}) == {"x": 1}
        w.daemon.refuse["rpc_call"] = ["handler returned error: no"]
        with pytest.raises(ControlError, match="handler returned error: no"):
            await w.do.call(DEVICE_B, "echo", 1)
        w.daemon.hang.add("rpc_call")
        began = trio.current_time()
        with pytest.raises(ControlError, match="timed out"):
            await w.do.call(DEVICE_B, "echo", 1, timeout_s=2)
        assert trio.current_time() - began == pytest.approx(2)
        await w.do.send(DEVICE_B, "notice", 1)
        w.daemon.peers = [peer_info()]
        assert await w.do.broadcast("notice", 1) == 1


@pytest.mark.parametrize("how", ["stop", "die"])
async def test_the_end_of_a_life_ends_its_calls(autojump_clock: Any, tmp_path: Path, how: str) -> None:
    """FE-5.23."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.daemon.hang.add("rpc_call")
        kinds: list[str] = []

        async def call() -> None:
            with pytest.raises(ControlError) as raised:
                await w.do.call(DEVICE_B, "echo", 1, timeout_s=3600)
            kinds.append(raised.value.kind)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await settled()
            await (w.client.stop() if how == "stop" else w.daemon.die())
        assert kinds == ["stopped" if how == "stop" else "connection_lost"]


def _chunk(payload: Any) -> dict[str, Any]:
    return {"kind": "rpc_call_stream_chunk", "request_id": "ipc-stream-0", "payload": payload}


def _end(error: str | None = None) -> dict[str, Any]:
    return {"kind": "rpc_call_stream_end", "request_id": "ipc-stream-0", "error": error}


async def _read(w: World, pieces: list[Any]) -> None:
    async for piece in w.do.call_stream(DEVICE_B, "count", None):
        pieces.append(piece)  # noqa: PERF401 - what came before a failure counts


async def test_streamed_answers_arrive_in_order_whenever_their_pieces_come(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.27, FE-12.34."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        await w.daemon.emit(_chunk(1))  # before the call, let alone its answer
        pieces: list[Any] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, w, pieces)
            await settled()
            assert pieces == [1]
            for frame in (_chunk(2), _chunk(3), _end()):
                await w.daemon.emit(frame)
        assert pieces == [1, 2, 3]


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([_end()], "without data"),
        ([_chunk(1), _chunk({"error": "host busy"}), _end()], "host busy"),
        ([_chunk(1), _end("network down")], "the link to Pi went down"),
        ([_chunk(1), _end("handler owner client disconnected")], "the app on Pi ended"),
        ([_chunk(1)], "timed out waiting for Pi"),
        ([], "timed out waiting for Pi"),
    ],
)
async def test_streamed_answers_that_fail(
    autojump_clock: Any, tmp_path: Path, frames: list[dict[str, Any]], text: str
) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.peers = [peer_info()]
        await w.client.start()

        async def push() -> None:
            for frame in frames:
                await w.daemon.emit(frame)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            with pytest.raises(ControlError, match=text):
                await _read(w, [])


async def test_a_removal_that_never_ends_is_reported_and_the_switch_goes_on(
    autojump_clock: Any, tmp_path: Path
) -> None:
    """FE-4.16."""
    async with world(active(HOME, WORK), tmp_path) as w:
        stuck: list[int] = []
        w.client.on_stuck.append(stuck.append)
        await w.client.start()
        w.daemon.hang.add("network_remove")
        w.catalog.put(lambda c: c.set_active_network("net-2"))
        await w.client.reconcile()
        assert stuck == [1]
        assert "work" in w.daemon.joined


async def test_an_old_daemon_is_mentioned_once(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-3.20, FE-12.16."""
    async with world(active(HOME), tmp_path, connected=False) as w:
        w.daemon.version = "0.1.2"
        await w.connect()
        await w.client.start()
        assert [d for d in w.diag if "0.1.2" in d] == [
            "the daemon is 0.1.2, this app is built against v0.3.8; some features may be missing"
        ]
        assert w.client.state.meets_pin is False


async def test_a_daemon_that_gives_no_events_is_named_instead_of_joining(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path, connected=False) as w:
        w.nursery.start_soon(w.client.boot)
        await trio.sleep(1)
        for _ in range(3):
            w.client.not_subscribed("events of the daemon: subscribe rejected: nope")
            await trio.sleep(4)
        assert w.client.state.pill == "Mesh error: events of the daemon: subscribe rejected: nope"
        assert w.diag.count("events of the daemon: subscribe rejected: nope") == 1
        await w.connect()
        await settled()
        assert (w.client.state.status, w.client.state.error) == ("online", "")


async def test_a_start_that_hangs_says_what_it_waits_for(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.hang.add("network_add")
        w.nursery.start_soon(w.client.boot)
        await trio.sleep(9)
        assert (w.client.state.phase, w.client.state.error) == (
            "starting",
            "the mesh daemon has not answered `network_add` yet",
        )
        w.daemon.hang.clear()
        await trio.sleep(60)
        assert (w.client.state.status, w.client.state.error) == ("online", "")


async def test_a_start_that_failed_on_a_living_connection_is_repeated(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.refuse["status"] = ["busy"] * 30
        with pytest.raises(ControlError, match="busy"):
            await w.client.start()
        assert w.client.state.pill == "Mesh error: busy"
        await trio.sleep(11)
        assert w.daemon.joined == ["home"]
        assert w.client.state.status == "online"


async def test_a_stop_after_a_failed_start_stays(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.refuse["status"] = ["busy"] * 30
        with pytest.raises(ControlError, match="busy"):
            await w.client.start()
        await w.client.stop()
        await trio.sleep(30)
        assert w.client.state.status == "off"
        assert w.daemon.joined == []
