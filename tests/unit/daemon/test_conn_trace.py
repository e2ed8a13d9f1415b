"""`MYOWNMESH_CONN_TRACE`: the trace in the log (spec 07 §2)."""

from __future__ import annotations

import json
import logging

import pytest

from myownmesh.daemon.conn_trace import is_wanted, write_for
from unit.control.fake_mesh import PEER, FakeMesh, FakeNetwork, as_mesh


@pytest.mark.parametrize(("value", "wanted"), [("", False), ("0", False), ("1", True), ("00", True), ("no", True)])
def test_what_counts_as_set(value: str, wanted: bool) -> None:
    assert is_wanted({"MYOWNMESH_CONN_TRACE": value}) is wanted


def test_unset_is_off() -> None:
    assert not is_wanted({})


def test_every_network_that_is_joined_is_logged_as_json(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "conn_trace")
    mesh = FakeMesh()
    write_for(as_mesh(mesh))
    mesh.join(FakeNetwork("office", "office-mesh"))
    (record,) = [record for record in caplog.records if record.name == "conn_trace"]
    told = json.loads(record.getMessage())
    assert (told["device_id"], told["changed"]) == (PEER, ["appeared"])
