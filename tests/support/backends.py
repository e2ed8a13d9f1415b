"""Tests of what runs under trio and under asyncio: each of them runs under both."""

from __future__ import annotations

import inspect
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import anyio
import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BACKENDS = ("trio", "asyncio")


def under_both(async_fn: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test as an anyio program, once per backend; one that hangs is ended by its timeout, with its stack."""

    @wraps(async_fn)
    def test(backend: str, **fixtures: Any) -> None:
        anyio.run(partial(async_fn, **fixtures), backend=backend)

    signature = inspect.signature(async_fn)
    backend = inspect.Parameter("backend", inspect.Parameter.KEYWORD_ONLY)
    test.__signature__ = signature.replace(  # type: ignore[attr-defined]  # pytest reads it
        parameters=[*signature.parameters.values(), backend]
    )
    return pytest.mark.parametrize("backend", BACKENDS)(test)
