"""The command line that brings an extra fits whoever installed us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh_common.installation import how_to_add

if TYPE_CHECKING:
    from pathlib import Path

UV = "home = /usr/bin\nuv = 0.9.1\n"
PLAIN = "home = /usr/bin\ninclude-system-site-packages = false\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "{prefix}/bin/python -m pip install 'myownllm-mesh[daemon]'"),
        ({"pyvenv.cfg": PLAIN}, "{prefix}/bin/python -m pip install 'myownllm-mesh[daemon]'"),
        (
            {"pyvenv.cfg": PLAIN, "pipx_metadata.json": "{}"},
            "pipx install --force 'myownllm-mesh[daemon]'",
        ),
        (
            {"pyvenv.cfg": UV, "pipx_metadata.json": "{}"},  # pipx with uv as its backend
            "pipx install --force 'myownllm-mesh[daemon]'",
        ),
        ({"pyvenv.cfg": UV, "uv-receipt.toml": ""}, "uv tool install 'myownllm-mesh[daemon]'"),
        ({"pyvenv.cfg": UV}, "uv pip install --python {prefix}/bin/python 'myownllm-mesh[daemon]'"),
        (
            {"pyvenv.cfg": UV, "../CACHEDIR.TAG": ""},
            "uvx --from 'myownllm-mesh[daemon]' …",
        ),
        ({"pyvenv.cfg/": ""}, "{prefix}/bin/python -m pip install 'myownllm-mesh[daemon]'"),
    ],
)
def test_the_hint_fits_the_installation(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    prefix = tmp_path / "environment"
    prefix.mkdir()
    for name, text in files.items():
        if name.endswith("/"):
            (prefix / name).mkdir()
        else:
            (prefix / name).write_text(text)
    said = how_to_add("daemon", prefix=prefix, executable=f"{prefix}/bin/python", stdlib=tmp_path)
    assert said == expected.format(prefix=prefix)


@pytest.mark.parametrize("is_virtual", [False, True])
def test_a_python_of_the_system_is_changed_only_on_purpose(tmp_path: Path, *, is_virtual: bool) -> None:
    """pip refuses there (PEP 668), but in a virtual environment made from it."""
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    prefix = tmp_path / "prefix"
    prefix.mkdir()
    if is_virtual:
        (prefix / "pyvenv.cfg").write_text(PLAIN)
    said = how_to_add("daemon", prefix=prefix, executable="/usr/bin/python3", stdlib=tmp_path)
    switch = "" if is_virtual else "--break-system-packages "
    assert said == f"/usr/bin/python3 -m pip install {switch}'myownllm-mesh[daemon]'"


def test_a_path_with_a_blank_is_quoted(tmp_path: Path) -> None:
    said = how_to_add("daemon", prefix=tmp_path, executable="/home/My Name/bin/python", stdlib=tmp_path)
    assert said == "'/home/My Name/bin/python' -m pip install 'myownllm-mesh[daemon]'"
