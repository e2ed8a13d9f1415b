"""A person's recordings, transcribed here or on another device (spec 08 §9.6, the caller's side)."""

from __future__ import annotations

import secrets
import wave
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import msgspec
import trio

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm import capabilities
from myownllm.client.work import Resource
from myownllm.coerce import as_object
from myownllm.errors import FAILURES, AppError
from myownllm.features.brake import ENDED_TEXT
from myownllm.inference import picks
from myownllm.transcription import request
from myownllm.transcription.cuts import Cutter
from myownllm.transcription.frames import WINDOW, AudioFrame, cut_frames
from myownllm.transcription.pcm import AudioError, Converter
from myownllm.transcription.request import TranscribeRequest, audio_channel, read_segment

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from myownllm.client import MeshClient
    from myownllm.client.operations import Operations
    from myownllm.coerce import Json, JsonObject
    from myownllm.features.transcribe import Transcribing
    from myownllm.inference.pins import Pins
    from myownllm.peers import PeerEntry

FIRST_S: Final = 60.0
IDLE_S: Final = 120.0
"""While audio flows (FE-9.4)."""
AFTER_S: Final = 300.0
"""Behind the last of it."""
TOTAL_S: Final = 86_400.0
PACE_S: Final = 1.0
"""A host that does not say how much it has heard is given audio as fast as somebody speaks."""


class Recording:
    """A WAV file, as seconds of 16 kHz samples. Blocking; raises AppError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.name
        try:
            self._file = wave.open(str(path), "rb")  # noqa: SIM115 - closed by `close`
            self._converter = Converter(self._file.getframerate(), self._file.getnchannels(), self._file.getsampwidth())
        except OSError as error:
            raise AppError(f"cannot read {path}: {error.strerror}") from None
        except (wave.Error, EOFError, AudioError) as error:
            raise AppError(f"{path} is no WAV file of plain samples ({error}); convert it to one first") from None
        self._rest = b""

    def read(self) -> tuple[list[bytes], bool]:
        """The next seconds, and whether they are the last."""
        try:
            data = self._file.readframes(self._file.getframerate())
        except (OSError, wave.Error, EOFError) as error:
            raise AppError(f"cannot read {self._path}: {error}") from None
        made = self._converter.feed(data) if data else self._converter.flush()
        whole, self._rest = cut_frames(self._rest + made)
        return ([*whole, self._rest], True) if not data else (whole, False)

    def close(self) -> None:
        self._file.close()


class Recordings:
    """What `myownllm transcribe` asks of the running app."""

    def __init__(self, client: MeshClient, operations: Operations, transcribing: Transcribing, pins: Pins) -> None:
        self._client = client
        self._operations = operations
        self._transcribing = transcribing
        self._pins = pins

    async def transcribe(self, members: JsonObject) -> AsyncGenerator[Json, None]:
        """`{path, peer?}`: segments, as they are understood.

        Without a peer the pinned device listens, or this one where none is pinned; no other is asked (FE-9.18).
        """
        peer = await self._host(members.get("peer"))
        recording = await trio.to_thread.run_sync(Recording, Path(str(members.get("path", ""))))
        try:
            pieces = self._here(recording) if peer is None else self._there(recording, peer)
            async with aclosing(pieces) as stream:
                async for piece in stream:
                    yield piece
        finally:
            recording.close()

    async def _host(self, text: Json) -> PeerEntry | None:
        """Who listens; None is this device. Raises AppError."""
        if text is None:
            peer = picks.route(self._client.state.peers, self._pins.get("transcribe"), need="recogniser")
        else:
            peer = await self._operations.named(str(text))
            picks.usable(peer, peer.label, need="recogniser")
        if peer is not None and not capabilities.supports(peer.capabilities, request.STREAM_ID_FEATURE):
            raise AppError(f"{peer.label} cannot listen for others: its app is too old")
        return peer

    async def _here(self, recording: Recording) -> AsyncGenerator[Json, None]:
        cutter = Cutter()
        is_last = False
        while not is_last:
            seconds, is_last = await trio.to_thread.run_sync(recording.read)
            stretches = cutter.feed(b"".join(seconds)) + (cutter.flush() if is_last else [])
            for segment in await self._transcribing.segments(stretches):
                yield segment.to_json()

    async def _there(self, recording: Recording, peer: PeerEntry) -> AsyncGenerator[Json, None]:
        stream_id = secrets.token_hex(8)
        payload = attrs.asdict(TranscribeRequest(stream_id=stream_id, window=True))
        pieces = self._operations.call_stream(
            peer.device_pubkey, "transcribe", payload, first_s=FIRST_S, idle_s=AFTER_S, total_s=TOTAL_S
        )
        flow = _Flow()
        entry = Resource(
            id=stream_id,
            peer_id=peer.device_pubkey,
            peer_label=peer.label,
            kind="outbound_transcribes",
            title=recording.name,
        )
        ended = ControlError(ErrorKind.STOPPED, ENDED_TEXT)
        async with aclosing(pieces) as stream:
            with self._client.work.begin(entry, lambda: flow.fail(ended)):
                try:
                    while (piece := await flow.next(stream)) is not None:
                        if piece.get("ready") is True and not flow.is_open:
                            flow.begin(piece)
                            self._client.start_soon(lambda: self._feed(recording, peer.device_pubkey, stream_id, flow))
                        elif isinstance(piece.get("heard"), int):
                            flow.heard_until(piece["heard"])
                        elif (segment := read_segment(piece)) is not None:
                            yield segment.to_json()
                finally:
                    await flow.end()

    async def _feed(self, recording: Recording, pubkey: str, stream_id: str, flow: _Flow) -> None:
        try:
            with flow.feeding:
                await self._send(recording, pubkey, audio_channel(stream_id), flow)
        except FAILURES as error:
            flow.fail(error)
        finally:
            flow.fed.set()

    async def _send(self, recording: Recording, pubkey: str, channel: str, flow: _Flow) -> None:
        index = 0
        is_last = False
        async with await self._operations.bulk(pubkey, channel) as bulk:
            while not is_last:
                seconds, is_last = await trio.to_thread.run_sync(recording.read)
                for number, pcm in enumerate(seconds):
                    await flow.room(index)
                    frame = AudioFrame(index, pcm, is_final=is_last and number == len(seconds) - 1)
                    await bulk.send([msgspec.json.encode(frame.to_json())])
                    if (error := await bulk.confirmed()) is not None:
                        raise error
                    index += 1


class _Flow:
    """Audio that goes out while words come in: how far it may be ahead, and what ends both."""

    def __init__(self) -> None:
        self.feeding = trio.CancelScope()
        self.fed = trio.Event()
        self.is_open = False
        self._window = 0
        self._heard = 0
        self._news = trio.Event()
        self._waiting = trio.CancelScope()
        self._failure: AppError | ControlError | None = None

    def begin(self, ready: JsonObject) -> None:
        """The host listens."""
        self.is_open = True
        window = ready.get("window")
        self._window = min(window, WINDOW) if isinstance(window, int) and window > 0 else 0

    def heard_until(self, count: int) -> None:
        self._heard = max(self._heard, count)
        news, self._news = self._news, trio.Event()
        news.set()

    async def room(self, index: int) -> None:
        """Wait until the frame of that number may go out."""
        if not self._window and index:
            await trio.sleep(PACE_S)
        while self._window and index >= self._heard + self._window:
            await self._news.wait()

    def fail(self, error: AppError | ControlError) -> None:
        """No more audio comes, so nobody need wait for words."""
        self._failure = error
        self._waiting.cancel()

    async def next(self, pieces: AsyncGenerator[Json, None]) -> JsonObject | None:
        """The host's next piece; None at its end. Raises what has ended the audio, or the stream."""
        piece: Json = None
        if self._failure is None:
            with trio.CancelScope() as self._waiting:
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return None
        if self._failure is not None:
            raise self._failure
        return as_object(piece)

    async def end(self) -> None:
        """Stop the audio, and wait until nothing reads the recording any more."""
        if self.is_open:
            self.feeding.cancel()
            with trio.CancelScope(shield=True):
                await self.fed.wait()
