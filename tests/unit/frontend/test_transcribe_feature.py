"""The host of `transcribe`, with a recogniser of function calls (spec 08 FE-9.26 to 9.28)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from msgspec.structs import replace

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.client import CallRefusedError, ClientState, InboundCall
from myownllm.client.work import Work
from myownllm.features.transcribe import Transcribing
from myownllm.peers import peer_entries, peer_rows
from myownllm.runtimes import RuntimeFailure
from myownllm.runtimes.speech import SpeechSettings
from myownllm.transcription.frames import AudioFrame
from myownllm.transcription.request import Segment, TranscribeRequest
from unit.frontend.fakes import DEVICE_B, peer_info

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

    from myownllm.transcription.cuts import Stretch

PEER, OTHER = peer_entries(peer_rows({"peers": [peer_info(), peer_info("c" * 52)]}), {})
PEER, OTHER = (PEER, OTHER) if PEER.device_pubkey == DEVICE_B else (OTHER, PEER)
SECOND = bytes(32_000)


class Host:
    """Stands in for the client of the feature."""

    def __init__(self) -> None:
        self.state = ClientState()
        self.channels: dict[str, Callable[[Any, Any], Awaitable[None]]] = {}
        self.notes: list[str] = []
        self.refuses = ""
        self.heard: list[Stretch] = []
        self.fails = ""
        self.is_gone = False
        self.work = Work(lambda: 1, lambda _: None)
        self.log: list[str] = []
        self.transcribing = Transcribing(cast("Any", self), lambda _: cast("Any", self))
        self.transcribing.use(SpeechSettings.read({"transcription": {"base_url": "http://127.0.0.1:1/v1"}}))

    async def subscribe(self, channel: str, handler: Callable[[Any, Any], Awaitable[None]]) -> Callable[[], None]:
        await trio.lowlevel.checkpoint()
        self.log.append("subscribe")
        if self.refuses:
            raise ControlError(ErrorKind.REFUSED, self.refuses)
        self.channels[channel] = handler
        return lambda: cast("None", self.channels.pop(channel))

    def note(self, _: str, text: str) -> None:
        self.notes.append(text)

    async def reachable(self, _: float) -> None:
        await trio.lowlevel.checkpoint()
        self.log.append("start")
        if self.is_gone:
            raise RuntimeFailure("down", "the recogniser at http://127.0.0.1:1/v1 is not there")

    async def recognise(self, stretch: Stretch) -> list[Segment]:
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise RuntimeFailure("broken", self.fails)
        self.heard.append(stretch)
        return [Segment(f"{len(stretch.pcm) // 32_000} s", stretch.start_ms, stretch.end_ms)]

    async def transcribe(self, frames: list[Any], peer: Any = PEER, **members: Any) -> list[Any]:
        """The pieces of one call that sends these frames as soon as the host is ready."""
        asked = TranscribeRequest(**{"stream_id": "ab", **members})
        pieces = []
        async for piece in self.transcribing.serve(InboundCall(PEER, "transcribe", asked)):
            pieces.append(piece)
            self.log += ["ready"] if piece.get("ready") else []
            if piece.get("ready"):
                for frame in frames:
                    await self.channels["transcribe_audio/ab"](peer, frame)
        assert self.channels == {}
        return pieces


def audio(*indices: int, last: int) -> list[Any]:
    return [AudioFrame(i, SECOND, is_final=i == last).to_json() for i in indices]


async def test_segments_come_in_order_behind_the_ready_chunk() -> None:
    host = Host()
    pieces = await host.transcribe(audio(1, 0, 2, 2, 4, 3, *range(5, 20), last=19))
    assert pieces[0] == {"ready": True}
    assert sum(int(p["text"].removesuffix(" s")) for p in pieces[1:]) in (19, 20)
    assert b"".join(s.pcm for s in host.heard) == SECOND * 20
    assert [p["start_ms"] for p in pieces[1:]] == sorted(p["start_ms"] for p in pieces[1:])


async def test_the_channel_is_open_before_the_recogniser_and_both_before_audio_is_asked_for() -> None:
    """FE-9.27: the host's order, and the errors of each step."""
    host = Host()
    await host.transcribe(audio(0, last=0))
    assert host.log == ["subscribe", "start", "ready"]
    host.is_gone = True
    with pytest.raises(CallRefusedError, match="start session failed: the recogniser at"):
        await host.transcribe([])
    assert host.log[3:] == ["subscribe", "start"], "no audio is asked for"
    assert host.channels == {}


async def test_audio_that_comes_before_the_ready_chunk_is_kept() -> None:
    """FE-9.27: ten seconds of it."""
    host = Host()

    async def early(_: float) -> None:
        for frame in audio(*range(10), last=9):
            await host.channels["transcribe_audio/ab"](PEER, frame)

    host.reachable = early  # type: ignore[method-assign]  # the test's own in its place
    pieces = await host.transcribe([])
    assert pieces[0] == {"ready": True}
    assert b"".join(s.pcm for s in host.heard) == SECOND * 10


async def test_it_is_shown_while_it_runs_and_a_person_here_may_end_it(autojump_clock: MockClock) -> None:
    """FE-9.11."""
    host = Host()
    async with trio.open_nursery() as nursery:

        async def ended() -> None:
            with pytest.raises(ControlError, match="ended by the person at this device"):
                await host.transcribe(audio(0, 1, last=99))

        nursery.start_soon(ended)
        await trio.sleep(1)
        [entry] = host.work.resources
        assert (entry.kind, entry.id, entry.peer_label, entry.title) == ("inbound_transcribes", "ab", "Pi", "whisper-1")
        assert host.work.cancel("ab")
    assert host.work.resources == ()
    assert host.channels == {}


async def test_a_caller_with_a_window_hears_how_far_the_host_is() -> None:
    pieces = await Host().transcribe(audio(0, 1, 2, last=2), window=True)
    assert pieces == [
        {"ready": True, "window": 32},
        {"heard": 1},
        {"heard": 2},
        {"text": "3 s", "start_ms": 0, "end_ms": 3000},
        {"heard": 3},
    ]


async def test_frames_of_others_garbage_and_gaps(autojump_clock: MockClock) -> None:
    """FE-9.28: a gap older than five seconds is skipped and told."""
    host = Host()
    began = trio.current_time()
    pieces = await host.transcribe([None, {"index": 1}, *audio(0, 2, last=2)])
    assert pieces[-1]["text"] == "2 s"
    assert trio.current_time() - began == pytest.approx(5)
    assert host.notes == ["Pi: 1 seconds of audio never came"]
    with pytest.raises(CallRefusedError, match="no audio for two minutes"):
        await host.transcribe(audio(0, last=0), peer=OTHER)
    assert host.channels == {}


async def test_what_is_refused() -> None:
    host = Host()
    with pytest.raises(CallRefusedError, match="caller too old for remote transcription"):
        await host.transcribe([], stream_id="")
    host.refuses = "unknown network: x"
    with pytest.raises(CallRefusedError, match="subscribe failed: unknown network: x"):
        await host.transcribe([])
    host.refuses, host.fails = "", "the recogniser broke its answer off"
    with pytest.raises(CallRefusedError, match="feed audio failed: the recogniser broke its answer off"):
        await host.transcribe(audio(0, last=0))
    host.state = replace(host.state, accepting="busy")
    with pytest.raises(CallRefusedError, match="local accepting policy is busy"):
        await host.transcribe([])
    host.state = ClientState()
    host.transcribing.use(None)
    assert host.transcribing.asr() == []
    with pytest.raises(CallRefusedError, match="no local ASR available"):
        await host.transcribe([])
