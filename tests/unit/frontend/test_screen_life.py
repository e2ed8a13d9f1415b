"""The screen's parts around a running app: opened or not, asked for links, and what it leaves on the disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from myownllm.cli import open as opening
from myownllm.errors import DoorError
from myownllm.features.files.job import Job, Progress
from myownllm.home import AppHome
from myownllm.remote.state import RemoteState
from myownllm.supervisor import SupervisorState
from myownllm.transfer_files.notes import Notes, Sending
from myownllm.transfers.offer import FileOffer
from myownllm.ui import launch, port, uploads, web_server
from myownllm.ui import opening as later
from myownllm.ui.publisher import Publisher
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home(tmp_path: Path) -> AppHome:
    return AppHome.at(tmp_path / "app", tmp_path / "daemon")


# ── opened, or not ────────────────────────────────────────────────────────────────────────────────────────────────────


class App:
    """What a screen sees of the running app before it opens."""

    def __init__(self, home: AppHome, ui: dict[str, Any]) -> None:
        self.home = home
        self.files = SimpleNamespace(sender=SimpleNamespace(jobs={}))
        self.live = SimpleNamespace(sections={"ui": ui}, on_sections=[])
        self.operations: dict[str, Any] = {}
        self.said: list[tuple[str, str]] = []

    def screen(self) -> launch.Screen:
        app: Any = self
        screen = launch.Screen(app, lambda url, note: self.said.append((url, note)))
        self.operations.update(screen.operations)
        return screen

    async def refusal(self) -> str:
        with pytest.raises(DoorError) as refused:
            await self.operations["ui_link"]({})
        return str(refused.value)


class Mesh:
    """What decides when a screen is loaded: a mesh that is joined, or not; and commands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loaded: list[float] = []
        self.is_loaded = trio.Event()
        self.client = SimpleNamespace(state=SimpleNamespace(status="connecting"), watch=Watch(None))
        self.live = SimpleNamespace(sections={"ui": {"notifications": True}})
        self.operations: dict[str, Any] = {}
        self.door = SimpleNamespace(operation=self.operations.__setitem__)
        monkeypatch.setitem(sys.modules, "myownllm.ui.launch", SimpleNamespace(Screen=self.screen))
        app: Any = self
        self.opening = later.Opening(app, lambda *_: None)

    def screen(self, *_: Any) -> Any:
        async def answer(members: Any) -> Any:
            await trio.lowlevel.checkpoint()
            return {"url": "http://127.0.0.1:1/", **members}

        self.loaded.append(trio.current_time())
        self.is_loaded.set()
        return SimpleNamespace(
            operations=dict.fromkeys(later.OPERATIONS, answer), run=trio.sleep_forever, should_call=False
        )


async def test_the_screen_is_loaded_when_the_mesh_is_joined_and_no_later_than_in_a_second(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    for joined_after_s, loaded_after_s in ((0.25, 0.25), (5, later.AT_LATEST_S)):
        mesh = Mesh(monkeypatch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mesh.opening.run)
            await trio.sleep(joined_after_s)
            assert mesh.loaded == ([began + loaded_after_s] if joined_after_s > loaded_after_s else [])
            assert mesh.opening.should_call is not bool(mesh.loaded), "until then a knock is told by the desktop"
            mesh.client.state.status = "online"
            mesh.client.watch.set(None)
            await mesh.is_loaded.wait()
            assert mesh.loaded == [pytest.approx(began + loaded_after_s)]
            nursery.cancel_scope.cancel()
        began = trio.current_time()


async def test_a_command_that_asks_for_the_screen_has_it_loaded_at_once(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    mesh = Mesh(monkeypatch)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mesh.opening.run)
        await trio.testing.wait_all_tasks_blocked()
        assert await mesh.operations["remote"]({"x": 1}) == {"url": "http://127.0.0.1:1/", "x": 1}
        assert mesh.loaded == [began]
        nursery.cancel_scope.cancel()


async def test_a_screen_that_is_never_loaded_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    mesh = Mesh(monkeypatch)
    with pytest.raises(DoorError, match="not loaded yet"):
        await mesh.operations["ui_link"]({})


@pytest.mark.heavy
def test_what_up_loads_before_the_mesh_is_there_has_no_part_of_the_screen() -> None:
    code = "import sys, myownllm.cli.screen; print(*[name for name in sys.modules if name.startswith('myownllm.ui')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert set(loaded.stdout.split()) == {"myownllm.ui", "myownllm.ui.opening", "myownllm.ui.settings"}


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "PARTS", ("a_part_that_nobody_has",))


@pytest.mark.usefixtures("without_the_extra")
async def test_up_without_the_extra_says_how_to_get_it_and_goes_on(home: AppHome) -> None:
    app = App(home, {})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.screen().run)
        await trio.testing.wait_all_tasks_blocked()
        [(url, note)] = app.said
        assert url == ""
        assert note.startswith("the screen is not installed: ")
        assert "myownllm-mesh[ui]" in note
        assert await app.refusal() == note
        nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("without_the_extra")
async def test_a_screen_that_is_off_is_not_missed_and_one_that_is_turned_on_is_tried(home: AppHome) -> None:
    app = App(home, {"enabled": False})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.screen().run)
        await trio.testing.wait_all_tasks_blocked()
        assert app.said == []
        assert await app.refusal() == "the screen is off (`ui.enabled` in config.json)"
        for told in app.live.on_sections:
            told({"ui": {"enabled": True}})
        await trio.testing.wait_all_tasks_blocked()
        assert len(app.said) == 1
        assert (await app.refusal()).startswith("the screen is not installed")
        nursery.cancel_scope.cancel()


async def test_a_link_that_is_asked_for_while_the_screen_opens_is_waited_for(
    home: AppHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = port.open_port(0)
    monkeypatch.setattr(launch, "open_port", lambda _: listener)
    app = App(home, {"enabled": False})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.screen().run)
        await trio.testing.wait_all_tasks_blocked()
        for told in app.live.on_sections:
            told({"ui": {"enabled": True}})
        url = (await app.operations["ui_link"]({}))["url"]
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert url.startswith(f"{origin}/#key=")
        [(first, note)] = app.said
        assert first.startswith(f"{origin}/#key=")
        assert first != url, "each works once"
        assert "1475 is taken" in note
        nursery.cancel_scope.cancel()


async def test_what_serves_the_screen_is_loaded_for_the_first_browser(
    home: AppHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be a fifth of the memory of an app whose screen nobody looks at."""
    served: list[Any] = []

    async def serve(*arguments: Any) -> None:
        served.append(arguments[-1])
        await trio.sleep_forever()

    listener = port.open_port(0)
    monkeypatch.setattr(launch, "open_port", lambda _: listener)
    monkeypatch.setitem(sys.modules, "myownllm.ui.serving", SimpleNamespace(serve=serve))
    app = App(home, {})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.screen().run)
        await app.operations["ui_link"]({})
        await trio.testing.wait_all_tasks_blocked()
        assert served == []
        browser = await trio.open_tcp_stream(*listener.getsockname())
        with trio.fail_after(5):
            while not served:
                await trio.sleep(0.01)
        assert served == [listener]
        await browser.aclose()
        nursery.cancel_scope.cancel()
    assert listener.fileno() == -1, "the port is closed with the screen"


async def test_a_screen_that_is_closed_listens_to_the_app_no_more() -> None:
    """It is closed and opened anew whenever its settings change."""
    client = SimpleNamespace(on_state=[], on_diag=[], on_name=[], diag=deque(maxlen=3))
    live = SimpleNamespace(on_sections=[])
    models = SimpleNamespace(gate=SimpleNamespace(prompts=Watch(())), api=SimpleNamespace(watch=Watch(None)))
    supervisor = SimpleNamespace(watch=Watch(SupervisorState("down")), connection=None)
    sharing = SimpleNamespace(kept=Watch(0))
    app: Any = SimpleNamespace(client=client, live=live, models=models, supervisor=supervisor, sharing=sharing)
    heard: tuple[list[Any], ...] = (client.on_state, client.on_diag, client.on_name, live.on_sections)
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Publisher(app, Watch(RemoteState())).run)
            await trio.testing.wait_all_tasks_blocked()
            assert [len(listeners) for listeners in heard] == [1, 1, 1, 1]
            nursery.cancel_scope.cancel()
        assert [len(listeners) for listeners in heard] == [0, 0, 0, 0]


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process cannot have one more for the length of the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 16, hard))
    try:
        with suppress(OSError):  # of the last one, that there are too many
            while True:
                taken.append(os.dup(taken[0]))
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_without_descriptors_a_browser_waits_and_the_screen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "SCARCE_S", 0.01)
    listener = port.open_port(0)
    async with trio.open_nursery() as nursery:
        browser = await trio.open_tcp_stream(*listener.getsockname())
        with no_descriptors():
            nursery.start_soon(web_server.WebServer(answer).serve, listener)
            await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(5):
            await browser.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await browser.receive_some()).startswith(b"HTTP/1.1 204")
        await browser.aclose()
        nursery.cancel_scope.cancel()


# ── what was dropped on it ────────────────────────────────────────────────────────────────────────────────────────────


def uploaded(home: AppHome, name: str) -> Path:
    path = uploads.place_for(home, name)
    path.write_text(name)
    return path


def job(transfer: str, path: Path) -> Job:
    return Job(transfer, "p" * 52, "home", path, path.name, 1, 0)


def noted(home: AppHome, transfer: str, path: Path) -> None:
    offer = FileOffer(transfer, path.name, 1, "d" * 52, 100, resume=True)
    Notes(home.transfers).save(Sending("p" * 52, "home", str(path), 0, offer))


async def test_what_nobody_sends_on_leaves_the_disk_and_the_rest_when_it_is_sent(home: AppHome, tmp_path: Path) -> None:
    """As after a crash with one file half uploaded and one half sent, and as after a change of the screen's port."""
    home.root.mkdir()
    half, resumed, moving = (uploaded(home, name) for name in ("half", "resumed", "moving"))
    elsewhere = tmp_path / "mine"
    elsewhere.touch()
    for transfer, path in (("r", resumed), ("e", elsewhere)):
        noted(home, transfer, path)
    running = {"m": job("m", moving)}
    changes = Watch(0)
    app: Any = SimpleNamespace(home=home, files=SimpleNamespace(changes=changes, sender=SimpleNamespace(jobs=running)))
    async with trio.open_nursery() as nursery:
        await uploads.tidy(app, nursery)
        assert not half.parent.exists()
        await trio.testing.wait_all_tasks_blocked()
        assert resumed.exists()
        assert moving.exists()
        running["r"] = job("r", resumed)  # the app goes on with it a moment after its start
        changes.set(1)
        await trio.testing.wait_all_tasks_blocked()
        assert resumed.exists()
        for count, each in enumerate(running.values(), 2):
            each.progress = Progress("sent")
            changes.set(count)
    assert list(home.uploads.iterdir()) == []
    assert elsewhere.exists()


def test_without_uploads_there_is_nothing_to_tidy(home: AppHome) -> None:
    assert uploads.sweep(home, {}) == {}


# ── `myownllm open` ───────────────────────────────────────────────────────────────────────────────────────────────────

LINK = 'http://127.0.0.1:1475/#key=a"b&c'


@pytest.fixture
def handed(home: AppHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What the browser was handed: a URL, or the content of the file that it names."""
    seen: list[str] = []

    def browse(url: str) -> bool:
        if url.startswith("file://"):
            file = Path(url.removeprefix("file://"))
            assert file.stat().st_mode & 0o777 == 0o600
            seen.append(file.read_text())
        else:
            seen.append(url)
        return True

    home.root.mkdir()
    monkeypatch.setenv("MYOWNLLM_HOME", str(home.root))
    monkeypatch.setenv("MYOWNMESH_HOME", str(home.shared_daemon))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(opening, "READ_S", 0.0)
    monkeypatch.setattr(opening, "link", lambda: LINK)
    monkeypatch.setattr("webbrowser.open", browse)
    return seen


def usual_browser(tmp_path: Path, name: str) -> None:
    settings = tmp_path / "bin" / "xdg-settings"
    settings.parent.mkdir()
    settings.write_text(f"#!/bin/sh\necho {name}\n")
    settings.chmod(0o755)


def opened(*, show: bool = False) -> None:
    opening.open_screen(show=show, revoke=False, as_json=False)


@pytest.mark.parametrize("browser", ["", "firefox.desktop"])
def test_open_hands_the_link_over_in_a_private_file_that_goes_away(
    home: AppHome, handed: list[str], tmp_path: Path, browser: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if browser:
        usual_browser(tmp_path, browser)
    (home.root / "open.html").write_text("left by one that was killed")
    opened()
    [page] = handed
    assert '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:1475/#key=a&quot;b&amp;c">' in page
    assert not (home.root / "open.html").exists()
    assert capsys.readouterr().out == "", "the browser has it"


@pytest.mark.parametrize("browser", ["firefox_firefox-snap.desktop", "org.mozilla.firefox.desktop"])
def test_a_confined_browser_gets_the_bare_link(handed: list[str], tmp_path: Path, browser: str) -> None:
    usual_browser(tmp_path, browser)
    opened()
    assert handed == [LINK]


def test_the_link_is_said_where_no_browser_takes_it(
    home: AppHome, handed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(show=True)
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    opened()
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    opened()
    assert capsys.readouterr().out == f"{LINK}\n" * 3
    assert handed == []
    assert not (home.root / "open.html").exists()
