"""The daemon's and the app's advert side by side (spec 05 W28)."""

from __future__ import annotations

import msgspec
import pytest

from myownmesh.mesh.adverts import merge, own_relay
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.capabilities import Capabilities

SERVICE = Capabilities(
    tags=("service:signaling",), app_version="0.3.8", extra=msgspec.Raw(b'{"services":{"signaling":{"port":4848}}}')
)


def decoded(advert: Capabilities) -> object:
    return None if advert.extra is None else msgspec.json.decode(advert.extra)


def test_without_an_app_the_daemon_speaks_alone() -> None:
    assert merge(SERVICE, None).tags == ("service:signaling",)


def test_both_tag_lists_and_both_extras_stay() -> None:
    app = Capabilities(tags=("app:llm", "service:signaling"), app_version="9.1", extra=msgspec.Raw(b'{"models":["m"]}'))
    merged = merge(SERVICE, app)
    assert merged.tags == ("app:llm", "service:signaling")
    assert merged.app_version == "9.1"
    assert decoded(merged) == {"services": {"signaling": {"port": 4848}}, "models": ["m"]}


def test_the_version_of_the_daemon_fills_the_gap() -> None:
    assert merge(SERVICE, Capabilities(tags=("app:llm",))).app_version == "0.3.8"


def test_an_extra_that_is_no_object_stays_the_apps() -> None:
    assert decoded(merge(SERVICE, Capabilities(extra=msgspec.Raw(b"[1,2]")))) == [1, 2]


def test_an_advert_that_would_break_every_hello_is_refused() -> None:
    with pytest.raises(MeshError, match=r"^capabilities too large$"):
        merge(SERVICE, Capabilities(extra=msgspec.Raw(b'"' + b"x" * 50_000 + b'"')))


HOSTED = Capabilities(extra=msgspec.Raw(b'{"services":{"signaling_url":"wss://relay.example.org"}}'))


@pytest.mark.parametrize(
    ("listen", "here"),
    [
        ("0.0.0.0:4848", "ws://127.0.0.1:4848"),
        ("[::]:4848", "ws://[::1]:4848"),
        ("192.0.2.7:4848", "ws://192.0.2.7:4848"),
    ],
)
def test_the_hosted_relay_is_met_on_this_machine_unless_it_is_configured_anyway(listen: str, here: str) -> None:
    own = own_relay(HOSTED, listen)
    assert own is not None
    assert own.here == here
    assert own.is_among(["wss://other.example", "wss://relay.example.org:443/"])
    assert own.is_among(["ws://localhost:4848"])
    assert not own.is_among(["ws://localhost:4849", "nonsense"])


def test_a_relay_that_nobody_is_told_of_is_not_met() -> None:
    assert own_relay(SERVICE, "0.0.0.0:4848") is None
    assert own_relay(HOSTED, None) is None
    assert own_relay(Capabilities(), "0.0.0.0:4848") is None
