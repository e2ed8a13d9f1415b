"""What this device tells of itself, and when it tells it again (spec 08 FE-7.1, FE-9.13). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm import capabilities
from myownllm.client import asks, claims
from myownllm.client.messages import Note
from myownllm.client.procedures import Until, pause
from myownllm.peers import CONNECTED

if TYPE_CHECKING:
    from myownllm.client.life import Life
    from myownllm.client.procedures import Procedure
    from myownllm.client.registry import Registry
    from myownllm.client.state import Picture

DEBOUNCE_S: Final = 0.5
DEBOUNCE_MAX: Final = 20
"""Changes that are waited for before they are told although there is no end to them."""
LOOK_S: Final = 600.0
"""So often the sources are asked although none of them said anything."""
AGAIN_S: Final = 10.0
"""After a push that the daemon refused."""


def keep(life: Life, registry: Registry, picture: Picture, app_version: str) -> Procedure[None]:
    """Tell what has changed, half a second after the last change; for as long as the life is up.

    The reference's daemon tells a newcomer what it knew when their handshake began, and puts its own advert in the
    place of ours when its services change: there the same is told again, to whoever comes and now and then.
    """
    if not life.wire_id:
        return  # nobody to tell
    while True:
        yield Until(lambda: life.advert_changes > 0 or life.advert_told != _listeners(picture), LOOK_S)
        here = _listeners(picture)
        if not life.advert_changes and life.advert_told > here:  # somebody has left
            life.advert_told = here
            continue
        if picture.state.daemon_home is None and (here - life.advert_told or not life.advert_changes):
            life.published = None
        for _ in range(DEBOUNCE_MAX):
            seen = life.advert_changes
            yield _silence(life, seen)
            if life.advert_changes == seen:
                break
        life.advert_changes = 0
        if not (yield from push(life, registry, picture, app_version)):
            yield pause(AGAIN_S)
            life.advert_changes += 1


def _listeners(picture: Picture) -> frozenset[str]:
    """Peers that need to be told again; nobody with a daemon of ours, which keeps the advert and tells it by itself."""
    if picture.state.daemon_home is not None:
        return frozenset()
    return frozenset(p.device_pubkey for p in picture.state.peers if p.status in CONNECTED)


def _silence(life: Life, seen: int) -> Until:
    return Until(lambda: life.advert_changes != seen, DEBOUNCE_S)


def push(life: Life, registry: Registry, picture: Picture, app_version: str) -> Procedure[bool]:
    """Tell peers what is different from what they know. False when the daemon refused."""
    try:
        named = {"label": (yield from asks.label())}
    except ControlError as error:
        if error.kind is ErrorKind.CONNECTION_LOST:
            raise
        named = {}  # peers go on calling this device what its hello said
    blob, dropped = capabilities.fitted({**registry.blob(picture.state.accepting, app_version), **named})
    if life.published is not None and blob == life.published.told:
        return True
    life.advert_told = _listeners(picture)
    try:
        yield from asks.ask("capabilities_set", network=life.wire_id, capabilities=capabilities.pack(blob))
    except ControlError as error:
        if error.kind is ErrorKind.CONNECTION_LOST:
            raise
        yield Note("warn", f"capabilities were not published: {claims.reason(error)}")
        return error.kind is ErrorKind.UNSUPPORTED  # an old daemon will not learn it
    if dropped:
        yield Note("warn", f"{dropped} models are not told to peers: the list is longer than a mesh frame")
    life.published = capabilities.read(blob)
    picture.update(published=life.published)
    return True
