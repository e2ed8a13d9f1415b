"""When each authority was heard last: for a person who asks who is still there to decide (`ctl governance who`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from myownmesh.engine import ruling

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant

WRITTEN_S: Final = 3600
"""The disk has it to the hour: a link that comes and goes must not rewrite a large log each time."""


def note(core: Core, device_id: str, now: Instant) -> None:
    """A device was heard; authorities are remembered."""
    government, at = core.government, now.wall_ms // 1000
    government.note_heard(device_id, at)
    book = government.book
    if device_id in government.heard and at - book.heard.get(device_id, 0) >= WRITTEN_S:
        kept = {device: last for device, last in book.heard.items() if book.standing.is_authority(device)}
        ruling.take(core, replace(book, heard={**kept, device_id: at}), now)


def last_heard(core: Core) -> dict[str, int]:
    """Bare ids of authorities to Unix seconds."""
    return {**core.government.book.heard, **core.government.heard}
