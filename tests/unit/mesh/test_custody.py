"""Locks by the names that clients have for networks (spec 02 §17, FIX 27)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from myownmesh.custody import provisioning, totp
from myownmesh.mesh.custody import Custody, weakens
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.records import aliases_of, meant
from myownmesh.store import Home, Store
from myownmesh.store.network_config import NetworkConfig

if TYPE_CHECKING:
    from pathlib import Path

RUNNING = NetworkConfig(id="rec-1", network_id=" Fleet-1 ")
CONFIGURED = NetworkConfig(id="rec-2", network_id="fleet-2")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.config.write_text(json.dumps({"networks": [{"id": "rec-2", "network_id": "fleet-2"}]}))
    return Store(home)


@pytest.fixture
def custody(store: Store) -> Custody:
    return Custody(store, lambda: [RUNNING], lambda: "Laptop")


def code(secret: str) -> str:
    return totp.code_of(provisioning.secret_bytes(secret), totp.step_at(int(time.time())))


def test_a_record_gives_its_network_two_names() -> None:
    aliases = aliases_of([RUNNING, CONFIGURED, NetworkConfig(id="bad", network_id="!")])
    assert aliases == {"rec-1": "fleet-1", " Fleet-1 ": "fleet-1", "rec-2": "fleet-2", "fleet-2": "fleet-2"}
    assert [meant(name, aliases) for name in ("rec-1", "Fleet-1", "rec-2", "other", "x")] == [
        *("fleet-1", "fleet-1", "fleet-2", "other", "x")
    ]


def test_of_two_networks_with_one_name_the_first_keeps_it() -> None:
    assert aliases_of([RUNNING, NetworkConfig(id="x", network_id="rec-1")])["rec-1"] == "fleet-1"


@pytest.mark.parametrize("name", ["rec-1", "fleet-1", " Fleet-1 "])
async def test_a_lock_guards_its_network_whatever_it_was_called(store: Store, custody: Custody, name: str) -> None:
    shown = await custody.enroll(name)
    assert json.loads(store.home.custody.read_text())["networks"].keys() == {"fleet-1"}
    assert "MyOwnMesh:Laptop%20%28fleet-1%29?" in shown.otpauth_uri
    for other in ("rec-1", "fleet-1"):
        assert await custody.is_on(other)
        with pytest.raises(MeshError, match="custody: this change requires your authenticator code"):
            await custody.gate(other, None)
    assert not await custody.is_on("rec-2")
    await custody.gate("fleet-1", code(shown.secret))
    await custody.disable("rec-1", shown.recovery_codes[3])
    await custody.gate("fleet-1", None)


async def test_a_network_that_is_only_configured_can_be_locked(store: Store, custody: Custody) -> None:
    await custody.enroll("rec-2")
    assert json.loads(store.home.custody.read_text())["networks"].keys() == {"fleet-2"}


async def test_a_device_without_a_name_is_told_by_its_network(store: Store) -> None:
    shown = await Custody(store, lambda: [RUNNING], lambda: "").enroll("rec-1")
    assert "MyOwnMesh:fleet-1?" in shown.otpauth_uri


async def test_what_can_be_no_network_gets_no_lock(custody: Custody) -> None:
    with pytest.raises(MeshError, match="unknown network: !"):
        await custody.enroll("!")
    assert not await custody.is_on("!")
    await custody.disable("!", "whatever")


async def test_nobody_signs_behind_a_lock_that_cannot_be_read(store: Store, custody: Custody) -> None:
    await custody.enroll("rec-1")
    store.home.custody.write_text("{")
    for attempt in (custody.is_on("rec-1"), custody.gate("rec-1", "123456"), custody.disable("rec-1", "123456")):
        with pytest.raises(MeshError, match="custody: read custody store"):
            await attempt


async def test_nobody_signs_while_it_is_unknown_what_networks_are_called(store: Store, custody: Custody) -> None:
    store.home.config.write_text('{"version": 99}')
    with pytest.raises(MeshError, match="config"):
        await custody.gate("rec-1", None)


def compat(**switches: bool) -> NetworkConfig:
    return NetworkConfig(id="rec-1", network_id="fleet-1", unknown={"compat": switches})


@pytest.mark.parametrize(
    ("old", "new", "daemons", "is_weaker"),
    [
        (None, RUNNING, {}, False),
        (None, compat(replayable_logs=True), {}, True),
        (None, compat(replayable_logs=True), {"replayable_logs": True}, False),
        (compat(replayable_logs=True), compat(replayable_logs=True), {}, False),
        (compat(replayable_logs=True), compat(), {}, False),
        (compat(replayable_logs=False), compat(), {"replayable_logs": True}, True),
        (compat(), compat(immediate_leave=True), {}, False),
        (None, NetworkConfig(id="a", network_id="abc", unknown={"founder": "x"}), {}, True),
    ],
)
def test_what_weakens_a_networks_governance(
    old: NetworkConfig | None, new: NetworkConfig, daemons: dict[str, bool], *, is_weaker: bool
) -> None:
    assert weakens(old, new, daemons) is is_weaker


async def test_a_lock_guards_the_switches_and_the_founder_too(custody: Custody) -> None:
    shown = await custody.enroll("rec-1")
    await custody.gate_record(compat(), RUNNING, {}, None)
    weaker = compat(adopt_any_genesis=True)
    with pytest.raises(MeshError, match="requires your authenticator code"):
        await custody.gate_record(compat(), weaker, {}, None)
    await custody.gate_record(compat(), weaker, {}, shown.recovery_codes[0])
