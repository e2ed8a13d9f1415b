"""`myownllm transcribe`: what is said in a recording, understood here or on another device."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.cli.peers import complete_peer
from myownllm.errors import FAILURES

INTERRUPTED = 130


def transcribe(
    file: Annotated[Path, typer.Argument(help="A WAV file of plain samples, at any rate.")],
    peer: Annotated[
        str | None,
        typer.Option(help="Who listens; left out: the pinned device, or this one.", autocompletion=complete_peer),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write down what is said in a recording, as it is understood. Ctrl-C ends it, also at the peer."""
    members: dict[str, Any] = {"path": str(file.absolute()), **({} if peer is None else {"peer": peer})}
    try:
        with context.asking_app(context.home(), "transcribe", None, **members) as answer:
            for segment in answer:
                if as_json:
                    context.print_json(segment)
                else:
                    print(f"{_moment(segment.get('start_ms'))}{context.shown(segment['text'], 4000)}", flush=True)
    except KeyboardInterrupt:
        sys.stderr.write("Cancelled.\n")
        raise SystemExit(INTERRUPTED) from None
    except FAILURES as error:
        context.fail(error, as_json=as_json)


def _moment(start_ms: int | None) -> str:
    if start_ms is None:
        return ""
    minutes, seconds = divmod(start_ms // 1000, 60)
    return f"[{minutes:02}:{seconds:02}] "
