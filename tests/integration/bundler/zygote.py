"""A process that has everything imported and forks runs of `ensure` on request, so that killing hundreds is quick.

One JSON line in: `{"request": {...}, "die_at": n}`; one line out: the child's pid, then `done <status>` when it ended.
With `die_at` the child kills itself with SIGKILL at its n-th file operation, as seen by an audit hook. The first
request is carried out by the process itself, which has then imported and read what runs need: no child opens a module.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path

from mesh_bundler import EnsureRequest, Refused, ensure

_WATCHED = ("open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.chmod", "os.utime", "os.truncate")


def _die_at(count: int) -> None:
    seen = 0

    def hook(event: str, _arguments: object) -> None:
        nonlocal seen
        if event in _WATCHED:
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _child(order: dict[str, object]) -> int:
    members = dict(order["request"])  # type: ignore[call-overload]  # the order is JSON of our own
    if order.get("die_at"):
        _die_at(int(str(order["die_at"])))
    try:
        ensure(EnsureRequest(**(members | {"repo_root": Path(members["repo_root"])})))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return int(refused.exit_code)
    return 0


def main() -> None:
    print(f"done {_child(json.loads(sys.stdin.readline()))}", flush=True)
    gc.freeze()  # pages that no child touches need no copy
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_child(order))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(f"done {os.waitstatus_to_exitcode(status)}", flush=True)


main()
