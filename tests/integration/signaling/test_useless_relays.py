"""Whatever a relay does that keeps two devices from meeting, `myownllm health` names it and does not end with 0."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from mesh_common.answers import StatusAnswer
from myownllm import health
from myownmesh.protocol.signals import SendOffer
from myownmesh.signaling import conversation, link, websocket
from support import scripted_relay as scripts
from support.scripted_relay import relay
from support.signaling import device_id, eventually, hostile_relay, new_device, relay_server, running, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from myownmesh.signaling.standing import News, RelayReport
    from support.signaling import BareSocket, Device, Script

WELL = health.Facts(
    handle="Home",
    network_id="home",
    app_running=True,
    daemon=StatusAnswer("0.3.8", "a" * 51 + "q-0A1B2", ("home",), home="/h"),
    pin="v0.3.8",
)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the real times and less, in the same order."""
    monkeypatch.setattr(websocket, "DIAL_LIMIT_S", 0.6)
    monkeypatch.setattr(link, "FIRST_PING_S", 0.05)
    monkeypatch.setattr(link, "PING_LIMIT_S", 0.6)
    monkeypatch.setattr(conversation, "ADMISSION_WITHOUT_EOSE_S", 0.3)
    monkeypatch.setattr(conversation, "ANSWER_WITHIN_S", 0.3)


def findings(device: Device) -> list[health.Finding]:
    """What `myownllm health` would say, with this device's relays and nobody met yet."""
    rows = tuple(report.row() for report in device.signaling.report())
    phase = "alone" if device.signaling.admitted else "joining"
    return health.examine(attrs.evolve(WELL, phase=phase, relays=rows))


@asynccontextmanager
async def settled(url: str, state: str, why: str = "") -> AsyncIterator[tuple[Device, RelayReport]]:
    """A device whose relay has come to be seen as `state`, with a reason unless it is up.

    `why`: of this kind; on a busy machine the first attempt may end otherwise, and the next says it.
    """
    device = new_device(1, url)

    def report() -> RelayReport | None:
        for each in device.signaling.report():
            said = each.standing.why
            if each.standing.state == state and (not why or (said is not None and said.kind == why)):
                return each
        return None

    async with running(device):
        await eventually(lambda: bool(device.signaling.admitted) or device.signaling.report() != [])
        device.signaling.publish(SendOffer(device_id(2), "v=0"))
        await eventually(lambda: (found := report()) is not None and (state == "up" or found.standing.why is not None))
        found = report()
        assert found is not None
        yield device, found


USELESS: dict[str, tuple[Script, str, str, str]] = {
    "hangs up in the handshake": (scripts.hangs_up, "down", "http", "ended during the handshake"),
    "never answers the upgrade": (scripts.never_upgrades, "down", "silent", "no answer in time"),
    "closes at once": (scripts.closes_at_once, "down", "restricted", "members only"),
    "half-open": (scripts.goes_half_open, "down", "silent", "no answer in time"),
    "EOSE never, nor anything else": (relay(scripts.takes_everything), "silent", "silent", "neither confirms"),
    "EOSE and nothing more": (relay(scripts.swallows_events), "silent", "silent", "neither confirms"),
    "NOTICE only": (relay(scripts.notices_only("ERROR: bad req")), "connecting", "invalid", "bad req"),
    "a friendly NOTICE only": (relay(scripts.notices_only("welcome!")), "connecting", "error", "welcome!"),
    "NOTICE for events": (relay(scripts.notices_for_events("blocked: no")), "refusing", "blocked", "blocked: no"),
    "too many connections": (relay(scripts.notices_only("too many connections")), "down", "rate-limited", "too many"),
    "CLOSED for the REQ": (
        relay(scripts.closes_subscriptions("auth-required: log in")), "refusing", "auth-required", "log in",
    ),
    **{
        f"CLOSED {reason}": (relay(scripts.closes_subscriptions(reason)), "refusing", kind, reason)
        for reason, kind in {
            "restricted: members only": "restricted",
            "pow: 28 bits needed": "pow",
            "rate-limited: too many REQs": "rate-limited",
            "error: shutting down idle subscription": "error",
            "unsupported: too many filters": "rate-limited",
            "": "error",
        }.items()
    },
    "AUTH and nothing more": (relay(lambda _frame: [["AUTH", "challenge"]]), "silent", "silent", "neither confirms"),
    "frames that are no JSON": (scripts.talks_nonsense, "silent", "silent", "neither confirms"),
    "CLOSED for every REQ after EOSE": (
        relay(scripts.closes_after_eose("restricted: paid only")), "refusing", "restricted", "paid only",
    ),
    "refuses announces only": (
        relay(scripts.verdicts("blocked: kind 1077", of_kinds=(1077,))), "refusing", "blocked", "kind 1077",
    ),
    "refuses offers only": (
        relay(scripts.verdicts("blocked: kind 21077", of_kinds=(21077,))), "refusing", "blocked", "kind 21077",
    ),
    "OK false without EOSE": (
        relay(scripts.verdicts("blocked: no", eose=False)), "connecting", "blocked", "blocked: no",
    ),
    "escapes in a reason": (relay(scripts.verdicts("error: \x1b[2J\nno")), "refusing", "error", "error: [2J no"),
    **{
        f"HTTP {status}": (scripts.upgrade_answered_with(status), "down", kind, f"HTTP {status}")
        for status, kind in {
            200: "http", 301: "http", 401: "auth-required", 402: "http", 403: "restricted",
            404: "http", 429: "rate-limited", 500: "http", 503: "http",
        }.items()
    },
    **{
        f"OK false {reason}": (relay(scripts.verdicts(reason)), "refusing", kind, reason)
        for reason, kind in {
            "rate-limited: slow down": "rate-limited",
            "auth-required: we only take members": "auth-required",
            "blocked: you are banned": "blocked",
            "restricted: no": "restricted",
            "invalid: event": "invalid",
            "pow: difficulty 25 is less than 30": "pow",
            "invalid: created_at too far off": "clock",
            "event too old": "clock",
            "error: could not connect to the database": "error",
            "": "error",
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("what", USELESS)
async def test_health_names_the_relay_and_what_is_wrong_with_it(what: str) -> None:
    script, state, kind, words = USELESS[what]
    async with hostile_relay(script) as url, settled(url, state) as (device, report):
        assert report.standing.why is not None
        assert (report.standing.why.kind, report.url) == (kind, url)
        stop, *_ = findings(device)
        assert health.exit_status([stop]) in (17, 19)
        assert url in stop.text
        assert words in stop.text
        assert "—" in stop.text, "the way out"
        if state == "connecting":
            await trio.sleep(0.5)
            assert device.signaling.admitted == [], "an answer that serves nobody admits nobody"


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("ws://127.0.0.1:9", "unreachable", "refused"),
        ("wss://localhost.invalid:0", "address", "is no relay address"),
        (" ws://127.0.0.1:9", "address", "white space"),
    ],
)
async def test_health_names_an_address_without_a_relay(url: str, kind: str, words: str) -> None:
    async with settled(url, "down") as (device, report):
        assert report.standing.why is not None
        assert report.standing.why.kind == kind
        stop, *_ = findings(device)
        assert health.exit_status([stop]) == health.EXIT_CODES["still_joining"]
        assert url in stop.text
        assert words in stop.text


async def test_health_names_a_relay_whose_tls_fails() -> None:
    async def speaks_plain(socket: BareSocket) -> None:
        await socket.send(b"HTTP/1.1 400 plain HTTP here\r\n\r\n")

    async with (
        hostile_relay(speaks_plain) as url,
        settled(url.replace("ws:", "wss:"), "down", "tls") as (device, report),
    ):
        assert report.standing.why is not None
        assert report.standing.why.kind == "tls"
        assert "TLS with 127.0.0.1 failed" in findings(device)[0].text


async def test_a_relay_that_has_never_said_a_word_is_not_up_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "ANSWER_WITHIN_S", 60.0)
    async with hostile_relay(relay(scripts.takes_everything)) as url, settled(url, "silent") as (device, _):
        assert health.exit_status(findings(device)) == health.EXIT_CODES["no_relay_serves"]


async def test_a_relay_that_serves_leaves_health_at_0() -> None:
    async with relay_server() as server, settled(url_of(server), "up") as (device, report):
        await trio.sleep(1.0)
        assert health.exit_status(findings(device)) == 0
        assert report.standing.why is None


async def test_a_relay_without_eose_that_confirms_serves() -> None:
    async with hostile_relay(relay(scripts.verdicts("", of_kinds=(), eose=False))) as url, settled(url, "up") as (d, _):
        await trio.sleep(0.5)
        assert health.exit_status(findings(d)) == 0


async def test_one_useless_relay_beside_one_that_serves_is_a_note() -> None:
    async with relay_server() as server, hostile_relay(relay(scripts.verdicts("blocked: no"))) as useless:
        device = new_device(1, useless, url_of(server))
        async with running(device):
            await eventually(lambda: {each.standing.state for each in device.signaling.report()} == {"up", "refusing"})
            note, healthy = findings(device)
            assert (note.name, healthy.name) == ("relay_trouble", "healthy")
            assert f"{useless} is refusing: blocked: no" in note.text


async def test_the_trace_tells_of_a_refusal_once_and_of_its_end() -> None:
    news: list[News] = []
    refuses = [True]

    def answer(frame: list[Any]) -> Any:
        return scripts.verdicts("blocked: no", of_kinds=(21077,) if refuses[0] else ())(frame)

    async with hostile_relay(relay(answer)) as url:
        device = new_device(1, url)
        device.signaling.on_news = news.append
        async with running(device):
            await device.admitted_by(url)
            for number in range(3):
                device.signaling.publish(SendOffer(device_id(2), f"v={number}"))
            await eventually(lambda: len(news) >= 2)
            refuses[0] = False
            device.signaling.publish(SendOffer(device_id(2), "v=9"))
            await eventually(lambda: len(news) >= 3)
    assert [each.standing.state for each in news] == ["up", "refusing", "up"]
    assert "blocked: no" in news[1].text
