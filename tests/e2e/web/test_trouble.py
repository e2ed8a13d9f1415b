"""What the screen says when there is little to show: no program, a dead daemon, damaged settings, another app's daemon.

Spec 08 §11, S3, S17, S18, S20, S22; no Boris is needed for any of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from e2e.devices import bare_app, demo, eventually, is_alive
from e2e.test_one_device import NOWHERE, ask_shared, shared_daemon
from e2e.web.conftest import shot
from myownllm.catalog.envelope import KIND
from support.browsers import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture
def device() -> Iterator[Any]:
    """An app without a mesh daemon on this machine: nothing beside it, nothing on its path, nothing fetched."""
    base = demo.temporary_base()
    made = demo.Device("Anna", base / "a")
    app, environment = bare_app(made)
    made.environment = lambda: environment
    made.app, made.program = str(app), (str(app),)
    demo.configure(made, {"kind": "none"})
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(base, ignore_errors=True)


def put_back(folder: Path) -> None:
    (folder / "myownmesh").symlink_to(demo.BIN / "myownmesh")


def again(device: Any, person: Person) -> None:
    """The app starts, and its link is followed."""
    mark = device.mark()
    device.up()
    person.page.goto("about:blank")
    person.enter(str(device.wait("screen", lambda e: e["event"] == "screen", mark)["url"]))


def daemon_of(device: Any) -> int:
    """Its process; 0 while there is none."""
    return int((device.run("status").get("daemon") or {}).get("pid") or 0)


def met_in_the_local_network_alone(anna: Person) -> None:
    """A network without a relay, on a machine that says nothing in its local network: what is wrong, and what helps."""
    page = anna.page
    anna.press("Add a network…")
    page.get_by_label("Name", exact=True).fill("attic")
    page.get_by_label("Only in the local network").check()
    expect(page.get_by_text("Relays of your own")).to_have_count(0)
    anna.press("Join")
    expect(page.locator("#pill")).to_contain_text("Nobody can be found on attic")
    expect(page.locator(".pill")).to_contain_text("It is met in the local network alone")
    expect(page.locator(".pill")).to_contain_text("Connect this device to the local network of the others.")
    expect(page.locator("[data-network='attic']")).to_contain_text("local network alone")
    anna.surface("Connections")
    expect(page.locator("[data-found]")).to_contain_text("Nobody can be found at the moment")
    anna.surface("Settings")
    expect(page.get_by_label("Meet in the local network alone")).to_be_checked()
    expect(page.get_by_label("Signaling relays")).to_have_count(0)
    expect(page.get_by_label("STUN servers")).to_have_value("")
    anna.surface("Status")
    anna.press("Add a network…")
    anna.press("By link or settings")
    told = {"kind": KIND, "version": 1, "network_id": "cellar", "signaling": {"strategy": "none"}}
    page.get_by_label("Link or settings").fill(json.dumps(told))
    anna.press("Look at it")
    expect(page.get_by_role("region", name="Where it leads")).to_contain_text(
        "none: devices meet in the local network alone"
    )
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).not_to_be_visible()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_each_trouble_has_a_screen_of_its_own_with_what_helps(chromium: Browser, device: Any) -> None:
    bare = device.home / "bin"
    device.run("networks", "add", "home", *NOWHERE)
    device.run("networks", "list")
    config = device.home / ".myownllm" / "config.json"
    whole = config.read_text()
    config.write_text(whole[: len(whole) // 2])
    anna = Person.at(chromium)
    again(device, anna)
    page = anna.page

    # S22: no program. The rest of the app works, the remedies are named, and one that comes is taken.
    failed = page.locator("[data-banner='failed']")
    expect(failed).to_contain_text("No mesh daemon can be started.")
    expect(failed).to_contain_text("myownmesh")
    anna.look_over("no program")
    shot(anna, "no-daemon")
    anna.surface("Chat")
    expect(page.get_by_text("No model is here")).to_be_visible()

    # S20: the damaged file is kept and named, and its network is back from the last good copy.
    anna.surface("Activity")
    expect(page.locator(".diag")).to_contain_text("config.json.corrupt-")
    [kept] = config.parent.glob("config.json.corrupt-*")
    assert kept.read_text() == whole[: len(whole) // 2]
    anna.surface("Status")
    expect(page.locator("[data-network='home']")).to_contain_text("active")

    put_back(bare)
    anna.press("Try again", failed)
    expect(failed).to_have_count(0)
    expect(page.locator("main")).to_contain_text("this app’s own")

    device.stop()
    expect(page.locator("[data-banner='away']")).to_contain_text("myownllm up")

    # S17: the daemon dies. Another one is there soon; while none can be, that is a screen of its own.
    again(device, anna)
    expect(page.locator("main")).to_contain_text("this app’s own")
    pid = daemon_of(device)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: daemon_of(device) not in (0, pid), "another daemon")
    expect(page.locator("[data-banner]")).to_have_count(0)
    (bare / "myownmesh").unlink()
    os.kill(daemon_of(device), signal.SIGKILL)
    expect(page.locator("[data-banner='down'], [data-banner='failed']")).to_be_visible()
    anna.look_over("no daemon")
    put_back(bare)
    anna.press("Try again now")
    expect(page.locator("[data-banner]")).to_have_count(0)
    device.stop()

    # S18: the daemon of another app is used, what it has stays, and it goes on without us.
    with shared_daemon(device) as socket:
        record = {"id": "gui-1", "network_id": "gui-net", "label": "", "signaling": {"servers": ["ws://127.0.0.1:9"]}}
        ask_shared(socket, "network_add", config=record)
        again(device, anna)
        expect(page.locator("main")).to_contain_text("shared with another app")
        joined = lambda: sorted(ask_shared(socket, "status")["joined_networks"])  # noqa: E731
        eventually(lambda: joined() == ["gui-net", "home"], "both networks")
        anna.press("Add a network…")
        page.get_by_label("Name", exact=True).fill("work")
        page.get_by_text("Relays of your own").click()
        page.get_by_label("Relays", exact=True).fill("ws://127.0.0.1:9")
        anna.press("Join")
        eventually(lambda: joined() == ["gui-net", "work"], "S3: the new one is joined in place of the old one")
        expect(page.locator("[data-network='home']")).to_be_visible()
        met_in_the_local_network_alone(anna)
        eventually(lambda: joined() == ["attic", "gui-net"], "the third in place of the second")
        process = device.pid
        device.stop()
        assert not is_alive(process)
        assert joined() == ["attic", "gui-net"], "it goes on without the app"
    anna.forgive("/api/mesh/events' failed")  # the browser's own word for an app that is gone
    assert anna.wrong == []
    anna.context.close()
