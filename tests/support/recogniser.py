"""A server of `/audio/transcriptions` with a real recogniser: pocketsphinx, its English model, a small grammar.

python -m support.recogniser    # prints its port
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import wave
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

GRAMMAR = """#JSGF V1.0;
grammar orders;
public <orders> = <order>;
<order> = go (forward | backward) <number> meters;
<number> = one | two | three | four | five | six | seven | eight | nine | ten;
"""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/audio/transcriptions", self.path
        assert b'name="model"' in body
        audio = body[body.index(b"RIFF") : body.rindex(b"\r\n--")]
        with wave.open(io.BytesIO(audio)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
            samples = file.readframes(file.getnframes())
        segments = [
            {"start": at / 32_000, "end": (at + len(said)) / 32_000, "text": text}
            for at, said in utterances(samples)
            if (text := self.server.recognise(said))  # type: ignore[attr-defined]  # the server carries it to its handlers
        ]
        answer = json.dumps({"text": " ".join(s["text"] for s in segments), "segments": segments}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        return


def utterances(samples: bytes, step: int = 640, pause: int = 15) -> Iterator[tuple[int, bytes]]:
    """What is said between pauses of 0.3 s, with its place in bytes: the grammar is one of sentences."""
    begins = quiet = 0
    open_ = False
    for at in range(0, len(samples), step):
        values = struct.unpack(f"<{len(samples[at : at + step]) // 2}h", samples[at : at + step])
        if max(map(abs, values)) > 500:
            begins = begins if open_ else max(0, at - 5 * step)
            open_, quiet = True, 0
        elif open_ and (quiet := quiet + 1) == pause:
            yield begins, samples[begins:at]
            open_ = False
    if open_:
        yield begins, samples[begins:]


def serve(grammar: Path) -> None:
    """Until killed."""
    from pocketsphinx import Decoder

    grammar.write_text(GRAMMAR)
    decoder = Decoder(jsgf=str(grammar), samprate=16_000, loglevel="FATAL")

    def recognise(samples: bytes) -> str:
        decoder.start_utt()
        decoder.process_raw(samples, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return "" if found is None else str(found.hypstr)

    server = HTTPServer(("127.0.0.1", 0), _Handler)
    server.recognise = recognise  # type: ignore[attr-defined]  # the server carries it to its handlers
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def recogniser(folder: Path) -> Iterator[str]:
    """Its base URL, for the length of the block."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__)), str(folder / "orders.gram")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
