"""Network records in the file: which one is changed, dropped or kept (spec 05 §8, 07 C5, C7)."""

from __future__ import annotations

from functools import partial

import pytest
from msgspec.structs import replace

from myownmesh.mesh.records import wire_id, with_changed, with_pin, with_record, without
from myownmesh.store.config import MeshConfig
from myownmesh.store.network_config import NetworkConfig


def record(config_id: str, network_id: str) -> NetworkConfig:
    return NetworkConfig(id=config_id, network_id=network_id)


def config(*records: NetworkConfig) -> MeshConfig:
    return MeshConfig(networks=records)


ONE, TWO, THREE = record("1", "one"), record("2", "two"), record("3", "three")
ALL = config(ONE, TWO, THREE)


def test_a_record_is_appended_once() -> None:
    four = record("4", "four")
    assert with_record(ALL, four).networks == (ONE, TWO, THREE, four)
    for known in (record("2", "four"), record("4", "two"), record("4", " TWO ")):
        assert with_record(ALL, known) is ALL


@pytest.mark.parametrize("known", [record("2", "x"), record("x", "two"), record("x", " Two ")])
def test_every_record_of_a_network_leaves_the_file(known: NetworkConfig) -> None:
    assert without(ALL, known).networks == (ONE, THREE)


def test_a_record_id_that_is_another_networks_name_costs_that_network_nothing() -> None:
    assert without(ALL, record("two", "x")) == ALL
    assert without(ALL, record("x", "2")) == ALL
    assert without(config(record("a", "?"), record("b", "!")), record("c", "?")).networks == (record("b", "!"),)


def test_a_change_happens_in_place_and_to_what_is_on_disk() -> None:
    edited = replace(TWO, label="by hand", pinned_peers=("p",))
    changed = with_changed(config(ONE, edited, THREE), TWO, partial(with_pin, device_id="q"))
    assert changed.networks == (ONE, replace(edited, pinned_peers=("p", "q")), THREE)
    assert with_changed(changed, TWO, partial(with_pin, device_id="q")) == changed


def test_a_changed_network_takes_the_place_of_whatever_had_its_new_names() -> None:
    new = record("2", "three")
    assert with_changed(ALL, TWO, lambda _: new).networks == (ONE, new)


def test_a_record_that_somebody_took_out_comes_back_with_the_change() -> None:
    assert with_changed(config(ONE), TWO, lambda old: replace(old, label="x")).networks == (
        ONE,
        replace(TWO, label="x"),
    )


def test_a_wire_id_is_normalised_or_nothing() -> None:
    assert wire_id(" My-Net ") == "my-net"
    assert wire_id("../../.secrets/identity") is None
