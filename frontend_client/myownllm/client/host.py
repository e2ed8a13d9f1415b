"""What features bring to the client, and the calls and messages of peers on their way to them (spec 08 §9.1, §9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from myownllm.client import blobs, messages
from myownllm.client.lanes import Lanes
from myownllm.client.large import Arrivals
from myownllm.client.registry import LANE_BYTES, LANE_MESSAGES, Listener
from myownllm.client.serving import Serving
from myownllm.coerce import as_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.client.lanes import Spawn
    from myownllm.client.registry import ChannelHandler, Method, Registry, Release
    from myownllm.coerce import Json
    from myownllm.effects import Level
    from myownllm.peers import PeerEntry

CANCEL_CHANNEL: Final = "rpc/cancel"
CANCEL_FEATURE: Final = "stream_cancel_v1"


class Host:
    """The half of the client that answers: features register here, at any time and in any state."""

    def __init__(
        self,
        registry: Registry,
        spawn: Spawn,
        feed: Callable[[messages.Event], None],
        note: Callable[[Level, str], None],
    ) -> None:
        self.arrivals = Arrivals()
        """large payloads that come in"""
        self._registry = registry
        self._tell = feed
        self._lanes = Lanes(spawn, self.arrivals, note)
        self._serving = Serving(spawn, self.arrivals, feed)
        self.listen(CANCEL_CHANNEL, self._cancel_asked)
        self.listen(blobs.CHANNEL, self.arrivals.hear, bytes_waiting=blobs.SENDER_MAX_BYTES)
        self.add_features("stream_error_v1", CANCEL_FEATURE, blobs.FEATURE_ID)

    def serve(self, method: Method) -> Release:
        """Answer calls of that method, in the life that is up and in every later one.

        Raises ValueError when another feature serves it.
        """
        self._registry.add_method(method)
        self._tell(messages.ClaimsChanged())

        def release() -> None:
            if self._registry.remove_method(method):
                self._serving.end_method(method, f"'{method.name}' is served no longer")
                self._tell(messages.ClaimsChanged())

        return release

    def listen(
        self,
        channel: str,
        handler: ChannelHandler,
        *,
        messages_waiting: int = LANE_MESSAGES,
        bytes_waiting: int = LANE_BYTES,
    ) -> Release:
        """Hear a channel, in the life that is up and in every later one. What a slow handler costs: `Listener`."""
        listener = Listener(channel, handler, messages_waiting, bytes_waiting)
        self._registry.add_listener(listener)
        self._tell(messages.ClaimsChanged())

        def release() -> None:
            if self._registry.remove_listener(listener):
                self._lanes.close(listener)
                self._tell(messages.ClaimsChanged())

        return release

    def add_features(self, *ids: str) -> Release:
        """Ids that peers find in this device's capabilities (FE-9.5)."""
        self._registry.add_features(ids)
        self.capabilities_changed()
        left = [ids]

        def release() -> None:
            if left:
                self._registry.remove_features(left.pop())
                self.capabilities_changed()

        return release

    def add_source(self, member: str, source: Callable[[], Json]) -> Release:
        """Who knows a member of the capabilities (`llms`, `asr`, `hardware`, …); the answer must stand ready.

        Raises ValueError when another feature knows it. After a change of the answer call `capabilities_changed`.
        """
        self._registry.add_source(member, source)
        self.capabilities_changed()

        def release() -> None:
            self._registry.remove_source(member, source)
            self.capabilities_changed()

        return release

    def capabilities_changed(self) -> None:
        """This device can do something else than before: peers are told half a second after the last such call."""
        self._tell(messages.CapabilitiesChanged())

    async def _cancel_asked(self, peer: PeerEntry, payload: Json) -> None:
        await trio.lowlevel.checkpoint()
        stream_id = as_object(payload).get("stream_id")
        if isinstance(stream_id, str) and stream_id:  # calls without a name cannot be taken back
            self._serving.cancel_stream(peer.device_pubkey, stream_id)
