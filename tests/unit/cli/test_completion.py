"""What the shell offers while a ``ctl`` command is typed: what the daemon knows, and nothing when none runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from myownmesh.cli.ctl_completion import complete_device, complete_network, complete_pending

if TYPE_CHECKING:
    import typer

    from unit.cli.fake_daemon import FakeDaemon

ROWS = {
    "networks_list": {"networks": [{"id": "home"}, {"id": "work"}]},
    "roster_list": {"roster": [{"device_id": "abc-12345"}]},
    "peers_list": {"peers": [{"device_id": "abc-12345"}, {"device_id": "xyz-54321"}]},
    "governance_pending": {"rows": [{"id": "prop_1"}]},
}


class Typed:
    params: dict[str, Any] = {"network": "home"}  # noqa: RUF012 - of a stand-in


CONTEXT = cast("typer.Context", Typed())


def test_names_that_the_daemon_knows_are_offered(daemon: FakeDaemon) -> None:
    daemon.answer = lambda request: {"ok": True, "data": ROWS[request["op"]]}
    assert complete_network("") == ["home", "work"]
    assert complete_network("w") == ["work"]
    assert complete_device(CONTEXT, "") == ["abc-12345", "xyz-54321"]
    assert complete_device(CONTEXT, "x") == ["xyz-54321"]
    assert complete_pending(CONTEXT, "prop") == ["prop_1"]
    assert daemon.requests[-1]["network"] == "home"


def test_without_a_daemon_or_against_its_will_nothing_is_offered(daemon: FakeDaemon) -> None:
    daemon.answer = lambda request: {"ok": False, "error": "unknown network: home"}
    assert complete_device(CONTEXT, "") == []
    daemon.answer = lambda request: {"ok": True, "data": []}
    assert complete_network("") == []
