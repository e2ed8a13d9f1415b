"""The service manager with services of our own: any number of roles, each on its own feet."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from msgspec import to_builtins

from mesh_common.views import ServerReport
from myownmesh.services.host import Services
from myownmesh.services.service import Advert, CannotServe, Role
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Fake:
    """A service that says what becomes of it."""

    def __init__(self, name: str, log: list[str], *, refuses: str | None = None) -> None:
        self._name = name
        self._log = log
        self._refuses = refuses

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        if self._refuses is not None:
            raise CannotServe(self._refuses)
        self._log.append(f"{self._name} up")
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            self._log.append(f"{self._name} down")

    def report(self, *, enabled: bool) -> ServerReport:
        return ServerReport(enabled, running=True, listen=f"{self._name}:1")

    def advert(self, config: ServicesConfig) -> Advert:
        return Advert((f"service:{self._name}",), {f"{self._name}_url": config.turn.public_ip})


class Stage:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.refusal: str | None = None
        self.services = Services(
            version="9.9.9",
            roles=[
                Role("stun", "STUN", lambda config: config.stun, lambda _: Fake("stun", self.log)),
                Role("turn", "TURN", lambda c: c.turn, lambda _: Fake("turn", self.log, refuses=self.refusal)),
            ],
        )

    async def apply(self, **members: Any) -> dict[str, Any]:
        await self.services.apply(ServicesConfig.from_json(members))
        report: dict[str, Any] = to_builtins(self.services.report(joined=0))
        return report


@asynccontextmanager
async def running() -> AsyncIterator[Stage]:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        await nursery.start(stage.services.run)
        yield stage
        nursery.cancel_scope.cancel()


async def test_every_enabled_role_serves_and_reports_itself() -> None:
    async with running() as stage:
        report = await stage.apply(stun={"enabled": True}, turn={"enabled": True})
        assert stage.log == ["stun up", "turn up"]
        assert report["stun"] == {"enabled": True, "running": True, "listen": "stun:1"}
        assert report["turn"] == {"enabled": True, "running": True, "listen": "turn:1"}
    assert sorted(stage.log[2:]) == ["stun down", "turn down"]


async def test_adverts_of_all_services_stand_in_one() -> None:
    async with running() as stage:
        await stage.apply(stun={"enabled": True}, turn={"enabled": True, "public_ip": "192.0.2.1"})
        advert = stage.services.advert()
        assert advert.tags == ("service:stun", "service:turn")
        assert advert.app_version == "9.9.9"
        assert advert.extra is not None
        assert msgspec.json.decode(advert.extra) == {
            "services": {"stun_url": "192.0.2.1", "turn_url": "192.0.2.1"},
        }


async def test_a_refused_start_leaves_the_other_service_alone_and_is_tried_again() -> None:
    async with running() as stage:
        stage.refusal = "no port"
        report = await stage.apply(stun={"enabled": True}, turn={"enabled": True})
        assert report["stun"]["running"]
        assert report["turn"] == {"enabled": True, "running": False, "listen": None, "error": "no port"}
        assert stage.services.advert().tags == ("service:stun",)
        stage.refusal = None
        report = await stage.apply(stun={"enabled": True}, turn={"enabled": True})
        assert report["turn"] == {"enabled": True, "running": True, "listen": "turn:1"}
        assert stage.log == ["stun up", "turn up"]


async def test_only_the_service_whose_own_block_changed_is_restarted() -> None:
    async with running() as stage:
        await stage.apply(stun={"enabled": True}, turn={"enabled": True})
        await stage.apply(stun={"enabled": True}, turn={"enabled": True, "public_ip": "192.0.2.1"})
        assert stage.log == ["stun up", "turn up", "turn down", "turn up"]
        await stage.apply(stun={"enabled": False}, turn={"enabled": True, "public_ip": "192.0.2.1"})
        assert stage.log[4:] == ["stun down"]
