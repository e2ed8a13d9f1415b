"""How a life comes up and how it leaves: from the first `status` to "online", and back (spec 08 §5.3, §5.8). Pure.

Nothing says "online" before events, handlers and capabilities are in place; what was registered is undone in reverse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.values import Value
from mesh_common.versions import version_meets
from myownllm import membership, phases
from myownllm.client import advert, asks, claims
from myownllm.client.messages import Bind, Note
from myownllm.client.procedures import Until, pause
from myownllm.client.registry import Registry
from myownllm.client.sync import Pass
from myownllm.errors import not_connected
from myownllm.ids import comparable_network_id

if TYPE_CHECKING:
    from mesh_common.answers import StatusAnswer
    from myownllm.client.life import Life
    from myownllm.client.procedures import Procedure
    from myownllm.client.state import Picture
    from myownllm.client.work import Work

STATUS_ATTEMPTS: Final = 30
"""Of the first `status`, before a start gives up (FE-5.5)."""
STATUS_RETRY_S: Final = 0.2


@attrs.frozen
class Offer:
    """What this app brings to a network."""

    registry: Registry = attrs.field(factory=Registry)
    work: Work | None = None
    """what features have under way, for those who look"""
    pin: str | None = None
    """the daemon release that the app was built against"""
    app_version: str = ""


class Opening(Value, frozen=True):
    """The start of one life. Raises AppError; what it registered until then is in `life.undo`."""

    life: Life
    offer: Offer
    picture: Picture

    def run(self) -> Procedure[None]:
        """The steps of spec 08 §5.3."""
        life, picture = self.life, self.picture
        status = yield from self._status()
        link = life.link
        assert link is not None
        catalog = yield from asks.catalog()
        active = life.network = catalog.active
        life.catalog_read = True
        refusal, joined = "", status.joined_networks
        try:
            result = yield from Pass(link, status).run(catalog, check_edits=True)
            refusal, joined = result.error, result.joined
            if result.settings is not None and (result.changed or picture.state.settings.state == ""):
                picture.update(settings=result.settings)
        except ControlError as error:
            if error.kind is ErrorKind.CONNECTION_LOST:
                raise
            refusal = error.text
        if refusal:
            yield Note("warn", f"network sync failed: {refusal}")
        life.wire_id = active.wire_id if active is not None else joined[0] if joined and link.mode == "own_llm" else ""
        picture.has_turn = active is not None and bool(active.turn_servers)
        picture.show_active(catalog, life.wire_id)
        yield Bind(life.number, life.wire_id)
        if not life.wire_id:
            yield Note("warn", "no network configured — `myownllm networks add` creates one")
            picture.update(phase="off", peers=())
            return
        phase = yield from self._look_around()
        yield from claims.hold(life, self.offer.registry)
        life.published = None
        yield from advert.push(life, self.offer.registry, picture, self.offer.app_version)
        if active is not None and not membership.is_joined(joined, active.wire_id):
            why = refusal or "the daemon does not list it"
            picture.update(phase="error", error=f"cannot join '{active.handle}': {why}")
        else:
            picture.update(phase=phase or "signaling-up", error="")

    def _status(self) -> Procedure[StatusAnswer]:
        """Thirty attempts, 200 ms apart, also while no daemon is connected yet. Raises the last error (FE-5.5)."""
        life, last = self.life, not_connected()
        for _ in range(STATUS_ATTEMPTS):
            if life.link is None:
                last = not_connected()
                yield Until(lambda: life.link is not None, STATUS_RETRY_S)
                if life.link is None:
                    continue
            try:
                status = yield from asks.status()
            except ControlError as error:
                if error.kind is ErrorKind.CONNECTION_LOST:
                    raise
                last = error
            else:
                yield from self._show_daemon(status)
                return status
            yield pause(STATUS_RETRY_S)
        raise last

    def _show_daemon(self, status: StatusAnswer) -> Procedure[None]:
        link, pin = self.life.link, self.offer.pin
        assert link is not None
        meets = pin is None or version_meets(status.version, pin)
        if not meets and status.version != self.picture.state.daemon_version:
            text = f"the daemon is {status.version}, this app is built against {pin}; some features may be missing"
            yield Note("warn", text)
        self.picture.update(
            device_id=status.device_id,
            daemon_version=status.version,
            daemon_home=status.home,
            daemon_mode=link.mode,
            daemon_socket=str(link.socket),
            meets_pin=meets,
        )

    def _look_around(self) -> Procedure[phases.Phase | None]:
        try:
            yield from asks.show_peers(self.life, self.picture)
            return (yield from look_at_network(self.life.wire_id, self.picture))
        except ControlError as error:
            if error.kind is ErrorKind.CONNECTION_LOST:
                raise
            yield Note("warn", f"peers_list failed: {error.text}")
            return None


def look_at_network(wire_id: str, picture: Picture) -> Procedure[phases.Phase | None]:
    """Show how the relays serve; returns the network's phase.

    `joining` counts as unknown: a lone device of the reference never leaves it.
    """
    for row in (yield from asks.networks()):
        if comparable_network_id(row.network_id) == wire_id:
            picture.show_network(row)
            return None if row.phase == "joining" else phases.from_daemon(row.phase)
    return None
