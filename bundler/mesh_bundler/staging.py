"""`ensure`: make the slot hold the pinned daemon, or refuse (spec 09 §5, §6).

The shell around `decision.decide`: it gathers facts, carries out the one action that was decided, and asks again when
the action taught it something. Synchronous on purpose (build scripts call it); a trio program runs it in a thread and
passes `cancelled`.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from mesh_bundler import decision
from mesh_bundler.decision import decide
from mesh_bundler.errors import Exit, Notice, Refused
from mesh_bundler.run import Cancelled, Run
from mesh_bundler.store import Store, cache_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mesh_bundler.client import Limits
    from mesh_bundler.decision import Decision, Facts
    from mesh_bundler.obtain import Obtainer
    from mesh_bundler.request import EnsureRequest
    from mesh_bundler.result import EnsureResult

__all__ = ["Cancelled", "ensure", "examine"]

_MAX_ROUNDS = 12
"""Every round removes a step; more would be a bug, not bad luck."""


def ensure(request: EnsureRequest, *, limits: Limits | None = None) -> EnsureResult:
    """Make the slot hold the pinned daemon.

    Raises `Refused` when nothing may be staged (the old content of the slot stays) and `Cancelled`.
    """
    run = Run(request)
    try:
        return _ensure(run, limits)
    except Refused as refused:
        refused.context = run.result("error", None).to_json()
        raise


def examine(request: EnsureRequest, *, check: bool = False) -> tuple[EnsureResult, Refused | None]:
    """What `ensure` would do first, without network and without a write: the result and what would stop it."""
    run = Run(request, check=check)
    answer, facts = _first_answer(run)
    run.remark(answer)
    if isinstance(answer.action, decision.Keep):
        noted = facts.record
        assert noted is not None
        return run.from_record("current", noted, answer), None
    refusal = answer.action.refusal if isinstance(answer.action, decision.Fail) else None
    outcome = "skipped" if isinstance(answer.action, decision.Skip) and not answer.action.stub else "would_stage"
    source = {
        decision.StageFile: getattr(answer.action, "source", None),
        decision.StageRelease: "release",
        decision.Adopt: "release",
        decision.BuildSource: "source",
    }.get(type(answer.action))
    return run.result(outcome, answer, source=source), refusal


def _first_answer(run: Run) -> tuple[Decision, Facts]:
    facts = run.gather.facts(Store(cache_root(run.caller.env)))
    answer = decide(run.plan.pin, run.plan.policy, facts)
    if isinstance(answer.action, decision.Hash):
        facts = run.gather.hashed(facts)
        answer = decide(run.plan.pin, run.plan.policy, facts)
    return answer, facts


def _ensure(run: Run, limits: Limits | None) -> EnsureResult:
    # Nearly every run ends here: no lock, no write, no network.
    answer, facts = _first_answer(run)
    if isinstance(answer.action, decision.Keep):
        run.remark(answer)
        return _kept(run, facts, answer)
    if isinstance(answer.action, decision.Fail) and answer.action.refusal.exit_code is not Exit.NETWORK:
        run.remark(answer)
        raise answer.action.refusal
    with run.locked(run.plan.slot.lock_path):
        run.plan.slot.sweep()
        with contextlib.ExitStack() as until_done:
            return _carry_out(run, limits, until_done)


def _carry_out(run: Run, limits: Limits | None, until_done: contextlib.ExitStack) -> EnsureResult:
    """Do what is decided; what fails becomes a fact, and the decision is asked again."""
    # Steps are loaded when they are taken: a run that finds everything in place needs none of them.
    store = run.store()
    facts = run.gather.facts(store)
    obtainer: Obtainer | None = None
    for _ in range(_MAX_ROUNDS):
        run.checkpoint()
        answer = decide(run.plan.pin, run.plan.policy, facts)
        run.remark(answer)
        match answer.action:
            case decision.Hash():
                facts = run.gather.hashed(facts)
            case decision.Adopt(stage_key=key):
                from mesh_bundler.adopt import adopt

                adopted = adopt(run, facts, key)
                if adopted is not None:
                    return run.from_record("current", adopted, answer)
                facts = replace(facts, adoption_failed=True)
            case decision.StageRelease() as release:
                from mesh_bundler.stage_release import obtaining, stage_release

                if obtainer is None:
                    obtainer = until_done.enter_context(obtaining(run, store, limits))
                try:
                    return stage_release(run, obtainer, release, answer)
                except Refused as refusal:
                    if refusal.exit_code in (Exit.FILES, Exit.LOCK, Exit.USAGE):
                        raise
                    facts = replace(facts, release_failure=refusal)
            case decision.BuildSource() as build:
                from mesh_bundler.stage_file import stage_build

                try:
                    return stage_build(run, build, answer)
                except Refused as refusal:
                    facts = replace(facts, build_failure=refusal)
            case decision.Keep():
                return _kept(run, facts, answer)
            case decision.StageFile() as file:
                from mesh_bundler.stage_file import stage_file

                return stage_file(run, file, answer)
            case decision.Skip(stub=stub):
                if stub:
                    run.plan.slot.write_stub(move_aside=False)
                return run.result("skipped", answer)
            case decision.Stub() as stub_action:
                return _stub(run, stub_action, answer)
            case decision.Fail(refusal=refusal):
                raise refusal
    raise AssertionError(f"the decision did not end within {_MAX_ROUNDS} rounds")


def _kept(run: Run, facts: Facts, answer: Decision) -> EnsureResult:
    noted = facts.record
    assert noted is not None
    assert facts.slot is not None
    if facts.slot.mtime_ns != noted.mtime_ns:  # touched, same bytes: remember the new time
        noted = replace(noted, mtime_ns=facts.slot.mtime_ns)
        with contextlib.suppress(Refused):
            run.plan.slot.refresh_record(noted)
    return run.from_record("current", noted, answer)


def _stub(run: Run, stub: decision.Stub, answer: Decision) -> EnsureResult:
    slot = run.plan.slot
    if stub.write:
        aside = slot.write_stub(move_aside=stub.move_aside)
        where = f" The old daemon is at {aside}." if aside is not None else ""
        why = f"({stub.cause.code}): the app has no bundled daemon."
        text = f"{slot.path} is an empty placeholder {why}{where}"
    else:
        text = f"{slot.path} keeps its old daemon, as asked; it is not the pinned one."
    # The outcome itself, so not a row of `warnings`.
    run.caller.on_notice(Notice("stub_written", text, fields={"slot": str(slot.path)}))
    return run.result("stub", answer)
