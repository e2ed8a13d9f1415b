"""The small process of `support.warm`. It loads next to nothing: its start is what a command costs."""

import os
import signal
import socket
import sys

HEAD_BYTES = 8


def main() -> None:
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[1])
    folder = os.getcwd()  # noqa: PTH109 - without loading pathlib
    order = repr((sys.argv[2:], dict(os.environ), folder)).encode("ascii", "backslashreplace")
    socket.send_fds(server, [len(order).to_bytes(HEAD_BYTES, "big")], [0, 1, 2])
    server.sendall(order)
    child = int.from_bytes(server.recv(HEAD_BYTES), "big")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    for descriptor in (0, 1, 2):
        os.close(descriptor)  # or a reader would not see that the command has closed its streams
    status = int.from_bytes(server.recv(HEAD_BYTES), "big", signed=True)
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


main()
