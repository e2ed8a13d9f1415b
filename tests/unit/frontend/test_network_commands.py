"""What commands for saved networks say of what the running app made of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from myownllm.catalog.network import UNSEALED_TEXT
from myownllm.cli import context, networks
from myownllm.cli.edit import edit_network

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A running app that has joined whatever it was asked to follow; what it says of the settings is the test's."""
    monkeypatch.setenv("MYOWNLLM_HOME", str(tmp_path / "app"))
    monkeypatch.setenv("MYOWNMESH_HOME", str(tmp_path / "daemon"))
    settings: dict[str, Any] = {"state": "applied", "text": ""}

    def follow(*_: object, **__: object) -> dict[str, Any]:
        handle = context.catalog_file(context.home()).load().catalog.active
        return {"network": handle.wire_id if handle else "", "status": "online", "error": "", "settings": settings}

    monkeypatch.setattr(context, "app_pid", lambda _: 7)
    monkeypatch.setattr(context, "ask_app", follow)
    return settings


def test_who_demands_sealing_of_a_daemon_that_cannot_is_told_at_once(
    app: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    app["text"] = UNSEALED_TEXT
    networks.add_network("home", sealed="require")
    said = capsys.readouterr()
    assert said.err == f"warning: its settings {UNSEALED_TEXT}\n"
    assert "v0.3.8 does not" not in said.out
    networks.add_network("work")
    capsys.readouterr()
    networks.use_network("home")
    assert capsys.readouterr().err == f"warning: its settings {UNSEALED_TEXT}\n"


@pytest.mark.usefixtures("app")
def test_a_network_may_be_met_in_the_local_network_alone_and_over_relays_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    networks.add_network("home", only_lan=True)
    saved = context.catalog_file(context.home()).load().catalog.networks[0]
    assert saved.to_daemon()["signaling"]["strategy"] == "none"
    assert saved.stun_servers == (), "no server at all"
    networks.add_network("home", sealed="require")
    networks.list_networks()
    assert "none (local network alone)" in capsys.readouterr().out
    edit_network(only_lan=False)
    [saved] = context.catalog_file(context.home()).load().catalog.networks
    assert saved.signaling == {"sealed": "require"}
    assert saved.to_daemon()["signaling"]["strategy"] == "nostr"
    edit_network(only_lan=True, sealed="off")
    [saved] = context.catalog_file(context.home()).load().catalog.networks
    assert saved.signaling == {"sealed": "off", "strategy": "none"}


@pytest.mark.usefixtures("app")
def test_who_demands_it_of_one_that_can_is_told_what_that_means(capsys: pytest.CaptureFixture[str]) -> None:
    networks.add_network("home", sealed="require")
    said = capsys.readouterr()
    assert said.err == ""
    assert "Only devices that seal their signaling take part from now on" in said.out
    assert "The running app has joined it." in said.out
