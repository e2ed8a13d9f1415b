"""Joins what the daemon and what an app advertise about this device (spec 05 W28, 10 §2.2).

The reference lets whoever came last overwrite the other; here the tags and the members of `extra` of both stay.
"""

from __future__ import annotations

import msgspec

from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.capabilities import Capabilities, CapabilitiesTooLarge, checked

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def merge(service: Capabilities, app: Capabilities | None) -> Capabilities:
    """The advert to show: the app's, with the daemon's service tags and `extra.services` added.

    Raises `MeshError` when it does not fit into a hello.
    """
    if app is None:
        merged = service
    else:
        own = [tag for tag in service.tags if tag not in app.tags]
        merged = Capabilities(
            tags=(*own, *app.tags),
            app_version=app.app_version if app.app_version is not None else service.app_version,
            max_connections=app.max_connections,
            extra=_merge_extra(service.extra, app.extra),
        )
    try:
        return checked(merged)
    except CapabilitiesTooLarge as error:
        raise MeshError(str(error)) from error


def _merge_extra(service: msgspec.Raw | None, app: msgspec.Raw | None) -> msgspec.Raw | None:
    if service is None or app is None:
        return app if service is None else service
    if not bytes(app).lstrip().startswith(b"{"):
        return app  # an app's extra that is no object has no room for ours
    return msgspec.Raw(msgspec.json.encode(_decode_members(service) | _decode_members(app)))
