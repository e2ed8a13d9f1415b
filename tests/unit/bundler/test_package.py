"""The package as importers see it."""

from __future__ import annotations

from importlib.metadata import version

import mesh_bundler


def test_the_version_is_that_of_the_distribution() -> None:
    assert mesh_bundler.__version__ == version("myownllm-mesh")


def test_every_public_name_can_be_had() -> None:
    for name in mesh_bundler.__all__:
        assert getattr(mesh_bundler, name) is not None
