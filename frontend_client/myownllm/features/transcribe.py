"""`transcribe`: the recogniser of this device listens for peers, and for its own person (spec 08 §9.6).

| name                           | kind    | payload                                                            |
|--------------------------------|---------|--------------------------------------------------------------------|
| `transcribe`                   | stream  | `{runtime, model, diarize_model, sample_rate, stream_id, window?}` |
| `transcribe_audio/<stream_id>` | channel | `{index, bytes_b64, is_final}`: about a second of samples          |

Its chunks are `{ready}`, segments `{text, start_ms, end_ms}`, and `{heard}` for callers that asked for a `window`.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from mesh_common.client.errors import ControlError
from myownllm.capabilities import BUSY_TEXT
from myownllm.client import CallRefusedError, Method
from myownllm.client.registry import TRANSCRIPTIONS
from myownllm.client.work import Resource
from myownllm.features.brake import Brake
from myownllm.features.releases import all_of
from myownllm.runtimes import RuntimeFailure
from myownllm.runtimes.speech import Recogniser
from myownllm.transcription import request
from myownllm.transcription.cuts import Cutter
from myownllm.transcription.frames import WINDOW, Reorder, read_frame
from myownllm.transcription.request import TranscribeRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from myownllm.client import InboundCall, MeshClient
    from myownllm.client.registry import Release
    from myownllm.coerce import Json, JsonObject
    from myownllm.peers import PeerEntry
    from myownllm.runtimes.speech import SpeechSettings
    from myownllm.transcription.cuts import Stretch
    from myownllm.transcription.frames import AudioFrame
    from myownllm.transcription.request import Segment

AUDIO_IDLE_S: Final = 120.0
"""A caller that says nothing for so long has left (FE-9.4)."""
LOOK_S: Final = 10.0
"""Between two looks at the recogniser."""
LOOK_LIMIT_S: Final = 2.0


class Transcribing:
    """The recogniser of this app, and who may use it. `run` must be running for the capabilities to be true."""

    def __init__(self, client: MeshClient, recogniser_of: Callable[[SpeechSettings], Recogniser] = Recogniser) -> None:
        self._client = client
        self._recogniser_of = recogniser_of
        self._recogniser: Recogniser | None = None
        self._settings: SpeechSettings | None = None
        self._is_up = False
        self._changed = trio.Event()

    def use(self, settings: SpeechSettings | None) -> None:
        """The configuration names this recogniser now."""
        if settings != self._settings:
            self._settings = settings
            self._recogniser = None if settings is None else self._recogniser_of(settings)
            self._changed.set()

    async def run(self) -> None:
        """Look whether the recogniser is there, for as long as the app runs."""
        while True:
            self._changed = trio.Event()
            was_up, self._is_up = self._is_up, await self._reachable()
            if was_up != self._is_up:
                self._client.capabilities_changed()
            with trio.move_on_after(LOOK_S if self._recogniser is not None else float("inf")):
                await self._changed.wait()

    async def _reachable(self) -> bool:
        if self._recogniser is None:
            return False
        try:
            await self._recogniser.reachable(LOOK_LIMIT_S)
        except RuntimeFailure:
            return False
        return True

    def asr(self) -> Json:
        """The member of the capabilities."""
        if not self._is_up or self._settings is None:
            return []
        return [{"backend": "openai", "tier": self._settings.model}]

    def recogniser(self) -> Recogniser:
        """Raises CallRefusedError when there is none."""
        if self._recogniser is None:
            raise CallRefusedError(request.NO_RECOGNISER)
        return self._recogniser

    async def segments(self, stretches: list[Stretch]) -> list[Segment]:
        """What is said there, in order. Raises RuntimeFailure."""
        recogniser = self.recogniser()
        return [segment for stretch in stretches for segment in await recogniser.recognise(stretch)]

    async def serve(self, call: InboundCall) -> AsyncGenerator[JsonObject, None]:
        """`transcribe` for a peer (FE-9.27)."""
        asked: TranscribeRequest = call.payload
        if self._client.state.accepting == "busy":
            raise CallRefusedError(BUSY_TEXT)
        recogniser = self.recogniser()
        if not asked.channel:
            raise CallRefusedError(request.TOO_OLD)
        audio = _Audio(call.peer)
        brake = Brake()
        try:
            release = await self._client.subscribe(asked.channel, audio.hear)
        except ControlError as error:
            raise CallRefusedError(f"subscribe failed: {error}") from error
        try:
            await _begin(recogniser)
            yield {"ready": True, "window": WINDOW} if asked.window else {"ready": True}
            with self._client.work.begin(self._entry(call), brake.pull):
                async for piece in self._listen(audio, brake, tells=asked.window):
                    yield piece
        finally:
            release()
        if audio.reorder.skipped:
            self._client.note("warn", f"{call.peer.label}: {audio.reorder.skipped} seconds of audio never came")

    def _entry(self, call: InboundCall) -> Resource:
        return Resource(
            id=call.payload.stream_id,
            peer_id=call.peer.device_pubkey,
            peer_label=call.peer.label,
            kind="inbound_transcribes",
            title="" if self._settings is None else self._settings.model,
        )

    async def _listen(self, audio: _Audio, brake: Brake, *, tells: bool) -> AsyncGenerator[JsonObject, None]:
        cutter = Cutter()
        while True:
            pcm = await brake.wait(audio.next)
            is_last = audio.reorder.ended
            stretches = cutter.feed(pcm) + (cutter.flush() if is_last else [])
            try:
                for segment in await brake.wait(partial(self.segments, stretches)):
                    yield segment.to_json()
            except RuntimeFailure as error:
                raise CallRefusedError(f"feed audio failed: {error}") from error
            if tells:
                yield {"heard": audio.reorder.heard}
            if is_last:
                return


async def _begin(recogniser: Recogniser) -> None:
    """Before audio is asked for: is the recogniser there at all? Raises CallRefusedError."""
    try:
        await recogniser.reachable(LOOK_LIMIT_S)
    except RuntimeFailure as error:
        raise CallRefusedError(f"start session failed: {error}") from error


class _Audio:
    """The frames of one call, put in order."""

    def __init__(self, peer: PeerEntry) -> None:
        self.reorder = Reorder()
        self._peer = peer
        self._waiting: deque[AudioFrame] = deque(
            maxlen=2 * WINDOW
        )  # what a caller without a window sends too fast falls
        self._news = trio.Event()

    async def hear(self, peer: PeerEntry, payload: Json) -> None:
        """Only the caller's audio counts."""
        await trio.lowlevel.checkpoint()
        frame = read_frame(payload)
        if frame is not None and peer.device_pubkey == self._peer.device_pubkey:
            self._waiting.append(frame)
            news, self._news = self._news, trio.Event()
            news.set()

    async def next(self) -> bytes:
        """Audio that is next; empty when only the end came. Raises CallRefusedError after two minutes of silence."""
        until = trio.current_time() + AUDIO_IDLE_S
        while True:
            while self._waiting:
                heard = self.reorder.heard
                pcm = self.reorder.put(self._waiting.popleft(), trio.current_time())
                if self.reorder.heard > heard:
                    return pcm
            due = self.reorder.due
            with trio.move_on_at(until if due is None else min(until, due)) as wait:
                await self._news.wait()
            if not wait.cancelled_caught:
                continue
            heard = self.reorder.heard
            pcm = self.reorder.skip(trio.current_time())
            if self.reorder.heard > heard:
                return pcm
            if trio.current_time() >= until:
                raise CallRefusedError("no audio for two minutes")


def install(client: MeshClient, transcribing: Transcribing) -> Release:
    """Offer the recogniser and listen with it."""
    return all_of(
        client.add_source("asr", transcribing.asr),
        client.serve(Method("transcribe", stream=transcribing.serve, request=TranscribeRequest, limit=TRANSCRIPTIONS)),
        client.add_features(request.FEATURE, request.STREAM_ID_FEATURE),
    )
