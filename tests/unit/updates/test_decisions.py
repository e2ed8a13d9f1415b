"""Every case of the updater's vectors, against the pure parts of the updater."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_common.semver import SemVer
from myownmesh.updates.decision import Verdict, decide, newer
from myownmesh.updates.foreign import artifacts
from myownmesh.updates.offers import FeedError, Offer, asset_name, newest, read_feed
from myownmesh.updates.owner import manager_of
from support.vectors import load
from unit.bundler.vectors import cases, names

UPDATER = load("control-socket", "updater")


def each(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases(name), ids=names(name))


@each("update_policy")
def test_update_policy(case: Any) -> None:
    found = decide(
        policy=case["policy"],
        current=case["current"],
        candidate=case["candidate"],
        channel=case["channel"],
        quarantined=case.get("quarantined", ()),
        managed=case.get("managed", False),
    )
    assert found == case["expect"]


@pytest.mark.parametrize("case", UPDATER["policy_allows"], ids=lambda case: f"{case['policy']}-{case['candidate']}")
def test_what_a_policy_allows_is_what_v0_3_8_takes(case: Any) -> None:
    """But for `none`, under which v0.3.8 stages nothing although it says that it does (spec 10 §5)."""
    found = decide(policy=case["policy"], current=case["current"], candidate=case["candidate"])
    assert (found is Verdict.STAGE_AND_APPLY) == case["allowed"]
    assert (found is Verdict.STAGE_ONLY) == (case["policy"] == "none")


@pytest.mark.parametrize("case", UPDATER["compare"], ids=lambda case: f"{case['a']}-{case['b']}")
def test_compare(case: Any) -> None:
    a, b = SemVer.parse(case["a"]), SemVer.parse(case["b"])
    assert a is not None
    assert b is not None
    assert (a.precedence > b.precedence) - (a.precedence < b.precedence) == case["sign"]
    assert newer(case["a"], case["b"]) is (case["sign"] < 0)
    assert newer(case["b"], case["a"]) is (case["sign"] > 0)


@pytest.mark.parametrize("text", ["", "x", "0.3", "v0.4.0"])
def test_what_is_no_version_is_never_newer(text: str) -> None:
    assert not newer("0.3.8", text)
    assert not newer(text, "0.3.9")


@each("install_kind")
def test_install_kind(case: Any) -> None:
    assert case["os"] == "linux", "no other system's paths are told apart"
    assert ("raw" if manager_of(case["path"]) is None else "package_manager") == case["expect"]


def test_the_owner_of_a_path_has_a_name() -> None:
    assert manager_of("/nix/store/abc/bin/myownmesh") == "Nix"
    assert manager_of("/opt/myownmesh/myownmesh") is None


@each("release_feed")
def test_release_feed(case: Any) -> None:
    asset = asset_name(case["platform"]) if "platform" in case else None
    if isinstance(case["expect"], dict):
        with pytest.raises(FeedError) as caught:
            newest(case["channel"], case["body"], asset)
        assert caught.value.code == case["expect"]["error"]
    else:
        assert str(newest(case["channel"], case["body"], asset).version) == case["expect"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000])
def test_a_feed_that_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(FeedError) as caught:
        read_feed(body)
    assert caught.value.code == "feed_malformed"


@pytest.mark.parametrize("rows", [5, [5], [{"name": 5}], [{"name": "a", "browser_download_url": 5}], [None]])
def test_odd_files_of_a_release_are_none(rows: object) -> None:
    assert newest("stable", {"tag_name": "v1.0.0", "assets": rows}, None).files == {}


def test_a_release_that_is_a_draft_is_none() -> None:
    with pytest.raises(FeedError) as caught:
        newest("stable", {"tag_name": "v1.0.0", "draft": True}, None)
    assert caught.value.code == "no_usable_release"


def test_a_list_on_beta_and_nothing_else() -> None:
    with pytest.raises(FeedError) as caught:
        newest("beta", {"tag_name": "v1.0.0"}, None)
    assert caught.value.code == "feed_malformed"


def test_a_bad_row_costs_only_itself() -> None:
    rows: list[object] = [5, None, {"tag_name": 5}, {"tag_name": "v9.9.9/../x"}, {"tag_name": "v0.3.9"}]
    assert newest("beta", rows, None).tag == "v0.3.9"


@each("asset_pick")
def test_asset_pick(case: Any) -> None:
    wanted = asset_name(case["platform"])
    files = {name: "" for each in case["assets"] for name in (each, f"{each}.sha256")}
    assert Offer(SemVer(0, 3, 9), "v0.3.9", files).has(wanted) == (case["expect"] is not None)
    assert case["expect"] in (wanted, None)


def test_a_folder_has_an_asset_of_its_own() -> None:
    assert asset_name("linux-x86_64", folder=True) == "dir-myownmesh-linux-x86_64.tar.gz"


@each("pending_marker")
def test_pending_marker(case: Any) -> None:
    assert artifacts(case["doc"]) == [tuple(row) for row in case["expect"]]


@pytest.mark.parametrize("document", [None, [], 5, {"artifacts": 5}, {"artifacts": [5, {"kind": "gui", "path": 5}]}])
def test_an_odd_marker_has_nothing_staged(document: object) -> None:
    assert artifacts(document) == []
