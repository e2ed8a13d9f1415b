"""The network settings in the link of an invitation (spec 11 §1.1); all else in it is the daemon's to judge."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

import msgspec

from myownllm.catalog.envelope import import_envelope
from myownllm.coerce import as_object

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject

PREFIX: Final = "myownllm://join#"


def settings_in(text: str) -> JsonObject | None:
    """The settings (FE-6.8) of a link that a daemon has found good; None for a text that is none.

    STUN servers that it does not name are the usual ones.
    """
    compact = "".join(text.split())
    if compact[: len(PREFIX)].lower() == PREFIX:
        compact = compact[len(PREFIX) :]
    try:
        link = msgspec.json.decode(base64.urlsafe_b64decode(compact + "=" * (-len(compact) % 4)))
    except (binascii.Error, msgspec.DecodeError, ValueError):
        return None
    network = as_object(as_object(link).get("network"))
    settings = import_envelope(msgspec.json.encode(network))
    if settings is not None and "stun_servers" not in network:
        del settings["stun_servers"]
    return settings
