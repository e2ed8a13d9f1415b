"""`trace_subscribe` on a real socket (spec 05 §10.6): what it begins with, how it ends, and who never reads."""

from __future__ import annotations

import trio

from integration.control.harness import PATIENCE_S, serving
from integration.control.test_connections import until
from unit.control.fake_mesh import traced

SUBSCRIBE = {"op": "trace_subscribe", "network": "office"}


async def test_a_trace_tells_how_it_stands_then_what_changes_and_ends_with_its_network() -> None:
    async with serving() as server:
        network = server.mesh.joined[0]
        reader = await server.connect()
        assert await reader.ask(SUBSCRIBE | {"network": network.config_id}) == {
            "ok": True,
            "data": {"subscribed": True, "stream": "conn_trace", "network": network.config_id},
        }
        assert (await reader.receive())["changed"] == ["appeared"], "behind the acknowledgement"
        network.tracers[0](traced("ice", rtt_ms=7))
        record = await reader.receive()
        assert (record["changed"], record["rtt_ms"]) == (["ice"], 7)
        assert "kind" not in record
        assert "pair_class" not in record, "what is unknown is absent"
        server.mesh.leave(network)
        assert await reader.rest() == [], "closed, and not only silent"
        assert not network.tracers


async def test_a_reader_that_leaves_ends_its_trace() -> None:
    async with serving() as server:
        network = server.mesh.joined[0]
        reader = await server.connect()
        await reader.ask(SUBSCRIBE | {"network": network.config_id})
        reader.close()
        await until(lambda: not network.tracers)


async def test_an_unknown_network_leaves_the_connection_as_it_is() -> None:
    async with serving() as server:
        client = await server.connect()
        assert await client.ask(SUBSCRIBE | {"network": "zz"}) == {"ok": False, "error": "unknown network: zz"}
        assert (await client.ask({"op": "status"}))["ok"] is True


async def test_a_reader_that_never_reads_is_bounded_and_told_what_it_missed() -> None:
    async with serving() as server:
        network = server.mesh.joined[0]
        reader = await server.connect()
        await reader.ask(SUBSCRIBE | {"network": network.config_id})
        sent = 50_000
        for number in range(sent):
            network.tracers[0](traced("ice", rtt_ms=number))
        lagged, last, heard = 0, -1, 0
        with trio.fail_after(PATIENCE_S):
            while last != sent - 1:
                line = await reader.receive()
                if "lagged" in line:
                    lagged += line["lagged"]
                elif line["changed"] == ["ice"]:
                    assert line["rtt_ms"] > last, "in their order"
                    last = line["rtt_ms"]
                    heard += 1
        assert lagged > 0
        assert lagged + heard == sent, "every record is told or counted"


async def test_a_full_reader_of_a_network_that_goes_is_closed() -> None:
    async with serving() as server:
        network = server.mesh.joined[0]
        reader = await server.connect()
        await reader.ask(SUBSCRIBE | {"network": network.config_id})
        for _ in range(20_000):
            network.tracers[0](traced("ice"))
        server.mesh.leave(network)
        assert not network.tracers
        assert (await reader.rest())[0]["changed"] == ["appeared"], "what had left before is read"


async def test_a_recording_is_written_and_named_and_ends_with_its_client() -> None:
    async with serving() as server:
        network = server.mesh.joined[0]
        client = await server.connect()
        answer = await client.ask({"op": "network_record", "network": network.config_id, "for_ms": 20})
        assert answer == {"ok": True, "data": {"path": "/home/recordings/office.jsonl", "inputs": 7}}
        assert network.done == [("record", 0.02), ("keep", b"recorded")]
        network.done.clear()
        await client.send({"op": "network_record", "network": network.config_id, "for_ms": 600_000})
        await until(lambda: network.done)
        client.close()
        other = await server.connect()
        assert (await other.ask({"op": "status"}))["ok"] is True
        assert network.done == [("record", 600.0)], "nobody waits for it any more"
