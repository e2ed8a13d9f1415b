"""Where metrics may be had over HTTP: on this machine alone (`daemon.metrics_bind`). Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_FORM: Final = "write 127.0.0.1:PORT or [::1]:PORT"


class BadBind(ValueError):
    """The text is a sentence that says what to write instead."""


def read_bind(value: object) -> tuple[str, int]:
    """Address and port, 0 for any. Raises `BadBind`."""
    shown = ascii(value)[:100]
    match = (
        re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+|localhost)):([0-9]{1,5})", value)
        if isinstance(value, str)
        else None
    )
    if match is None or int(match[3]) > 65_535:
        raise BadBind(f"daemon.metrics_bind: {shown} is no address and port; {_FORM}")
    host = "127.0.0.1" if match[2] == "localhost" else match[1] or match[2]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise BadBind(f"daemon.metrics_bind: {shown} is no address and port; {_FORM}") from None
    if not address.is_loopback:
        raise BadBind(f"daemon.metrics_bind: {shown} would tell other machines about this one; {_FORM}")
    return str(address), int(match[3])
