"""The command line as typer wants it: options made from the members of the request, and a command as one function."""

from __future__ import annotations

import inspect
import os
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh_bundler import report
from mesh_bundler.durations import seconds
from mesh_bundler.progress import reporter
from mesh_bundler.request import EnsureRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_AROUND: dict[str, tuple[Any, object]] = {
    "json": (Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")], False),
    "verbose": (
        Annotated[bool, typer.Option("--verbose", "-v", help="Also what was passed over without a warning.")],
        False,
    ),
    "progress": (Annotated[str, typer.Option(help="auto, json or none.")], "auto"),
}
"""Options that say how a command talks: (annotation, default)."""


@dataclass(frozen=True)
class Invocation:
    """One command under way: what was asked for, and where answers go."""

    request: EnsureRequest
    console: report.Console


@dataclass(frozen=True)
class Around:
    """What stood before the command's name: options that belong to every command."""

    console: report.Console
    repo_root: Path
    tool: str | None

    @classmethod
    def of(cls, color: str, *, repo_root: Path | None, tool: str | None, **said: bool) -> Around:
        """From the options before the command: `json`, `quiet` and `verbose` are in `said`."""
        coloured = color == "always" or (color == "auto" and sys.stderr.isatty() and "NO_COLOR" not in os.environ)
        return cls(report.Console(**said, colour=coloured), (repo_root or Path.cwd()).absolute(), tool)

    def run(self, values: dict[str, Any]) -> Invocation:
        """The command's own options, joined with these."""
        said = {name: bool(values.pop(name, False)) for name in ("json", "quiet", "verbose")}
        console = replace(self.console, **{name: getattr(self.console, name) or said[name] for name in said})
        request = EnsureRequest(
            repo_root=(values.pop("repo_root", None) or self.repo_root).absolute(),
            tool=self.tool,
            on_notice=console.notice,
        )
        if "progress" in values:
            wanted = values.pop("progress")
            values["on_progress"] = reporter("none" if console.quiet and wanted == "auto" else wanted)
        if "sibling" in values:
            values["sibling"] = tuple(values["sibling"] or ())
        return Invocation(replace(request, **values), console)


def command(
    app: typer.Typer, name: str, text: str, options: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command: it is called with its `Invocation` and the parameters of its own.

    `options` names the members of the request, and of how a command talks, that can be said.
    """

    def register(body: Callable[..., None]) -> Callable[..., None]:
        own = parameters(body)[1:]

        def called(context: typer.Context, **values: Any) -> None:
            mine = {parameter.name: values.pop(parameter.name, parameter.default) for parameter in own}
            around: Around = context.obj
            body(around.run(values), **mine)

        app.command(name, help=text)(asking(called, options, own))
        return called

    return register


def parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    """The parameters of a function, annotations evaluated."""
    return list(inspect.signature(function, eval_str=True).parameters.values())


def asking(called: Callable[..., None], options: str, own: Iterable[inspect.Parameter]) -> Callable[..., None]:
    """A function of a context and anything else, with the signature that makes typer ask for these options."""
    context = inspect.Parameter("context", _KEYWORD, annotation=typer.Context)
    asked = (parameter(option) for option in options.split())
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads
        [context, *asked, *(one.replace(kind=_KEYWORD) for one in own)]
    )
    return called


_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_MEMBERS = {member.name: member for member in fields(EnsureRequest)}


def parameter(name: str) -> inspect.Parameter:
    """The parameter that typer makes an option of this name from."""
    if name in _AROUND:
        annotation, default = _AROUND[name]
        return inspect.Parameter(name, _KEYWORD, default=default, annotation=annotation)
    member = _MEMBERS[name]
    names = {"Annotated": Annotated, "Option": typer.Option, "Path": Path, "seconds": seconds}
    annotation, default = eval(str(member.type), names), member.default
    if default == ():  # typer repeats an option into a list
        annotation, default = Annotated[list[str] | None, *annotation.__metadata__], None
    elif default == 0.0 and default is not False:
        default = "0"  # shown as it stands, and parsed like what is typed
    return inspect.Parameter(name, _KEYWORD, default=default, annotation=annotation)
