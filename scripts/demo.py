"""The demo: devices on this machine, each with its own app and mesh daemon, meet as people's devices would.

Everything goes through the commands that a person has: `myownllm up`, `networks add`, `approve`, `call`, `broadcast`,
`infer`, `prompts`, `conversations`, `invite`, `join`, `send`, `inbox`, `label`. The first device's daemon hosts the
only relay; nothing leaves this machine. The model is a small server of the demo's own (`demo_model.py`), or with
--ollama a real one. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BIN = Path(sys.executable).parent
STEP_TIMEOUT_S = 60.0
"""A busy machine starts two programs in twenty."""
MODEL_TIMEOUT_S = 180.0
"""A real model may have to be loaded first."""
FILE_MB = 48
LAPTOP = "Boris's laptop"
"""What Boris calls his device after a while."""
PHONE = "Boris's phone"
"""The third device, which joins by invitation."""
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
Event = dict[str, Any]


class DemoError(Exception):
    """A step did not happen; the text says which and what was seen instead. `kind` is that of a command's failure."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


class Reporter:
    """Progress for a person, or JSON lines."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._began = time.monotonic()
        self.rows: list[tuple[str, str, float]] = []

    def say(self, text: str, **members: Any) -> None:
        now = time.monotonic() - self._began
        if self._as_json:
            print(json.dumps({"step": "note", "t": round(now, 3), "text": text, **members}), flush=True)
        else:
            print(f"[{now:5.1f} s] {text}", flush=True)

    def done(self, step: str, what: str, seconds: float) -> None:
        self.rows.append((step, what, seconds))
        if self._as_json:
            record = {"step": step, "text": what, "seconds": round(seconds, 3)}
            print(json.dumps(record), flush=True)
        else:
            now = time.monotonic() - self._began
            print(f"[{now:5.1f} s] ✓ {what}  ({seconds * 1000:.0f} ms)", flush=True)

    def table(self) -> None:
        total = time.monotonic() - self._began
        if self._as_json:
            rows = [{"step": s, "text": w, "seconds": round(t, 3)} for s, w, t in self.rows]
            print(json.dumps({"step": "summary", "ok": True, "seconds": round(total, 3), "rows": rows}), flush=True)
            return
        width = max(len(step) for step, _, _ in self.rows)
        print("\nWhat happened (each command's own start, about 0.1 s, is in its time)")
        for step, what, seconds in self.rows:
            print(f"  {step.ljust(width)}  {seconds * 1000:7.0f} ms  {what}")
        print(f"  {'in all'.ljust(width)}  {total:7.1f} s")


def spawn(known: list[subprocess.Popen[bytes]], command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process and note it in `known`, which an interrupt cannot come between."""
    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS),
            **options,
        )
        known.append(process)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    return process


class Printed:
    """What a process that runs on prints: JSON lines, read from the file that they go to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Event] = []
        self._read = 0

    def poll(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as output:
            output.seek(self._read)
            data = output.read()
        *lines, rest = data.split(b"\n")
        self._read += len(data) - len(rest)
        self.lines += [json.loads(line) for line in lines if line.strip()]

    def first(
        self, what: str, condition: Callable[[Event], bool], process: subprocess.Popen[bytes] | None, since: int = 0
    ) -> Event:
        """The first line that meets the condition. Raises DemoError with the last ones when it does not come."""
        deadline = time.monotonic() + STEP_TIMEOUT_S
        seen = since
        while True:
            has_ended = process is not None and process.poll() is not None
            self.poll()
            while seen < len(self.lines):
                seen += 1
                if condition(self.lines[seen - 1]):
                    return self.lines[seen - 1]
            if has_ended or time.monotonic() > deadline:
                last = "\n  ".join(json.dumps(e) for e in self.lines[-8:])
                why = "before its end" if has_ended else f"within {STEP_TIMEOUT_S:.0f} s"
                raise DemoError(f"no {what} {why}; the last of {self.path}:\n  {last}")
            time.sleep(0.005)


class Device:
    """One device: a home of its own, `myownllm up` in it, and the events that it printed."""

    def __init__(self, name: str, home: Path, daemon: str | None = None) -> None:
        self.name = name
        self.home = home
        self.daemon = daemon
        self.program: Sequence[str] = (str(BIN / "myownllm"),)
        """How a command line begins."""
        self.app = str(BIN / "myownllm")
        """The program that runs on."""
        self.id = ""
        self._printed = Printed(home / "up.jsonl")
        self._process: subprocess.Popen[bytes] | None = None
        self._commands: list[subprocess.Popen[bytes]] = []
        home.mkdir(parents=True)

    @property
    def events(self) -> list[Event]:
        return self._printed.lines

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MYOWNMESH_", "MYOWNLLM_"))}
        chosen = {} if self.daemon is None else {"MYOWNLLM_MESH_BIN": self.daemon}
        # Nothing leaves this machine, and a dead relay is missed: the local network has a demo of its own.
        return {**kept, **chosen, "HOME": str(self.home), "MYOWNMESH_MDNS": "off"}

    def up(self, *arguments: str) -> None:
        """Start the app, as `myownllm up` in a terminal of its own."""
        with self._printed.path.open("ab") as output, (self.home / "up.err").open("ab") as errors:
            self._process = self.launch([self.app, "up", "--json", *arguments], output, errors)

    def launch(self, command: list[str], output: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )

    def start(self, *arguments: str, into: Path | None = None) -> subprocess.Popen[bytes]:
        """A command in another terminal of this device, under way; `into` takes what it prints before its end."""
        command = [*self.program, *arguments, "--json"]
        environment = self.environment()
        if into is None:
            return spawn(self._commands, command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with into.open("wb") as output:
            return spawn(self._commands, command, env=environment, stdout=output, stderr=subprocess.PIPE)

    def finish(self, command: subprocess.Popen[bytes], timeout_s: float = STEP_TIMEOUT_S) -> list[Event]:
        """Wait for a command; returns what it printed as JSON lines. Raises DemoError."""
        written = " ".join(["myownllm", *cast("Sequence[str]", command.args)[len(self.program) : -1]])
        try:
            out, errors = command.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise DemoError(f"`{written}` on {self.name} did not end within {timeout_s:.0f} s") from None
        self._commands.remove(command)
        lines = [json.loads(line) for line in (out or b"").splitlines() if line.strip()]
        if command.returncode:
            said = lines[-1] if lines else errors.decode(errors="replace").strip()
            kind = said.get("error", {}).get("kind", "") if isinstance(said, dict) else ""
            raise DemoError(f"`{written}` on {self.name} failed: {said}", kind)
        return lines

    def run(self, *arguments: str, timeout_s: float = STEP_TIMEOUT_S) -> Any:
        """A command to its end; returns what it printed last, of a stream everything. Raises DemoError."""
        lines = self.finish(self.start(*arguments), timeout_s)
        return lines if "--stream" in arguments else lines[-1] if lines else None

    @property
    def pid(self) -> int | None:
        """The process of the app."""
        return None if self._process is None else self._process.pid

    def mark(self) -> int:
        """A place in the event stream; `wait` looks at what comes behind it."""
        self._printed.poll()
        return len(self.events)

    def wait(self, what: str, condition: Callable[[Event], bool], since: int = 0) -> Event:
        """The first event that meets the condition. Raises DemoError with the last ones when it does not come."""
        try:
            return self._printed.first(what, condition, self._process, since)
        except DemoError as error:
            errors = (self.home / "up.err").read_text(errors="replace")[-2000:]
            raise DemoError(f"{self.name}: {error}\n{errors}") from None

    def kill(self) -> None:
        """Pull the plug: SIGKILL for the app and its daemon, nobody says goodbye."""
        self._printed.poll()  # the daemon of the last start, not of one before
        pids = [e["pid"] for e in self.events if e["event"] == "daemon" and e.get("owned") and e.get("pid")]
        if self._process is None or not pids:
            raise DemoError(f"{self.name} is not running, so it cannot be killed")
        os.kill(self._process.pid, signal.SIGKILL)
        os.kill(pids[-1], signal.SIGKILL)
        self._process.wait()

    def kill_app(self) -> None:
        """SIGKILL for the app alone: what becomes of its daemon is up to that."""
        if self._process is None:
            raise DemoError(f"{self.name} is not running, so it cannot be killed")
        self._process.kill()
        self._process.wait()

    def interrupt(self) -> None:
        """Ask the app to end, the polite way, without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def stop(self, *, interrupt: bool = True) -> None:
        """End the app the polite way; it takes its daemon with it. A command under way ends at once."""
        for command in self._commands:
            command.kill()
            command.communicate()
        self._commands.clear()
        process = self._process
        if process is None or process.poll() is not None:
            return
        if interrupt:
            self.interrupt()
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def stop_all(devices: Sequence[Device]) -> None:
    """End several devices at the same time."""
    for device in devices:
        device.interrupt()
    for device in devices:
        device.stop(interrupt=False)  # a second Ctrl-C would cut its ending short


def peer_becomes(status: str) -> Callable[[Event], bool]:
    return lambda e: e["event"] == "peer" and e.get("status") == status


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def host_relay(device: Device, port: int) -> None:
    """Let the device's daemon host the signaling relay, on this machine only."""
    daemon_home = device.home / ".myownllm" / ".myownmesh"
    daemon_home.mkdir(mode=0o700, parents=True)
    relay = {"enabled": True, "bind": "127.0.0.1", "port": port}
    (daemon_home / "config.json").write_text(json.dumps({"services": {"signaling": relay}}))


def configure(device: Device, runtime: dict[str, str]) -> None:
    """Which model server the device has; files and the local API stay off what the person of this machine uses."""
    path = device.home / ".myownllm" / "config.json"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    files = {"folder": str(device.home / "Downloads")}
    path.write_text(json.dumps({"runtime": runtime, "api": {"port": 0}, "ui": {"port": 0}, "files": files}))


class Model:
    """The model server beside Boris's app: the demo's own small one, or an Ollama that is there."""

    def __init__(self, home: Path, ollama: str | None) -> None:
        self.is_real = ollama is not None
        self.url = ollama or f"http://127.0.0.1:{free_port()}"
        self._home = home
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._started]

    def start(self) -> None:
        if not self.is_real:
            program = Path(__file__).with_name("demo_model.py")
            port = self.url.rpartition(":")[2]
            environment = {**os.environ, "HOME": str(self._home)}
            # Not our own output: with --keep it goes on, and whoever reads ours waits for its end.
            with (self._home / "model.log").open("ab") as log:
                spawn(
                    self._started,
                    [sys.executable, str(program), port],
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def check(self, question: str, answer: str) -> None:
        """Raises DemoError when this is no answer of this server."""
        words = question.rstrip("?").split()
        expected = "" if self.is_real else " ".join(reversed(words))
        if not answer.strip() or expected not in answer:
            raise DemoError(f"the answer to {question!r} was {answer!r}")

    def stop(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()


def timed(since: float) -> float:
    return time.monotonic() - since


def play(devices: Sequence[Device], model: Model, out: Reporter) -> None:
    """The whole story. Raises DemoError at the first step that does not happen."""
    anna, boris, phone = devices
    network, port = f"demo-{os.getpid()}", free_port()
    meet(anna, boris, model, network, port, out)
    talk(anna, boris, out)
    share(anna, boris, out)
    ask_model(anna, boris, model, out)
    invite(anna, boris, phone, network, port, out)
    began, mark = time.monotonic(), anna.mark()
    boris.run("label", LAPTOP)
    anna.wait("new name", lambda e: e["event"] == "peer" and e.get("label") == LAPTOP, mark)
    out.done("label", f"Boris renames his device to “{LAPTOP}”, and Anna sees it", timed(began))
    lose_power(anna, boris, out)
    commands = [(device, device.start("health")) for device in (anna, boris)]
    for device, command in commands:
        health = device.finish(command)[-1]
        if not health["healthy"]:
            raise DemoError(f"{device.name} is not healthy at the end: {health}")


def meet(anna: Device, boris: Device, model: Model, network: str, port: int, out: Reporter) -> None:
    """From two homes with nothing in them to two devices that let each other in."""
    host_relay(anna, port)
    configure(anna, {"kind": "none"})
    configure(boris, {"kind": "ollama", "base_url": model.url})
    model.start()
    out.say("Two devices start: Anna's, whose daemon also hosts the relay, and Boris's.")
    began = time.monotonic()
    anna.up("--label", "Anna")
    boris.up("--label", "Boris")
    for device in (anna, boris):
        ready = device.wait("daemon", lambda e: e["event"] == "daemon" and e.get("state") == "up")
        device.id = ready["device_id"]
        out.say(f"{device.name}: daemon {ready['version']}, device {device.id}")
    out.done("start", "both apps started their daemons", timed(began))

    began = time.monotonic()
    added = ("networks", "add", network, "--relay", f"ws://127.0.0.1:{port}", "--no-stun")
    commands = [(device, device.start(*added)) for device in (anna, boris)]
    for device, command in commands:
        device.finish(command)
    out.say(f"The same network on both: myownllm networks add {network}")
    knocks = {d.name: d.wait("knock", lambda e: e["event"] == "knock") for d in (anna, boris)}
    out.done("knock", "each device sees the other knock", timed(began))
    for device in (anna, boris):
        knock = knocks[device.name]
        out.say(
            f"{device.name}'s screen: {knock['label']} wants to join — their code {knock['code_received']}, "
            f"our code {knock['code_sent']}"
        )
    ours, theirs = knocks["Anna"], knocks["Boris"]
    if (ours["code_received"], ours["code_sent"]) != (theirs["code_sent"], theirs["code_received"]):
        raise DemoError(f"the codes do not match: {ours} / {theirs}")
    out.say("The codes are the same on both screens, so it is really each other.")

    began = time.monotonic()
    anna.run("approve", "Boris", "--code", ours["code_received"])
    anna.wait("pending_remote", peer_becomes("pending_remote"))
    out.say("Anna approves Boris; her screen waits for his approval.")
    boris.run("approve", "Anna", "--code", theirs["code_received"])
    for device in (anna, boris):
        device.wait("connected peer", peer_becomes("active"))
    out.done("approve", "both approved, both connected", timed(began))
    for device in (anna, boris):
        pill = device.wait("pill", lambda e: e["event"] == "pill" and " 1 peer " in e["text"])
        out.say(f"{device.name}'s headline: {pill['text']}")


def talk(anna: Device, boris: Device, out: Reporter) -> None:
    """Calls in both directions at once, a stream of answers among them, and a word to everybody."""
    began = time.monotonic()
    greeting = {"hello": "Boris"}
    echo = anna.start("call", "Boris", "echo", json.dumps(greeting))
    about = boris.start("call", "Anna", "about")
    count = anna.start("call", "Boris", "count", '{"to": 5}', "--stream")
    answer = anna.finish(echo)[-1]["response"]
    if answer != greeting:
        raise DemoError(f"echo answered {answer}")
    out.done("call", f"Anna calls echo at Boris: {json.dumps(answer)}", timed(began))
    answer = boris.finish(about)[-1]["response"]
    out.done("call", f"Boris calls about at Anna: {answer['app']} {answer['version']}", timed(began))
    pieces = anna.finish(count)
    numbers = [p["chunk"]["n"] for p in pieces if "chunk" in p]
    if numbers != [1, 2, 3, 4, 5]:
        raise DemoError(f"the streamed answer was {pieces}")
    out.done("stream", f"Anna reads a streamed answer of Boris: {numbers}", timed(began))

    began = time.monotonic()
    mark = boris.mark()
    anna.run("broadcast", "notice", '{"text": "Dinner at eight"}')
    heard = boris.wait("message", lambda e: e["event"] == "message" and e["channel"] == "notice", mark)
    out.done("broadcast", f"Boris's screen shows {heard['label']}: {heard['payload']['text']}", timed(began))


def share(anna: Device, boris: Device, out: Reporter) -> None:
    """What Anna has reaches Boris: a prompt by itself, a conversation because she moves it."""
    began = time.monotonic()
    adding = anna.start("prompts", "add", "Recipes", "--system", "Answer with a recipe.", "--tool", "web_search")
    making = anna.start("conversations", "new", "Dinner plans", "--folder", "Home/Kitchen")
    prompt = anna.finish(adding)[-1]
    _until(lambda: prompt in boris.run("prompts", "list")["prompts"], "Anna's prompt on Boris's device")
    out.done("prompt", "Anna saves the prompt “Recipes”; Boris's device has it by itself", timed(began))

    made = anna.finish(making)[-1]["conversations"][0]
    began = time.monotonic()
    moved = anna.run("conversations", "push", "Dinner plans", "Boris")["moved"][0]
    lists = [(device, device.start("conversations", "list", "--here")) for device in (anna, boris)]
    left, there = (device.finish(command)[-1]["conversations"] for device, command in lists)
    if moved["guid"] != made["id"] or [(c["id"], c["folder"]) for c in there] != [(made["id"], "Home/Kitchen")]:
        raise DemoError(f"the conversation did not arrive: {there}")
    if left:
        raise DemoError("the conversation is still on Anna's device")
    out.done("conversation", "Anna's conversation “Dinner plans” moves to Boris, into the same folder", timed(began))


def ask_model(anna: Device, boris: Device, model: Model, out: Reporter) -> None:
    """Anna has no model; she asks the one beside Boris's app, through the mesh."""
    if not model.is_real:
        out.say("Beside Boris's app answers a small server that speaks as Ollama does; it is no real model.")
    _until(lambda: any(m["id"].endswith("@Boris") for m in anna.run("models")["models"]), "model of Boris at Anna")
    began = time.monotonic()
    question = "What shall we have for dinner?"
    answer = anna.run("infer", question, "--peer", "Boris", timeout_s=MODEL_TIMEOUT_S)
    model.check(question, answer["response"])
    out.say(f"myownllm infer “{question}” --peer Boris: {answer['response'].strip()[:200]}")
    out.done("model", "Anna's question is answered by the model of Boris, word by word", timed(began))


def invite(anna: Device, boris: Device, phone: Device, network: str, port: int, out: Reporter) -> None:
    """A third device comes in by a link, and a relay is asked what it read of that: in clear, and sealed."""
    from demo_relay import Ear, readable  # beside this file, which tests load by its path

    configure(phone, {"kind": "none"})
    phone.up("--label", PHONE)
    phone.id = phone.wait("daemon", lambda e: e["event"] == "daemon" and e.get("state") == "up")["device_id"]
    ear = Ear(port, network)
    try:
        everybody = (anna, boris, phone)
        began, marks = time.monotonic(), [device.mark() for device in everybody]
        try:
            made = anna.run("invite", "--for", "15m")
        except DemoError as error:
            if error.kind != "unsupported":
                raise
            out.say("This daemon knows no invitations: the phone stays out.")
            return
        link = phone.home / "link.txt"
        link.write_text(made["text"])
        out.say(
            f"Anna makes a link for one device: myownllm invite → {made['text'][:24]}… ({len(made['text'])} characters)"
        )
        joined = phone.run("join", str(link))
        if not joined["connected"]:
            raise DemoError(f"the link let nobody in: {joined}")
        wait_for_phone((anna, boris), marks)
        for device, mark, other in ((anna, marks[0], PHONE), (phone, marks[2], anna.name)):
            if any(e["event"] == "knock" and e.get("label") == other for e in device.events[mark:]):
                raise DemoError(f"{device.name} was asked about {other}, although there was an invitation")
        out.done(
            "invite", f"{PHONE} is in by the link, nobody was asked, and Boris's device knows it, too", timed(began)
        )
        coming = ear.heard(0, phone.id)
        reads = {"sealed": readable(coming)}

        began, heard, marks = time.monotonic(), ear.mark(), [device.mark() for device in everybody]
        phone.run("networks", "edit", "--sealed", "off", "--now")
        wait_for_phone((anna, boris), marks)
        reads["clear"] = readable(ear.heard(heard, phone.id))
        phone.run("networks", "edit", "--sealed", "prefer", "--now")
    finally:
        ear.close()
    if not {"announce", "offer", "answer"} <= {message["kind"] for message in coming}:
        raise DemoError(f"the relay was not asked for a meeting: {coming}")
    if any(reads["sealed"].values()) or not all(reads["clear"].values()):
        raise DemoError(f"what the relay reads is {reads}")
    clear = reads["clear"]
    out.say(
        f"The relay's view of {PHONE} with sealing off, as every relay had it before: {clear['addresses'][0]}, "
        f"certificate {clear['certificates'][0][:11]}…, {len(clear['lines'])} lines of descriptions in all."
    )
    out.say(
        f"The relay's view of how it came in, sealed: {len(coming)} messages, the room and three device ids, and no "
        "address, no certificate, no line of a description."
    )
    out.done("relay", "a relay that reads along learns who is there, and no longer where", timed(began))


def wait_for_phone(devices: Sequence[Device], marks: Sequence[int]) -> None:
    for device, mark in zip(devices, marks, strict=False):
        device.wait(
            PHONE, lambda e: e["event"] == "peer" and e.get("status") == "active" and e.get("label") == PHONE, mark
        )


def lose_power(anna: Device, boris: Device, out: Reporter) -> None:
    """In the middle of a file: Boris's device comes back by itself, and so does the file."""
    film = anna.home / "holiday.film"
    film.write_bytes(os.urandom(FILE_MB * 10**6))
    mark = boris.mark()
    sending = Printed(anna.home / "send.jsonl")
    send = anna.start("send", str(film), LAPTOP, into=sending.path)
    sending.first("offer", lambda e: e.get("status") == "offered", send)
    boris.wait("offer", lambda e: e["event"] == "offer", mark)
    offer = boris.run("inbox")["offers"][0]
    out.say(f"Boris's inbox: {offer['peer_label']} offers {offer['filename']}, {FILE_MB} MB; he accepts it.")
    accept = boris.start("inbox", "accept", offer["id"])
    sending.first("third of the file", lambda e: e.get("bytes_sent", 0) > FILE_MB * 10**6 // 3, send)
    mark_a, mark_b = anna.mark(), boris.mark()
    boris.kill()
    boris.finish(accept)
    arrived = boris.home / "Downloads" / film.name
    if arrived.exists():
        raise DemoError("the file was there before it could be broken")
    out.say("In the middle of it Boris's device loses power: kill -9 for his app and his daemon.")

    began = time.monotonic()
    boris.up()
    boris.wait("connected peer", peer_becomes("active"), mark_b)
    answer = _call_again(anna)
    if answer != {"again": True}:
        raise DemoError(f"the call after the restart answered {answer}")
    if any(e["event"] == "knock" for d, m in ((anna, mark_a), (boris, mark_b)) for e in d.events[m:]):
        raise DemoError("a device had to knock again after the restart")
    out.done("comeback", f"{LAPTOP} is back and answers, without a new approval", timed(began))

    waited = sending.first("wait for Boris", lambda e: e.get("status") == "waiting", send)
    kept = waited["bytes_sent"]
    anna.finish(send)
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (film, arrived)]
    if not kept or sums[0] != sums[1]:
        raise DemoError(f"{kept} bytes were kept; the sums of both files are {sums}")
    text = f"{film.name} goes on at {kept / 1e6:.1f} of {FILE_MB} MB; sha256 {sums[1][:12]}… on both devices"
    out.done("file", text, timed(began))


def _until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + STEP_TIMEOUT_S
    while not check():
        if time.monotonic() > deadline:
            raise DemoError(f"no {what} within {STEP_TIMEOUT_S:.0f} s")
        time.sleep(0.02)


def _call_again(device: Device) -> Any:
    """The first call that goes through, by the name that the other device was given."""
    deadline = time.monotonic() + STEP_TIMEOUT_S
    while True:
        try:
            return device.run("call", LAPTOP, "echo", '{"again": true}')["response"]
        except DemoError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def explain_keep(devices: list[Device], model: Model, base: Path, *, as_json: bool) -> None:
    if as_json:
        kept = [{"name": d.name, "home": str(d.home), "pid": d.pid} for d in devices]
        kept += [{"name": "model server", "pid": pid} for pid in model.pids]
        print(json.dumps({"step": "kept", "base": str(base), "devices": kept}), flush=True)
        return
    print(f"\nThe devices keep running in {base}. Talk to them, for example:")
    for device in devices:
        print(f"  HOME={device.home} {BIN / 'myownllm'} peers")
    first = devices[0]
    print(f'  HOME={first.home} {BIN / "myownllm"} call "Boris\'s laptop" echo \'{{"hi": 1}}\'')
    print(f'  HOME={first.home} {BIN / "myownllm"} infer "How are you?" --peer "Boris\'s laptop"')
    pids = " ".join(str(pid) for pid in (*(d.pid for d in devices), *model.pids))
    print(f"Stop them with: kill -INT {pids}; sleep 3; rm -r {base}")


def temporary_base() -> Path:
    """A folder with a short path: a socket's path may have about a hundred bytes."""
    parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="mm-", dir=parent if len(parent) < 40 else "/tmp"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the devices running and say how to talk to them")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--daemon", metavar="PATH", help="run this daemon, for example a staged release")
    parser.add_argument(
        "--ollama", metavar="URL", help="ask an Ollama that is there, for example http://127.0.0.1:11434"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    base = temporary_base()
    anna = Device("Anna", base / "a", options.daemon)
    boris = Device("Boris", base / "b", options.daemon)
    phone = Device(PHONE, base / "c", options.daemon)
    devices = [anna, boris, phone]
    model = Model(base, options.ollama)
    out = Reporter(as_json=options.json)
    kept = False
    try:
        play(devices, model, out)
        out.table()
        kept = options.keep
        if kept:
            explain_keep(devices, model, base, as_json=options.json)
    except DemoError as error:
        print(f"demo failed: {error}", file=sys.stderr)
        for device in devices:
            log = device.home / ".myownllm" / "logs" / "daemon.log"
            if log.exists():
                print(f"--- daemon of {device.name}, last lines:", file=sys.stderr)
                print("\n".join(log.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; cleaning up", file=sys.stderr)
        return 130
    finally:
        if not kept:
            stop_all([phone, boris, anna])
            model.stop()
            shutil.rmtree(base, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
