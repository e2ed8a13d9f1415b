"""A program that embeds a node and computes for long: the helper thread of its transport would go on saying that it
lives, while nobody reads a frame (spec 04 §15.1 no. 15)."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from support.contention import Contention
from support.daemons import PATIENCE_S, daemon, host_relay, network_record

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

NOTICED_S = 6.0
BLOCKED_S = 9.0
PROGRAM = """
import sys, time
import trio
import myownmesh

async def main(home, url):
    async with myownmesh.open_mesh(home, label="busy") as mesh:
        network = await mesh.join("home", relays=[url], auto_approve=True)
        peer = await network.wait_for_peer("active")

        async def echo(_peer, payload):
            return payload

        network.serve("echo", echo)
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        time.sleep(float(sys.argv[3]))  # it blocks, as a program should not
        await trio.sleep_forever()

trio.run(main, sys.argv[1], sys.argv[2])
"""


async def test_a_program_that_blocks_is_noticed_and_keeps_its_link(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as peer:
        url = await host_relay(peer)
        await peer.ask("network_add", config=network_record("home", url, auto_approve=True))
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "e"), url, str(BLOCKED_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with trio.fail_after(PATIENCE_S):
                said = b""
                while b"ready" not in said:
                    said += await process.stdout.receive_some()
            [busy] = (await peer.ask("peers_list", network="home"))["peers"]
            await trio.sleep(3.0)
            assert (await peer.peer("home", busy["device_id"]))["why"] is None  # type: ignore[index]  # it is known
            await process.stdin.send_all(b"block\n")
            began, contention = trio.current_time(), Contention()
            with trio.fail_after(PATIENCE_S):
                while (info := await peer.peer("home", busy["device_id"])) is None or info["why"] is None:
                    await trio.sleep(0.05)
            took = trio.current_time() - began
            print(f"noticed after {took:.1f} s: {info['why']['code']}")
            assert took < contention.stretched(NOTICED_S + 1.0), "within six seconds, and one for this machine"
            assert info["why"]["code"] == "path_down"
            with trio.fail_after(PATIENCE_S):
                while (info := await peer.peer("home", busy["device_id"])) is None or info["why"] is not None:
                    await trio.sleep(0.05)
            back = trio.current_time() - began - BLOCKED_S
            print(f"well again {back:.1f} s after it went on")
            assert back < contention.stretched(3.0)
            called = await peer.ask(
                "rpc_call", network="home", peer=busy["device_id"], method="echo", payload=1, timeout_ms=5000
            )
            assert called == {"response": 1}
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
