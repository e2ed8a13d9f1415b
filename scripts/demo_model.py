"""The demo's model server: Ollama's HTTP, and words that follow from the question alone. No model, nothing to download.

python demo_model.py PORT       serves on this machine until it is terminated; standard library only
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TAG = "parrot:demo"
WORD_S = 0.02
"""Between two words, so that an answer is seen to stream."""


def answer_to(question: str) -> str:
    """The question's words, last one first."""
    words = question.rstrip("?!.").split()
    return f"I am no real model, I can say your {len(words)} words backwards: {' '.join(reversed(words))}."


class Handler(BaseHTTPRequestHandler):
    """`/api/tags`, `/api/show` and `/api/chat`: what an app asks of Ollama."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._json({"models": [{"name": TAG, "model": TAG, "digest": "demo"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path == "/api/chat":
            self._chat(body["messages"][-1]["content"])
        else:
            self._json({"capabilities": ["completion"], "model_info": {}})

    def _json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _chat(self, question: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, word in enumerate(answer_to(question).split()):
            time.sleep(WORD_S)
            self._piece({"message": {"role": "assistant", "content": f" {word}" if number else word}, "done": False})
        self._piece({"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"})
        self.wfile.write(b"0\r\n\r\n")

    def _piece(self, value: dict[str, Any]) -> None:
        line = json.dumps(value).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
