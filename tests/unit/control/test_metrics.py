"""Counters over all networks, and where metrics may be had."""

from __future__ import annotations

import pytest

from mesh_common.views import Lane, Traffic
from myownmesh.control.departed import summed
from myownmesh.control.metrics_bind import BadBind, read_bind


def test_traffic_of_several_networks_is_one_and_theirs_stays() -> None:
    first, second = Traffic(announces_rx=3), Traffic(announces_rx=4)
    first.app_tx, second.app_tx = Lane(1, 10), Lane(2, 20)
    whole = summed([first, second])
    assert (whole.app_tx, whole.announces_rx, first.app_tx) == (Lane(3, 30), 7, Lane(1, 10))


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("127.8.8.8:0", ("127.8.8.8", 0)),
        ("localhost:1", ("127.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_where_metrics_may_be_had(text: str, bind: tuple[str, int]) -> None:
    assert read_bind(text) == bind


@pytest.mark.parametrize("text", ["0.0.0.0:9464", "[::]:9464", "192.168.1.5:80", "[fe80::1]:80", "[::ffff:1.2.3.4]:1"])
def test_other_machines_are_told_nothing(text: str) -> None:
    with pytest.raises(BadBind, match=r"would tell other machines about this one; write 127\.0\.0\.1:PORT"):
        read_bind(text)


@pytest.mark.parametrize(
    "text", ["", "9464", "127.0.0.1", "127.0.0.1:65536", "example.com:80", "[::1:80", "300.1.1.1:5", 9464, None, {}]
)
def test_what_is_no_address_is_said(text: object) -> None:
    with pytest.raises(BadBind, match="is no address and port"):
        read_bind(text)
