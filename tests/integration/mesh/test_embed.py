"""An embedder's path: two nodes in one trio program meet over a real relay and real WebRTC (docs/embedding.md)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

import myownmesh
from myownmesh.identity import Identity
from myownmesh.protocol.transitions import Evict, KindChange
from support.signaling import relay_server, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LIMIT_S = 30.0


@asynccontextmanager
async def relay() -> AsyncIterator[str]:
    async with relay_server() as server:
        yield url_of(server)


@asynccontextmanager
async def two_devices(
    root: Path, *, auto_approve: bool
) -> AsyncIterator[tuple[myownmesh.OpenNetwork, myownmesh.OpenNetwork, str, str]]:
    async with (
        relay() as url,
        myownmesh.open_mesh(root / "a", label="Anna") as anna,
        myownmesh.open_mesh(root / "b", label="Ben") as ben,
    ):
        at_anna = await anna.join("home", relays=[url], auto_approve=auto_approve)
        at_ben = await ben.join("home", relays=[url], auto_approve=auto_approve)
        yield at_anna, at_ben, anna.device_id, ben.device_id


async def test_two_devices_are_approved_and_call_each_other(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with two_devices(tmp_path, auto_approve=False) as (anna, ben, anna_id, ben_id):
            ben_at_anna = await anna.wait_for_peer("pending_approval")
            anna_at_ben = await ben.wait_for_peer("pending_approval")
            assert ben_at_anna.label == "Ben"
            assert ben_at_anna.verification_code_received == anna_at_ben.verification_code_sent
            await anna.approve(ben_id)
            await ben.approve(anna_id)
            await anna.wait_for_peer("active")
            await ben.wait_for_peer("active")

            async def greet(peer: str, payload: Any) -> Any:
                if payload is None:
                    raise myownmesh.MeshError("say something")
                return {"to": peer, "echo": payload}

            async def count(_peer: str, payload: Any) -> AsyncIterator[int]:
                for number in range(payload):
                    yield number

            ben.serve("greet", greet)
            ben.serve_stream("count", count)
            assert await anna.call(ben_id, "greet", {"text": "hällo"}) == {"to": anna_id, "echo": {"text": "hällo"}}
            with pytest.raises(myownmesh.MeshError, match="handler returned error: say something"):
                await anna.call(ben_id, "greet")
            with pytest.raises(myownmesh.MeshError, match="no handler for 'nope'"):
                await anna.call(ben_id, "nope")
            async with anna.stream(ben_id, "count", 5) as chunks:
                assert [chunk async for chunk in chunks] == [0, 1, 2, 3, 4]

            async with ben.messages("chat") as messages:
                assert await anna.broadcast("chat", "hello") == 1
                await anna.send(ben_id, "chat", {"n": 1})
                assert await anext(messages) == (anna_id, "hello")
                assert await anext(messages) == (anna_id, {"n": 1})


async def test_a_call_ends_with_an_error_when_the_other_device_goes(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with relay() as url, myownmesh.open_mesh(tmp_path / "a") as anna:
            at_anna = await anna.join("home", relays=[url], auto_approve=True)
            async with trio.open_nursery() as nursery:
                outcome: list[str] = []

                async def call(peer: str) -> None:
                    with pytest.raises(myownmesh.MeshError) as caught:
                        await at_anna.call(peer, "wait")
                    outcome.append(str(caught.value))

                async with myownmesh.open_mesh(tmp_path / "b") as ben:
                    at_ben = await ben.join("home", relays=[url], auto_approve=True)

                    async def wait(_peer: str, _payload: Any) -> None:
                        called.set()
                        await trio.sleep_forever()

                    called = trio.Event()
                    at_ben.serve("wait", wait)
                    await at_anna.wait_for_peer("active")
                    nursery.start_soon(call, ben.device_id)
                    await called.wait()
            assert outcome == ["network down"]


async def test_a_data_directory_belongs_to_one_node(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with myownmesh.open_mesh(tmp_path / "a"):
            with pytest.raises(Exception, match="is in use by process"):
                async with myownmesh.open_mesh(tmp_path / "a"):
                    pass


async def test_a_device_that_is_alone_says_so(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with relay() as url, myownmesh.open_mesh(tmp_path / "a") as anna:
            network = await anna.join("home", relays=[url])
            async with network.events() as events:
                while network.phase != "alone":
                    await anext(events)


async def test_a_program_locks_its_own_signatures(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with relay() as url, myownmesh.open_mesh(tmp_path / "a", label="Anna") as anna:
            network = await anna.join("home", relays=[url])
            shown = await network.enroll_mfa()
            assert await network.mfa_enrolled()
            with pytest.raises(myownmesh.MeshError, match="custody: invalid authenticator code"):
                await network.disable_mfa("000")
            await network.disable_mfa(shown.recovery_codes[0])
            assert not await network.mfa_enrolled()


async def test_a_program_is_told_who_decides_and_what_a_decision_would_do(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with relay() as url, myownmesh.open_mesh(tmp_path / "a") as anna:
            governance = (await anna.join("home", relays=[url])).governance
            me = anna.device_id.rsplit("-", 1)[0]
            would = await governance.outlook(KindChange("closed"))
            assert (would.effective, would.owners) == (True, (me,))
            assert would.founding is not None
            assert (await governance.set_kind("closed")).effective
            assert [(each.device, each.role) for each in await governance.who()] == [(me, "owner")]
            assert governance.last_heard() == {}
            assert [finding.code for finding in await governance.doctor()] == ["single_owner"]
            other, new = (Identity.from_seed(bytes([number]) * 32).device_id for number in (1, 2))
            await governance.grant(other, "controller")
            assert (await governance.outlook(Evict(other), keep=[])).signed_anew == ()
            done = await governance.replace(other, new)
            assert (done.step, done.role) == ("done", "controller")
            assert "puts" in (await governance.log())[0][1]
            assert await governance.pending() == ()
            taken = await governance.take_in(await governance.export())
            assert (taken.log, taken.new, taken.refused) == ("known", 0, 0)
            with pytest.raises(myownmesh.MeshError, match="proposal not found"):
                await governance.settle("prop_1")
            key, printed = await governance.create_recovery_key()
            assert printed.effective
            recovered = await governance.recover(key, evict=new)
            assert (recovered.seat, recovered.lost) == (me, new)
            with pytest.raises(myownmesh.MeshError, match="this is no recovery key"):
                await governance.recover("x")


async def test_a_program_founds_a_network_lets_a_device_in_and_puts_it_out(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with two_devices(tmp_path, auto_approve=True) as (anna, ben, anna_id, ben_id):
            await anna.wait_for_peer("active")
            founded = await anna.governance.set_kind("closed")
            assert (founded.effective, founded.waits_for) == (True, ())
            while not (claims := (await ben.governance.state())[0].pending):
                await trio.sleep(0.02)
            assert (await ben.governance.sign(claims[0].id)).effective
            assert (await anna.governance.grant(ben_id, "controller")).effective
            while (await ben.governance.state())[0].roles != {anna_id: "owner", ben_id: "controller"}:
                await trio.sleep(0.02)
            with pytest.raises(myownmesh.MeshError, match="this is the last owner"):
                await anna.governance.revoke(anna_id)
            waiting = await ben.governance.grant(ben_id, "owner")
            assert (waiting.effective, waiting.waits_for) == (False, (anna_id,))
            await ben.governance.withdraw(waiting.proposal_id)
            assert (await anna.governance.evict(ben_id)).effective
            while ben_id not in (await ben.governance.state())[1]:
                await trio.sleep(0.02)
            assert [peer.status for peer in anna.peers() if peer.device_id == ben_id and peer.status == "active"] == []
