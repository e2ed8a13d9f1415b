"""A stock aiortc data channel between two processes: what the machine gives without any mesh around it.

Prints one JSON object: ping-pong p50 of 64 bytes in ms, bulk of 16 KiB messages in MB/s.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

if TYPE_CHECKING:
    from aiortc import RTCDataChannel

CHUNK = b"z" * 16384
TOTAL_BYTES = 24 * 1024 * 1024
PINGS = 1000
LOW_WATER_BYTES = 256 * 1024


def connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def answer() -> None:
    """The child: echoes short messages, counts long ones and tells when all have come."""
    pc = connection()
    closed = asyncio.Event()

    @pc.on("datachannel")
    def opened(channel: RTCDataChannel) -> None:
        received = 0

        @channel.on("message")
        def message(data: bytes) -> None:
            nonlocal received
            if len(data) < len(CHUNK):
                channel.send(data)
                return
            received += len(data)
            if received >= TOTAL_BYTES:
                channel.send(b"all")

        @channel.on("close")
        def done() -> None:
            closed.set()

    offer = json.loads(await asyncio.to_thread(sys.stdin.readline))
    await pc.setRemoteDescription(RTCSessionDescription(**offer))
    await pc.setLocalDescription(await pc.createAnswer())
    print(json.dumps({"sdp": pc.localDescription.sdp, "type": "answer"}), flush=True)
    await asyncio.wait_for(closed.wait(), 60)
    await pc.close()


async def offer() -> dict[str, float]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "answer", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20
    )
    assert child.stdin is not None
    assert child.stdout is not None
    pc = connection()
    channel = pc.createDataChannel("raw")
    opened = asyncio.Event()
    inbox: asyncio.Queue[bytes] = asyncio.Queue()
    channel.on("open", opened.set)
    channel.on("message", inbox.put_nowait)
    await pc.setLocalDescription(await pc.createOffer())
    child.stdin.write(json.dumps({"sdp": pc.localDescription.sdp, "type": "offer"}).encode() + b"\n")
    await pc.setRemoteDescription(RTCSessionDescription(**json.loads(await child.stdout.readline())))
    await asyncio.wait_for(opened.wait(), 30)

    times = []
    for _ in range(PINGS):
        began = time.perf_counter()
        channel.send(b"p" * 64)
        await inbox.get()
        times.append(time.perf_counter() - began)
    times.sort()

    drained = asyncio.Event()
    channel.bufferedAmountLowThreshold = LOW_WATER_BYTES
    channel.on("bufferedamountlow", drained.set)
    began = time.perf_counter()
    for _ in range(TOTAL_BYTES // len(CHUNK)):
        channel.send(CHUNK)
        if channel.bufferedAmount > 4 * LOW_WATER_BYTES:
            drained.clear()
            await drained.wait()
    await asyncio.wait_for(inbox.get(), 60)
    took = time.perf_counter() - began
    channel.close()
    await pc.close()
    await child.wait()
    return {"ping_p50_ms": times[PINGS // 2] * 1e3, "bulk_mb_per_s": TOTAL_BYTES / took / 1e6}


if __name__ == "__main__":
    if sys.argv[1:] == ["answer"]:
        asyncio.run(answer())
    else:
        print(json.dumps(asyncio.run(offer())))
