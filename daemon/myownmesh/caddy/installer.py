"""The steps of `install caddy` and `caddy remove` in their order (spec 06 §10).

What a person has to decide comes out before the first change. Caddy tries a new file before it becomes the Caddyfile;
when it then does not take it, the old file comes back and the old Caddy goes on.
"""

from __future__ import annotations

import contextlib
import difflib
from typing import TYPE_CHECKING, Protocol

from myownmesh.caddy import caddyfile, firewall
from myownmesh.caddy.machine import MANAGERS, MODULE, manager
from myownmesh.caddy.plan import apply_needed, hosted, ports
from myownmesh.caddy.report import Step
from myownmesh.caddy.tools import CaddyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from myownmesh.caddy.machine import Machine
    from myownmesh.caddy.plan import Ports, Wanted
    from myownmesh.caddy.report import Outcome
    from myownmesh.caddy.swap import Swap
    from myownmesh.caddy.tools import Run
    from myownmesh.store.services_config import ServicesConfig


class Services(Protocol):
    """What this device hosts: a running daemon's, else the file's."""

    def read(self) -> ServicesConfig:
        """As it is now."""

    def write(self, services: ServicesConfig) -> str:
        """Make it so, and return in words where it counts."""


class Installer:
    """One run. `steps` grows as it goes, and is true whatever ends it."""

    def __init__(self, run: Run, machine: Machine, swap: Swap, now_s: float) -> None:
        """`now_s`: Unix time, for the backup's name."""
        self._run = run
        self._machine = machine
        self._swap = swap
        self._now_s = now_s
        self.steps: list[Step] = []

    def install(
        self, plan: Wanted, services: Services, resolve: Callable[[str], str], *, dry_run: bool = False
    ) -> None:
        """Everything, or with `dry_run` what there is to do. A second time nothing is left to do.

        `resolve` finds the first IPv4 address of a name. Raises `CaddyError`, `ValueError`, `OSError`; what was done
        before that stands, but a Caddyfile that Caddy did not take.
        """
        before = services.read()
        public_ip = ""
        if plan.turn_site is not None:
            found = plan.public_ip or before.turn.public_ip
            public_ip = found or resolve(caddyfile.host_of(plan.turn_site))
        after = hosted(before, plan, public_ip)
        text = self._merged(plan, before.signaling.port)
        self._caddy(dry_run)
        module_changed = plan.turn_site is not None and self._module(dry_run)
        self._file(text, module_changed=module_changed, dry_run=dry_run)
        if after == before:
            self._note("services", "unchanged", "they are as they should be")
        elif dry_run:
            self._note("services", "would", "switch on what is to be hosted, in this device's settings")
        else:
            self._note("services", "done", services.write(after))
        self._firewall(ports(after, plan), dry_run=dry_run)

    def remove(self, domain: str, *, dry_run: bool = False) -> None:
        """Take our blocks for a domain out of the Caddyfile, and nothing else. Raises as `install` does."""
        before = self._swap.text() or ""
        self._file(caddyfile.without(before, domain), module_changed=False, dry_run=dry_run, may_start=False)

    def _merged(self, plan: Wanted, relay_port: int) -> str:
        if relay_port == 0:
            raise CaddyError("services.signaling.port is 0, another one at each start; give it a number first")
        before = self._swap.text() or ""
        if plan.turn_site is None:
            return caddyfile.merged_for_relay(before, plan.site, relay_port)
        return caddyfile.merged(before, plan.site, relay_port, plan.turn_site)

    def _caddy(self, dry_run: bool) -> None:
        if self._machine.program is not None:
            self._note("caddy", "unchanged", f"{self._machine.program}, {self._machine.version()}")
            return
        name = manager(self._run)
        if name is None:
            raise CaddyError(
                f"no package manager that this knows is here ({', '.join(MANAGERS)}): install Caddy from "
                "https://caddyserver.com/docs/install, then run this again"
            )
        if dry_run:
            self._note("caddy", "would", f"install it with {name}")
            return
        self._machine.install(name)
        self._note("caddy", "done", f"installed with {name}: {self._machine.version()}")

    def _module(self, dry_run: bool) -> bool:
        """Whether there is a new program with it."""
        if self._machine.program is not None and self._machine.has_module():
            self._note("module", "unchanged", "layer4 is there")
            return False
        if dry_run:
            self._note("module", "would", f"add {MODULE}")
            return True
        try:
            self._machine.add_module()
        except CaddyError as error:
            raise CaddyError(
                f"{error}; with --relay-only Caddy needs no module: it serves the relay, and TURN can speak TLS itself "
                "(services.turn.tls)"
            ) from error
        self._note("module", "done", f"{MODULE} added")
        return True

    def _file(self, text: str, *, module_changed: bool, dry_run: bool, may_start: bool = True) -> None:
        before = self._swap.text()
        changed = text != (before or "")
        if dry_run:
            self._note("caddyfile", "would" if changed else "unchanged", self._change(before or "", text))
            return
        running = self._machine.runs()
        unfinished = self._swap.unfinished
        if not (may_start or running):
            needed = changed
        else:
            needed = apply_needed(module_changed=module_changed, config_changed=changed or unfinished, running=running)
        if not needed:
            self._note("caddyfile", "unchanged", f"{self._swap.path} is as it should be, and Caddy runs")
            return
        detail = f"{self._swap.path} is as it was"
        with self._swap.candidate(text) as candidate:
            self._machine.validate(candidate)
            with contextlib.ExitStack() as undo:
                undo.callback(self._undo, running)  # also when a person has had enough
                if changed:
                    backup = self._swap.put(candidate, before, self._now_s)
                    kept = "" if backup is None else f"; what it was is in {backup.name}"
                    detail = f"{self._swap.path} written{kept}"
                how = self._machine.apply(running=running, anew=module_changed) if running or may_start else "is off"
                undo.pop_all()
        self._swap.settle()
        self._note("caddyfile", "done" if changed else "unchanged", detail)
        self._note("apply", "done", f"Caddy {how}")

    def _undo(self, running: bool) -> None:
        """Back to the file and the process that were there."""
        try:
            if self._swap.restore():
                self._note("rollback", "done", f"{self._swap.path} is what it was")
            if running and not self._machine.runs():
                self._machine.start()
                self._note("rollback", "done", "Caddy was started with it again")
        except (CaddyError, OSError) as error:
            self._note("rollback", "failed", f"{error}; look at {self._swap.path} and its newest .bak file")

    def _firewall(self, opened: Sequence[Ports], *, dry_run: bool) -> None:
        here = firewall.active(self._run)
        listed = ", ".join(each.text("-") for each in opened)
        if here is None:
            self._note("firewall", "advice", f"none that this knows is at work here; let in {listed}")
        elif dry_run:
            self._note("firewall", "would", f"have {here} let in {listed}")
        else:
            try:
                firewall.let_in(self._run, here, opened)
            except CaddyError as error:
                raise CaddyError(f"{error}; all else is done, and {here} must let in {listed}") from error
            self._note("firewall", "done", f"{here} lets in {listed}")
        self._note("provider", "advice", "a firewall of your provider must let in the same")

    def _change(self, before: str, after: str) -> str:
        lines = difflib.unified_diff(
            before.splitlines(), after.splitlines(), str(self._swap.path), "what it would be", lineterm=""
        )
        return "\n".join(("", *lines)) if before != after else f"{self._swap.path} is as it should be"

    def _note(self, step: str, outcome: Outcome, detail: str) -> None:
        self.steps.append(Step(step, outcome, detail))
