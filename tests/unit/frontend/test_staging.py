"""The supervisor's way to the bundler, with a bundler that says what the test wants."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mesh_bundler.errors import Exit, Refused
from myownllm.supervisor.staging import StagingUnavailableError, stage

if TYPE_CHECKING:
    from pathlib import Path


async def test_progress_reaches_the_person_and_the_slot_the_supervisor(tmp_path: Path) -> None:
    def ensure(request: Any) -> Any:
        assert request.pin == "v0.3.8"
        assert request.dest == tmp_path
        for part in (0.0, 0.05, 0.5, 1.0):
            request.on_progress(SimpleNamespace(asset="a.tar.gz", fraction=part, finished=part == 1, text=lambda: "x"))
        request.on_notice(SimpleNamespace(level="warning", text="only the checksum was verified"))
        return SimpleNamespace(outcome="staged", version="0.3.8", slot=tmp_path / "myownmesh")

    said: list[str] = []
    assert await stage(tmp_path, "v0.3.8", said.append, ensure=ensure) == tmp_path / "myownmesh"
    assert said[0] == "no mesh daemon on this machine: fetching release v0.3.8"
    assert said.count("a.tar.gz: x") == 3
    assert "only the checksum was verified" in said


async def test_what_is_staged_already_is_no_news(tmp_path: Path) -> None:
    (tmp_path / "myownmesh-x").touch()

    def ensure(_: Any) -> Any:
        return SimpleNamespace(outcome="current", version="0.3.8", slot=tmp_path / "myownmesh-x")

    said: list[str] = []
    assert await stage(tmp_path, "v0.3.8", said.append, ensure=ensure) == tmp_path / "myownmesh-x"
    assert said == []


async def test_a_new_pin_over_an_old_daemon_is_told_when_its_download_begins(tmp_path: Path) -> None:
    (tmp_path / "myownmesh-x").touch()

    def ensure(request: Any) -> Any:
        for part in (0.0, 0.5):
            request.on_progress(SimpleNamespace(asset="a.tar.gz", fraction=part, finished=False, text=lambda: "x"))
        return SimpleNamespace(outcome="staged", version="0.3.9", slot=tmp_path / "myownmesh-x")

    said: list[str] = []
    await stage(tmp_path, "v0.3.9", said.append, ensure=ensure)
    assert said == [
        "no mesh daemon on this machine: fetching release v0.3.9",
        "a.tar.gz: x",
        "a.tar.gz: x",
        f"staged daemon 0.3.9 at {tmp_path / 'myownmesh-x'}",
    ]


async def test_a_refusal_keeps_its_sentence(tmp_path: Path) -> None:
    def ensure(_: Any) -> Any:
        raise Refused("network", Exit.NETWORK, "The release cannot be reached.", hint="Copy the asset into the cache.")

    with pytest.raises(StagingUnavailableError, match=r"cannot be reached\. Copy the asset"):
        await stage(tmp_path, "v0.3.8", lambda _: None, ensure=ensure)


async def test_a_stub_is_no_daemon(tmp_path: Path) -> None:
    def ensure(_: Any) -> Any:
        return SimpleNamespace(outcome="stub", version=None, slot=tmp_path)

    with pytest.raises(StagingUnavailableError, match="staged nothing"):
        await stage(tmp_path, "v0.3.8", lambda _: None, ensure=ensure)


async def test_without_a_pin_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(StagingUnavailableError, match=r"\.myownmesh-rev"):
        await stage(tmp_path, None, lambda _: None)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("NO_PROXY", "localhost,[::1]"), ("HTTPS_PROXY", "nonsense://x"), ("SSL_CERT_FILE", "/nonexistent/roots.pem")],
)
async def test_a_variable_that_the_downloader_cannot_use_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """With the real bundler: the app lives on, and its sentence says which variable it was."""
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(StagingUnavailableError, match=variable):
        await stage(tmp_path, "v0.3.8", lambda _: None)
