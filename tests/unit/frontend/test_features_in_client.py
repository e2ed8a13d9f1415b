"""What features get from the client, against a scripted daemon on a clock that jumps (spec 08 §9.1, §9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from attrs import validators

from mesh_common.client.errors import ControlError
from myownllm.client import INFERENCES, CallRefusedError, Method
from myownllm.client.blobs import BLOB_MAX_BYTES, parts, refer
from unit.frontend.fakes import DEVICE_A, DEVICE_B, peer_info
from unit.frontend.test_client import HOME, active, settled, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from myownllm.client import InboundCall
    from myownllm.peers import PeerEntry
    from unit.frontend.test_client import World

ABLE = {"extra": {"features": ["stream_cancel_v1", "large_payload_v1"], "accepting": "available"}}


async def message(w: World, payload: Any, channel: str = "notice", peer: str = DEVICE_B) -> None:
    frame = {"kind": "channel_inbound", "network": "home", "from": peer, "channel": channel, "payload": payload}
    await w.daemon.emit(frame)


async def call(w: World, method: str, payload: Any, request_id: str = "r1", *, streaming: bool = True) -> None:
    where = {"network": "home", "from": DEVICE_B, "request_id": request_id, "method": method}
    await w.daemon.emit({"kind": "rpc_inbound", **where, "payload": payload, "streaming": streaming})


def answers(w: World, request_id: str = "r1") -> list[Any]:
    """What the caller of a request was told, in order: pieces, ("end", error), ("answer", …), ("refused", …)."""
    told: list[Any] = []
    for request in w.daemon.log:
        if request.get("request_id") == request_id:
            match request["op"]:
                case "rpc_stream_chunk":
                    told.append(request["payload"])
                case "rpc_stream_end":
                    told.append(("end", request.get("error")))
                case "rpc_respond":
                    told.append(("refused", request["error"]) if "error" in request else ("answer", request["ok"]))
    return told


def known(w: World, **members: Any) -> None:
    w.daemon.peers = [peer_info(**members)]


# ── channels ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_known", [True, False])
async def test_messages_keep_their_order_also_while_their_sender_is_looked_up(
    autojump_clock: Any, tmp_path: Path, *, is_known: bool
) -> None:
    """FE-9.2, FE-4.8."""
    async with world(active(HOME), tmp_path) as w:
        if is_known:
            known(w)
        await w.client.start()
        known(w)
        looks = len(w.daemon.ops("peers_list"))
        for n in range(250):
            await message(w, n)
        await settled()
        assert [payload for _, _, payload in w.heard] == list(range(250))
        assert len(w.daemon.ops("peers_list")) - looks <= 1, "one look for all of them"


async def test_a_slow_listener_loses_what_is_too_much_of_one_peer_and_says_so_once(
    autojump_clock: Any, tmp_path: Path
) -> None:
    """FE-4.7, FE-4.8."""
    async with world(active(HOME), tmp_path) as w:
        w.daemon.peers = [peer_info(), peer_info(DEVICE_A)]
        heard: list[Any] = []

        async def slow(peer: PeerEntry, payload: Any) -> None:
            if peer.device_pubkey == DEVICE_B:
                await trio.sleep(1)
            heard.append((peer.device_pubkey[0], payload))

        w.client.listen("slow", slow, messages_waiting=10)
        await w.client.start()
        for n in range(40):
            await message(w, n, "slow")
        await message(w, "mine", "slow", DEVICE_A)
        await settled()
        assert heard == [("a", "mine")], "the other peer does not wait"
        await trio.sleep(60)
        assert [n for who, n in heard if who == "b"] == list(range(len(heard) - 1))
        assert 10 <= len(heard) - 1 <= 12
        assert sum("come too fast" in line for line in w.diag) == 1


async def test_a_channel_comes_and_goes_while_the_app_is_up_and_survives_a_rebind(
    autojump_clock: Any, tmp_path: Path
) -> None:
    """FE-9.1, FE-12.27."""
    async with world(active(HOME), tmp_path) as w:
        known(w)
        await w.client.start()
        heard: list[Any] = []

        async def hear(_: PeerEntry, payload: Any) -> None:
            heard.append(payload)

        release = await w.client.subscribe("file_chunks/1", hear)
        assert "file_chunks/1" in w.daemon.channels
        await message(w, 1, "file_chunks/1")
        await settled()
        await w.daemon.drop_events()
        await settled()
        await w.connect()
        await settled()
        assert w.daemon.channels["file_chunks/1"] == "c1"
        await message(w, 2, "file_chunks/1")
        await settled()
        assert heard == [1, 2]
        release()
        release()
        await settled()
        assert "file_chunks/1" not in w.daemon.channels
        w.daemon.refuse["channel_subscribe"] = ["too many channels"]
        with pytest.raises(ControlError, match="too many channels"):
            await w.client.subscribe("file_chunks/2", hear)
        await settled()
        assert "file_chunks/2" not in w.daemon.channels
        await w.client.stop()
        with pytest.raises(ControlError):
            await w.client.subscribe("file_chunks/3", hear)


# ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class Request:
    n: int = attrs.field(validator=validators.le(9))


@attrs.define
class Talk:
    """A method that tells what becomes of it."""

    pieces: int = 0
    ended: list[str] = attrs.field(factory=list)
    cancelled: list[bool] = attrs.field(factory=list)

    async def stream(self, call: InboundCall) -> AsyncIterator[Any]:
        try:
            for n in range(self.pieces):
                yield {"delta": str(n)}
            await trio.sleep(3600)
            yield {"delta": "late"}
        except trio.Cancelled:
            assert call.cancelled is not None
            self.cancelled.append(call.cancelled.is_set())
            raise
        finally:
            self.ended.append(call.stream_id)


async def test_a_method_of_a_later_moment_is_served_and_bad_payloads_have_its_text(
    autojump_clock: Any, tmp_path: Path
) -> None:
    """FE-9.3."""
    async with world(active(HOME), tmp_path) as w:
        known(w)
        await w.client.start()

        async def double(call: InboundCall) -> Any:
            if call.payload.n == 7:
                raise CallRefusedError("not seven")
            return call.payload.n * 2

        release = w.client.serve(Method("double", answer=double, request=Request, invalid="invalid double payload"))
        await settled()
        assert "double" in w.daemon.claims
        given = [{"n": 4, "new": 1}, {"n": "4"}, {"n": 10}, [], None, {"n": 7}]
        for n, payload in enumerate(given):
            await call(w, "double", payload, f"r{n}", streaming=False)
        await settled()
        invalid = ("refused", "invalid double payload")
        assert [answers(w, f"r{n}") for n in range(6)] == [
            [("answer", 8)], [invalid], [invalid], [invalid], [invalid], [("refused", "not seven")]
        ]  # fmt: skip
        with pytest.raises(ValueError, match="double"):
            w.client.serve(Method("double", answer=double))
        release()
        await settled()
        assert "double" not in w.daemon.claims


@pytest.mark.parametrize("pieces", [0, 2])
async def test_a_caller_takes_a_stream_back_before_its_first_piece_and_in_the_middle(
    autojump_clock: Any, tmp_path: Path, pieces: int
) -> None:
    """FE-9.7, FE-9.10."""
    async with world(active(HOME), tmp_path) as w:
        w.daemon.peers = [peer_info(), peer_info(DEVICE_A)]
        talk = Talk(pieces)
        w.client.serve(Method("talk", stream=talk.stream, limit=INFERENCES))
        await w.client.start()
        await call(w, "talk", {"stream_id": "s1"})
        await settled()
        await message(w, {"stream_id": "s1"}, "rpc/cancel", DEVICE_A)  # not its caller
        await message(w, {"stream_id": ""}, "rpc/cancel")
        await message(w, "nonsense", "rpc/cancel")
        await settled()
        assert talk.ended == []
        await message(w, {"stream_id": "s1"}, "rpc/cancel")
        await settled()
        assert (talk.ended, talk.cancelled) == (["s1"], [True])
        assert answers(w) == [*({"delta": str(n)} for n in range(pieces)), ("end", "cancelled")]
        for n in range(3):  # the place is free again
            await call(w, "talk", {"stream_id": f"t{n}"}, f"t{n}")
        await settled()
        assert answers(w, "t2") == [{"error": "host busy"}, ("end", "host busy")]


async def test_a_cancel_without_a_name_takes_nothing_back(autojump_clock: Any, tmp_path: Path) -> None:
    """Neither calls under way that have no name, nor later ones."""
    async with world(active(HOME), tmp_path) as w:
        known(w)
        await w.client.start()
        await message(w, {"stream_id": ""}, "rpc/cancel")
        await settled()
        await call(w, "echo", 7, streaming=False)
        await settled()
        assert answers(w) == [("answer", 7)]


async def test_a_cancel_that_overtakes_its_call_counts(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-9.7."""
    async with world(active(HOME), tmp_path) as w:
        known(w)
        talk = Talk(5)
        w.client.serve(Method("talk", stream=talk.stream))
        await w.client.start()
        await message(w, {"stream_id": "s1"}, "rpc/cancel")
        await settled()
        await call(w, "talk", {"stream_id": "s1"})
        await settled()
        assert answers(w) == [("end", "cancelled")]


@pytest.mark.parametrize("comes_back", [True, False])
async def test_work_of_a_peer_that_leaves_ends_after_its_grace(
    autojump_clock: Any, tmp_path: Path, *, comes_back: bool
) -> None:
    """FE-9.8, FE-12.33."""
    async with world(active(HOME), tmp_path) as w:
        known(w)
        talk = Talk()
        w.client.serve(Method("talk", stream=talk.stream))
        await w.client.start()
        await call(w, "talk", {})
        w.daemon.hang.add("rpc_call")
        failures: list[str] = []

        async def outbound() -> None:
            with pytest.raises(ControlError) as raised:
                await w.do.call(DEVICE_B, "echo", 1, timeout_s=100)
            failures.append(raised.value.text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbound)
            await settled()
            w.daemon.peers = []
            await w.daemon.event(
                event_kind="peer", kind="dropped", device_id=DEVICE_B, reason="timeout", grace_window_ms=5000
            )
            await trio.sleep(4)
            if comes_back:
                known(w)
                await w.daemon.event(event_kind="peer", kind="approved", device_id=DEVICE_B)
            assert (talk.ended, failures) == ([], [])
            await trio.sleep(2)
            assert failures == ([] if comes_back else ["peer went offline"])
            assert talk.ended == ([] if comes_back else [""])
        assert failures == (["timed out waiting for Pi"] if comes_back else ["peer went offline"])


async def test_a_stop_ends_streams_with_an_error_and_gives_everything_back(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.23, FE-9.6."""
    async with world(active(HOME), tmp_path) as w:
        known(w)
        talk = Talk(1)
        w.client.serve(Method("talk", stream=talk.stream))
        await w.client.start()
        await call(w, "talk", {})
        await settled()
        await w.client.stop()
        assert answers(w) == [{"delta": "0"}, {"error": "stopped"}, ("end", "stopped")]
        assert (talk.ended, w.daemon.claims, w.daemon.channels) == ([""], {}, {})


async def test_a_method_that_is_released_tells_its_callers(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        known(w)
        talk = Talk()
        release = w.client.serve(Method("talk", stream=talk.stream))
        await w.client.start()
        await call(w, "talk", {})
        await settled()
        release()
        await settled()
        text = "'talk' is served no longer"
        assert answers(w) == [{"error": text}, ("end", text)]


async def test_text_is_gathered_on_its_way_out(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-9.9, FE-9.6."""
    async with world(active(HOME), tmp_path) as w:
        known(w)

        async def words(_: InboundCall) -> AsyncIterator[Any]:
            for n in range(100):
                yield {"delta": f"{n} "}
                await trio.sleep(0.001)
            yield {"finish_reason": "length"}
            raise CallRefusedError("the model fell over")

        w.client.serve(Method("talk", stream=words, cumulates=True))
        await w.client.start()
        await call(w, "talk", {})
        await settled()
        *said, reason, error, end = answers(w)
        assert said[0] == {"delta": "0 "}, "the first one does not wait"
        assert "".join(p["delta"] for p in said) == "".join(f"{n} " for n in range(100))
        assert len(said) < 10
        assert (reason, error) == ({"finish_reason": "length"}, {"error": "the model fell over"})
        assert end == ("end", "the model fell over")


# ── our own calls ─────────────────────────────────────────────────────────────────────────────────────────────────────


def cancels(w: World) -> list[Any]:
    return [r["payload"]["stream_id"] for r in w.daemon.log if r.get("channel") == "rpc/cancel" and "payload" in r]


@pytest.mark.parametrize("how", ["close", "timeout", "cancel", "stop", "end"])
async def test_a_host_is_told_when_nobody_wants_its_stream_any_more(
    autojump_clock: Any, tmp_path: Path, how: str
) -> None:
    """FE-9.7, FE-9.4."""
    async with world(active(HOME), tmp_path) as w:
        known(w, capabilities=ABLE)
        await w.client.start()
        pieces: list[Any] = []
        scope = trio.CancelScope()

        async def read() -> None:
            with scope:
                try:
                    async for piece in (stream := w.do.call_stream(DEVICE_B, "infer", {"a": 1}, idle_s=5)):
                        pieces.append(piece)
                        if how == "close":
                            break
                except ControlError as error:
                    pieces.append(error.kind)
                await stream.aclose()  # type: ignore[attr-defined]  # generators have it

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await settled()
            await w.daemon.emit({"kind": "rpc_call_stream_chunk", "request_id": "ipc-stream-0", "payload": 1})
            await settled()
            if how == "cancel":
                scope.cancel()
            elif how == "stop":
                await w.client.stop()
                assert cancels(w), "before the stop is over"
            elif how == "end":
                await w.daemon.emit({"kind": "rpc_call_stream_end", "request_id": "ipc-stream-0", "error": None})
        await settled()
        [sent] = [r["payload"] for r in w.daemon.log if r["op"] == "rpc_call_stream"]
        assert sent["a"] == 1
        assert len(sent["stream_id"]) == 16
        assert cancels(w) == ([] if how == "end" else [sent["stream_id"]])
        outcome = {"timeout": ["timeout"], "stop": ["stopped"]}.get(how, [])
        assert pieces == [1, *outcome]


async def test_a_link_that_drops_under_an_answer_is_named(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-9.8: the daemon's own words would be `network down`, for this device's network as for one link."""
    async with world(active(HOME), tmp_path) as w:
        known(w, capabilities=ABLE)
        await w.client.start()
        said: list[str] = []

        async def read() -> None:
            try:
                async for piece in w.do.call_stream(DEVICE_B, "infer", {"a": 1}):
                    said.append(str(piece))  # noqa: PERF401 - what came before the error counts
            except ControlError as error:
                said.append(error.text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await settled()
            for kind, told in (("chunk", {"payload": 1}), ("end", {"error": "network down"})):
                await w.daemon.emit({"kind": f"rpc_call_stream_{kind}", "request_id": "ipc-stream-0", **told})
        assert said == ["1", "the link to Pi went down before the answer was whole"]
        assert cancels(w) == [], "nobody is there to be told"
        w.daemon.refuse["rpc_call"] = ["network down"]
        with pytest.raises(ControlError, match="the link to Pi went down") as raised:
            await w.do.call(DEVICE_B, "echo", 1)
        assert raised.value.kind == "link_down"


async def test_a_peer_that_knows_no_cancel_gets_none(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        known(w)
        await w.client.start()
        with pytest.raises(ControlError, match="timed out waiting for Pi"):
            async for _ in w.do.call_stream(DEVICE_B, "infer", {}, first_s=1):
                pass
        assert cancels(w) == []


async def test_after_a_sleep_a_stream_is_waited_for_once_more(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-12.40."""
    async with world(active(HOME), tmp_path) as w:
        known(w)
        await w.client.start()
        began = trio.current_time()

        async def sleep_and_wake() -> None:
            await trio.sleep(3)
            w.client.session().woke_at = trio.current_time()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleep_and_wake)
            with pytest.raises(ControlError, match="timed out"):
                async for _ in w.do.call_stream(DEVICE_B, "infer", {}, first_s=5):
                    pass
        assert trio.current_time() - began == pytest.approx(10)


async def test_an_unknown_network_is_joined_again_once(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-12.30."""
    async with world(active(HOME), tmp_path) as w:
        known(w)
        await w.client.start()
        w.daemon.networks = []
        w.daemon.refuse["rpc_call"] = ["unknown network: home"]
        assert await w.do.call(DEVICE_B, "echo", 5) == 5
        assert w.daemon.joined == ["home"]
        w.daemon.refuse["rpc_call"] = ["unknown network: home", "unknown network: home"]
        with pytest.raises(ControlError, match="unknown network"):
            await w.do.call(DEVICE_B, "echo", 5)


async def test_messages_are_sent_again_where_the_daemon_has_no_reliable_ones(
    autojump_clock: Any, tmp_path: Path
) -> None:
    """FE-9.23."""
    async with world(active(HOME), tmp_path) as w:
        known(w)
        await w.client.start()
        for refusals, seconds in ((1, 1), (3, 7)):
            w.daemon.refuse["channel_send_to"] = ["transport: data channel not open"] * refusals
            began = trio.current_time()
            await w.do.send_reliable(DEVICE_B, "notice", 1)
            assert trio.current_time() - began == pytest.approx(seconds)
        w.daemon.refuse["channel_send_to"] = ["transport: data channel not open"] * 4
        with pytest.raises(ControlError, match="not open"):
            await w.do.send_reliable(DEVICE_B, "notice", 1)
        w.daemon.answer["channel_send_reliable"] = {"delivered": True}
        assert w.daemon.ops("channel_send_reliable") == ["channel_send_reliable"], "asked once for all"


# ── large payloads (FE-9.49) ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_large_request_goes_ahead_in_parts_and_a_large_answer_comes_in_parts(
    autojump_clock: Any, tmp_path: Path
) -> None:
    """FE-9.49."""
    async with world(active(HOME), tmp_path) as w:
        known(w, capabilities=ABLE)
        await w.client.start()
        big = {"text": "x" * 200_000}
        sent: list[Any] = []
        w.daemon.answer["channel_send_to"] = lambda request: sent.append(request["payload"]) or {"sent": True}
        w.daemon.answer["rpc_call"] = lambda request: {"response": request["payload"]}

        async def answer_in_parts() -> None:
            while len(sent) < 5:
                await trio.sleep(0.01)
            for part in reversed(sent):
                await message(w, part, "blob/v1")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_in_parts)
            assert await w.do.call(DEVICE_B, "echo", big) == big
        assert [p["index"] for p in sent] == [0, 1, 2, 3, 4]


async def test_what_a_peer_cannot_take_is_not_sent(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-9.49."""
    async with world(active(HOME), tmp_path) as w:
        known(w)
        await w.client.start()
        with pytest.raises(ControlError, match="payload too large for this peer"):
            await w.do.send(DEVICE_B, "notice", "x" * 70_000)
        known(w, capabilities=ABLE)
        w.client.peers_changed()
        await settled()
        with pytest.raises(ControlError, match=f"{BLOB_MAX_BYTES} is the most"):
            await w.do.send(DEVICE_B, "notice", "x" * BLOB_MAX_BYTES)
        assert w.daemon.ops("channel_send_to") == []


async def test_a_large_call_is_answered_and_a_broken_one_is_refused(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-9.49."""
    async with world(active(HOME), tmp_path) as w:
        known(w, capabilities=ABLE)
        await w.client.start()
        data = b'"' + b"y" * 100_000 + b'"'
        for part in parts("0" * 16, data):
            await message(w, part, "blob/v1")
        await settled()
        await call(w, "echo", refer("0" * 16, data), "good", streaming=False)
        await settled()
        [told] = answers(w, "good")
        assert told[1]["__blob"]["size"] == len(data)
        assert sum(r["op"] == "channel_send_to" for r in w.daemon.log) == 3, "the answer went in parts, too"
        await call(w, "echo", refer("1" * 16, data), "never", streaming=False)
        await call(w, "echo", {"__blob": {"id": "../x", "size": -1}}, "broken", streaming=False)
        await trio.sleep(29)
        assert answers(w, "broken") == [("refused", "large payload incomplete")]
        assert answers(w, "never") == []
        await trio.sleep(2)
        assert answers(w, "never") == [("refused", "large payload incomplete")]


@pytest.mark.parametrize("is_named", [True, False])
async def test_a_large_call_is_taken_back_while_its_parts_are_still_arriving(
    autojump_clock: Any, tmp_path: Path, *, is_named: bool
) -> None:
    """FE-9.7, FE-9.49: by its name at once; one of an app that does not name it as soon as it is whole."""
    async with world(active(HOME), tmp_path) as w:
        known(w, capabilities=ABLE)
        talk = Talk(2)
        w.client.serve(Method("talk", stream=talk.stream, limit=INFERENCES))
        await w.client.start()
        data = b'{"stream_id":"s1","text":"' + b"y" * 100_000 + b'"}'
        sent = list(parts("0" * 16, data))
        for part in sent[:-1]:
            await message(w, part, "blob/v1")
        await call(w, "talk", refer("0" * 16, data, "s1" if is_named else ""))
        await settled()
        await message(w, {"stream_id": "s1"}, "rpc/cancel")
        await settled()
        assert answers(w) == ([("end", "cancelled")] if is_named else [])
        await message(w, sent[-1], "blob/v1")
        await settled()
        assert answers(w) == [("end", "cancelled")]
        assert talk.ended == [], "nothing was begun"
        for part in sent:
            await message(w, part, "blob/v1")
        await call(w, "talk", refer("0" * 16, data.replace(b"s1", b"s2"), "s2"), "r2")
        await settled()
        assert answers(w, "r2")[0] == {"error": "large payload incomplete"}, "its hash is another one"
        for part in parts("1" * 16, data.replace(b"s1", b"s3")):
            await message(w, part, "blob/v1")
        await call(w, "talk", refer("1" * 16, data.replace(b"s1", b"s3"), "s3"), "r3")
        await settled()
        await message(w, {"stream_id": "s3"}, "rpc/cancel")
        await settled()
        assert talk.ended == ["s3"], "one that is whole as any other"


# ── capabilities (FE-9.13) ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.heavy
async def test_capabilities_follow_their_sources_half_a_second_after_the_last_change(
    autojump_clock: Any, tmp_path: Path
) -> None:
    """FE-9.13, FE-7.3."""
    async with world(active(HOME), tmp_path) as w:
        models: list[Any] = []
        release = w.client.add_source("llms", lambda: list(models))
        with pytest.raises(ValueError, match="llms"):
            w.client.add_source("llms", list)
        assert w.client.state.published is None
        await w.client.start()
        assert w.client.state.published is not None
        for n in range(3):
            models.append({"tag": f"m{n}", "family": "", "mode": ""})
            w.client.capabilities_changed()
            await trio.sleep(0.4)
        assert w.daemon.ops("capabilities_set") == ["capabilities_set"]
        await trio.sleep(0.2)
        assert w.daemon.ops("capabilities_set") == ["capabilities_set"] * 2
        assert w.daemon.capabilities["extra"]["llms"] == models
        assert w.client.state.published.told["llms"] == models
        w.client.capabilities_changed()  # nothing is different
        models.append({"tag": "silent", "family": "", "mode": ""})
        models.pop()
        await trio.sleep(1)
        assert len(w.daemon.ops("capabilities_set")) == 2
        models.clear()  # nobody says so
        await trio.sleep(601)
        assert w.daemon.capabilities["extra"]["llms"] == []
        release()
        await w.client.stop()
        assert w.client.state.published is None


@pytest.mark.parametrize("is_ours", [False, True])
async def test_newcomers_are_told_again_where_the_daemon_does_not_do_that(
    autojump_clock: Any, tmp_path: Path, *, is_ours: bool
) -> None:
    """The daemon of v0.3.8 tells a newcomer what it knew when their handshake began, which may be nothing (FE-9.13)."""
    async with world(active(HOME), tmp_path) as w:
        w.daemon.home = "/home/of/the/daemon" if is_ours else None
        await w.client.start()

        async def pushes() -> int:
            w.client.peers_changed()
            await trio.sleep(2)
            return len(w.daemon.ops("capabilities_set")) - 1  # that of the start

        counts = [await pushes()]
        for devices in ((DEVICE_B,), (DEVICE_B,), (), (DEVICE_B,), (DEVICE_B, DEVICE_A), (DEVICE_A,)):
            w.daemon.peers = [peer_info(device) for device in devices]
            counts.append(await pushes())
        assert counts == ([0] * 7 if is_ours else [0, 1, 1, 1, 2, 3, 3])


async def test_accepting_reaches_peers_without_a_restart(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-9.13."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.catalog.put(lambda c: attrs.evolve(c, networks=(attrs.evolve(c.networks[0], accepting="busy"),)))
        await w.client.reconcile()
        await trio.sleep(0.6)
        assert w.daemon.capabilities["extra"]["accepting"] == "busy"
        assert w.daemon.ops("network_update", "network_remove") == []


async def test_a_new_name_reaches_peers_without_a_new_link(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.label = "Laptop"
        await w.client.start()
        assert w.daemon.capabilities["extra"]["label"] == "Laptop"
        w.daemon.label = "Study"
        w.client.capabilities_changed()
        await trio.sleep(0.6)
        assert w.daemon.capabilities["extra"]["label"] == "Study"


async def test_a_daemon_that_does_not_say_the_name_hinders_nothing(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.refuse["identity_show"] = ["parse: unknown variant `identity_show`"]
        await w.client.start()
        assert "label" not in w.daemon.capabilities["extra"]
        assert w.client.state.status == "online"


async def test_a_refused_push_is_tried_again(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        w.daemon.refuse["capabilities_set"] = ["capabilities too large"]
        w.client.add_features("infer_request")
        await trio.sleep(12)
        assert "infer_request" in w.daemon.capabilities["extra"]["features"]
        assert any("capabilities too large" in line for line in w.diag)


# ── lives ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_task_runs_in_every_life_and_ends_with_it(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        log: list[str] = []

        async def live(_: Any) -> None:
            log.append("up")
            try:
                await trio.sleep_forever()
            finally:
                log.append("down")

        release = w.client.while_up(live)
        await w.client.start()
        await settled()
        await w.client.stop()
        await w.client.start()
        await settled()
        assert log == ["up", "down", "up"]
        release()
        await settled()
        assert log == ["up", "down", "up", "down"]
        w.client.while_up(live)
        await settled()
        assert log[-1] == "up", "it joins the life that is up"


async def test_a_task_that_fails_is_told_and_the_others_go_on(autojump_clock: Any, tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:

        async def fail(_: Any) -> None:
            await w.do.call(DEVICE_B, "echo", 1)

        w.client.while_up(fail)
        w.daemon.refuse["rpc_call"] = ["call timed out"]
        await w.client.start()
        await settled()
        assert [line for line in w.diag if "timed out" in line] == ["timed out waiting for bbbbbbbb"]
        assert w.client.state.status == "online"
        w.daemon.hang.add("rpc_call")
        await w.client.stop()
        await w.client.start()
        await settled()
        await w.client.stop()
        assert not any("stopped" in line for line in w.diag), "a task that ends with its life is no news"


async def test_work_under_way_is_in_the_state_and_can_be_cancelled(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.1, FE-9.11."""
    from myownllm.client.work import FileOffer, FileWork, Resource

    async with world(active(HOME), tmp_path) as w:
        ended: list[str] = []
        work = w.client.work
        file = work.begin(
            FileWork("f1", DEVICE_B, "Pi", "outbound", "a.txt", 100, "offered"), lambda: ended.append("f1")
        )
        with (
            work.begin(Resource("i1", DEVICE_B, "Pi", "inbound_infers")),
            work.begin(FileOffer("o1", DEVICE_B, "Pi", "b.txt", 5)),
        ):
            assert [r.id for r in w.client.state.resources] == ["i1"]
            assert [o.filename for o in w.client.state.inbound_offers] == ["b.txt"]
        assert (w.client.state.resources, w.client.state.inbound_offers) == ((), ())
        rev = w.client.state.rev
        await trio.sleep(1)
        for n in range(100):
            file.update(bytes_done=n)
        assert w.client.state.rev <= rev + 1, "progress does not flood the screens"
        await trio.sleep(0.2)
        assert w.client.state.files[0].to_json()["bytes_sent"] == 99
        assert work.cancel("f1")
        assert not work.cancel("nobody")
        assert ended == ["f1"]
        file.end("cancelled", status="aborted")
        file.end()
        assert [(f.status, f.error) for f in w.client.state.files] == [("aborted", "cancelled")]
        assert not work.cancel("f1")


async def test_peers_and_states_are_told_to_who_asked(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.2."""
    async with world(active(HOME), tmp_path) as w:
        seen: list[tuple[int, int]] = []
        w.client.on_peers.append(lambda old, new: seen.append((len(old.peers), len(new.peers))))
        revs: list[int] = []
        w.client.on_state.append(lambda old, new: revs.append(new.rev - old.rev))
        await w.client.start()
        known(w)
        await w.daemon.event(event_kind="peer", kind="approved", device_id=DEVICE_B)
        await settled()
        assert seen == [(0, 1)]
        assert min(revs) >= 1


async def test_rediscovery_asks_the_daemon_or_leaves_and_joins(autojump_clock: Any, tmp_path: Path) -> None:
    """FE-5.26."""
    async with world(active(HOME), tmp_path) as w:
        await w.client.start()
        seen: list[bool] = []
        w.client.on_state.append(lambda _, new: seen.append(new.is_rediscovering))
        await w.client.rediscover()
        assert True in seen
        assert not w.client.state.is_rediscovering
        assert w.daemon.ops("network_reconnect", "network_remove") == ["network_reconnect"]
        w.daemon.refuse["network_reconnect"] = ["parse: unknown variant `network_reconnect`, expected `status`"]
        await w.client.rediscover()
        await settled()
        assert w.daemon.mutations == ["network_add", "network_remove", "network_add"]
        assert w.client.state.status == "online"
        assert "echo" in w.daemon.claims
        await w.client.stop()
        with pytest.raises(ControlError):
            await w.client.rediscover()
