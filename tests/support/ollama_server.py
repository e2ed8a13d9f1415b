"""A model server with Ollama's native shapes, whose models and misbehaviour a test chooses while it runs.

    python -m support.ollama_server PORT BEHAVIOUR     serves until its stdin closes; BEHAVIOUR is JSON

It answers `/api/tags`, `/api/show`, `/api/chat`, `/api/embed`, `/api/generate`, and the same chats as OpenAI events at
`/v1/chat/completions`. `POST /test` changes `Behaviour` by member; `GET /test` tells what happened: every chat with the
moment it was opened and the moment its connection was closed by the caller (`time.monotonic`, the same for all
processes of a machine).
"""

from __future__ import annotations

import dataclasses
import json
import select
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclasses.dataclass
class Behaviour:
    models: list[str] = dataclasses.field(default_factory=lambda: ["gemma4:e2b"])
    words: int = 5
    delay_s: float = 0.0
    """before each word, also the first"""
    look_delay_s: float = 0.0
    """Before it says which models it has."""
    fault: str = ""
    """"garbage", "half", "500", "reset", "hang", "error", "endless" (a line without end), "empty" (closes at once)"""
    fault_after: int = 0
    """words that come before it"""
    tool: str = ""
    """a function that is called where the question offers tools and holds no result yet"""
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)


class State:
    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.chats: list[dict[str, Any]] = []
        self.other: list[str] = []


STATE = State()


class CallerGone(Exception):
    pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        STATE.other.append(self.path)
        if self.path == "/api/tags":
            time.sleep(STATE.behaviour.look_delay_s)
            models = [{"name": m, "model": m, "digest": f"d-{m}"} for m in STATE.behaviour.models]
            self._json({"models": models})
        elif self.path == "/v1/models":
            self._json({"object": "list", "data": [{"id": m, "object": "model"} for m in STATE.behaviour.models]})
        elif self.path == "/test":
            self._json({"chats": STATE.chats, "other": STATE.other})
        else:
            self._json("Ollama is running")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        STATE.other.append(self.path)
        match self.path:
            case "/test":
                STATE.behaviour = dataclasses.replace(STATE.behaviour, **body)
                self._json({})
            case "/api/show":
                embeds = "embed" in body["model"]
                info = {"general.architecture": "tiny", "tiny.context_length": 4096}
                self._json({"model_info": info, "capabilities": ["embedding" if embeds else "completion"]})
            case "/api/embed":
                if STATE.behaviour.fault == "hang":
                    self._embed_never(body)
                    return
                texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
                self._json({"embeddings": [[float(len(t)), 0.5] for t in texts], "prompt_eval_count": 3})
            case "/api/generate":
                self._json({"done": True})
            case "/api/chat":
                self._chat(body, events=False)
            case "/v1/chat/completions":
                self._chat(body, events=True)
            case _:
                self._json({"error": "not found"}, 404)

    def _embed_never(self, body: dict[str, Any]) -> None:
        chat: dict[str, Any] = {"opened": time.monotonic(), "closed": None, "done": None, "body": body}
        STATE.chats.append(chat)
        self.close_connection = True
        try:
            self._wait(600)
        except (CallerGone, ConnectionResetError):
            chat["closed"] = time.monotonic()

    # ── one chat ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _chat(self, body: dict[str, Any], *, events: bool) -> None:
        chat: dict[str, Any] = {"opened": time.monotonic(), "closed": None, "done": None, "body": body}
        STATE.chats.append(chat)
        behaviour = STATE.behaviour
        if body["model"] not in behaviour.models:
            self._json({"error": f"model '{body['model']}' not found"}, 404)
            return
        self.close_connection = True
        try:
            self._answer(body, behaviour, events=events)
            chat["done"] = time.monotonic()
        except (CallerGone, BrokenPipeError, ConnectionResetError):
            chat["closed"] = time.monotonic()

    def _answer(self, body: dict[str, Any], behaviour: Behaviour, *, events: bool) -> None:
        if behaviour.fault and not behaviour.fault_after and self._misbehave(behaviour.fault):
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if events else "application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        wants_tool = behaviour.tool and body.get("tools") and body["messages"][-1]["role"] != "tool"
        if wants_tool:
            self._wait(behaviour.delay_s)
            self._call(behaviour, events=events)
        else:
            for number in range(behaviour.words):
                if behaviour.fault and number == behaviour.fault_after and self._misbehave(behaviour.fault):
                    return
                self._wait(behaviour.delay_s)
                self._word(f"word{number} ", events=events)
            if body["messages"][-1]["role"] == "tool":
                self._word(f"result: {body['messages'][-1]['content']}", events=events)
        self._end("tool_calls" if wants_tool and events else "stop", events=events)

    def _word(self, text: str, *, events: bool) -> None:
        if events:
            self._event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
        else:
            self._line({"message": {"role": "assistant", "content": text}, "done": False})

    def _call(self, behaviour: Behaviour, *, events: bool) -> None:
        if not events:
            function = {"name": behaviour.tool, "arguments": behaviour.arguments}
            self._line({"message": {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}})
            return
        text = json.dumps(behaviour.arguments)
        parts: list[dict[str, Any]] = [{"id": "call_7", "function": {"name": behaviour.tool, "arguments": ""}}]
        parts += [{"function": {"arguments": text[i : i + 3]}} for i in range(0, len(text), 3)]
        for part in parts:
            self._event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **part}]}}]})

    def _end(self, reason: str, *, events: bool) -> None:
        if events:
            self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
            self.wfile.write(b"data: [DONE]\n\n")
        else:
            counts = {"prompt_eval_count": 7, "eval_count": 5}
            self._line({"message": {"content": ""}, "done": True, "done_reason": reason, **counts})

    def _misbehave(self, fault: str) -> bool:
        """Do it; True when there is nothing to be said afterwards."""
        match fault:
            case "500":
                self._json({"error": "out of memory"}, 500)
            case "hang":
                self._wait(600)
            case "reset":
                option = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
                self.connection.close()
            case "error":
                self._raw(b'{"error":"the model ran out of memory"}\n')
            case "garbage":
                self._raw(b"<html>\x00\xff not what you want\n")
            case "half":
                self._raw(b'{"message":{"content":"ha')
            case "endless":
                for _ in range(80):
                    self._raw(b"x" * 2**16)
            case "empty":
                self._raw(b"")
        return True

    def _raw(self, data: bytes) -> None:
        if not STATE.behaviour.fault_after:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" if data != b"x" * 2**16 else b"")
        self.wfile.write(data)
        self.wfile.flush()

    def _wait(self, seconds: float) -> None:
        """Time passes, unless the caller closes its connection."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise CallerGone

    def _line(self, value: object) -> None:
        self.wfile.write(json.dumps(value).encode() + b"\n")
        self.wfile.flush()

    def _event(self, value: object) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

    def _json(self, value: object, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Callers that leave are what this server is for."""


def main(port: int, behaviour: dict[str, Any]) -> None:
    STATE.behaviour = Behaviour(**behaviour)
    with Server(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
