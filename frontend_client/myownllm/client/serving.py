"""Answering peers: a feature's function runs, and what it gives goes to the caller (spec 08 §9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.client.features import SINGLE_TIMEOUT_S, STREAM_TIMEOUT_S, CallRefusedError, InboundCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh_common.client.session import Session as Bridge
    from myownllm.client.features import Method
    from myownllm.client.messages import Serve


async def serve(bridge: Bridge, order: Serve, method: Method) -> str:
    """Run the method for an admitted call and send what comes.

    Returns why the caller must still be refused; empty when it has its answer, or when nothing can reach it.
    """
    request_id = order.call.request_id
    inbound = InboundCall(order.peer, order.call.method, order.call.payload)
    try:
        if method.stream is not None:
            with trio.fail_after(STREAM_TIMEOUT_S):
                await _send_pieces(bridge, request_id, method.stream(inbound))
            await bridge.command("rpc_stream_end", request_id=request_id)
        elif method.answer is not None:
            with trio.fail_after(SINGLE_TIMEOUT_S):
                result = await method.answer(inbound)
            await bridge.command("rpc_respond", request_id=request_id, ok=result)
    except CallRefusedError as error:
        return str(error)
    except trio.TooSlowError:
        return f"{method.name} took too long"
    except ControlError as error:
        return "" if error.refused or error.kind is ErrorKind.CONNECTION_LOST else error.text
    return ""


async def _send_pieces(bridge: Bridge, request_id: str, pieces: AsyncIterator[Any]) -> None:
    """One task sends everything and awaits each answer, so the order holds and the end is last (FE-9.9)."""
    try:
        async for piece in pieces:
            await bridge.command("rpc_stream_chunk", request_id=request_id, payload=piece)
    finally:
        await pieces.aclose()  # type: ignore[attr-defined]  # generators have it; plain iterators are not used
