"""What a record may say of its founder, and which changes of it have signed state judged anew."""

from __future__ import annotations

import pytest

from myownmesh.mesh.building import rules_of
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.founding import check_founder, judges_anew
from myownmesh.protocol.ids import display_id
from myownmesh.store.network_config import NetworkConfig
from support.governance import ALICE


def record(**members: object) -> NetworkConfig:
    return NetworkConfig.from_json({"id": "1", "network_id": "fleet-1", **members})


def test_a_founder_is_named_by_any_form_of_its_id_and_by_nothing_else() -> None:
    for text in (ALICE, display_id(ALICE)):
        named = record(founder=text)
        check_founder(named)
        assert named.founder == ALICE
    check_founder(record())
    for wrong in ("alice", 5, ""):
        with pytest.raises(MeshError, match="network '1': founder is no device id"):
            check_founder(record(founder=wrong))


def test_another_founder_and_another_rule_of_governance_are_judged_anew() -> None:
    strict, loose = record(), record(compat={"replayable_logs": True})
    assert judges_anew(loose, strict)
    assert judges_anew(strict, record(founder=ALICE))
    assert not judges_anew(strict, record(label="other", compat={"immediate_leave": True}))


def test_a_networks_own_switch_goes_before_the_daemons() -> None:
    everywhere = {"replayable_logs": True, "adopt_any_genesis": True}
    rules = rules_of(record(compat={"replayable_logs": False, "ratify_everything": True}), everywhere)
    assert (rules.replayable_logs, rules.adopt_any_genesis, rules.ratify_everything) == (False, True, True)
