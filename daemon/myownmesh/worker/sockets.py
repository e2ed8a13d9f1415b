"""Listening sockets as workers want them: bound, never waiting, with errors that name the address."""

from __future__ import annotations

import errno
import socket

from mesh_common.addresses import without_brackets

BACKLOG = 4096
"""Everybody comes back at once when a relay was restarted; the system may allow less."""


class CannotListen(OSError):
    """The sentence, `strerror`, names transport and address."""


def open_stream_listener(bind: str, port: int) -> socket.socket:
    """A TCP listener. Raises `CannotListen`."""
    family, host = resolved(bind)
    listener = bound(family, socket.SOCK_STREAM, host, port, bind)
    listener.listen(BACKLOG)
    return listener


def resolved(bind: str) -> tuple[socket.AddressFamily, str]:
    """The first address of a name, or the address itself, with or without brackets. Raises `CannotListen`."""
    name = without_brackets(bind)
    try:
        family, _, _, _, address = socket.getaddrinfo(name, None, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise CannotListen(errno.EINVAL, f"'{bind}' is neither an address of this machine nor a name of one") from error
    return family, str(address[0])


def bound(
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    host: str,
    port: int,
    bind: str,
    *,
    buffer_bytes: int | None = None,
) -> socket.socket:
    """A socket at this place; `bind` is what the person called it. Raises `CannotListen`."""
    made = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if buffer_bytes is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        made.bind((host, port))
        made.setblocking(False)
    except OSError as error:
        made.close()
        transport = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        raise CannotListen(error.errno, f"cannot listen on {transport} {bind}:{port}: {error.strerror}") from error
    return made
