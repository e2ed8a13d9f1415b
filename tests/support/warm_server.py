"""The process of `support.warm` that has a program loaded and forks its commands.

Arguments: the path of its socket, and the program. It says `ready`, and ends with its standard input. A command whose
small process is gone is killed, and so are all when this process ends.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import gc
import importlib
import os
import pkgutil
import select
import signal
import socket
import sys

HEAD_BYTES = 8
STREAMS = 3
LOADED = {
    "myownllm": ("myownllm.cli", "myownllm.door.client", "myownllm.health", "mesh_common.client.blocking"),
    "mesh-bundler": ("mesh_bundler", "httpx"),
    "myownmesh": (
        "myownmesh.daemon",
        "myownmesh.control",
        "myownmesh.mesh",
        "myownmesh.services",
        "myownmesh.signaling",
        "myownmesh.store",
    ),
}
MAIN = {"myownllm": "myownllm.cli", "mesh-bundler": "mesh_bundler.cli", "myownmesh": "myownmesh.cli"}
READY = "MYOWNMESH_READY_FD"
"""Names the descriptor, the one behind the standard streams, on which a daemon says that it is ready."""
MACHINE = "MESH_TESTS_MACHINE"
"""Names the network namespace that a command is to run in (`support.namespaces`); the command does not see it."""
NEW_MOUNTS, NEW_NETWORK = 0x00020000, 0x40000000  # unshare(2), setns(2)
SLAVE, RECURSIVE, DETACH = 1 << 19, 1 << 14, 2  # mount(2), umount2(2)


def load(program: str) -> None:
    for name in LOADED[program]:
        module = importlib.import_module(name)
        for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
            if not name.startswith("httpx") and not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    if program == "myownmesh":
        from myownmesh.signaling.preload import preload
        from myownmesh.transport.loading import import_backend

        preload()
        import_backend()


def serve(listener: socket.socket) -> list[str]:
    """Fork a command for everybody who connects. Returns in the children: with the words of their command."""
    waiting: dict[int, socket.socket] = {}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        readable, _, _ = select.select([0, reader, listener, *waiting.values()], [], [])
        if 0 in readable:
            for pid in waiting:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        if reader in readable:
            os.read(reader, 4096)
            while waiting:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                with contextlib.suppress(OSError), waiting.pop(pid) as client:
                    client.sendall(os.waitstatus_to_exitcode(status).to_bytes(HEAD_BYTES, "big", signed=True))
            continue  # who was waiting may be gone
        for pid, client in waiting.items():
            if client in readable:  # nothing more is ever said, so this is its end
                os.kill(pid, signal.SIGKILL)
        if listener not in readable:
            continue
        client, _ = listener.accept()
        order, streams = read_order(client)
        if order is None:
            for descriptor in streams:
                os.close(descriptor)
            client.close()
            continue
        if pid := os.fork():
            with contextlib.suppress(OSError):
                client.sendall(pid.to_bytes(HEAD_BYTES, "big"))
            for descriptor in streams:
                os.close(descriptor)
            waiting[pid] = client
            continue
        signal.set_wakeup_fd(-1)
        for number, descriptor in enumerate(streams[:STREAMS]):
            os.dup2(descriptor, number)
        for each in (listener, client, *waiting.values()):
            each.close()
        for descriptor in (reader, writer, *streams[:STREAMS]):
            os.close(descriptor)
        arguments, environ, folder = ast.literal_eval(order.decode("ascii"))
        if len(streams) > STREAMS:
            environ[READY] = str(streams[STREAMS])
        return become(arguments, environ, folder)


def read_order(client: socket.socket) -> tuple[bytes | None, list[int]]:
    """What somebody wants: arguments, environment and folder as text, and the standard streams, with one more at most.

    None instead of the text when its small process is gone before it has said all of it.
    """
    head, streams, _, _ = socket.recv_fds(client, HEAD_BYTES, STREAMS + 1)
    length, order = int.from_bytes(head, "big"), b""
    while len(order) < length:
        part = client.recv(length - len(order))
        if not part:
            return None, streams
        order += part
    return order or None, streams


def become(arguments: list[str], environ: dict[str, str], folder: str) -> list[str]:
    """Be the process that somebody wants."""
    if machine := environ.pop(MACHINE, ""):
        enter(machine)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, "r" if number == 0 else "w", closefd=False)  # noqa: SIM115 - a descriptor, for ever
        for number in range(3)
    )
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return arguments


def enter(machine: str) -> None:
    """What `ip netns exec` does before it runs a command: the network of that machine, and a /sys that shows it."""
    libc = ctypes.CDLL(None, use_errno=True)

    def done(result: int) -> None:
        if result:
            number = ctypes.get_errno()
            raise OSError(number, f"{machine} cannot be entered: {os.strerror(number)}")

    with open(f"/run/netns/{machine}", "rb") as space:  # noqa: PTH123 - as little as possible is loaded here
        done(libc.setns(space.fileno(), NEW_NETWORK))
    done(libc.unshare(NEW_MOUNTS))
    done(libc.mount(b"", b"/", b"none", SLAVE | RECURSIVE, None))
    libc.umount2(b"/sys", DETACH)
    done(libc.mount(machine.encode(), b"/sys", b"sysfs", 0, None))


def main() -> None:
    path, program = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for whoever runs the tests
    load(program)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    gc.collect()
    gc.freeze()  # pages that no child touches need no copy
    os.write(1, b"ready\n")
    sys.argv = [program, *serve(listener)]
    sys.exit(importlib.import_module(MAIN[program]).main())


main()
