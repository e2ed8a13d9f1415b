"""The service manager with services of our own: any number of roles, each on its own feet."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import to_builtins

from mesh_common.views import ServerReport
from myownmesh.mesh import clock
from myownmesh.protocol.clock import Instant
from myownmesh.services.host import Services
from myownmesh.services.service import Advert, CannotServe, Role
from myownmesh.store.services_config import ServicesConfig
from support.examples import examples
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio.testing import MockClock


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

    def report(self, *, enabled: bool, listening_since: int | None) -> ServerReport:
        assert listening_since is not None
        return ServerReport(enabled, running=True, listen=f"{self._name}:1")

    def advert(self, config: ServicesConfig) -> Advert:
        return Advert((f"service:{self._name}",), {f"{self._name}_url": config.turn.public_ip})


def virtual_clock() -> Instant:
    return Instant(trio.current_time(), 1_700_000_000_000 + round(trio.current_time() * 1000))


class Stage:
    def __init__(self, now: Callable[[], Instant] = clock.now) -> None:
        self.log: list[str] = []
        self.addresses = frozenset({"127.0.0.1"})
        self.changes = 0
        self.tries: list[float] = []
        self.refusal: str | None = None
        self.services = Services(
            version="9.9.9",
            roles=[
                Role("stun", "STUN", lambda config: config.stun, lambda _: Fake("stun", self.log)),
                Role("turn", "TURN", lambda c: c.turn, self._turn),
            ],
            now=now,
            addresses=lambda: self.addresses,
        )
        self.services.on_change(self._changed)

    def _turn(self, _config: ServicesConfig) -> Fake:
        self.tries.append(trio.current_time())
        return Fake("turn", self.log, refuses=self.refusal)

    def _changed(self) -> None:
        self.changes += 1

    def turn(self) -> dict[str, Any]:
        report: dict[str, Any] = to_builtins(self.services.report(joined=0).turn)
        return report

    async def apply(self, **members: Any) -> dict[str, Any]:
        await self.services.apply(ServicesConfig.from_json(members))
        report: dict[str, Any] = to_builtins(self.services.report(joined=0))
        return report


@asynccontextmanager
async def running(now: Callable[[], Instant] = clock.now) -> AsyncIterator[Stage]:
    stage = Stage(now)
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


@pytest.mark.parametrize(
    ("name", "services"),
    [
        ("relay only", {"relay": {"enabled": True}}),
        (
            "everything on, public_ip 203.0.113.7",
            {"relay": {"enabled": True}, "turn": {"enabled": True}, "stun": {"enabled": True}},
        ),
    ],
)
async def test_the_relay_role_stands_in_the_advert_where_the_vectors_have_it(
    name: str, services: dict[str, Any]
) -> None:
    (case,) = [case for case in load("signaling", "service_advert")["cases"] if case["config"] == name]
    async with running() as stage:
        report = await stage.apply(**services)
        advert = stage.services.advert()
        assert advert.tags[0] == case["tags"][0] == "service:relay"
        assert advert.extra is not None
        ours, theirs = msgspec.json.decode(advert.extra)["services"], case["extra"]["services"]
        assert list(ours)[-1] == list(theirs)[-1] == "relay"
        assert ours["relay"] is theirs["relay"] is True
        assert report["relay"] == {"enabled": True, "networks": 0, "max_fanout": 0}
        await stage.apply(**services, node={"enabled": False})
        assert "service:relay" not in stage.services.advert().tags, "a device that is in no network hands nothing on"


async def test_as_many_networks_as_are_joined_are_served() -> None:
    async with running() as stage:
        await stage.apply(relay={"enabled": True, "max_fanout": 3})
        assert to_builtins(stage.services.report(joined=2).relay) == {"enabled": True, "networks": 2, "max_fanout": 3}
        await stage.apply(relay={"enabled": False, "max_fanout": 3})
        assert to_builtins(stage.services.report(joined=2).relay) == {"enabled": False, "networks": 0, "max_fanout": 3}


async def test_a_refused_start_leaves_the_other_service_alone_and_is_tried_again() -> None:
    async with running() as stage:
        stage.refusal = "no port"
        report = await stage.apply(stun={"enabled": True}, turn={"enabled": True})
        assert report["stun"]["running"]
        failing = report["turn"]
        assert failing.pop("failing_since") == pytest.approx(time.time(), abs=5)
        assert 0 < failing.pop("retry_in_ms") <= 1000
        assert failing == {"enabled": True, "running": False, "listen": None, "error": "no port"}
        assert stage.services.advert().tags == ("service:stun",)
        stage.refusal = None
        report = await stage.apply(stun={"enabled": True}, turn={"enabled": True})
        assert report["turn"] == {"enabled": True, "running": True, "listen": "turn:1"}
        assert stage.log == ["stun up", "turn up"]


async def test_what_cannot_serve_is_tried_again_until_it_can(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    async with running(virtual_clock) as stage:
        stage.refusal = "no port"
        await stage.apply(turn={"enabled": True})
        since = stage.turn()["failing_since"]
        await trio.sleep(100)
        assert [round(each - began) for each in stage.tries] == [0, 1, 3, 7, 15, 31, 61, 91]
        assert stage.turn()["failing_since"] == since
        assert 20_000 < stage.turn()["retry_in_ms"] <= 21_000
        assert (stage.services.advert().tags, stage.changes) == ((), 0)
        stage.refusal = None
        await trio.sleep(25)
        assert stage.turn() == {"enabled": True, "running": True, "listen": "turn:1"}
        assert (stage.services.advert().tags, stage.changes) == (("service:turn",), 1)


async def test_a_change_of_addresses_is_noticed_within_a_second(autojump_clock: MockClock) -> None:
    async with running(virtual_clock) as stage:
        stage.refusal = "no address"
        await stage.apply(turn={"enabled": True})
        await trio.sleep(50.5)  # between two looks
        tried = len(stage.tries)
        stage.addresses |= {"192.0.2.9"}
        await trio.sleep(1.01)
        assert len(stage.tries) == tried + 1
        stage.refusal = None  # as with IPv6: listed at once, and free for use a little later
        await trio.sleep(1.01)
        assert stage.turn()["running"], "the waits begin anew"


async def test_a_service_that_is_switched_off_is_not_tried_again(autojump_clock: MockClock) -> None:
    async with running(virtual_clock) as stage:
        stage.refusal = "no port"
        await stage.apply(turn={"enabled": True})
        await stage.apply(turn={"enabled": False})
        tried = len(stage.tries)
        await trio.sleep(100)
        assert len(stage.tries) == tried
        assert stage.turn() == {"enabled": False, "running": False, "listen": None}


async def test_only_the_service_whose_own_block_changed_is_restarted() -> None:
    async with running() as stage:
        await stage.apply(stun={"enabled": True}, turn={"enabled": True})
        await stage.apply(stun={"enabled": True}, turn={"enabled": True, "public_ip": "192.0.2.1"})
        assert stage.log == ["stun up", "turn up", "turn down", "turn up"]
        await stage.apply(stun={"enabled": False}, turn={"enabled": True, "public_ip": "192.0.2.1"})
        assert stage.log[4:] == ["stun down"]


async def test_what_is_still_starting_is_not_stopped_by_the_next_apply(autojump_clock: MockClock) -> None:
    """The daemon's first apply was under way when a client's came, and the daemon died of it."""
    ports = Ports()
    services = Services(version="9.9.9", roles=[ports.role("turn")], now=virtual_clock, addresses=frozenset)
    async with trio.open_nursery() as nursery:
        await nursery.start(services.run)
        async with trio.open_nursery() as clients:
            for port in (1, 1, 2):
                config = ServicesConfig.from_json({"turn": {"enabled": True, "port": port}})
                clients.start_soon(services.apply, config)
        assert ports.held.keys() == {services.config.turn.port}
        nursery.cancel_scope.cancel()


# ── any order of applies ──────────────────────────────────────────────────────────────────────────────────────────────


class Ports:
    """What may be listened to once: who comes too early finds it busy, as with real sockets (06 I)."""

    def __init__(self) -> None:
        self.held: dict[int, tuple[str, object]] = {}
        self.busy: set[int] = set()
        """Somebody else's."""

    def role(self, name: str, folded_into: str | None = None) -> Role:
        def block(config: ServicesConfig) -> Any:
            return getattr(config, name)

        return Role(name, name, block, lambda config: Holder(self, name, block(config)), folded_into=folded_into)


class Holder:
    """A service that holds its block's port while it serves."""

    def __init__(self, ports: Ports, name: str, block: Any) -> None:
        self._ports = ports
        self._name = name
        self._block = block

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep(0.01)  # a socket takes its time
        port = self._block.port
        if port in self._ports.busy or port in self._ports.held:
            raise CannotServe(f"port {port} is in use")
        self._ports.held[port] = self._name, self._block
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.01)
            del self._ports.held[port]

    def report(self, *, enabled: bool, listening_since: int | None) -> ServerReport:
        return ServerReport(enabled, running=True, listen=str(self._block.port))

    def advert(self, config: ServicesConfig) -> Advert:
        return Advert((f"service:{self._name}",))


BLOCKS = st.fixed_dictionaries(
    {
        name: st.fixed_dictionaries({"enabled": st.booleans(), "port": st.sampled_from([1, 2, 3])})
        for name in ("signaling", "stun", "turn")
    }
)


@pytest.mark.heavy
@settings(max_examples=examples(60))
@given(
    st.lists(st.tuples(BLOCKS, st.frozensets(st.sampled_from([1, 2, 3]), max_size=1)), min_size=1, max_size=6),
    st.booleans(),
)
def test_any_order_of_applies_ends_in_the_configured_state(
    steps: list[tuple[dict[str, Any], frozenset[int]]], wait_between: bool
) -> None:
    async def run() -> None:
        ports = Ports()
        roles = [ports.role("signaling"), ports.role("stun", folded_into="turn"), ports.role("turn")]
        services = Services(version="9.9.9", roles=roles, now=virtual_clock, addresses=frozenset)
        async with trio.open_nursery() as nursery:
            await nursery.start(services.run)
            for blocks, busy in steps:
                ports.busy = set(busy)
                await services.apply(ServicesConfig.from_json(blocks))
                at_once = {name: block["port"] for name, block in blocks.items() if block["enabled"]}
                if "turn" in at_once:
                    at_once.pop("stun", None)
                if not busy and len(set(at_once.values())) == len(at_once):
                    held = {name: port for port, (name, _) in ports.held.items()}
                    assert held == at_once, "one may take over the port of another within one apply"
                if wait_between:
                    await trio.sleep(5)
            ports.busy = set()
            await trio.sleep(100)  # whatever had failed has been tried again
            wanted = {name: block for name, block in steps[-1][0].items() if block["enabled"]}
            if "turn" in wanted:
                wanted.pop("stun", None)  # TURN plays it
            listening = {name: block.port for name, block in ports.held.values()}
            assert set(listening.values()) == {block["port"] for block in wanted.values()}, "each port has one of them"
            assert all(wanted[name]["port"] == port for name, port in listening.items())
            report: dict[str, Any] = to_builtins(services.report(joined=0))
            for name, block in wanted.items():
                if name not in listening:  # two want one port: the report says why one has it not
                    assert report[name]["error"] == f"port {block['port']} is in use"
                    assert not report[name]["running"]
                else:
                    assert report[name]["running"]
                    assert "error" not in report[name]
            off = [name for name, block in steps[-1][0].items() if not block["enabled"]]
            assert not any(report[name]["running"] for name in off)
            nursery.cancel_scope.cancel()
        assert ports.held == {}

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("said", "meant"),
    [(3, 3), (64, 64), (0, 1), (-1, 1), (1000, 64), ("x", 1), (None, 1), (True, 1), (1.5, 1), ([], 1)],
)
def test_a_relay_has_one_to_sixty_four_processes(said: object, meant: int) -> None:
    assert ServicesConfig.from_json({"signaling": {"workers": said}}).signaling.workers == meant
