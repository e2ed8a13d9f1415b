"""What ``--version --json`` and ``version`` tell about this build."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import import_module, metadata

from mesh_common.client.address import pinned_socket
from mesh_common.version import VERSION
from myownmesh.cli.errors import CliError
from myownmesh.daemon import needs
from myownmesh.store.errors import StoreError
from myownmesh.store.paths import Home

IMPLEMENTATION = "myownmesh-python"
"""What `myownmesh version` says to tell this implementation from the reference."""
_LIBRARIES = ("aiortc", "aioice", "trio", "uvloop", "trio-websocket", "msgspec", "pynacl", "coincurve")


def print_version(*, as_json: bool) -> None:
    """The release number, or build facts as JSON (spec 09 §3.1). Raises `CliError` where the daemon could not serve."""
    absent = needs.missing()
    if absent:
        raise CliError(needs.missing_text(absent))
    if not as_json:
        print(f"myownmesh {VERSION}")
        return
    commit, dirty = _stamp()
    facts = {
        "name": "myownmesh",
        "version": VERSION,
        "commit": commit,
        "dirty": dirty,
        "target": f"{sys.platform}-{platform.machine()}",
        "flavour": IMPLEMENTATION,
        "python": platform.python_version(),
    }
    print(json.dumps(facts, indent=2))


def _stamp() -> tuple[str | None, bool]:
    """Commit, and whether the tree was unclean, as the release builder wrote them into its copy of the package."""
    try:
        build = import_module("myownmesh._build")
    except ModuleNotFoundError:
        return None, False
    return build.COMMIT, build.DIRTY


def details() -> dict[str, object]:
    """Implementation, libraries and paths."""
    paths: dict[str, str | None] = {"executable": sys.argv[0], "python": sys.executable}
    try:
        home = Home.resolve(os.environ)
        paths |= {
            "home": str(home.root),
            "config": str(home.config),
            "control_socket": str(home.socket(pinned_socket(home.config))),
        }
    except StoreError:
        paths["home"] = None
    return {
        "name": "myownmesh",
        "version": VERSION,
        "implementation": IMPLEMENTATION,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "libraries": {name: _installed(name) for name in _LIBRARIES},
        "paths": paths,
    }


def run_self_test() -> dict[str, object]:
    """Whether the WebRTC stack of this installation works. Raises `CliError` naming the step that failed."""
    absent = needs.missing()
    if absent:
        raise CliError(f"self-test: {needs.missing_text(absent)}")
    from myownmesh.transport import SelfTestFailed, load_webrtc, run_guest
    from myownmesh.transport import self_test as webrtc_self_test

    async def main() -> dict[str, object]:
        factory = await load_webrtc()
        try:
            report = await webrtc_self_test(factory)
        finally:
            await factory.aclose()
        return {
            "open_ms": round(report.open_ms, 1),
            "restart_ms": round(report.restart_ms, 1),
            "close_ms": round(report.close_ms, 1),
        }

    try:
        return run_guest(main)
    except (SelfTestFailed, ImportError) as error:
        raise CliError(f"self-test: {error}") from error


def print_details(*, as_json: bool, self_test: bool = False) -> None:
    """Print `details`, for a person or for a program; with `self_test` also how the WebRTC stack did."""
    facts = details()
    if self_test:
        facts["self_test"] = run_self_test()
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for inner, text in value.items():
                print(f"  {inner + ':':<16}{text or 'not found'}")
        else:
            print(f"{name + ':':<18}{value}")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
