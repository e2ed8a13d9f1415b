"""One verdict for every screen: what stands on top, why, and what helps (spec 08 FE-10.1, FE-10.9)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from mesh_common.answers import StatusAnswer
from mesh_common.views import RelayRow, RelayTrouble, TwinRow
from myownllm import health
from myownllm.headline import Known, Sight, verdict

if TYPE_CHECKING:
    from myownllm.headline import Headline

SIGHT = Sight(handle="Home", phase="signaling-up")
DOWN = RelayRow("wss://r.example", False, "down", 0, RelayTrouble("unreachable", "connection refused"))
UP = RelayRow("wss://s.example", False, "up", 0)
NEW = RelayRow("wss://t.example", False, "connecting", 0)
WAITS = Known("pending_approval", "Pi")
ASKED = Known("pending_remote", "Pi")
ACTIVE = Known("active", "Pi")
AWAY = Known("offline", "Pi")
ON_THE_WAY = Known("handshaking", "Pi")


def said(**changes: Any) -> Headline:
    return verdict(structs.replace(SIGHT, **changes))


@pytest.mark.parametrize(
    ("changes", "level", "text", "why"),
    [
        ({"handle": None}, "bad", "No active network — pick one below", "networks add"),
        ({}, "good", "Online on Home — waiting for peer announces", ""),
        ({"relays": (UP, DOWN)}, "good", "Online on Home — waiting for peer announces", ""),
        ({"relays": (DOWN,)}, "bad", "Nobody can be found on Home — no relay serves", "connection refused"),
        ({"relays": (NEW,), "joining": True}, "waiting", "Opening signaling sockets on Home…", "t.example"),
        ({"joining": True}, "waiting", "Opening signaling sockets on Home…", "no relay of this network"),
        ({"relays": ()}, "bad", "Nobody can be found on Home", "it is met in the local network alone"),
        (
            {"relays": (), "peers": (ACTIVE,)},
            "bad",
            "Connected · Home · 1 peer · auto-healing ring — nobody new can be found",
            "no-only-lan",
        ),
        ({"relays": (), "lan": True}, "good", "Online on Home — waiting for peer announces", ""),
        (
            {"relays": (DOWN,), "lan": True},
            "bad",
            "Only devices in this local network can be found on Home — no relay serves",
            "refused",
        ),
        (
            {"relays": (DOWN,), "lan": True, "peers": (WAITS,)},
            "bad",
            "Pi wants to join Home — waiting for your approval — only devices in this local network can be found",
            "myownllm approve",
        ),
        (
            {"relays": (DOWN,), "lan": True, "peers": (ACTIVE,)},
            "bad",
            "Connected · Home · 1 peer · auto-healing ring — only devices in this local network can be found",
            "refused",
        ),
        ({"silent_app": 7}, "bad", "The app does not answer", "`kill -CONT 7`"),
        ({"put_out": True}, "bad", "This device was put out of Home", "ask who decides there"),
        ({"peers": (ACTIVE, AWAY)}, "good", "Connected · Home · 1 peer · auto-healing ring", ""),
        (
            {"peers": (ACTIVE,), "relays": (DOWN,)},
            "bad",
            "Connected · Home · 1 peer · auto-healing ring — nobody new",
            "refused",
        ),
        ({"peers": (ON_THE_WAY, WAITS)}, "good", "Peer found on Home — establishing WebRTC connection…", ""),
        ({"peers": (AWAY,)}, "good", "Online on Home — waiting for peer announces", ""),
        ({"peers": (WAITS, AWAY)}, "good", "Pi wants to join Home — waiting for your approval", "myownllm approve"),
        ({"peers": (WAITS, WAITS)}, "good", "2 devices want to join Home — waiting for your approval", "approve"),
        ({"peers": (ASKED,)}, "good", "Waiting for the approval of this device on Pi (Home)", "there, on Pi"),
        (
            {"peers": (Known("handshaking", "Pi", True),)},
            "bad",
            "Peers on Home cannot be reached directly and no TURN",
            "--turn",
        ),
        (
            {"peers": (Known("failed", "Pi", True),), "has_turn": True},
            "bad",
            "Peers on Home cannot be reached and TURN",
            "--turn",
        ),
        (
            {"phase": "error", "error": "cannot join 'Home': no"},
            "bad",
            "Mesh error: cannot join 'Home': no",
            "networks edit",
        ),
        (
            {"phase": "starting", "error": "it has not answered `status` yet"},
            "waiting",
            "Joining Home…",
            "not answered",
        ),
        ({"joined": False}, "waiting", "Joining Home…", "about to join"),
        (
            {"daemon": "absent", "daemon_reason": "the shared mesh daemon is gone"},
            "waiting",
            "Joining Home…",
            "is gone",
        ),
        ({"daemon": "absent"}, "waiting", "Joining Home…", "looked for"),
        (
            {"daemon": "silent", "daemon_reason": "the mesh daemon does not answer"},
            "waiting",
            "Waiting for the mesh daemon on Home…",
            "does not answer",
        ),
        (
            {"daemon": "silent", "is_shared": True},
            "waiting",
            "Waiting for the mesh daemon on Home…",
            "app that it belongs to",
        ),
        (
            {"daemon": "failed", "daemon_reason": "no mesh daemon to start"},
            "bad",
            "Mesh error: no mesh daemon to start",
            "daemon retry",
        ),
        ({"app_running": False}, "bad", "The app is not running — its daemon is on Home, 0 devices", "myownllm up"),
        ({"app_running": False, "joined": False}, "bad", "Not running — 'Home' is joined as soon as", "myownllm up"),
        ({"handle": None, "daemon": "failed", "daemon_reason": "no program"}, "bad", "Mesh error: no program", "retry"),
        ({"app_running": False, "daemon": "absent"}, "bad", "Not running — 'Home' is joined as soon as", "myownllm up"),
        (
            {"twin": TwinRow(proved=True, stands_aside=False)},
            "bad",
            "Another device uses this device's identity on Home",
            "copied home",
        ),
    ],
)
def test_the_headline_its_reason_and_the_next_step(changes: dict[str, Any], level: str, text: str, why: str) -> None:
    told = said(**changes)
    assert told.level == level
    assert told.text.startswith(text)
    assert why in f"{told.line} {told.next_step}"
    if level != "good":
        assert told.reason or told.next_step, "whatever is not well has a reason or a way out"


def test_commands_say_of_a_silent_daemon_what_the_app_says() -> None:
    """A command finds none that answers; that one hangs and is replaced is known to the app."""
    told = health.AppTold(daemon_state="silent", daemon_reason="the mesh daemon does not answer")
    top = health.headline(health.Facts(handle="Home", network_id="home", app_running=True, app=told))
    assert top == said(daemon="silent", daemon_reason="the mesh daemon does not answer")
    assert top.text == "Waiting for the mesh daemon on Home…"


def test_health_names_a_program_that_was_not_used() -> None:
    """`up` says it once, and who looks later has a daemon of another program."""
    why = "not using /bin/false ($MYOWNLLM_MESH_BIN): /bin/false exited with status 1"
    daemon = StatusAnswer("0.3.8", "me", ("home",), home="/h")
    findings = health.examine(
        health.Facts(
            handle="Home",
            network_id="home",
            app_running=True,
            app=health.AppTold(notes=(why,)),
            daemon=daemon,
            phase="active",
            relays=(UP,),
        )
    )
    assert [(f.name, f.severity) for f in findings] == [("daemon_note", "note"), ("healthy", "ok")]
    assert findings[0].text == why


@pytest.mark.heavy
def test_health_and_the_headline_never_disagree() -> None:
    """Exit status 0 stands beside a good headline, and only there, whatever was seen."""
    peers = ((), (ACTIVE,), (WAITS,), (ASKED,), (AWAY,), (ON_THE_WAY,), (Known("handshaking", "Pi", True),))
    daemon = StatusAnswer("0.3.8", "me", ("home",), home="/h")
    daemons = (None, daemon, structs.replace(daemon, home=None), structs.replace(daemon, joined_networks=()))
    relays = (None, (), (UP,), (DOWN,), (UP, DOWN))
    for who, answers, rows, phase, running, app, twin, put_out, lan, silence in itertools.product(
        peers, daemons, relays, ("joining", "alone", "active", "stopped"), (True, False),
        (None, health.AppTold(error="refused"), health.AppTold(daemon_state="failed", daemon_reason="no program")),
        (None, TwinRow(proved=True, stands_aside=True)), (False, True), (False, True), ("", "timed out"),
    ):  # fmt: skip
        facts = health.Facts(
            handle="Home", network_id="home", app_running=running, app=app if running else None, daemon=answers,
            daemon_binary="/b", phase=phase, peers=who, relays=rows, twin=twin, put_out=put_out, lan=lan,
            silence=silence if answers else "",
        )  # fmt: skip
        findings = health.examine(facts)
        assert (health.exit_status(findings) == 0) is (health.headline(facts).level == "good"), (facts, findings)
