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
    return tables.facts({name: text_of(value) for name, value in pairs.items()})


def status(data: object) -> str:
    """Answer of ``status``."""
    return facts(object_of(data))


def networks(data: object) -> str:
    """Answer of ``networks_list``; the relays only of a daemon that tells of them."""
    cells: dict[str, Callable[[Mapping[str, object]], str]] = {
        "ID": lambda n: text_of(n.get("config_id")),
        "NETWORK": lambda n: text_of(n.get("network_id")),
        "LABEL": lambda n: text_of(n.get("label")),
        "PHASE": lambda n: text_of(n.get("phase")),
        "TOPOLOGY": lambda n: text_of(object_of(n.get("topology")).get("kind")),
    }
    rows = object_of(data).get("networks")
    if isinstance(rows, list) and any("relays" in object_of(row) for row in rows):
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
            "LABEL": lambda p: text_of(p.get("label")),
            "STATUS": lambda p: text_of(p.get("status")),
            "RTT": lambda p: "" if p.get("rtt_ms") is None else f"{text_of(p.get('rtt_ms'))} ms",
            "THEIR CODE": lambda p: text_of(p.get("verification_code_received")),
            "OUR CODE": lambda p: text_of(p.get("verification_code_sent")),
            "SIGNALING": lambda p: "" if p.get("sealed") is None else "sealed" if p.get("sealed") else "clear",
        },
    )


def only(data: object, peer: str) -> dict[str, object]:
    """Of an answer of ``peers_list`` the row of one device. Raises `CliError`."""
    rows = object_of(data).get("peers")
    wanted = [
        row
        for row in (rows if isinstance(rows, list) else ())
        if peer in (text_of(object_of(row).get("device_id")), _display_id(object_of(row)))
    ]
    if not wanted:
        raise CliError(f"device {peer} was not seen in this network; `myownmesh ctl peers` lists those that were")
    return {"peers": wanted}


def reasons(data: object) -> str:
    """Answer of ``peers_list``: of each device why it is not active."""

    def reason(peer: Mapping[str, object]) -> Mapping[str, object]:
        return object_of(peer.get("why"))

    return _listing(
        data,
        "peers",
        "no peers yet",
        {
            "DEVICE": _display_id,
            "LABEL": lambda p: text_of(p.get("label")),
            "STATUS": lambda p: text_of(p.get("status")),
            "SINCE": lambda p: _seconds(reason(p).get("since_ms")),
            "WHY": lambda p: text_of(reason(p).get("text")),
            "NEXT": lambda p: _next_step(object_of(reason(p).get("next"))),
        },
    )


def _display_id(peer: Mapping[str, object]) -> str:
    return f"{text_of(peer.get('device_id'))}-{text_of(peer.get('device_suffix'))}"


def _seconds(ms: object) -> str:
    return f"{ms / 1000:.0f} s" if isinstance(ms, int) else ""


def _next_step(step: Mapping[str, object]) -> str:
    return f"{text_of(step.get('what'))} in {_seconds(step.get('in_ms'))}" if step else ""


def roster(data: object) -> str:
    """Answer of ``roster_list``."""
    return _listing(
        data,
        "roster",
        "no approved devices",
        {
            "DEVICE": lambda e: text_of(e.get("device_id")),
            "LABEL": lambda e: text_of(e.get("label")),
            "ROLE": lambda e: text_of(e.get("role")),
            "APPROVED": lambda e: moment(e.get("approved_at")),
        },
    )


def services(data: object) -> str:
    """Answer of ``services_status`` or ``services_set``."""
    report = object_of(object_of(data).get("status"))
    rows = []
    for name, value in report.items():
        service = object_of(value)
        running = service.get("running")
        state = "running" if running else ("off" if not service.get("enabled") else "on")
        if service.get("enabled") and running is False:
            state = "failed" if service.get("retry_in_ms") is None else "waiting"
        if isinstance(count := service.get("processes"), int) and count > 1:
            state = f"{state}, {count} processes"
        trouble = text_of(service.get("error") or service.get("problem"))
        rows.append([name, state, text_of(service.get("listen")), _next_try(service), trouble])
    return columns(rows, ["SERVICE", "STATE", "ADDRESS", "NEXT TRY", "ERROR"])


def offers(data: object) -> str:
    """Answer of ``services_offers``."""
    return _listing(
        data,
        "offers",
        "no member of your networks hosts anything for others",
        {
            "NETWORK": lambda o: text_of(o.get("network")),
            "DEVICE": lambda o: text_of(o.get("device_id")),
            "SERVICE": lambda o: text_of(o.get("kind")),
            "USED": lambda o: "yes" if o.get("adopted") and not o.get("why") else "no",
            "WHY NOT": lambda o: text_of(o.get("why")),
            "ADDRESSES": lambda o: " ".join(map(text_of, urls)) if isinstance(urls := o.get("urls"), list) else "",
        },
    )


def _next_try(service: Mapping[str, object]) -> str:
    left = _seconds(service.get("retry_in_ms"))
    return f"in {left}" if left else ""


def _relays(value: object) -> str:
    """How many serve, and of the others the first with its reason."""
    if not isinstance(value, list):
        return ""
    rows = [object_of(row) for row in value]
    useless = [row for row in rows if row.get("state") != "up"]
    count = f"{len(rows) - len(useless)} of {len(rows)}"
    if not useless:
        return count
    reason = text_of(object_of(useless[0].get("reason")).get("text"))
    return (
        f"{count}; {text_of(useless[0].get('url'))} {text_of(useless[0].get('state'))}{f': {reason}' if reason else ''}"
    )


def invites(data: object) -> str:
    """Answer of ``invite_list``."""
    return _listing(
        data,
        "invites",
        "no invitations; make one with `myownmesh ctl invite create NETWORK`",
        {
            "ID": lambda i: text_of(i.get("id")),
            "UNTIL": lambda i: moment(i.get("exp")),
            "USED": lambda i: f"{len(by) if isinstance(by := i.get('by'), list) else 0} of {text_of(i.get('uses'))}",
            "BY": lambda i: ", ".join(map(text_of, by)) if isinstance(by := i.get("by"), list) else "",
            "NOTE": lambda i: text_of(i.get("note")),
        },
    )


def invitation(data: object) -> str:
    """Answer of ``invite_create``: the link on a line of its own, as it is copied."""
    found = object_of(data)
    until = f"Works until {moment(found.get('exp'))}; take it back by {text_of(found.get('id'))}"
    return f"{text_of(found.get('text'))}\n\n{until}"


def invitation_taken(data: object) -> str:
    """Answer of ``network_join_invite``, without the settings, which may hold passwords."""
    return members({name: value for name, value in object_of(data).items() if name != "settings"})


def enrolment(data: object) -> str:
    """Answer of ``governance_mfa_enroll``: what a person types off or prints, and what to do with it."""
    found = object_of(data)
    codes = found.get("recovery_codes")
    lines = [f"  {text_of(code)}" for code in codes] if isinstance(codes, list) else []
    return "\n".join(
        [
            "From now on this device signs in this network only with a code of your authenticator.",
            "",
            f"Secret for the authenticator: {text_of(found.get('secret'))}",
            f"The same as an address:       {text_of(found.get('otpauth_uri'))}",
            "",
            "Recovery codes; each works once, in place of a code. Write them down now, they are not shown again:",
            *lines,
        ]
    )


def members(data: object) -> str:
    """Any small answer: its members as lines, nested ones as JSON."""
    return facts(object_of(data)) if isinstance(data, dict) and data else text_of(data)


def _listing(
    data: object, member: str, nothing: str, cells: Mapping[str, Callable[[Mapping[str, object]], str]]
) -> str:
    entries = object_of(data).get(member)
    rows = [object_of(entry) for entry in entries] if isinstance(entries, list) else []
    if not rows:
        return nothing
    return columns([[cell(row) for cell in cells.values()] for row in rows], list(cells))


def object_of(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str:
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


def moment(value: object) -> str:
    from datetime import UTC, datetime

    if not isinstance(value, int) or not 0 <= value < 1 << 36:
        return text_of(value)
    return datetime.fromtimestamp(value, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
