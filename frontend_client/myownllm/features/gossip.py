"""What this device tells its peers by itself, and takes from them: catalog, policy, prompts (spec 08 §7, §9.8).

| channel                | told                                                    | heard                    |
|------------------------|---------------------------------------------------------|--------------------------|
| `catalog/announce`     | at the start, every minute, after changes, to newcomers | shown beside the peer    |
| `permissions/snapshot` | the same, with `auto_gossip` alone                      | merged, with it alone    |
| `prompts/snapshot`     | the same, with `auto_gossip` alone                      | merged, with it alone    |

One task per life tells; whatever is to be told is a note to it, so that nothing is told twice or in the wrong order.
What is merged is never told on by the merge: the next minute does that.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import trio

from myownllm.capabilities import supports
from myownllm.errors import FAILURES, AppError
from myownllm.features.releases import all_of
from myownllm.gossip import wire
from myownllm.gossip.timing import REFRESH_S, CatchUps, Debounce, Reminders
from myownllm.peers import CONNECTED
from myownllm.policy import FUTURE_TOLERANCE_MS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from myownllm.client import ClientState, MeshClient, Operations, Session
    from myownllm.client.registry import Release
    from myownllm.coerce import Json, JsonObject
    from myownllm.peers import CatalogEntry, PeerEntry
    from myownllm.policy import MergedPermissions
    from myownllm.records import PolicyStore, PromptStore

FEATURE_IDS: Final = ("catalog_announce", "agent_permissions_v1", "prompts_v1")
LARGE_PAYLOADS: Final = "large_payload_v1"
MERGE_SPACING_S: Final = 0.25
"""Between two merges of one peer that changed a file: who has more to say than that is heard later."""
WARN_EVERY_S: Final = 60.0
WARN_FUTURE_EVERY_S: Final = 3600.0
GATED: Final = (wire.PERMISSIONS, wire.PROMPTS)


class Gossip:
    """Made once per app. `catalog_changed` may be called at any time."""

    def __init__(
        self,
        client: MeshClient,
        operations: Operations,
        policy: PolicyStore,
        prompts: PromptStore,
        entries: Callable[[], Awaitable[tuple[CatalogEntry, ...]]],
        now_ms: Callable[[], int],
    ) -> None:
        """`entries` gives the conversations here."""
        self._client, self._operations = client, operations
        self._policy, self._prompts, self._entries = policy, prompts, entries
        self._now_ms = now_ms
        self._catch_ups = CatchUps()
        self._debounce = Debounce()
        self._edited: set[str] = set()
        """gated channels to publish at once"""
        self._wake = trio.Event()
        self._reminders = Reminders()
        self._heard_ts: dict[str, int] = {}

    def install(self) -> Release:
        """Begin to tell and to hear. To be called in the loop of the client."""
        token = trio.lowlevel.current_trio_token()
        client = self._client

        def edited(channel: str) -> None:
            token.run_sync_soon(self._publish_soon, channel)

        self._policy.broadcaster = lambda _: edited(wire.PERMISSIONS)
        self._prompts.broadcaster = lambda _: edited(wire.PROMPTS)
        client.on_state.append(self._look_at)

        def release() -> None:
            self._policy.broadcaster = self._prompts.broadcaster = None
            client.on_state.remove(self._look_at)

        return all_of(
            release,
            client.listen(wire.CATALOG, self._hear_catalog),
            client.listen(wire.PERMISSIONS, self._hear_permissions),
            client.listen(wire.PROMPTS, self._hear_prompts),
            client.add_features(*FEATURE_IDS),
            client.while_up(self._tell),
        )

    def catalog_changed(self) -> None:
        """Conversations here are others than before: peers learn it when they have been still for half a second."""
        self._debounce.poke(trio.current_time())
        self._notice()

    # ── when to tell ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _publish_soon(self, channel: str) -> None:
        if self._client.state.auto_gossip:
            self._edited.add(channel)
            self._notice()

    def _notice(self) -> None:
        self._wake.set()

    def _look_at(self, before: ClientState, now: ClientState) -> None:
        """New peers are told everything; gossip that is switched on is told at once (FE-7.8)."""
        if before.peers is not now.peers:
            self._notice()
        was_same = before.active_config_id == now.active_config_id
        if was_same and now.auto_gossip and not before.auto_gossip:
            self._edited.update(GATED)
            self._notice()

    async def _tell(self, session: Session) -> None:
        """For one life: everything at its start, then what changes, comes and is due."""
        if not session.wire_id:
            return
        self._catch_ups = CatchUps(self._active())
        self._debounce.clear()
        self._edited.clear()
        self._heard_ts.clear()
        await self._publish_all(fresh=True)
        tick = trio.current_time() + REFRESH_S
        while True:
            due = [tick, self._debounce.due, self._catch_ups.next_look(self._active())]
            with trio.move_on_at(min((at for at in due if at is not None), default=math.inf)):
                await self._wake.wait()
            self._wake = trio.Event()
            now = trio.current_time()
            if now >= tick:
                tick = now + REFRESH_S
                await self._publish_all()
            if (changed_at := self._debounce.due) is not None and now >= changed_at:
                await self._publish_catalog()
            for channel in GATED:
                if channel in self._edited:
                    await self._publish_gated(channel)
            await self._catch_up(self._catch_ups.look(self._active(), now))

    async def _catch_up(self, peers: tuple[str, ...]) -> None:
        """Tell who has come everything, and ask who has told nothing yet: it may not have seen that we were away."""
        silent = tuple(p for p in peers if p not in self._heard_ts)
        await self._publish_all(silent, fresh=True)
        await self._publish_all(tuple(p for p in peers if p not in silent))

    def _active(self) -> list[str]:
        return [p.device_pubkey for p in self._client.state.peers if p.status == "active" and p.authorized]

    # ── telling ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _publish_all(self, to: tuple[str, ...] | None = None, *, fresh: bool = False) -> None:
        """Everything, to all or to a few. Policy and prompts only while gossip is on."""
        if to == ():
            return
        await self._publish_catalog(to, fresh=fresh)
        for channel in GATED:
            await self._publish_gated(channel, to)

    async def _publish_catalog(self, to: tuple[str, ...] | None = None, *, fresh: bool = False) -> None:
        if to is None:
            self._debounce.clear()
        try:
            entries = (await self._entries())[: wire.ENTRIES_MAX]
        except AppError as error:
            self._warn(wire.CATALOG, str(error))
            return
        whole = wire.catalog_payload(entries, self._now_ms(), fresh=fresh)
        if wire.size(whole) <= wire.CEILING_BYTES:
            await self._send(wire.CATALOG, whole, to)
            return
        newest = wire.newest_that_fit(entries, self._now_ms(), fresh=fresh)
        for peer in self._connected(to):
            await self._send(wire.CATALOG, whole if _takes_large(peer) else newest, (peer.device_pubkey,))

    async def _publish_gated(self, channel: str, to: tuple[str, ...] | None = None) -> None:
        """A gated channel, if gossip is on at this moment and there is a record to tell of."""
        if to is None:
            self._edited.discard(channel)
        state = self._client.state
        if not state.auto_gossip or not state.active_config_id:
            return
        try:
            if channel == wire.PERMISSIONS:
                await self._publish_permissions(to)
            else:
                await self._publish_prompts(to)
        except AppError as error:
            self._warn(channel, str(error))

    async def _publish_permissions(self, to: tuple[str, ...] | None) -> None:
        permissions = await trio.to_thread.run_sync(self._policy.read)
        payload = wire.permissions_payload(permissions.in_force, self._now_ms())
        if (size := wire.size(payload)) > wire.CEILING_BYTES:
            self._warn(wire.PERMISSIONS, f"the policy has {size} bytes, more than peers can be told in one message")
            return
        await self._send(wire.PERMISSIONS, payload, to)

    async def _publish_prompts(self, to: tuple[str, ...] | None) -> None:
        parts, oversize = wire.prompts_payloads(await trio.to_thread.run_sync(self._prompts.read), self._now_ms())
        for part in parts:
            await self._send(wire.PROMPTS, part, to)
        for part in oversize:
            for peer in self._connected(to):
                if _takes_large(peer):
                    await self._send(wire.PROMPTS, part, (peer.device_pubkey,))

    def _connected(self, to: tuple[str, ...] | None) -> list[PeerEntry]:
        known = [p for p in self._client.state.peers if p.status in CONNECTED and p.authorized]
        return [p for p in known if to is None or p.device_pubkey in to]

    async def _send(self, channel: str, payload: JsonObject, to: tuple[str, ...] | None) -> None:
        try:
            if to is None:
                await self._operations.broadcast(channel, payload)
            for pubkey in to or ():
                await self._operations.send(pubkey, channel, payload)
        except FAILURES as error:  # the next minute tries again
            await trio.lowlevel.checkpoint_if_cancelled()  # the life that it was for is over: nothing to tell
            self._warn(channel, str(error))

    def _warn(self, channel: str, text: str) -> None:
        if self._reminders.may_say(channel, trio.current_time(), every_s=WARN_EVERY_S):
            self._client.note("warn", f"{channel} was not told: {text}")

    # ── hearing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _hear_catalog(self, peer: PeerEntry, payload: Json) -> None:
        await trio.lowlevel.checkpoint()
        heard = wire.read_catalog(payload)
        if heard is None or wire.is_late_copy(self._heard_ts.get(peer.device_pubkey, 0), heard.ts):
            return
        self._heard_ts[peer.device_pubkey] = heard.ts
        self._client.catalog_heard(peer.device_pubkey, heard.entries)
        if heard.is_fresh:
            self._catch_ups.forget(peer.device_pubkey)
            self._notice()

    async def _hear_permissions(self, peer: PeerEntry, payload: Json) -> None:
        config_id = self._client.state.active_config_id
        tools = wire.read_permissions(payload)
        if tools is None or not self._client.state.auto_gossip:
            return
        merged = await trio.to_thread.run_sync(self._policy.merge, config_id, tools, peer.device_pubkey)
        if merged is None:
            return
        if merged.from_future:
            self._warn_of_clock(peer, wire.PERMISSIONS)
        if merged.malformed:
            self._warn_of_malformed(peer, wire.PERMISSIONS)
        self._tell_merged(peer, merged)
        if merged.taken or merged.held:
            await trio.sleep(MERGE_SPACING_S)

    def _tell_merged(self, peer: PeerEntry, merged: MergedPermissions) -> None:
        name = peer.device_pubkey[:8]
        if merged.taken:
            self._client.note("info", f"permissions of {name} taken over: {', '.join(merged.taken)}")
        for tool in merged.relaxed:
            undo = f"`myownllm policy set {tool} ask` takes it back"
            self._client.note("warn", f"{name} made {tool} less strict on this device; {undo}")
        for tool in merged.held:
            code = merged.permissions.held[tool].code
            decide = f"`myownllm policy pending` shows it, `policy agree {tool} {code}` lets it in"
            self._client.note("warn", f"{name} asks to make {tool} less strict on this device: {decide}")

    async def _hear_prompts(self, peer: PeerEntry, payload: Json) -> None:
        config_id = self._client.state.active_config_id
        read = wire.read_prompts(payload)
        if read is None or not self._client.state.auto_gossip:
            return
        merged = await trio.to_thread.run_sync(self._prompts.merge, config_id, *read)
        if merged is None:
            return
        if merged.from_future:
            self._warn_of_clock(peer, wire.PROMPTS)
        if merged.malformed or merged.no_room:
            self._warn_of_malformed(peer, wire.PROMPTS)
        if merged.changed:
            self._client.note("info", f"prompts of {peer.device_pubkey[:8]} taken over")
            await trio.sleep(MERGE_SPACING_S)

    def _warn_of_clock(self, peer: PeerEntry, channel: str) -> None:
        skew = "" if peer.clock_skew_ms is None else f"; its clock is {peer.clock_skew_ms / 1000:+.0f} s from ours"
        ahead = f"more than {FUTURE_TOLERANCE_MS // 60_000} minutes ahead"
        self._warn_of(peer, f"future {channel}", f"{channel} of {{name}}: stamps {ahead} are ignored{skew}")

    def _warn_of_malformed(self, peer: PeerEntry, channel: str) -> None:
        self._warn_of(peer, f"malformed {channel}", f"{channel} of {{name}}: malformed or oversize records are ignored")

    def _warn_of(self, peer: PeerEntry, what: str, text: str) -> None:
        key = f"{what} {peer.device_pubkey}"
        if self._reminders.may_say(key, trio.current_time(), every_s=WARN_FUTURE_EVERY_S):
            self._client.note("warn", text.format(name=peer.device_pubkey[:8]))


def _takes_large(peer: PeerEntry) -> bool:
    return supports(peer.capabilities, LARGE_PAYLOADS)
