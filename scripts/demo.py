"""The demo: two devices on this machine, each with its own app and mesh daemon, meet as two people's devices would.

Everything goes through the commands that a person has: `myownllm up`, `networks add`, `approve`, `call`, `broadcast`,
`prompts`, `conversations`, `label`. The first device's daemon hosts the only relay; nothing leaves this machine.
Standard library only.
"""

from __future__ import annotations

import argparse
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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BIN = Path(sys.executable).parent
STEP_TIMEOUT_S = 20.0
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
Event = dict[str, Any]


class DemoError(Exception):
    """A step did not happen; the text says which and what was seen instead."""


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


class Device:
    """One device: a home of its own, `myownllm up` in it, and the events that it printed."""

    def __init__(self, name: str, home: Path, daemon: str | None = None) -> None:
        self.name = name
        self.home = home
        self._daemon = daemon
        self.id = ""
        self.events: list[Event] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._commands: list[subprocess.Popen[bytes]] = []
        self._output = home / "up.jsonl"
        self._read = 0
        home.mkdir(parents=True)

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MYOWNMESH_", "MYOWNLLM_"))}
        chosen = {} if self._daemon is None else {"MYOWNLLM_MESH_BIN": self._daemon}
        return {**kept, **chosen, "HOME": str(self.home)}

    def up(self, *arguments: str) -> None:
        """Start the app, as `myownllm up` in a terminal of its own."""
        with self._output.open("ab") as output, (self.home / "up.err").open("ab") as errors:
            self._process = subprocess.Popen(
                [str(BIN / "myownllm"), "up", "--json", *arguments],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command in another terminal of this device, under way."""
        # An interrupt in the middle of the birth of a process would leave one that nobody knows.
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
        try:
            command = subprocess.Popen(
                [str(BIN / "myownllm"), *arguments, "--json"],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS),
            )
            self._commands.append(command)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
        return command

    def run(self, *arguments: str) -> Any:
        """The same, to its end; returns what it printed as JSON. Raises DemoError."""
        command = self.start(*arguments)
        out, errors = command.communicate(timeout=STEP_TIMEOUT_S)
        self._commands.remove(command)
        lines = [json.loads(line) for line in out.splitlines() if line.strip()]
        if command.returncode:
            said = lines[-1] if lines else errors.decode(errors="replace").strip()
            raise DemoError(f"`myownllm {' '.join(arguments)}` on {self.name} failed: {said}")
        return lines if "--stream" in arguments else lines[-1] if lines else None

    @property
    def pid(self) -> int | None:
        """The process of the app."""
        return None if self._process is None else self._process.pid

    def mark(self) -> int:
        """A place in the event stream; `wait` looks at what comes behind it."""
        self._poll()
        return len(self.events)

    def wait(self, what: str, condition: Callable[[Event], bool], since: int = 0) -> Event:
        """The first event that meets the condition. Raises DemoError with the last ones when it does not come."""
        deadline = time.monotonic() + STEP_TIMEOUT_S
        seen = since
        while True:
            self._poll()
            while seen < len(self.events):
                seen += 1
                if condition(self.events[seen - 1]):
                    return self.events[seen - 1]
            if self._process is not None and self._process.poll() is not None:
                errors = (self.home / "up.err").read_text(errors="replace")[-2000:]
                raise DemoError(f"the app of {self.name} ended while waiting for {what}\n{errors}")
            if time.monotonic() > deadline:
                last = "\n  ".join(json.dumps(e) for e in self.events[-8:])
                raise DemoError(f"{self.name}: no {what} within {STEP_TIMEOUT_S:.0f} s; last events:\n  {last}")
            time.sleep(0.005)

    def _poll(self) -> None:
        if not self._output.exists():
            return
        with self._output.open("rb") as output:
            output.seek(self._read)
            data = output.read()
        *lines, rest = data.split(b"\n")
        self._read += len(data) - len(rest)
        self.events += [json.loads(line) for line in lines if line.strip()]

    def kill(self) -> None:
        """Pull the plug: SIGKILL for the app and its daemon, nobody says goodbye."""
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


def timed(since: float) -> float:
    return time.monotonic() - since


def play(anna: Device, boris: Device, out: Reporter) -> None:
    """The whole story. Raises DemoError at the first step that does not happen."""
    port = free_port()
    host_relay(anna, port)
    out.say("Two devices start: Anna's, whose daemon also hosts the relay, and Boris's.")
    began = time.monotonic()
    anna.up("--label", "Anna")
    boris.up("--label", "Boris")
    for device in (anna, boris):
        ready = device.wait("daemon", lambda e: e["event"] == "daemon" and e.get("state") == "up")
        device.id = ready["device_id"]
        out.say(f"{device.name}: daemon {ready['version']}, device {device.id}")
    out.done("start", "both apps started their daemons", timed(began))

    network = f"demo-{os.getpid()}"
    began = time.monotonic()
    for device in (anna, boris):
        device.run("networks", "add", network, "--relay", f"ws://127.0.0.1:{port}", "--no-stun")
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

    for caller, callee, method, payload in (
        (anna, boris, "echo", {"hello": "Boris"}),
        (boris, anna, "about", None),
    ):
        began = time.monotonic()
        answer = caller.run("call", callee.name, method, json.dumps(payload))["response"]
        if method == "echo" and answer != payload:
            raise DemoError(f"echo answered {answer}")
        shown = f"{answer['app']} {answer['version']}" if method == "about" else json.dumps(answer)
        out.done("call", f"{caller.name} calls {method} at {callee.name}: {shown}", timed(began))
    began = time.monotonic()
    pieces = anna.run("call", "Boris", "count", '{"to": 5}', "--stream")
    numbers = [p["chunk"]["n"] for p in pieces if "chunk" in p]
    if numbers != [1, 2, 3, 4, 5]:
        raise DemoError(f"the streamed answer was {pieces}")
    out.done("stream", f"Anna reads a streamed answer of Boris: {numbers}", timed(began))

    began = time.monotonic()
    mark = boris.mark()
    anna.run("broadcast", "notice", '{"text": "Dinner at eight"}')
    heard = boris.wait("message", lambda e: e["event"] == "message" and e["channel"] == "notice", mark)
    out.done("broadcast", f"Boris's screen shows {heard['label']}: {heard['payload']['text']}", timed(began))

    share(anna, boris, out)

    began = time.monotonic()
    boris.run("label", "Boris's laptop")
    out.done("label", "Boris renames his device to “Boris's laptop”", timed(began))

    out.say("Boris's device loses power: kill -9 for his app and his daemon.")
    mark_a, mark_b = anna.mark(), boris.mark()
    boris.kill()
    began = time.monotonic()
    boris.up()
    boris.wait("connected peer", peer_becomes("active"), mark_b)
    back = anna.wait("Boris's new name", lambda e: e["event"] == "peer" and e.get("label") == "Boris's laptop", mark_a)
    answer = _call_again(anna)
    out.done("comeback", f"{back['label']} is back and answers, without a new approval", timed(began))
    if any(e["event"] == "knock" for d, m in ((anna, mark_a), (boris, mark_b)) for e in d.events[m:]):
        raise DemoError("a device had to knock again after the restart")
    if answer != {"again": True}:
        raise DemoError(f"the call after the restart answered {answer}")
    for device in (anna, boris):
        health = device.run("health")
        if not health["healthy"]:
            raise DemoError(f"{device.name} is not healthy at the end: {health}")


def share(anna: Device, boris: Device, out: Reporter) -> None:
    """What the devices are connected for: each step is a feature, and stands on its own."""
    began = time.monotonic()
    prompt = anna.run("prompts", "add", "Recipes", "--system", "Answer with a recipe.", "--tool", "web_search")
    _until(lambda: prompt in boris.run("prompts", "list")["prompts"], "Anna's prompt on Boris's device")
    out.done("prompt", "Anna saves the prompt “Recipes”; Boris's device has it by itself", timed(began))

    began = time.monotonic()
    made = anna.run("conversations", "new", "Dinner plans", "--folder", "Home/Kitchen")["conversations"][0]
    moved = anna.run("conversations", "push", "Dinner plans", "Boris")["moved"][0]
    there = boris.run("conversations", "list", "--here")["conversations"]
    if moved["guid"] != made["id"] or [(c["id"], c["folder"]) for c in there] != [(made["id"], "Home/Kitchen")]:
        raise DemoError(f"the conversation did not arrive: {there}")
    if anna.run("conversations", "list", "--here")["conversations"]:
        raise DemoError("the conversation is still on Anna's device")
    out.done("conversation", "Anna's conversation “Dinner plans” moves to Boris, into the same folder", timed(began))


def _until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + STEP_TIMEOUT_S
    while not check():
        if time.monotonic() > deadline:
            raise DemoError(f"no {what} within {STEP_TIMEOUT_S:.0f} s")
        time.sleep(0.02)


def _call_again(device: Device) -> Any:
    """The first call that goes through; the name on the screen may be a moment ahead of the connection."""
    deadline = time.monotonic() + STEP_TIMEOUT_S
    while True:
        try:
            return device.run("call", "Boris's laptop", "echo", '{"again": true}')["response"]
        except DemoError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def explain_keep(devices: list[Device], base: Path, *, as_json: bool) -> None:
    if as_json:
        kept = [{"name": d.name, "home": str(d.home), "pid": d.pid} for d in devices]
        print(json.dumps({"step": "kept", "base": str(base), "devices": kept}), flush=True)
        return
    print(f"\nBoth devices keep running in {base}. Talk to them, for example:")
    for device in devices:
        print(f"  HOME={device.home} {BIN / 'myownllm'} peers")
    first = devices[0]
    print(f'  HOME={first.home} {BIN / "myownllm"} call "Boris\'s laptop" echo \'{{"hi": 1}}\'')
    pids = " ".join(str(d.pid) for d in devices)
    print(f"Stop them with: kill -INT {pids}; sleep 3; rm -r {base}")


def temporary_base() -> Path:
    """A folder with a short path: a socket's path may have about a hundred bytes."""
    parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="mm-", dir=parent if len(parent) < 40 else "/tmp"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave both devices running and say how to talk to them")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--daemon", metavar="PATH", help="run this daemon, for example a staged release")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    base = temporary_base()
    anna = Device("Anna", base / "a", options.daemon)
    boris = Device("Boris", base / "b", options.daemon)
    out = Reporter(as_json=options.json)
    kept = False
    try:
        play(anna, boris, out)
        out.table()
        kept = options.keep
        if kept:
            explain_keep([anna, boris], base, as_json=options.json)
    except DemoError as error:
        print(f"demo failed: {error}", file=sys.stderr)
        for device in (anna, boris):
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
            stop_all([boris, anna])
            shutil.rmtree(base, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
