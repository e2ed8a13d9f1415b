"""A system of its own under systemd: private processes, mounts, control groups and network, on this machine's files.

Nothing that happens in it is seen outside: its root is an overlay in memory, and all of it ends with the block.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import define

from support.tools import absent, excused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S: Final = 60.0
SYSTEMD: Final = Path("/lib/systemd/systemd")
REPOSITORY: Final = Path(__file__).parents[2]
PROGRAM: Final = "/opt/mesh/bin/myownmesh"
"""The daemon's command in there, where a service of the system can see it."""

_INSIDE = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$BOX"
mkdir -p "$BOX/up" "$BOX/work" "$BOX/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$BOX/up,workdir=$BOX/work" "$BOX/root"
R=$BOX/root
mount -t proc proc $R/proc
mount -t sysfs -o ro sysfs $R/sys
mount -t cgroup2 cgroup2 $R/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $R/run
mount -t tmpfs -o mode=1777 tmpfs $R/tmp
mount -t tmpfs -o mode=755 tmpfs $R/dev
for each in null zero full random urandom tty; do touch $R/dev/$each; mount --bind /dev/$each $R/dev/$each; done
mkdir -p $R/dev/shm $R/dev/pts $R/dev/mqueue
mount -t devpts -o newinstance,ptmxmode=666 devpts $R/dev/pts
mount -t tmpfs -o mode=1777 tmpfs $R/dev/shm
mount -t mqueue mqueue $R/dev/mqueue
ln -s pts/ptmx $R/dev/ptmx
ln -s /proc/self/fd $R/dev/fd
mkdir -p $R/opt/mesh/python $R/opt/mesh/site $R/opt/mesh/repository $R/opt/mesh/bin
mount --bind "$PYTHON" $R/opt/mesh/python
mount --bind "$SITE" $R/opt/mesh/site
mount --bind "$REPOSITORY" $R/opt/mesh/repository
# An interpreter with a library of its own names its old place, which a service's user does not see.
echo /opt/mesh/python/lib > $R/etc/ld.so.conf.d/00-mesh.conf
chroot $R ldconfig
printf '%s' "$SCRIPT" > $R/opt/mesh/bin/myownmesh
chmod 755 $R/opt/mesh $R/opt/mesh/bin $R/opt/mesh/bin/myownmesh
rm -rf $R/etc/machine-id $R/etc/systemd/system $R/var/lib/myownmesh $R/var/lib/private
rm -rf $R/var/lib/systemd/linger $R/root/.myownmesh $R/root/.config/systemd
mkdir -p $R/etc/systemd/system
echo 0123456789abcdef0123456789abcdef > $R/etc/machine-id
printf '[Unit]\\nDescription=nothing but what a test starts\\n' > $R/etc/systemd/system/multi-user.target
ln -s multi-user.target $R/etc/systemd/system/default.target
cd $R
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=mesh-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$SYSTEMD" --system \
  --log-level=warning --log-target=null --show-status=no
"""

_SCRIPT = """#!/opt/mesh/python/bin/{interpreter} -I
import os, sys
places = ["/opt/mesh/repository/daemon", "/opt/mesh/repository/common", "/opt/mesh/site"]
sys.path[:0] = places
os.environ["PYTHONPATH"] = ":".join(places)  # of its workers
from myownmesh.cli import main
sys.exit(main())
"""


def _cgroups() -> Path | None:
    """Where the unified control groups are."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def _missing() -> list[str]:
    programs = [*absent("unshare", "nsenter", "pivot_root", "systemctl"), *([] if SYSTEMD.exists() else [str(SYSTEMD)])]
    root = [] if os.geteuid() == 0 else ["root"]
    groups = [] if _cgroups() is not None else ["unified control groups"]
    return [*excused(programs), *root, *groups]


needs_systemd: Final = pytest.mark.skipif(
    bool(_missing()),
    reason=f"SYSTEMD CANNOT RUN HERE ({', '.join(_missing())} is missing), so the service was not tried: "
    "run the tests as root; scripts/test installs the rest on Debian (apt-get install systemd)",
)
"""In CI only a machine that gives nobody root, or has no unified control groups, is an excuse."""


@define
class Box:
    """The system, seen from outside."""

    pid: int

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of root's in it, to its end."""
        return subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--", *words],
            env={"PATH": "/opt/mesh/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def said(self, *words: str) -> str:
        """What a command says that must succeed."""
        ran = self.run(*words)
        assert ran.returncode == 0, (words, ran.stdout, ran.stderr)
        return ran.stdout

    def shows(self, unit: str, *properties: str) -> list[str]:
        """Properties of a unit, in this order."""
        told = dict(
            line.split("=", 1)
            for line in self.said("systemctl", "show", unit, f"--property={','.join(properties)}").splitlines()
        )
        return [told[name] for name in properties]


@contextlib.contextmanager
def systemd_box(folder: Path) -> Iterator[Box]:
    """A system that has started; `folder` is empty and in no memory file system's way."""
    cgroups = _cgroups()
    assert cgroups is not None
    group = cgroups / f"mesh-test-{os.getpid()}"
    group.mkdir()
    environ = {
        **os.environ,
        "BOX": str(folder),
        "PYTHON": sys.base_prefix,
        "SITE": sysconfig.get_path("purelib"),
        "REPOSITORY": str(REPOSITORY),
        "SCRIPT": _SCRIPT.format(interpreter=Path(os.path.realpath(sys.executable)).name),
        "SYSTEMD": str(SYSTEMD),
        "GROUP": str(group),
    }
    spaces = ("--pid", "--mount", "--cgroup", "--uts", "--ipc", "--net", "--fork", "--kill-child")
    process = subprocess.Popen(
        ["sh", "-c", 'echo $$ > "$GROUP/cgroup.procs"; exec unshare "$@"', "sh", *spaces, "sh", "-c", _INSIDE],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield _started(process)
    finally:
        process.kill()  # and the kernel the first process in there, and so all of them
        process.communicate()
        _remove_groups(group)


def _started(process: subprocess.Popen[bytes]) -> Box:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        if process.poll() is not None:
            assert process.stderr is not None
            why = process.stderr.read().decode(errors="replace").strip()
            if any(text in why for text in ("not permitted", "denied", "Read-only")):
                pytest.skip(
                    f"THE KERNEL LETS NOBODY HAVE A SYSTEM OF HIS OWN HERE, so the service was not tried: {why}"
                )
            raise AssertionError(f"systemd did not start: {why}")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            box = Box(int(children[0]))
            if box.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"):
                return box
        assert time.monotonic() < deadline, "systemd did not get ready"
        time.sleep(0.05)


def _remove_groups(group: Path) -> None:
    """Once the last process in it is gone, which the kernel does not wait for."""
    deadline = time.monotonic() + PATIENCE_S
    while group.exists():
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        assert time.monotonic() < deadline, f"{group} is still in use"
        time.sleep(0.02)


def status(box: Box, program: str = PROGRAM) -> dict[str, Any] | None:
    """What root hears from the daemon, at the place where a service's socket is; None while nobody answers."""
    ran = box.run(program, "ctl", "--timeout", "5", "status")
    answer: dict[str, Any] | None = json.loads(ran.stdout) if ran.returncode == 0 else None
    return answer


def the_next(
    box: Box, before: dict[str, Any], program: str = PROGRAM, *, patience_s: float = PATIENCE_S
) -> dict[str, Any]:
    """The daemon that comes behind another one."""

    def came() -> dict[str, Any] | None:
        now = status(box, program)
        return now if now is not None and now["instance"] != before["instance"] else None

    return until(came, "the daemon is back", patience_s)


def until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """What it returns, as soon as that is something."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.1)
    return found
