"""What the screen of this machine answers from: beside the app, the pictures for its tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownllm.ui.calls import Desk

if TYPE_CHECKING:
    import trio

    from myownllm.ui.publisher import Publisher


class ScreenDesk(Desk, frozen=True):
    """Of the screen at 127.0.0.1, where everything may be done."""

    publisher: Publisher
    nursery: trio.Nursery
    """for what goes on when a request has been answered"""
