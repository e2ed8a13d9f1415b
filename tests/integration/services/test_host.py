"""The service manager with real listeners: what runs is what the configuration says, or the report says why not."""

from __future__ import annotations

import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
from msgspec import to_builtins

from myownmesh.services.host import Services
from myownmesh.services.roles import hosted_roles
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def manager() -> AsyncIterator[Services]:
    roles = hosted_roles(compat=dict)
    services = Services(version="0.3.8", roles=roles)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(services.run)
            yield services
            nursery.cancel_scope.cancel()


def config(**members: Any) -> ServicesConfig:
    return ServicesConfig.from_json(members)


def relay(port: int = 0, *, bind: str = "127.0.0.1", **members: Any) -> ServicesConfig:
    return config(signaling={"enabled": True, "bind": bind, "port": port, **members})


def signaling(services: Services) -> Any:
    return to_builtins(services.report(joined=1))["signaling"]


async def connects(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    try:
        stream = await trio.open_tcp_stream(host, int(port))
    except OSError:
        return False
    await stream.aclose()
    return True


async def test_the_relay_runs_while_it_is_enabled() -> None:
    async with manager() as services:
        assert signaling(services) == {"enabled": False, "running": False, "listen": None}
        await services.apply(relay())
        report = signaling(services)
        assert report["running"]
        assert await connects(report["listen"])
        assert report["activity"]["connections"] == 0
        await services.apply(config())
        assert signaling(services) == {"enabled": False, "running": False, "listen": None}
        assert not await connects(report["listen"])


async def test_an_unchanged_block_is_not_restarted_and_a_changed_one_is() -> None:
    async with manager() as services:
        await services.apply(relay())
        first = signaling(services)["listen"]
        await services.apply(relay())
        assert signaling(services)["listen"] == first
        port = int(first.rpartition(":")[2])
        await services.apply(relay(port, limits={"max_event_rate": 7}))
        assert signaling(services)["listen"] == first, "a fixed port is free again as soon as the old server has ended"


async def test_a_busy_port_is_reported_and_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with manager() as services:
            await services.apply(relay(port))
            report = signaling(services)
            assert not report["running"]
            assert f"127.0.0.1:{port}" in report["error"]
            assert services.advert().tags == ()
            taken.close()
            await services.apply(relay(port))
            assert signaling(services)["running"]
            assert "error" not in signaling(services)


async def test_a_port_that_is_freed_later_is_taken_and_advertised() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with manager() as services:
            changed = trio.Event()
            services.on_change(changed.set)
            await services.apply(relay(port))
            waiting = signaling(services)
            assert not waiting["running"]
            assert waiting["failing_since"] == pytest.approx(time.time(), abs=5)
            assert 0 < waiting["retry_in_ms"] <= 1000
            taken.close()
            await changed.wait()
            assert signaling(services)["listen"] == f"127.0.0.1:{port}"
            assert signaling(services)["listening_since"] == pytest.approx(time.time(), abs=5)
            assert services.advert().tags == ("service:signaling",)
            assert await connects(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("members", "turn", "url"),
    [
        ({}, {}, None),
        ({"bind": "0.0.0.0"}, {"public_ip": "203.0.113.9"}, "ws://203.0.113.9:PORT"),
        ({"bind": "0.0.0.0"}, {"public_ip": "2001:db8::9"}, "ws://[2001:db8::9]:PORT"),
        ({"bind": "127.0.0.1"}, {"public_ip": "203.0.113.9"}, None),
        ({"bind": "127.0.0.1", "public_url": "wss://relay.example.com"}, {}, "wss://relay.example.com"),
    ],
)
async def test_only_an_endpoint_that_others_can_reach_is_advertised(
    members: dict[str, Any], turn: dict[str, Any], url: str | None
) -> None:
    async with manager() as services:
        await services.apply(config(signaling={"enabled": True, "bind": "127.0.0.1", "port": 0, **members}, turn=turn))
        port = signaling(services)["listen"].rpartition(":")[2]
        advert = services.advert()
        assert advert.tags == ("service:signaling",)
        told = None if advert.extra is None else msgspec.json.decode(advert.extra)["services"]["signaling_url"]
        assert told == (None if url is None else url.replace("PORT", port))
