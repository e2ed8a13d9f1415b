"""What a daemon tells a monitor: by its socket and over HTTP, and what it never tells."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h11
import pytest
import trio

from support.daemons import PATIENCE_S, daemon, host_relay, network_record

if not os.environ.get("CI"):
    pytest.importorskip("prometheus_client", reason="NO prometheus-client HERE: scripts/test brings it")
from prometheus_client.openmetrics.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.daemons import Daemon

NETWORK: Final = "measured-network"
CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mesh") as name:
        yield Path(name)


def configure(home: Path, bind: str) -> None:
    home.mkdir()
    (home / "config.json").write_text(json.dumps({"daemon": {"metrics_bind": bind}}))


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """As Prometheus' own parser reads them."""
    families = list(text_string_to_metric_families(text))
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[name, frozenset(labels.items())]


async def logged(device: Daemon, pattern: str) -> re.Match[str]:
    with trio.fail_after(PATIENCE_S):
        while (found := re.search(pattern, device.log)) is None:
            await trio.sleep(0.02)
    return found


async def get(port: int, target: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    connection = h11.Connection(h11.CLIENT)
    host = headers.pop("host", f"127.0.0.1:{port}")
    request = h11.Request(method=method, target=target, headers=[("Host", host), *headers.items()])
    body, status, kind = b"", 0, ""
    with trio.fail_after(PATIENCE_S):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            sent = (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
            await stream.send_all(sent)
            while True:
                match connection.next_event():
                    case h11.NEED_DATA:
                        connection.receive_data(bytes(await stream.receive_some(65_536)))
                    case h11.Response(status_code=status, headers=told):
                        kind = dict(told)[b"content-type"].decode()
                    case h11.Data(data=piece):
                        body += bytes(piece)
                    case h11.EndOfMessage():
                        return status, kind, body.decode()


async def test_what_a_monitor_is_told(folder: Path) -> None:
    configure(folder / "a", "127.0.0.1:0")
    async with daemon(folder / "a") as a, daemon(folder / "b") as b:
        relay = await host_relay(a)
        for device in (a, b):
            await device.ask("network_add", config=network_record(NETWORK, relay, auto_approve=True))
        await a.wait_for_peer(NETWORK, b.device_id)
        await b.wait_for_peer(NETWORK, a.device_id)

        text: str = (await a.ask("metrics"))["text"]
        assert value(text, "myownmesh_networks") == 1
        assert value(text, "myownmesh_peers", status="active") == 1
        assert value(text, "myownmesh_links", path="lan") == 1
        assert value(text, "myownmesh_frames_total", lane="control", direction="sent") > 0
        assert value(text, "myownmesh_frame_bytes_total", lane="control", direction="received") > 0
        assert value(text, "myownmesh_relays", state="up", public="false") == 1
        assert value(text, "myownmesh_service_running", service="signaling") == 1
        assert value(text, "myownmesh_service_running", service="turn") == 0
        assert value(text, "myownmesh_relay_connections") >= 1
        assert value(text, "myownmesh_loop_delay_seconds_count") >= 0
        assert value(text, "process_cpu_seconds_total") > 0
        assert ("myownmesh_update_staged", frozenset()) in samples(text)
        for private in (NETWORK, a.device_id, b.device_id, "127.0.0.1", relay, str(folder)):
            assert private not in text
        labels = {value for _, given in samples(text) for _, value in given}
        assert not {each for each in labels if len(each) > len("pending_approval")}, "only words of ours"

        port = int((await logged(a, r"metrics are served at http://127\.0\.0\.1:([0-9]+)/metrics"))[1])
        status, kind, body = await get(port)
        assert (status, kind) == (200, CONTENT_TYPE)
        assert samples(body).keys() == samples(text).keys()
        assert (await get(port, "/"))[::2] == (404, "")
        assert (await get(port, method="POST"))[::2] == (405, "")
        assert (await get(port, host="evil.example"))[::2] == (403, "")
        assert (await get(port, host=f"localhost:{port}"))[0] == 200
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"no HTTP at all\r\n\r\n")
            with trio.fail_after(PATIENCE_S):
                while await stream.receive_some(1000):
                    pass
        assert (await get(port))[0] == 200

        # What a network has counted stays counted when it is left.
        await a.ask("network_remove", network=NETWORK, purge=False)
        after: str = (await a.ask("metrics"))["text"]
        assert value(after, "myownmesh_networks") == 0
        name: dict[str, Any] = {"name": "myownmesh_frames_total", "lane": "control", "direction": "sent"}
        assert value(after, **name) >= value(body, **name)


async def test_a_monitor_that_comes_while_the_settings_cannot_be_read_ends_nothing(folder: Path) -> None:
    configure(folder / "a", "127.0.0.1:0")
    async with daemon(folder / "a") as a:
        port = int((await logged(a, r"metrics are served at http://127\.0\.0\.1:([0-9]+)/metrics"))[1])
        settings, aside = folder / "a" / "config.json", folder / "aside"
        settings.rename(aside)
        settings.mkdir()
        assert (await get(port))[0] == 503
        settings.rmdir()
        aside.rename(settings)
        assert (await get(port))[0] == 200


async def test_other_machines_are_told_nothing(folder: Path) -> None:
    configure(folder / "a", "0.0.0.0:9464")
    async with daemon(folder / "a") as a:
        found = await logged(a, r"ERROR.*metrics_bind: (.*)")
        assert "would tell other machines about this one; write 127.0.0.1:PORT or [::1]:PORT" in found[1]
        assert "text" in await a.ask("metrics")
