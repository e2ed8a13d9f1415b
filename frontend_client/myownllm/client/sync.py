"""A pass over the daemon's networks: exactly the active one joined, as it is saved (spec 08 §5.4, FE-8.3). Pure.

What to leave and join is decided in `myownllm.membership`; these procedures ask for it, and ask again only where an
operation did not say clearly what came of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.values import Value
from myownllm import membership
from myownllm.client import asks
from myownllm.client.messages import DaemonStuck, Disown, Note, Own
from myownllm.client.state import Settings
from myownllm.ids import comparable_network_id

if TYPE_CHECKING:
    from mesh_common.answers import StatusAnswer
    from myownllm.catalog.model import Catalog
    from myownllm.catalog.network import SavedNetwork
    from myownllm.client.messages import Link
    from myownllm.client.procedures import Procedure

WAITING_TEXT: Final = "something runs with a device of this network, and applying them would cut it off"
REMOVE_TIMEOUT_S: Final = 10.0
"""The reference may never answer a second removal (FE-4.16)."""


class PassResult(Value, frozen=True):
    """What a pass found and did. `changed` means that registrations made before it may be gone."""

    joined: tuple[str, ...]
    changed: bool
    error: str = ""
    """why the active network is not joined, or not as saved"""
    settings: Settings | None = None
    """what became of the settings, where the network was joined with them or they were compared"""


class Pass(Value, frozen=True):
    """One pass over one daemon, which said `status` just now."""

    link: Link
    status: StatusAnswer

    def run(self, catalog: Catalog, *, check_edits: bool, may_disrupt: bool = True) -> Procedure[PassResult]:
        """Leave, join, and on request bring edited settings in, those that may cut links only if that is allowed.

        Raises ControlError `connection_lost`.
        """
        joined, active = self.status.joined_networks, catalog.active
        ours = (yield from asks.owned(self.status.device_id)) if self.link.mode == "shared" else ()
        operations = membership.plan(joined, active, self.link.mode, ours, strict=catalog.strict_single_network)
        error, settings = "", None
        for operation in operations:
            match operation:
                case membership.Leave(network_id):
                    if (yield from self._leave(network_id)):
                        joined = tuple(n for n in joined if n != network_id)
                case membership.Join() if active is not None:
                    error = yield from self._join(active)
                    joined = joined if error else (*joined, active.wire_id)
                    settings = None if error else Settings("applied", self._unkept(active))
        if operations or active is None or not check_edits:
            return PassResult(joined, changed=bool(operations), error=error, settings=settings)
        return (yield from self._bring_edits(active, may_disrupt=may_disrupt))

    def rediscover(self, wire_id: str, network: SavedNetwork | None) -> Procedure[bool]:
        """Have the daemon look for peers anew. True when claims are gone: an old one had to leave and join."""
        try:
            yield from asks.ask("network_reconnect", network=wire_id)
        except ControlError as error:
            if error.kind is not ErrorKind.UNSUPPORTED or network is None:
                raise
        else:
            return False
        yield from self._leave(wire_id)
        yield from self._join(network)
        return True

    def _leave(self, network_id: str) -> Procedure[bool]:
        """Remove a network; False when the daemon keeps it."""
        left = True
        try:
            yield from asks.ask("network_remove", network=network_id, timeout_s=REMOVE_TIMEOUT_S)
        except ControlError as error:
            if error.kind is ErrorKind.CONNECTION_LOST:
                raise
            left = error.kind in (ErrorKind.UNKNOWN_NETWORK, ErrorKind.NOT_SAVED)
            if error.kind is not ErrorKind.UNKNOWN_NETWORK:
                yield Note("warn", f"leaving network '{network_id}': {error.text}")
            if error.kind is ErrorKind.TIMEOUT:  # the reference never answers again after a deferred removal
                yield DaemonStuck(self.link.generation)
        if left:
            yield Disown(self.status.device_id, network_id)
        return left

    def _join(self, network: SavedNetwork) -> Procedure[str]:
        """Add the network; returns why it is not joined, or an empty text."""
        for is_last in (False, True):
            try:
                yield from asks.ask("network_add", config=network.to_daemon())
            except ControlError as error:
                if error.kind is ErrorKind.CONNECTION_LOST:
                    raise
                if error.kind is ErrorKind.NOT_SAVED:
                    text = f"network '{network.handle}' is joined but will not survive a restart: {error.text}"
                    yield Note("warn", text)
                elif not (yield from self._is_joined(network)):
                    if is_last or error.kind is not ErrorKind.ALREADY_JOINED:
                        return error.text
                    yield from self._clear_conflict(network)
                    continue
            break
        if text := self._unkept(network):
            yield Note("warn", f"settings of '{network.handle}' {text}")
        if self.link.mode == "shared":
            yield Own(self.status.device_id, network.id, network.wire_id)
        return ""

    @staticmethod
    def _is_joined(network: SavedNetwork) -> Procedure[bool]:
        return membership.is_joined((yield from asks.status()).joined_networks, network.wire_id)

    def _clear_conflict(self, network: SavedNetwork) -> Procedure[None]:
        """Our record id or handle is taken by another record of the daemon: free it, once (FE-5.9)."""
        for summary in (yield from asks.networks()):
            if summary.config_id == network.id or comparable_network_id(summary.network_id) == network.wire_id:
                yield from self._leave(summary.config_id)

    def _bring_edits(self, network: SavedNetwork, *, may_disrupt: bool) -> Procedure[PassResult]:
        """Bring an edited record into the daemon: one `network_update`, or leave and join on an old daemon (FE-8.3)."""
        joined, wanted = self.status.joined_networks, network.to_daemon()
        stored = yield from asks.stored_record(network)
        drift = () if stored is None else membership.drifted(stored, wanted, keeps_all=self._is_ours)
        if stored is None or not drift:
            return PassResult(joined, changed=False, settings=Settings("applied", self._unkept(network)))
        if membership.is_disruptive(drift) and not may_disrupt:
            return PassResult(joined, changed=False, settings=Settings("waiting", WAITING_TEXT))
        try:
            restarted = yield from asks.update(membership.overlay(stored, wanted))
        except ControlError as error:
            if error.kind is ErrorKind.CONNECTION_LOST:
                raise
            if error.kind in (ErrorKind.UNSUPPORTED, ErrorKind.UNKNOWN_NETWORK):
                yield from self._leave(network.wire_id)
                text = yield from self._join(network)
                settings = Settings("rejected", text) if text else Settings("rebuilt")
                return PassResult(joined, changed=True, error=text, settings=settings)
            if error.kind is ErrorKind.NOT_SAVED:
                settings = Settings("applied", f"will not survive a restart: {error.text}")
                yield Note("warn", f"settings of '{network.handle}' are live but {settings.text}")
            else:
                settings = Settings("rejected", error.text)
                yield Note("warn", f"settings of '{network.handle}' were not applied: {error.text}")
            return PassResult(joined, changed=False, settings=settings)
        settings = Settings("rebuilt" if restarted else "applied", self._unkept(network))
        return PassResult(joined, changed=restarted, settings=settings)

    @property
    def _is_ours(self) -> bool:
        """Only our daemon says where its data are."""
        return self.status.home is not None

    def _unkept(self, network: SavedNetwork) -> str:
        return network.unkept_by(is_ours=self._is_ours)
