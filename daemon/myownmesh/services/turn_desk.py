"""Hands time-limited TURN passwords to members, and takes them back (channel `__services__/v1`, spec 06 M).

A member's password is good for half a day and for as long as it is a member: whoever was removed, or put out, is
looked for once a second, and the worker ends what such a device has.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from myownmesh.mesh import clock
from myownmesh.mesh.channels import SERVICES
from myownmesh.mesh.credentials import TTL_S, Answer, Credential, is_question
from myownmesh.services.service import CannotServe
from myownmesh.store import StoreError
from myownmesh.turn.credentials import limited_password
from myownmesh.turn_worker.messages import Change

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from myownmesh.mesh.network import Network
    from myownmesh.store import Store
    from myownmesh.store.turn_file import TurnKeys

log = logging.getLogger(__name__)

ONCE_IN_S: Final = 10.0
LOOK_S: Final = 1.0
GONE_FOR_S: Final = 2.0
"""A network that is joined anew, because its record changed, has no members for a moment."""
MOST_HOLDERS: Final = 4096
"""As many as allocations."""
QUEUED: Final = 64
_SAVED_TO_S: Final = 3600
"""The file need not be written for each renewal."""


class TurnDesk:
    """All passwords of one device's TURN server."""

    def __init__(
        self,
        store: Store,
        networks: Callable[[], Sequence[Network]],
        *,
        steady: Callable[[], float] = clock.steady,
        unix_s: Callable[[], int] = lambda: clock.now().wall_ms // 1000,
    ) -> None:
        self._steady = steady
        self._unix_s = unix_s
        self._store = store
        self._networks = networks
        self._keys: TurnKeys | None = None
        self._holders: dict[str, int] = {}
        """Until when what each was given last is good, in Unix seconds."""
        self._answered: dict[str, float] = {}
        self._missing: dict[str, float] = {}
        """Since when holders are members of nothing."""
        self._send: trio.MemorySendChannel[tuple[Network, str]] | None = None

    async def open(self) -> tuple[str, tuple[str, ...]]:
        """The secret, and whose passwords are good. Raises `CannotServe`."""
        if self._keys is None:
            try:
                self._keys = await trio.to_thread.run_sync(self._store.load_turn_keys)
            except StoreError as error:
                raise CannotServe(str(error)) from error
            self._holders = {each.device_id: each.until for each in self._keys.holders}
        return self._keys.secret, tuple(self._holders)

    def heard(self, network: Network, device_id: str, payload: msgspec.Raw) -> None:
        """A frame of the channel. Nothing comes of it while no TURN server runs."""
        if self._send is None or not is_question(payload):
            return
        now = self._steady()
        if now - self._answered.get(device_id, -math.inf) < ONCE_IN_S:
            return
        if not (network.is_linked(device_id) and network.is_approved(device_id)):
            return
        try:
            self._send.send_nowait((network, device_id))
        except trio.WouldBlock:
            return  # it asks again
        if len(self._answered) > MOST_HOLDERS:
            self._answered = {each: at for each, at in self._answered.items() if now - at < ONCE_IN_S}
        self._answered[device_id] = now

    async def attend(self, tell: Callable[[Change], Awaitable[None]], urls: Callable[[], tuple[str, ...]]) -> None:
        """Answer, and look who is no member any more, while a worker runs; `urls` are where it is reached."""
        self._send, asks = trio.open_memory_channel["tuple[Network, str]"](QUEUED)
        try:
            while True:
                asked = None
                with trio.move_on_after(LOOK_S if self._holders else math.inf):
                    asked = await asks.receive()
                if asked is not None:
                    await self._answer(*asked, tell, urls())
                gone = self._gone(self._steady())
                if gone:
                    await tell(Change(expel=gone))
                    await self._save()
                    log.info("TURN: %d devices are members no more; what they had relayed ends", len(gone))
        except trio.BrokenResourceError:
            return  # the worker has ended, and whoever listens to it says so
        finally:
            self._send = None

    async def _answer(
        self, network: Network, device_id: str, tell: Callable[[Change], Awaitable[None]], urls: tuple[str, ...]
    ) -> None:
        assert self._keys is not None
        if not urls or (device_id not in self._holders and len(self._holders) >= MOST_HOLDERS):
            return
        until = self._unix_s() + TTL_S
        saved = next((each.until for each in self._keys.holders if each.device_id == device_id), 0)
        self._holders[device_id] = until
        if until - saved > _SAVED_TO_S:
            await self._save()
        await tell(Change(admit=(device_id,)))
        name = f"{until}:{device_id}"
        credential = Credential(urls, name, limited_password(self._keys.secret, name), TTL_S)
        payload = msgspec.Raw(msgspec.json.encode(Answer(turn=(credential,))))
        network.post_to(device_id, SERVICES, payload, _posted)

    def _gone(self, now: float) -> tuple[str, ...]:
        networks = self._networks()
        missing = {
            device_id: self._missing.get(device_id, now)
            for device_id in self._holders
            if not any(network.is_approved(device_id) for network in networks)
        }
        gone = tuple(device_id for device_id, since in missing.items() if now - since >= GONE_FOR_S)
        for device_id in gone:
            del self._holders[device_id], missing[device_id]
        self._missing = missing
        return gone

    async def _save(self) -> None:
        from myownmesh.store.turn_file import Holder

        assert self._keys is not None
        holders = tuple(Holder(device_id=device_id, until=until) for device_id, until in self._holders.items())
        self._keys = msgspec.structs.replace(self._keys, holders=holders)
        try:
            await trio.to_thread.run_sync(self._store.save_turn_keys, self._keys)
        except StoreError as error:
            log.warning("%s", error)  # until it can be written, a restart makes what was handed out worthless


def _posted(error: str | None) -> None:
    if error is not None:
        log.debug("a TURN password did not leave: %s", error)  # whoever wants it asks again
