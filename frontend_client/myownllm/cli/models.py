"""Commands about models: ask one, see which there are, pin the device that answers."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from mesh_common.streams import words
from mesh_common.tables import columns
from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.cli.peers import complete_peer
from myownllm.coerce import as_object
from myownllm.errors import FAILURES, AppError
from myownllm.inference.picks import PURPOSES
from myownllm.inference.pins import Pins

ANSWER_S = 10.0
"""The app knows these things; it asks nobody."""
STDIN_MAX_CHARS = 4 * 2**20
"""No model reads more (FE-9.16)."""
_CHOICES = {"o": "allow_once", "a": "always_accept", "l": "accept_all", "d": "deny"}


def complete_model(incomplete: str) -> list[str]:
    """Models that the running app knows, for the shell's completion."""
    try:
        listed = context.ask_app(context.home(), "models", 2.0)["models"]
    except FAILURES:
        return []
    return [m["id"] for m in listed if m["id"].startswith(incomplete)]


def complete_purpose(incomplete: str) -> list[str]:
    return [p for p in PURPOSES if p.startswith(incomplete)]


def infer(
    prompt: Annotated[
        list[str] | None, typer.Argument(help="The question; `-` stands for what comes on stdin. Left out: stdin.")
    ] = None,
    peer: Annotated[
        str | None, typer.Option(help="The device that is to answer.", autocompletion=complete_peer)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model: `tag`, or `tag@device`.", autocompletion=complete_model)
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Any device with a model of this family: this one, else the best that can.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="What the model is told before the question.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest answer.")] = None,
    function: Annotated[
        list[str] | None,
        typer.Option(help="Let the model use `shell`, `write_file` or `read_file` here; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a model and print its answer as it comes. Ctrl-C ends it, also at the device that answers.

    Without --peer, --model and --family the pinned device answers, or this one.
    """
    try:
        if family and (peer or model):
            raise AppError("a --family is looked for on every device: name it alone, or name --peer or --model")
        messages = [{"role": "user", "content": _prompt(prompt)}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        members: dict[str, Any] = {
            "messages": messages,
            "peer": peer or "",
            "model": model or "",
            "family": family or "",
        }
        members["functions"] = function or []
        members["options"] = {} if max_tokens is None else {"max_tokens": max_tokens}
        _converse(members, as_json=as_json)
    except FAILURES as error:
        context.fail(error, as_json=as_json)


def _prompt(given: list[str] | None) -> str:
    text = "\n".join(_from_stdin() if part == "-" else part for part in given or ["-"]).strip()
    if not text:
        raise AppError('there is no question; write it as `myownllm infer "…"`, or send it to stdin')
    return text


def _from_stdin() -> str:
    """All of it; on a terminal somebody has to be told that it is waited for. Raises AppError."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write("Write the question; Ctrl-D on a line of its own sends it, Ctrl-C leaves.\n")
        sys.stderr.flush()
    text = sys.stdin.read(STDIN_MAX_CHARS + 1)
    if len(text) > STDIN_MAX_CHARS:
        raise AppError(f"the question is longer than {STDIN_MAX_CHARS} characters, the most that a model is asked")
    return text


def _converse(members: dict[str, Any], *, as_json: bool) -> None:
    text, finish = "", "stop"
    source: dict[str, Any] = {}
    with context.asking_app(context.home(), "infer", None, **members) as answer:
        for item in answer:
            words.work_is_done()
            match item:
                case {"from": dict(source)}:
                    pass
                case {"delta": str(delta)}:
                    text += delta
                    _show(delta, item, as_json=as_json)
                case {"finish_reason": str(finish)}:
                    pass
                case {"wants": dict(prompt)}:
                    _decide(prompt)
                case {"ran": {"name": str(name), "literal": str(literal), "result": str(result)}}:
                    sys.stderr.write(f"[{name}: {context.shown(literal)} → {context.shown(result, 100)}]\n")
                case _:
                    _show("", item, as_json=as_json)
    if as_json:
        context.print_answer({"response": text, "finish_reason": finish, **source})
    elif not text.endswith("\n"):
        sys.stdout.write("\n")
    if finish == "length" and not as_json:
        sys.stderr.write("(the answer was cut off: it reached its longest)\n")


def _show(text: str, item: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        context.print_json(item)
        return
    if sys.stdout.isatty():  # nothing that a model writes may steer the terminal
        text = "".join(c if c in "\n\t" else context.shown(c) for c in text)
    sys.stdout.write(text)
    sys.stdout.flush()


def _decide(prompt: dict[str, Any]) -> None:
    """Ask the person whether the model may; where there is nobody to ask the answer is no."""
    choice = "deny"
    sys.stderr.write(
        f"\nThe model wants to use {prompt.get('tool')}: {context.shown(str(prompt.get('literal')), 2000)}\n"
    )
    if sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write("[o]nce, [a]lways exactly this, a[l]l of it, [d]eny? ")
        sys.stderr.flush()
        choice = _CHOICES.get(sys.stdin.readline().strip().lower()[:1], "deny")
    else:
        sys.stderr.write("Denied: there is no terminal to ask at; `myownllm policy` allows it beforehand.\n")
    context.ask_app(context.home(), "gate_answer", ANSWER_S, id=prompt.get("id"), choice=choice)


def models(
    token: Annotated[bool, typer.Option("--token", help="Only say the key that the local API wants.")] = False,
    as_json: Json = False,
) -> None:
    """Show the models of this device and of its peers, and where programs find them."""
    try:
        if token:
            from myownllm.api.settings import ApiSettings  # its room brings the server along

            sections = context.catalog_file(context.home()).load().sections
            key = ApiSettings.read(sections).bearer_token
            if as_json:
                context.print_answer({"token": key})
            else:
                print(key or "The local API wants no key (`api.bearer_token`).")
            return
        known = context.ask_app(context.home(), "models", ANSWER_S)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer(known)
        return
    rows = [_row(as_object(entry)) for entry in known["models"]]
    if rows:
        print(columns(rows, ["model", "device", "state", "context"]))
    else:
        print("No model here or at a connected device.")
    for reason in (known["runtime"]["reason"], known["api"]["reason"]):
        if reason:
            print(context.shown(reason, 500))
    if known["api"]["url"]:
        print(f"Programs find these models at {known['api']['url']}")


def _row(entry: dict[str, Any]) -> list[str]:
    ours = as_object(entry.get("myownllm"))
    length = ours.get("context_length")
    device = context.shown(str(entry.get("owned_by")), 40)
    return [context.shown(str(entry.get("id")), 80), device, str(ours.get("state", "")), str(length or "")]


def pin(
    purpose: Annotated[
        str | None,
        typer.Argument(help="text, transcribe or tp; left out: show the pins.", autocompletion=complete_purpose),
    ] = None,
    peer: Annotated[str | None, typer.Argument(help="The device that answers.", autocompletion=complete_peer)] = None,
    clear: Annotated[bool, typer.Option("--clear", help="This device answers again.")] = False,
    as_json: Json = False,
) -> None:
    """Choose the device that answers questions for which none is named. It counts also while that device is away."""
    pins = Pins(context.home().pins_file)
    try:
        if purpose is not None and (peer is not None or clear):
            if purpose not in PURPOSES:
                raise AppError(f"unknown purpose '{purpose}'; there are {', '.join(PURPOSES)}")
            if peer is not None and clear:
                raise AppError("either a device or --clear")
            key = None if peer is None else context.session().peer(peer, rostered=True).device_pubkey
            pins.set(purpose, key)
            words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    known = pins.all()
    if as_json:
        context.print_answer({"pins": known})
    else:
        print("\n".join(f"{p}: {_called(known[p])}" for p in PURPOSES if p in known) or "No device is pinned.")


def _called(device: str) -> str:
    """A pinned device, by its label where that is known."""
    try:
        found = context.session().peer(device, rostered=True)
    except FAILURES:
        return f"{device[:8]}…"
    return f"{context.shown(found.label, 40)} ({device[:8]}…)"
