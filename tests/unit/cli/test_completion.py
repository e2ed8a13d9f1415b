"""What the shell offers while a ``ctl`` command is typed: what the daemon knows, and nothing when none runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from myownmesh.cli.ctl_completion import complete_device, complete_network, complete_pending
from myownmesh.identity import Identity
from myownmesh.protocol.ids import display_id

if TYPE_CHECKING:
    import typer

    from unit.cli.fake_daemon import FakeDaemon

ONE, TWO = (Identity.from_seed(bytes([number]) * 32).device_id for number in (1, 2))
ROWS: dict[str, dict[str, list[dict[str, str]]]] = {
    "networks_list": {"networks": [{"config_id": "home"}, {"config_id": "work"}]},
    "roster_list": {"roster": [{"device_id": ONE}, {"device_id": "no device"}]},
    "peers_list": {"peers": [{"device_id": ONE}, {"device_id": TWO}]},
    "governance_pending": {"rows": [{"id": "prop_1"}]},
}


class Typed:
    params: dict[str, Any] = {"network": "home"}  # noqa: RUF012 - of a stand-in


CONTEXT = cast("typer.Context", Typed())


def test_names_that_the_daemon_knows_are_offered(daemon: FakeDaemon) -> None:
    daemon.answer = lambda request: {"ok": True, "data": ROWS[request["op"]]}
    assert complete_network("") == ["home", "work"]
    assert complete_network("w") == ["work"]
    assert complete_device(CONTEXT, "") == [display_id(ONE), display_id(TWO)], "with suffix, each once"
    assert complete_device(CONTEXT, TWO[:9]) == [display_id(TWO)]
    assert complete_pending(CONTEXT, "prop") == ["prop_1"]
    assert daemon.requests[-1]["network"] == "home"


def test_without_a_daemon_or_against_its_will_nothing_is_offered(daemon: FakeDaemon) -> None:
    daemon.answer = lambda request: {"ok": False, "error": "unknown network: home"}
    assert complete_device(CONTEXT, "") == []
    daemon.answer = lambda request: {"ok": True, "data": []}
    assert complete_network("") == []
