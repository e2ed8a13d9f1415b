"""Ops of the updater (spec 05 §16): the words are those of v0.3.8, asked for by running it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.control.control import About, Control
from myownmesh.control.decoding import decode
from myownmesh.control.request import Task
from myownmesh.mesh.errors import MeshError
from myownmesh.store.config import AutoUpdate
from unit.control.fake_mesh import FakeMesh, as_mesh
from unit.control.update_answers import ANSWERS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    monkeypatch.delenv("MYOWNMESH_AUTOUPDATE", raising=False)
    return Control(as_mesh(FakeMesh()), About(version="0.3.8", instance="0" * 16, home=tmp_path))


async def ask(control: Control, line: str) -> Any:
    request = decode(line.encode())
    assert isinstance(request, Task)
    try:
        return json.loads(await request.run(control))
    except MeshError as error:
        return {"ok": False, "error": str(error)}


async def set_prefs(control: Control, **prefs: object) -> Any:
    return await ask(control, json.dumps({"op": "update_set_prefs", "prefs": prefs}))


@pytest.mark.parametrize(("line", "answer"), ANSWERS)
async def test_preferences_are_answered_as_v0_3_8_does(control: Control, line: str, answer: dict[str, Any]) -> None:
    told = await ask(control, line)
    assert told["ok"] is answer["ok"], told
    if not answer["ok"]:
        assert told == answer
    else:
        ours = {"install_kind": "package_manager"}  # a checkout is whoever's who made it
        assert {name: told["data"][name] for name in answer["data"]} == answer["data"] | ours


async def test_another_feed_is_not_named_over_the_socket(control: Control) -> None:
    """Spec 05 W2. What stands in the file may be sent back, and cleared."""
    refused = await set_prefs(control, stable_url="https://evil.example/latest")
    assert not refused["ok"]
    assert "allow_socket_urls" in refused["error"]
    control.mesh.config = control.mesh.config.__class__(auto_update=AutoUpdate(beta_url="https://mine.example/all"))
    assert (await set_prefs(control, beta_url=" https://mine.example/all "))["ok"]
    assert (await set_prefs(control, beta_url=" ", channel="beta"))["data"]["release_url_overridden"] is False


async def test_it_is_named_where_the_file_allows_it(control: Control) -> None:
    allowed = AutoUpdate(unknown={"allow_socket_urls": True})
    control.mesh.config = control.mesh.config.__class__(auto_update=allowed)
    told = (await set_prefs(control, stable_url=" https://mine.example/latest "))["data"]
    assert (told["release_url"], told["release_url_overridden"]) == ("https://mine.example/latest", True)


async def test_whether_it_restarts_by_itself_is_set_over_the_socket(control: Control) -> None:
    """Spec 09 §10.6; what else is ours in the block stays."""
    control.mesh.config = control.mesh.config.__class__(auto_update=AutoUpdate(unknown={"allow_socket_urls": True}))
    assert (await ask(control, '{"op":"update_status"}'))["data"]["restart"] == "never"
    assert (await set_prefs(control, restart="idle"))["data"]["restart"] == "idle"
    assert control.mesh.config.auto_update.unknown == {"allow_socket_urls": True, "restart": "idle"}
    assert "expected never | idle" in (await set_prefs(control, restart="now"))["error"]
    assert (await set_prefs(control, channel="beta"))["data"]["restart"] == "idle"
    assert (await set_prefs(control, restart="never"))["data"]["restart"] == "never"


async def test_what_keeps_a_restart_is_told(control: Control) -> None:
    control.updates.restart_waits_for = "1 call, stream or message"
    assert (await ask(control, '{"op":"update_status"}'))["data"]["restart_waits_for"] == "1 call, stream or message"


async def test_a_program_that_somebody_else_installed_looks_at_no_feed(control: Control) -> None:
    told = (await ask(control, '{"op":"update_check"}'))["data"]
    assert told["outcome"] == "package_manager"
    assert "Python installation" in told["detail"]
    assert (await ask(control, '{"op":"update_apply"}'))["data"] == {"applied": None}


@pytest.mark.parametrize("value", ["0", "false", "False"])
async def test_switched_off_it_is_disabled_first_of_all(
    control: Control, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYOWNMESH_AUTOUPDATE", value)
    assert (await ask(control, '{"op":"update_check"}'))["data"] == {"outcome": "disabled"}
    assert (await ask(control, '{"op":"update_status"}'))["data"]["enabled"] is False


@pytest.mark.parametrize("value", ["1", "off", " 0", ""])
async def test_other_words_switch_nothing_off(control: Control, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYOWNMESH_AUTOUPDATE", value)
    assert (await ask(control, '{"op":"update_status"}'))["data"]["enabled"] is True


async def test_too_much_is_refused(control: Control) -> None:
    told = await set_prefs(control, channel="x" * 300_000)
    assert told["error"].startswith("bad update prefs: object too large")
