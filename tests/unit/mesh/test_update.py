"""What an update leaves alone when the request does not mention it (spec 05 W23)."""

from __future__ import annotations

from myownmesh.mesh.update import kept_from
from myownmesh.store.network_config import NetworkConfig, SignalingConfig

STORED = NetworkConfig(
    id="n",
    network_id="n",
    label="Home",
    kind="silent",
    pinned_peers=("p",),
    auto_approve=True,
    signaling=SignalingConfig(servers=("wss://one",), mdns=False, redundancy=2, unknown={"later": 1}),
    unknown={"founder": "f"},
)


def test_members_that_only_we_care_about_survive() -> None:
    kept = kept_from(STORED, NetworkConfig(id="n", network_id="n"), frozenset({"id", "network_id"}))
    assert (kept.kind, kept.pinned_peers, kept.unknown) == ("silent", ("p",), {"founder": "f"})
    assert (kept.signaling.mdns, kept.signaling.redundancy, kept.signaling.unknown) == (False, 2, {"later": 1})


def test_what_the_stock_gui_clears_by_leaving_it_out_is_cleared() -> None:
    kept = kept_from(STORED, NetworkConfig(id="n", network_id="n"), frozenset({"id", "network_id"}))
    assert (kept.label, kept.auto_approve, kept.signaling.servers) == ("", False, ())


def test_what_the_request_says_wins() -> None:
    record = NetworkConfig(id="n", network_id="n", kind="open", signaling=SignalingConfig(mdns=True))
    kept = kept_from(STORED, record, frozenset({"id", "network_id", "kind", "signaling", "signaling.mdns"}))
    assert (kept.kind, kept.signaling.mdns) == ("open", True)
