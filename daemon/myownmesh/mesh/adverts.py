"""Joins what the daemon and what an app advertise about this device (spec 05 W28, 10 §2.2).

The reference lets whoever came last overwrite the other; here the tags and the members of `extra` of both stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from mesh_common.addresses import is_loopback, relay_address, usable
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.capabilities import Capabilities, CapabilitiesTooLarge, checked

if TYPE_CHECKING:
    from collections.abc import Iterable

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


class OwnRelay(Struct, frozen=True):
    """The relay that this device hosts and tells others of."""

    advertised: str
    here: str
    """Its address on this machine, where no router need turn packets around."""

    def is_among(self, servers: Iterable[str]) -> bool:
        """Whether one of these addresses is this relay, as far as can be seen."""
        own = relay_address(self.advertised), relay_address(self.here)
        return any(
            address in own or (address.port == own[1].port and is_loopback(address.host))
            for address in map(relay_address, usable(servers, relay_address))
        )


def own_relay(service: Capabilities, listen: str | None) -> OwnRelay | None:
    """The hosted relay, by what the daemon advertises and where it listens; None if others are told of none."""
    if service.extra is None or listen is None:
        return None
    advertised = msgspec.json.decode(service.extra)["services"].get("signaling_url")
    if not isinstance(advertised, str):
        return None
    host, _, port = listen.rpartition(":")
    anywhere = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
    return OwnRelay(advertised, f"ws://{anywhere.get(host, host)}:{port}")


def _merge_extra(service: msgspec.Raw | None, app: msgspec.Raw | None) -> msgspec.Raw | None:
    if service is None or app is None:
        return app if service is None else service
    if not bytes(app).lstrip().startswith(b"{"):
        return app  # an app's extra that is no object has no room for ours
    return msgspec.Raw(msgspec.json.encode(_decode_members(service) | _decode_members(app)))
