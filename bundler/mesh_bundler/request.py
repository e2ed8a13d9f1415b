"""What a caller asks for. The command line takes its options from the annotations here, one place for a new one.

They are texts until `options` reads them, so that this module costs no import of typer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Annotated

    from typer import Option

    from mesh_bundler.durations import seconds
    from mesh_bundler.errors import Notice
    from mesh_bundler.progress import Progress


def _nothing(_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class EnsureRequest:
    """What to stage and what is allowed. Every member has the default of the command line.

    `repo_root` None means: there is no repository (an app at run time), so no pin file, no configuration and no
    sibling. `cancelled` is asked between chunks and waits; when it answers True the run ends with `Cancelled`.
    """

    repo_root: Annotated[Path | None, Option(help="The app's repository. Default: the current folder.")] = None
    tool: Annotated[str | None, Option(help="Which tool, when the configuration describes several.")] = None
    target: Annotated[str | None, Option(help="Target triple. Default: TARGET and friends, else this machine.")] = None
    dest: Annotated[Path | None, Option(help="Folder of the slot.")] = None
    pin: Annotated[str | None, Option(help="The pin itself, instead of a pin file.")] = None
    pin_file: Annotated[str | None, Option(help="Name of the pin file.")] = None
    plain_name: Annotated[bool, Option(help="Slot name without the triple, as in a finished bundle.")] = False
    bin: Annotated[str | None, Option(help="Use this binary, whatever its version.")] = None
    skip: Annotated[bool, Option("--skip", help="Leave the daemon out.")] = False
    require: Annotated[bool, Option(help="Release mode: no sibling, no source build, no stub.")] = False
    dev: Annotated[bool, Option(help="Development mode, also when CI is set.")] = False
    no_sibling: Annotated[bool, Option("--no-sibling", help="Do not look at sibling checkouts.")] = False
    sibling: Annotated[tuple[str, ...], Option(help="One more sibling build to look at; repeatable.")] = ()
    sibling_policy: Annotated[str | None, Option(help="exact or at-least.")] = None
    profile: Annotated[str | None, Option(help="Build profile of siblings to try first.")] = None
    offline: Annotated[bool, Option(help="Never touch the network.")] = False
    seed_dir: Annotated[Path | None, Option(help="Folder with assets fetched elsewhere.")] = None
    require_verification: Annotated[str | None, Option(help="lock, signature or checksum.")] = None
    allow_unbound_signature: Annotated[
        bool | None, Option(help="Accept signatures that name no version (default: tags up to v0.3.8).")
    ] = None
    trust_mirror_checksums: Annotated[bool, Option(help="Let a mirror vouch for its own files.")] = False
    allow_unpinned: Annotated[bool, Option(help="Without a pin, use a sibling of any version.")] = False
    allow_stub: Annotated[bool, Option(help="An empty slot instead of a failed build.")] = False
    keep_stale: Annotated[bool, Option(help="With --allow-stub: leave an older daemon in the slot.")] = False
    allow_source_build: Annotated[bool, Option(help="Build from source when there is no release.")] = False
    no_exec: Annotated[bool, Option("--no-exec", help="Do not run what lock or signature vouch for.")] = False
    wait_for_asset: Annotated[
        float, Option(help="How long to wait for an asset, e.g. 15m.", parser=seconds, metavar="<str>")
    ] = 0.0
    probe_timeout: Annotated[float | None, Option(help="Seconds for one --version.", min=1, max=120)] = None
    lock_timeout: Annotated[float | None, Option(help="Seconds to wait for another bundler.", min=0)] = None
    netrc: Annotated[bool, Option(help="Use logins from the netrc file.")] = False
    release_base: str | None = None
    api_base: str | None = None
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    on_notice: Callable[[Notice], None] = _nothing
    on_progress: Callable[[Progress], None] = _nothing
    cancelled: Callable[[], bool] = lambda: False
