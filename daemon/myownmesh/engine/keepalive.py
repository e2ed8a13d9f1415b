"""Is an admitted link alive? Only inbound frames say so (spec 01 §8, 04 §7.5, §7.10)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from myownmesh.engine import lifecycle, pace, restarting
from myownmesh.engine.clockwatch import WINDOW, median, skew_sample
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.life import Turn
from myownmesh.engine.links import PathState
from myownmesh.engine.peer import Handshaking, Mark, OpenLink, Pending
from myownmesh.engine.timers import LinkTimer, NetworkTimer
from myownmesh.engine.timing import (
    ANSWER_DUE_S,
    HEALTHY_SILENCE_S,
    HEARTBEAT_INTERVAL_S,
    LIVE_NUDGE_S,
    PROBE_MIN_GAP_S,
    PROBE_WAIT_S,
    RESTART_IN_FLIGHT_S,
    SILENCE_LIMIT_S,
    STALE_INBOUND_S,
    SUSPICION_WAIT_RTTS,
    SUSPICION_WAIT_S,
)
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Ping, Pong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Link, Live, Peer
    from myownmesh.protocol.clock import Instant

_ALIVE_PATHS = (PathState.CHECKING, PathState.CONNECTED, PathState.COMPLETED)


def ping(core: Core, peer: Live, now: Instant) -> None:
    _ping(core, peer, encode_frame(Ping(t=now.wall_ms)), now)


def _ping(core: Core, peer: Live, data: bytes, now: Instant) -> None:
    peer.upkeep.last_ping = (now.wall_ms, now.mono)
    core.send_encoded(peer, Ping.KIND, data)


def pong_s(peer: Live) -> float:
    """How long its pong may take by what is known of the way there and back; 0 while nothing is."""
    return SUSPICION_WAIT_RTTS * (peer.upkeep.rtt_ms or 0) / 1000


def receive_ping(core: Core, peer: Live, frame: Ping, now: Instant) -> None:
    """Answer at once; a positive time is also a sample of the peer's clock."""
    core.send(peer, Pong(t=frame.t), now)
    if frame.t > 0:
        upkeep = peer.upkeep
        if upkeep.skew_samples is None:
            upkeep.skew_samples = deque(maxlen=WINDOW)
        upkeep.skew_samples.append(skew_sample(frame.t, upkeep.rtt_ms, now.wall_ms))
        upkeep.clock_skew_ms = median(upkeep.skew_samples)


def receive_pong(peer: Live, frame: Pong, now: Instant) -> None:
    """Only the answer to our latest ping measures anything."""
    if peer.upkeep.last_ping is not None and peer.upkeep.last_ping[0] == frame.t:
        by_wall_ms = max(0, now.wall_ms - frame.t)
        by_mono_ms = round((now.mono - peer.upkeep.last_ping[1]) * 1000)
        peer.upkeep.rtt_ms = min(by_wall_ms, by_mono_ms)  # the wall clock may have been set meanwhile


def rest(core: Core, now: Instant) -> None:
    """Until the next heartbeat."""
    core.last_beat = now
    core.timers.set(NetworkTimer.HEARTBEAT, "", now.mono + HEARTBEAT_INTERVAL_S)


def beat(core: Core, now: Instant) -> None:
    """The heartbeat: ping everybody, look at our clock, drop whom nobody heard for 90 s."""
    rest(core, now)
    pace.look(core, now)
    if core.is_offline:
        return
    live = core.live_peers()
    data = encode_frame(Ping(t=now.wall_ms))
    for peer in live:
        _ping(core, peer, data, now)
    if live:
        core.timers.set(NetworkTimer.PONGS_DUE, "", now.mono + ANSWER_DUE_S)
    _watch_clock(core, live, now)
    dropped = False
    for peer in live:
        silence = silent_for(peer, now.mono)
        if silence is not None and silence > SILENCE_LIMIT_S:
            core.diag(now, "warn", "heartbeat", f"{short_id(peer.device_id)} is silent", {"peer": peer.device_id})
            lifecycle.drop(core, peer.device_id, Turn.SILENT, now)
            dropped = True
    if dropped:
        core.nudge(now)


def silent_for(peer: Peer, mono: float) -> float | None:
    """Seconds since its last accepted frame; None when none ever came."""
    if not isinstance(peer, OpenLink) or peer.channel.last_recv is None:
        return None
    return mono - peer.channel.last_recv


def is_healthy(peer: OpenLink, mono: float) -> bool:
    """An open channel on a path that works, with a recent frame: no announce of ours is needed (spec 03 §10.3)."""
    silence = silent_for(peer, mono)
    return silence is not None and silence <= HEALTHY_SILENCE_S and not peer.transport.carrier.is_down


def is_waiting_on_a_path(peer: Peer) -> bool:
    """An open channel that nobody may use yet, on a path that works."""
    return isinstance(peer, Handshaking | Pending) and not peer.transport.carrier.is_down


def nudge(core: Core, peer: Live, now: Instant, *, newcomer: bool) -> None:
    """A live peer announced itself: it may wait for a frame before it drops the link, or it may be a fresh process."""
    upkeep = peer.upkeep
    is_news = newcomer and not upkeep.is_newcomer
    upkeep.is_newcomer = newcomer or (upkeep.is_newcomer and is_suspicious(peer))
    if is_news or upkeep.nudge is None or now.mono - upkeep.nudge.at >= LIVE_NUDGE_S:
        upkeep.nudge = Mark(now.mono, peer.channel.frames_in)
        ping(core, peer, now)
        patience = min(pong_s(peer), PROBE_WAIT_S)
        core.timers.set(LinkTimer.SUSPICION, peer.owner, now.mono + max(SUSPICION_WAIT_S, patience))


def is_suspicious(peer: Live) -> bool:
    """Announced itself, was pinged, and sent nothing since."""
    nudge = peer.upkeep.nudge
    return nudge is not None and peer.channel.frames_in == nudge.frames


def stale_for(peer: Link, mono: float) -> float | None:
    """Seconds without a frame, if they are so many that it is to be asked, or given up."""
    silence = silent_for(peer, mono)
    return silence if silence is not None and silence > STALE_INBOUND_S else None


def clear_zombie(core: Core, peer: Link, now: Instant) -> bool:
    """Drop a link that is silent over a dead path when its peer turns up in signaling; True when dropped."""
    silence = stale_for(peer, now.mono)
    if silence is None or _may_live(peer) or _recovering(peer, now.mono):
        return False
    core.diag(
        now,
        "info",
        "signaling",
        f"clearing the stale link to {short_id(peer.device_id)}",
        {"peer": peer.device_id, "stale_inbound_ms": round(silence * 1000)},
    )
    lifecycle.drop(core, peer.device_id, Turn.SILENT, now)
    return True


def probe(core: Core, peer: Live, now: Instant) -> None:
    """A live but long silent peer announced itself: see whether it answers in 1.5 s."""
    silence = stale_for(peer, now.mono)
    if silence is None or _recovering(peer, now.mono):
        return
    last = peer.upkeep.probe
    if last is not None and now.mono - last.at < PROBE_MIN_GAP_S:
        return
    core.diag(
        now,
        "debug",
        "signaling",
        f"probing {short_id(peer.device_id)}",
        {"peer": peer.device_id, "stale_inbound_ms": round(silence * 1000)},
    )
    upkeep = peer.upkeep
    upkeep.probe = Mark(now.mono, peer.channel.frames_in)
    if upkeep.nudge is None or upkeep.nudge.at != now.mono:
        ping(core, peer, now)
    core.timers.set(LinkTimer.PROBE, peer.owner, now.mono + PROBE_WAIT_S)


def judge_probe(core: Core, peer: Live, now: Instant) -> None:
    """The probe's time is over."""
    if peer.upkeep.probe is None or peer.channel.frames_in != peer.upkeep.probe.frames:
        return
    core.diag(
        now, "warn", "signaling", f"{short_id(peer.device_id)} did not answer the probe", {"peer": peer.device_id}
    )
    if peer.transport.carrier.is_up:  # it is there, and slow
        restarting.restart(core, peer, restarting.SILENT, now, forced=True)
        return
    lifecycle.drop(core, peer.device_id, Turn.SILENT, now)
    core.nudge(now)


def _recovering(peer: Link, mono: float) -> bool:
    recovery = peer.transport.recovery
    return recovery is not None and mono - recovery.since < RESTART_IN_FLIGHT_S


def _may_live(peer: Link) -> bool:
    return peer.transport.path in _ALIVE_PATHS or peer.transport.carrier.is_up


def _watch_clock(core: Core, live: Sequence[Live], now: Instant) -> None:
    estimates = [skew for peer in live if (skew := peer.upkeep.clock_skew_ms) is not None]
    estimate = median(estimates)
    match core.clock_watch.judge(estimate):
        case "warn":
            core.diag(
                now,
                "warn",
                "clock",
                "this device's clock differs from its peers'; set it, or signatures and times will be refused",
                {"skew_ms": estimate, "peers": len(estimates)},
            )
        case "clear":
            core.diag(now, "info", "clock", "this device's clock agrees with its peers' again", {"skew_ms": estimate})
