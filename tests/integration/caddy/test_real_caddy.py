"""A real Caddy with a file of a test's own, before the relay that a real daemon hosts (spec 06 §10)."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from myownmesh.caddy.caddyfile import managed
from support import warm
from support.daemons import daemon, network_record
from support.ports import free_port
from support.tools import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs("caddy", "caddy", "nothing is tried on a real Caddy")


class Caddy:
    """The operator's file, which serves a site of theirs, and a folder for all that Caddy keeps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "Caddyfile"
        self.https = free_port()
        self.admin = f"unix/{folder}/admin"
        self.own = f"""\
# ours
{{
	admin {self.admin}
	http_port {free_port()}
	https_port {self.https}
	local_certs
	skip_install_trust
	storage file_system {folder}/store
}}

import sites/*

other.localhost {{
	respond "the operator's"
}}
"""
        self.file.write_text(self.own)
        (folder / "sites").mkdir()
        (folder / "sites" / "one").write_text('one.localhost {\n\trespond "from a file"\n}\n')
        self.environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}

    @property
    def root(self) -> Path:
        """The certificate of its own authority."""
        return self.folder / "store" / "pki" / "authorities" / "local" / "root.crt"

    def command(self, *words: str, home: Path) -> tuple[int, dict[str, Any]]:
        """A command of ours on this file: its exit status and what it says as JSON."""
        ended = subprocess.run(
            [*warm.words("myownmesh"), *words, "--caddyfile", self.file, "--json"],
            env={**self.environment, "MYOWNMESH_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert ended.stdout, ended.stderr
        return ended.returncode, json.loads(ended.stdout)

    def answer(self, site: str) -> str:
        """What the site says over TLS, with a certificate of this authority.

        A Caddy that has just given up a configuration may hand one more connection to that one's listener, which has
        no certificates any more and says "internal error": whoever asks again reaches the running one.
        """
        deadline = time.monotonic() + 20
        while True:
            try:
                return self._answer(site)
            except ssl.SSLError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _answer(self, site: str) -> str:
        context = ssl.create_default_context(cafile=str(self.root))
        with socket.create_connection(("127.0.0.1", self.https), 20) as plain:
            plain.settimeout(20)
            with context.wrap_socket(plain, server_hostname=site) as secured:
                secured.sendall(f"GET / HTTP/1.0\r\nHost: {site}:{self.https}\r\n\r\n".encode())
                said = b"".join(iter(partial(secured.recv, 65536), b""))
        return said.partition(b"\r\n\r\n")[2].decode()

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if path.is_file()}


@pytest.fixture
def caddy() -> Iterator[Caddy]:
    with tempfile.TemporaryDirectory(prefix="mesh") as folder:  # short, for the admin socket
        one = Caddy(Path(folder))
        try:
            yield one
        finally:
            subprocess.run(
                ["caddy", "stop", "--address", one.admin],
                env=one.environment,
                capture_output=True,
                timeout=60,
                check=False,
            )


def outcomes(told: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in told["steps"]}


async def test_a_device_meets_through_caddy_and_the_operators_sites_stay(caddy: Caddy, tmp_path: Path) -> None:
    async with daemon(tmp_path / "host") as host:
        port = free_port()
        await host.ask("services_set", services={"signaling": {"enabled": True, "bind": "127.0.0.1", "port": port}})
        run = partial(trio.to_thread.run_sync, partial(caddy.command, home=host.home))

        status, told = await run("install", "caddy", "wss://localhost/", "--relay-only")
        assert (status, told["error"]) == (0, None), told
        assert [outcomes(told)[step] for step in ("caddy", "caddyfile", "apply", "services")] == [
            "unchanged", "done", "done", "done",
        ]  # fmt: skip
        block = (await host.ask("services_status"))["config"]["signaling"]
        assert (block["bind"], block["public_url"]) == ("127.0.0.1", "wss://localhost")

        await host.ask("network_add", config=network_record("home", f"ws://127.0.0.1:{port}", auto_approve=True))
        async with daemon(tmp_path / "guest", environ={"SSL_CERT_FILE": str(caddy.root)}) as guest:
            record = network_record("home", f"wss://localhost:{caddy.https}", auto_approve=True)
            await guest.ask("network_add", config=record)
            await guest.wait_for_peer("home", host.device_id)

        installed, names = caddy.file.read_bytes(), caddy.names()
        again = await run("install", "caddy", "localhost", "--relay-only")
        assert again[0] == 0
        assert set(outcomes(again[1]).values()) == {"unchanged", "advice"}
        assert (caddy.file.read_bytes(), caddy.names()) == (installed, names)

        assert (await run("install", "caddy", "relay.localhost", "--relay-only"))[0] == 0
        assert managed(caddy.file.read_text()) == ("localhost", "relay.localhost")
        answer = partial(trio.to_thread.run_sync, caddy.answer)
        for site, says in {
            "other.localhost": "the operator's",
            "one.localhost": "from a file",
            "relay.localhost": "myownmesh signaling relay",
        }.items():
            assert await answer(site) == says

        status, told = await run("caddy", "status")
        assert (status, told["running"], told["unfinished"]) == (0, True, False)
        assert told["sites"] == ["localhost", "relay.localhost"]
        for site in told["sites"]:
            assert (await run("caddy", "remove", site))[0] == 0
        assert caddy.file.read_text() == caddy.own
        assert await answer("other.localhost") == "the operator's"


def test_what_caddy_does_not_take_is_put_back_and_the_running_one_goes_on(caddy: Caddy, tmp_path: Path) -> None:
    install = partial(caddy.command, "install", "caddy", home=tmp_path)
    assert install("a.localhost", "--relay-only")[0] == 0
    good = caddy.file.read_text()

    caddy.file.write_text(good + "b.localhost {\n\tno_such_directive\n}\n")
    status, told = install("c.localhost", "--relay-only")
    assert status == 1
    assert "no_such_directive" in told["error"]
    assert caddy.file.read_text().endswith("no_such_directive\n}\n"), "what a person wrote is theirs to mend"
    assert caddy.answer("a.localhost") == "myownmesh signaling relay"

    with socket.create_server(("127.0.0.1", 0)) as taken:  # it is valid, and cannot be served
        in_use = f"http://127.0.0.1:{taken.getsockname()[1]}"
        before = f"{good}{in_use} {{\n\tbind 127.0.0.1\n\trespond 200\n}}\n"
        caddy.file.write_text(before)
        status, told = install("c.localhost", "--relay-only")
        assert (status, outcomes(told)["rollback"]) == (1, "done"), told
        assert "address already in use" in told["error"]
        assert caddy.file.read_text() == before
        assert caddy.answer("a.localhost") == "myownmesh signaling relay"
    caddy.file.write_text(good)
    assert install("a.localhost", "--relay-only", "--dry-run")[0] == 0

    status, told = install("d.localhost", "--public-ip", "203.0.113.7")
    assert status == 1, "this Caddy has no module, and nothing here can fetch one"
    assert "--relay-only" in told["error"]
    assert caddy.file.read_text() == good
