"""A bench for the client's machine: a scripted daemon answers its requests, and time is what the test says it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from msgspec.structs import replace

from mesh_common.client.errors import ControlError, ErrorKind, refusal
from mesh_common.client.frames import parse_frame
from myownllm.catalog.model import Catalog
from myownllm.catalog.network import SavedNetwork
from myownllm.client import Method, Offer, Registry
from myownllm.client import messages as m
from myownllm.client.machine import Machine
from myownllm.client.registry import Listener
from myownllm.client.work import Work
from myownllm.errors import HomeError
from unit.frontend.fakes import FakeDaemon, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.client import ClientState

HOME = SavedNetwork("net-1", "home", label="Home")
WORK = SavedNetwork("net-2", "work")


async def never(*_: Any) -> Any:
    raise AssertionError("the machine calls no feature")


def registry() -> Registry:
    made = Registry()
    made.add_method(Method("echo", answer=never))
    made.add_method(Method("count", stream=never))
    made.add_listener(Listener("notice", never))
    return made


@attrs.define
class Bench:
    """`now` moves by `wait` alone. Requests of `held` operations stay unanswered until they are let go."""

    catalog: Catalog = attrs.field(factory=lambda: Catalog((HOME, WORK), HOME.id))
    registry: Registry = attrs.field(factory=registry)
    work: Work = attrs.field()
    machine: Machine = attrs.field()
    daemon: FakeDaemon = attrs.field(factory=FakeDaemon)
    now: float = 100.0
    mode: Any = "own_llm"
    held: set[str] = attrs.field(factory=set)
    catalog_error: str = ""
    owned: dict[str, set[str]] = attrs.field(factory=dict)
    commands: list[m.Command] = attrs.field(factory=list)
    states: list[ClientState] = attrs.field(factory=list)
    """every snapshot that could be seen"""
    outcomes: dict[int, m.Done] = attrs.field(factory=dict)
    generation: int = 0
    pending: list[m.Carry] = attrs.field(factory=list)
    _tickets: int = 0

    @work.default
    def _make_work(self) -> Work:
        return Work(lambda: int(self.now * 1000), lambda urgent: self.give(m.WorkChanged(urgent)))

    @machine.default
    def _make_machine(self) -> Machine:
        return Machine(Offer(self.registry, self.work, "v0.3.8", "1.0"))

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

    def connect(self, **changes: Any) -> None:
        self.daemon.alive = True
        self.generation += 1
        client_id = self.daemon.subscribe()
        link = m.Link(self.generation, client_id, self.mode, Path("s"), self.daemon.version, "me")
        self.give(m.Connected(replace(link, **changes)))

    def lose(self) -> None:
        """The daemon is gone: what is under way fails, then the app learns it."""
        self.daemon.alive = False
        self.daemon.claims.clear()
        self.daemon.channels.clear()
        self.run()
        self.give(m.Disconnected(self.generation))

    def start(self) -> int:
        return self._intend(m.Start)

    def stop(self) -> int:
        return self._intend(m.Stop)

    def reconcile(self) -> int:
        return self._intend(m.Reconcile)

    def push(self, **frame: Any) -> None:
        parsed = parse_frame({"network": "home", **frame})
        assert parsed is not None
        self.give(m.Arrived(self.generation, parsed))

    def event(self, **members: Any) -> None:
        self.push(kind="event", event={"network_id": "home", **members})

    def change(self, change: Callable[[Catalog], Catalog]) -> None:
        self.catalog = change(self.catalog)

    def wait(self, seconds: float) -> None:
        """Let time pass, stopping wherever the machine wants to be woken."""
        until = self.now + seconds
        while (due := self.machine.next_timer()) is not None and due <= until:
            self.now = max(self.now, due)
            self.give(m.Woke())
        self.now = until

    def let_go(self, *operations: str) -> None:
        self.held -= set(operations)
        self.run()

    # ── what is seen ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> ClientState:
        return self.machine.state

    @property
    def notes(self) -> list[str]:
        return [c.message for c in self.commands if isinstance(c, m.Note)]

    def of(self, kind: type[Any]) -> list[Any]:
        return [c for c in self.commands if isinstance(c, kind)]

    def error_of(self, ticket: int) -> str | None:
        """How an intent failed; None when it did not. It must be over."""
        done = self.outcomes[ticket]
        return done.error.kind if isinstance(done.error, ControlError) else None

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _intend(self, intent: Callable[[int], m.Event]) -> int:
        self._tickets += 1
        self.give(intent(self._tickets))
        return self._tickets

    def give(self, event: m.Event) -> None:
        self._take(event)
        self.run()

    def run(self) -> None:
        """Answer everything that is asked, in order, until nothing but held requests is left."""
        while (carry := next((c for c in self.pending if not self._is_held(c)), None)) is not None:
            self.pending.remove(carry)
            self._take(self._answer(carry))

    def _is_held(self, carry: m.Carry) -> bool:
        return isinstance(carry.request, m.Ask) and carry.request.operation in self.held and self.daemon.alive

    def _answer(self, carry: m.Carry) -> m.Answered:
        match carry.request:
            case m.ReadCatalog():
                error = HomeError(self.catalog_error) if self.catalog_error else None
                return m.Answered(carry.number, self.catalog, error)
            case m.ReadOwned(device_id):
                return m.Answered(carry.number, tuple(self.owned.get(device_id, ())))
            case m.Ask(operation, members) if self.daemon.alive:
                try:
                    return m.Answered(carry.number, self.daemon.perform({"op": operation, **members}))
                except Refusal as refused:
                    text = str(refused)
                    error = ControlError(ErrorKind.TIMEOUT, text) if text == "timeout" else refusal(text)
                    return m.Answered(carry.number, error=error)
            case _:
                return m.Answered(carry.number, error=ControlError(ErrorKind.CONNECTION_LOST, "lost"))

    def _take(self, event: m.Event) -> None:
        for command in self.machine.handle(event, self.now, int(self.now * 1000)):
            self.commands.append(command)
            match command:
                case m.Carry():
                    self.pending.append(command)
                case m.EndWork(life):
                    self.pending = [c for c in self.pending if c.life != life]
                case m.Done(ticket):
                    self.outcomes[ticket] = command
                case m.Own(device_id, _, network_id):
                    self.owned.setdefault(device_id, set()).add(network_id)
                case m.Disown(device_id, network_id):
                    self.owned.get(device_id, set()).discard(network_id)
                case _:
                    pass
        if not self.states or self.states[-1] is not self.state:
            self.states.append(self.state)


def online(bench: Bench) -> Bench:
    """The bench after a start that went well."""
    bench.connect()
    assert bench.error_of(bench.start()) is None
    assert bench.state.status == "online"
    return bench
