"""Which clients listen to which channels (spec 05 §12 with W13 to W16).

One listener per network and channel, however many clients subscribe and however often; it goes with its last
subscriber. Subscriptions outlive a network that is left, like claims.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct, field

from myownmesh.control.clients import Client
from myownmesh.control.pushed import ChannelInbound
from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from msgspec import Raw

    from myownmesh.mesh.network import Network

MAX_CHANNELS_PER_NETWORK = 4096


class _Subscriber(Struct, eq=False):
    client: Client
    alias: str
    """The network as this client named it."""


class _Pump(Struct, eq=False):
    """Delivers one channel of one network to its subscribers."""

    channel: str
    subscribers: dict[Client, _Subscriber] = field(default_factory=dict)
    stop: Callable[[], None] | None = None

    def deliver(self, peer: str, payload: Raw) -> None:
        for subscriber in tuple(self.subscribers.values()):
            subscriber.client.sink.direct(ChannelInbound(subscriber.alias, peer, self.channel, payload).line())

    def add(self, client: Client, alias: str) -> None:
        self.subscribers[client] = _Subscriber(client, alias)


class Subscriptions:
    """All channel subscriptions."""

    def __init__(self) -> None:
        self._pumps: dict[Network, dict[str, _Pump]] = {}
        self._parked: list[tuple[Client, str, str]] = []  # client, alias, channel

    def subscribe(self, network: Network, client: Client, alias: str, channel: str) -> None:
        """Repeating it is harmless. Raises `MeshError` when there are too many channels."""
        pumps = self._pumps.setdefault(network, {})
        pump = pumps.get(channel)
        if pump is None:
            if len(pumps) >= MAX_CHANNELS_PER_NETWORK:
                raise MeshError(f"too many channels subscribed on this network (at most {MAX_CHANNELS_PER_NETWORK})")
            pump = pumps[channel] = _Pump(channel)
            pump.stop = network.listen(channel, pump.deliver)
        pump.add(client, alias)

    def unsubscribe(self, network: Network | None, client: Client, alias: str, channel: str) -> None:
        """No error when there is nothing to end."""
        if network is not None:
            pump = self._pumps.get(network, {}).get(channel)
            if pump is not None:
                self._drop(network, pump, client)
        else:
            self._parked = [each for each in self._parked if each != (client, alias, channel)]

    def drop_client(self, client: Client) -> None:
        """The client is gone."""
        for network, pumps in self._pumps.items():
            for pump in tuple(pumps.values()):
                self._drop(network, pump, client)
        self._parked = [each for each in self._parked if each[0] is not client]

    def network_added(self, network: Network) -> None:
        """Subscribe again whoever was subscribed under either of the network's names."""
        names = network.names
        returning = [each for each in self._parked if each[1] in names]
        self._parked = [each for each in self._parked if each[1] not in names]
        for client, alias, channel in returning:
            self.subscribe(network, client, alias, channel)

    def network_removed(self, network: Network) -> None:
        """Keep the subscriptions of a network that was left for its return."""
        for channel, pump in self._pumps.pop(network, {}).items():
            self._parked.extend((each.client, each.alias, channel) for each in pump.subscribers.values())

    def _drop(self, network: Network, pump: _Pump, client: Client) -> None:
        if pump.subscribers.pop(client, None) is not None and not pump.subscribers:
            del self._pumps[network][pump.channel]
            if pump.stop is not None:
                pump.stop()
