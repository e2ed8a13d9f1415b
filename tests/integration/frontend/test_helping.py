"""What helps to find a fault: `health`, `daemon …`, `bugreport`, beside a running app and real daemons."""

from __future__ import annotations

import json
import re
import signal
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import trio

from integration.frontend.test_commands import PENDING, desk, join, save
from integration.frontend.test_screens import is_alive, real_home
from myownllm.cli.report import Report
from unit.frontend.fakes import DEVICE_B, peer_info

if TYPE_CHECKING:
    from integration.frontend.test_commands import Desk

__all__ = ["desk"]
"""a fixture"""
RELAYS = [
    {"url": "wss://r.example/x", "public": False, "state": "up", "since_ms": 5},
    {
        "url": "wss://s.example",
        "public": True,
        "state": "down",
        "since_ms": 5,
        "reason": {"kind": "unreachable", "text": "connection refused"},
        "retry_in_ms": 900,
    },
]


async def test_the_report_of_health_is_as_documented(desk: Desk) -> None:
    """Every member that docs/health.md names, and no other; relays and devices one by one."""
    save(desk, "home")
    join(desk, "home")
    why = {"code": "kept_apart_by_shape", "since_ms": 1, "text": "the shape holds no link", "next": None}
    desk.daemon.peers = [
        peer_info(),
        peer_info("c" * 52, label="Tablet", **PENDING),
        peer_info("d" * 52, label="Spoke", status="sighted", why=why),
    ]
    desk.daemon.phase = "active"
    desk.daemon.network_members = {"relays": RELAYS}
    up = await desk.up()
    await up.online()
    text = await desk.run("health", "--json")
    found = msgspec.json.decode(text, type=Report, strict=True)
    assert msgspec.to_builtins(found) == json.loads(text), "no member beyond the documented ones"
    assert found.healthy
    assert found.headline == "Connected · home · 1 peer · auto-healing ring"
    assert [(r.url, r.state, r.reason) for r in found.relays or ()] == [
        ("wss://r.example/x", "up", ""),
        ("wss://s.example", "down", "connection refused"),
    ]
    assert [(p.status, p.why) for p in found.peers] == [
        ("active", ""),
        ("handshaking", "the shape holds no link"),
        ("pending_approval", "it waits for your approval"),
    ]
    assert found.disk.free_bytes
    assert found.app.pid == up.process.pid
    assert "ollama" in found.app.runtime, "there is none, and that is said"
    said = await desk.run("health")
    for line in ("relay wss://s.example: down (connection refused)", "device Tablet: pending_approval: it waits"):
        assert line in said
    await up.stop()


async def test_an_app_that_was_stopped_is_named_with_what_wakes_it(desk: Desk) -> None:
    save(desk, "home")
    join(desk, "home")
    up = await desk.up()
    await up.online()
    up.process.send_signal(signal.SIGSTOP)
    said = await desk.json("health", status=21)
    assert said["findings"][0]["name"] == "app_silent"
    assert f"`kill -CONT {up.process.pid}`" in said["next_step"]
    assert f"process {up.process.pid}, does not answer" in await desk.run("status")
    up.process.send_signal(signal.SIGCONT)
    await up.stop()


async def test_health_waits_until_all_is_well_or_the_time_is_over(desk: Desk) -> None:
    save(desk, "home")
    join(desk, "home")
    began = time.monotonic()
    assert (await desk.json("health", "--wait", "1.2", status=16))["findings"][0]["name"] == "app_not_running"
    assert time.monotonic() - began >= 1.2
    codes: list[int] = []

    async def look() -> None:
        codes.append((await desk.json("health", "--wait", "20"))["exit_status"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        up = await desk.up()
    assert codes == [0]
    await up.stop()
    assert "at most 3600 seconds" in await desk.run("health", "--wait", "nan", status=2)


SECRETS = {
    "credential": "turn-pass-9f8e7d",
    "username": "turn-user-9f8e7d",
    "network": "our-own-secret-handle",
    "label": "Grandmas Tablet",
    "prompt": "never tell anybody 4711",
    "conversation": "dear-diary-title",
    "token": "bearer-0a1b2c3d",
    "code": "k3x9qa",
}


async def test_a_bug_report_holds_no_secret_code_or_conversation(desk: Desk) -> None:
    home = desk.home / ".myownllm"
    record = {
        "id": "net-1",
        "network_id": SECRETS["network"],
        "turn_servers": [{"url": "turn:t.example:3478", **{k: SECRETS[k] for k in ("username", "credential")}}],
        "prompts": [{"id": "prm-1", "name": SECRETS["prompt"], "system_prompt": SECRETS["prompt"]}],
    }
    (home / "config.json").write_text(
        json.dumps(
            {
                "api": {"bearer_token": SECRETS["token"]},
                "cloud_mesh": {"networks": [record], "active_network_id": "net-1"},
            }
        )
    )
    (home / "conversations").mkdir()
    (home / "conversations" / f"{SECRETS['conversation']}.json").write_text(SECRETS["conversation"])
    (home / "logs").mkdir()
    (home / "logs" / "daemon.log").write_text("\n".join(f"INFO met {word}" for word in SECRETS.values()) + "\n")
    join(desk, SECRETS["network"])
    desk.daemon.peers = [peer_info(label=SECRETS["label"], **PENDING)]
    archive = desk.home / "report.tar.gz"
    said = await desk.run("bugreport", "--output", str(archive))
    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as opened:
        names = [Path(member.name).name for member in opened.getmembers()]
        texts = {Path(m.name).name: opened.extractfile(m).read().decode() for m in opened.getmembers()}  # type: ignore[union-attr]  # all of them are files
    for name in names:
        assert name in said, "what is in it is printed"
    found = [(name, what) for name, text in texts.items() for what, word in SECRETS.items() if word in text]
    # the log names the conversation in this test alone; a daemon never sees one
    assert found == [("daemon.log", "conversation")]
    assert str(desk.home) not in "".join(texts.values())
    assert json.loads(texts["health.json"])["exit_status"] == 16
    assert (
        json.loads(texts["config.json"])["cloud_mesh"]["networks"][0]["turn_servers"][0]["url"] == "turn:t.example:3478"
    )
    assert DEVICE_B in texts["health.json"], "public keys are public"
    assert "is there already" in await desk.run("bugreport", "-o", str(archive), status=1)
    assert "cannot write" in await desk.run("bugreport", "-o", str(desk.home / "no" / "file"), status=1)


async def test_the_daemon_is_found_heard_and_started_anew(nursery: trio.Nursery) -> None:
    async with real_home(nursery, {}) as home:
        assert "the app is not running; start it with" in await home.run("daemon", "restart", status=1)
        assert "nothing was said yet" in await home.run("daemon", "log")
        up = await home.up()
        daemon = await up.wait(lambda e: e["event"] == "daemon" and e["state"] == "up")
        paths = json.loads(await home.run("daemon", "paths", "--json"))
        assert paths["own_socket"] == daemon["socket"]
        assert paths["programs"][0] == {"path": daemon["binary"], "origin": daemon["origin"], "problem": ""}
        said = await home.run("daemon", "log", "--lines", "50")
        assert re.search(r"Z +INFO .*control socket", said), said
        told = json.loads(await home.run("daemon", "restart", "--json"))
        assert told["pid"] != daemon["pid"]
        assert is_alive(told["pid"])
        assert not is_alive(daemon["pid"])
        assert json.loads(await home.run("daemon", "retry", "--json"))["state"] == "up"
        await up.stop()


async def test_a_daemon_of_somebody_else_is_not_restarted(desk: Desk) -> None:
    up = await desk.up()
    await up.wait(lambda e: e["event"] == "daemon")
    assert "was started by somebody else; restart it there" in await desk.run("daemon", "restart", status=1)
    await up.stop()
