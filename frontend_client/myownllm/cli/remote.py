"""`myownllm remote`: the screen for browsers of the local network: where it is, who is there, a code for one more."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any, Final

import typer

from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.cli.pictures import print_picture
from myownllm.errors import FAILURES, AppError

ANSWER_S: Final = 20.0
"""A port that has just been asked for opens in a moment."""


def remote(
    pair: Annotated[bool, typer.Option("--pair", help="Show a code that lets one browser in.")] = False,
    kick: Annotated[str | None, typer.Option(metavar="ID", help="Put a browser out; `all` of them.")] = None,
    as_json: Json = False,
) -> None:
    """Show the screen for browsers of the local network; `settings remote on` opens it."""
    try:
        if pair and kick is not None:
            raise AppError("either --pair or --kick")
        if kick is not None:
            told = context.ask_app(context.home(), "remote_kick", ANSWER_S, id=None if kick == "all" else kick)
        else:
            told = context.ask_app(context.home(), "remote_pair" if pair else "remote", ANSWER_S)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer(told)
    elif kick is not None:
        print(f"{told['ended']} {'browser needs' if told['ended'] == 1 else 'browsers need'} a code now.")
    else:
        _show(told)


def _show(told: dict[str, Any]) -> None:
    if not told["running"]:
        print(context.shown(told["reason"], 500) or "The remote screen is off: `myownllm settings remote on` opens it.")
        return
    addresses = told["addresses"]
    print("Open one of these on a device of the same network:" if addresses else "This machine has no local network.")
    for url in addresses:
        print(f"  {url}")
    if addresses and sys.stdout.isatty():
        print_picture(addresses[0])
    if "code" in told:
        code = told["code"]
        left = max(0, round((told["code_until_ms"] / 1000 - time.time()) / 60))
        print(f"Pairing code: {code[:4]} {code[4:]} (for one browser, {left} minutes)")
    elif told["code_voided"]:
        print("Too many wrong codes were typed: the last one is void.")
    for guest in told["guests"]:
        where = context.shown(guest["address"], 60) or "not seen since the app began"
        print(f"Browser {guest['id']}: {'here' if guest['is_here'] else 'away'}, {where}")
