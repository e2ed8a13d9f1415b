"""Which client serves which method (spec 05 §13.1 with W9, W12, W13, W16).

A claim belongs to a network, whichever of its two names the client used; the client's own spelling is kept and echoed.
Claims outlive a network that is left: they come back when a network of that name is joined again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from myownmesh.control.clients import Client
from myownmesh.control.pushed import HandlerDisplaced
from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.mesh.network import Network
    from myownmesh.mesh.rpc import InboundCall

MAX_METHODS_PER_NETWORK = 4096
"""Claimed or once claimed; the latter are remembered to tell callers that their owner is gone."""


class Claim(Struct, frozen=True, eq=False):
    client: Client
    alias: str
    """The network as the client named it."""
    method: str
    streaming: bool


class _Method(Struct, eq=False):
    """One method of one network that has been claimed at least once."""

    claim: Claim
    """The present claim, or the last one when `held` is false."""
    held: bool = True


class Claims:
    """All claims. `on_call(claim, network, call)` takes the calls that peers make; the claim is None for nobody."""

    def __init__(self, on_call: Callable[[Claim | None, Network, InboundCall, Claim], None]) -> None:
        self._on_call = on_call
        self._methods: dict[Network, dict[str, _Method]] = {}
        self._parked: list[Claim] = []

    def register(self, network: Network, claim: Claim) -> None:
        """Claim a method; a different previous owner is told. Raises `MeshError` when there are too many."""
        methods = self._methods.setdefault(network, {})
        known = methods.get(claim.method)
        if known is None and len(methods) >= MAX_METHODS_PER_NETWORK and not self._drop_one_released(network):
            raise MeshError(f"too many methods registered on this network (at most {MAX_METHODS_PER_NETWORK})")
        if known is not None and known.held and known.claim.client is not claim.client:
            previous = known.claim
            previous.client.sink.direct(HandlerDisplaced(previous.alias, claim.method, claim.client.name).line())
        self._install(network, claim)

    def release(self, network: Network | None, claim_of: Client, alias: str, method: str) -> bool:
        """Give a method up; False when this client does not hold it."""
        if network is not None:
            known = self._methods.get(network, {}).get(method)
            if known is None or not known.held or known.claim.client is not claim_of:
                return False
            known.held = False
            return True
        for claim in self._parked:
            if claim.client is claim_of and claim.alias == alias and claim.method == method:
                self._parked.remove(claim)
                return True
        return False

    def release_all(self, client: Client) -> None:
        """The client is gone."""
        for methods in self._methods.values():
            for method in methods.values():
                if method.claim.client is client:
                    method.held = False
        self._parked = [claim for claim in self._parked if claim.client is not client]

    def network_added(self, network: Network) -> None:
        """Install what was claimed under either of the network's names."""
        names = network.names
        returning = [claim for claim in self._parked if claim.alias in names]
        self._parked = [claim for claim in self._parked if claim.alias not in names]
        for claim in returning:
            self._install(network, claim)

    def network_removed(self, network: Network) -> None:
        """Keep the claims of a network that was left for its return."""
        methods = self._methods.pop(network, {})
        self._parked.extend(method.claim for method in methods.values() if method.held)

    def _install(self, network: Network, claim: Claim) -> None:
        self._methods.setdefault(network, {})[claim.method] = _Method(claim)
        network.serve(claim.method, lambda call: self._called(network, call), streaming=claim.streaming)

    def _called(self, network: Network, call: InboundCall) -> None:
        known = self._methods.get(network, {}).get(call.method)
        if known is None:
            return  # the network is on its way out and fails the call itself
        self._on_call(known.claim if known.held else None, network, call, known.claim)

    def _drop_one_released(self, network: Network) -> bool:
        methods = self._methods[network]
        for name, method in methods.items():
            if not method.held:
                del methods[name]
                network.unserve(name)
                return True
        return False
