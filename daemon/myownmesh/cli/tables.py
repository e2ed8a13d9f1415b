"""Answers of the control socket as text for people. Nothing here may fail on an answer of another daemon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mesh_common import tables
from mesh_common.tables import columns
from myownmesh.cli.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def facts(pairs: Mapping[str, object]) -> str:
    """One ``name  value`` line per member."""
    return tables.facts({name: _text(value) for name, value in pairs.items()})


def status(data: object) -> str:
    """Answer of ``status``."""
    return facts(_object(data))


def networks(data: object) -> str:
    """Answer of ``networks_list``; the relays only of a daemon that tells of them."""
    cells: dict[str, Callable[[Mapping[str, object]], str]] = {
        "ID": lambda n: _text(n.get("config_id")),
        "NETWORK": lambda n: _text(n.get("network_id")),
        "LABEL": lambda n: _text(n.get("label")),
        "PHASE": lambda n: _text(n.get("phase")),
        "TOPOLOGY": lambda n: _text(_object(n.get("topology")).get("kind")),
    }
    rows = _object(data).get("networks")
    if isinstance(rows, list) and any("relays" in _object(row) for row in rows):
        cells["RELAYS"] = lambda n: _relays(n.get("relays"))
    return _listing(data, "networks", "no networks; join one with `myownmesh ctl networks join NAME`", cells)


def peers(data: object) -> str:
    """Answer of ``peers_list``; the code a person compares stands beside each unapproved device."""
    return _listing(
        data,
        "peers",
        "no peers yet",
        {
            "DEVICE": _display_id,
            "LABEL": lambda p: _text(p.get("label")),
            "STATUS": lambda p: _text(p.get("status")),
            "RTT": lambda p: "" if p.get("rtt_ms") is None else f"{_text(p.get('rtt_ms'))} ms",
            "THEIR CODE": lambda p: _text(p.get("verification_code_received")),
            "OUR CODE": lambda p: _text(p.get("verification_code_sent")),
        },
    )


def only(data: object, peer: str) -> dict[str, object]:
    """Of an answer of ``peers_list`` the row of one device. Raises `CliError`."""
    rows = _object(data).get("peers")
    wanted = [
        row
        for row in (rows if isinstance(rows, list) else ())
        if peer in (_text(_object(row).get("device_id")), _display_id(_object(row)))
    ]
    if not wanted:
        raise CliError(f"device {peer} was not seen in this network; `myownmesh ctl peers` lists those that were")
    return {"peers": wanted}


def reasons(data: object) -> str:
    """Answer of ``peers_list``: of each device why it is not active."""

    def reason(peer: Mapping[str, object]) -> Mapping[str, object]:
        return _object(peer.get("why"))

    return _listing(
        data,
        "peers",
        "no peers yet",
        {
            "DEVICE": _display_id,
            "LABEL": lambda p: _text(p.get("label")),
            "STATUS": lambda p: _text(p.get("status")),
            "SINCE": lambda p: _seconds(reason(p).get("since_ms")),
            "WHY": lambda p: _text(reason(p).get("text")),
            "NEXT": lambda p: _next_step(_object(reason(p).get("next"))),
        },
    )


def _display_id(peer: Mapping[str, object]) -> str:
    return f"{_text(peer.get('device_id'))}-{_text(peer.get('device_suffix'))}"


def _seconds(ms: object) -> str:
    return f"{ms / 1000:.0f} s" if isinstance(ms, int) else ""


def _next_step(step: Mapping[str, object]) -> str:
    return f"{_text(step.get('what'))} in {_seconds(step.get('in_ms'))}" if step else ""


def roster(data: object) -> str:
    """Answer of ``roster_list``."""
    return _listing(
        data,
        "roster",
        "no approved devices",
        {
            "DEVICE": lambda e: _text(e.get("device_id")),
            "LABEL": lambda e: _text(e.get("label")),
            "ROLE": lambda e: _text(e.get("role")),
            "APPROVED": lambda e: _time(e.get("approved_at")),
        },
    )


def services(data: object) -> str:
    """Answer of ``services_status`` or ``services_set``."""
    report = _object(_object(data).get("status"))
    rows = []
    for name, value in report.items():
        service = _object(value)
        running = service.get("running")
        state = "running" if running else ("off" if not service.get("enabled") else "on")
        if service.get("enabled") and running is False:
            state = "failed" if service.get("retry_in_ms") is None else "waiting"
        rows.append([name, state, _text(service.get("listen")), _next_try(service), _text(service.get("error"))])
    return columns(rows, ["SERVICE", "STATE", "ADDRESS", "NEXT TRY", "ERROR"])


def _next_try(service: Mapping[str, object]) -> str:
    left = _seconds(service.get("retry_in_ms"))
    return f"in {left}" if left else ""


def _relays(value: object) -> str:
    """How many serve, and of the others the first with its reason."""
    if not isinstance(value, list):
        return ""
    rows = [_object(row) for row in value]
    useless = [row for row in rows if row.get("state") != "up"]
    count = f"{len(rows) - len(useless)} of {len(rows)}"
    if not useless:
        return count
    reason = _text(_object(useless[0].get("reason")).get("text"))
    return f"{count}; {_text(useless[0].get('url'))} {_text(useless[0].get('state'))}{f': {reason}' if reason else ''}"


def invites(data: object) -> str:
    """Answer of ``invite_list``."""
    return _listing(
        data,
        "invites",
        "no invitations; make one with `myownmesh ctl invite create NETWORK`",
        {
            "ID": lambda i: _text(i.get("id")),
            "UNTIL": lambda i: _time(i.get("exp")),
            "USED": lambda i: f"{len(by) if isinstance(by := i.get('by'), list) else 0} of {_text(i.get('uses'))}",
            "BY": lambda i: ", ".join(map(_text, by)) if isinstance(by := i.get("by"), list) else "",
            "NOTE": lambda i: _text(i.get("note")),
        },
    )


def invitation(data: object) -> str:
    """Answer of ``invite_create``: the link on a line of its own, as it is copied."""
    found = _object(data)
    return (
        f"{_text(found.get('text'))}\n\nWorks until {_time(found.get('exp'))}; take it back by {_text(found.get('id'))}"
    )


def invitation_taken(data: object) -> str:
    """Answer of ``network_join_invite``, without the settings, which may hold passwords."""
    return members({name: value for name, value in _object(data).items() if name != "settings"})


def enrolment(data: object) -> str:
    """Answer of ``governance_mfa_enroll``: what a person types off or prints, and what to do with it."""
    found = _object(data)
    codes = found.get("recovery_codes")
    lines = [f"  {_text(code)}" for code in codes] if isinstance(codes, list) else []
    return "\n".join(
        [
            "From now on this device signs in this network only with a code of your authenticator.",
            "",
            f"Secret for the authenticator: {_text(found.get('secret'))}",
            f"The same as an address:       {_text(found.get('otpauth_uri'))}",
            "",
            "Recovery codes; each works once, in place of a code. Write them down now, they are not shown again:",
            *lines,
        ]
    )


def members(data: object) -> str:
    """Any small answer: its members as lines, nested ones as JSON."""
    return facts(_object(data)) if isinstance(data, dict) and data else _text(data)


def _listing(
    data: object, member: str, nothing: str, cells: Mapping[str, Callable[[Mapping[str, object]], str]]
) -> str:
    entries = _object(data).get(member)
    rows = [_object(entry) for entry in entries] if isinstance(entries, list) else []
    if not rows:
        return nothing
    return columns([[cell(row) for cell in cells.values()] for row in rows], list(cells))


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case list() if all(isinstance(item, str) for item in value):
            return ", ".join(value)
        case _:
            return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _time(value: object) -> str:
    from datetime import UTC, datetime

    if not isinstance(value, int) or not 0 <= value < 1 << 36:
        return _text(value)
    return datetime.fromtimestamp(value, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
