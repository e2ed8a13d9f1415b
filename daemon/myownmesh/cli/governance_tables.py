"""Answers about signed governance as text for people; nothing of a peer moves the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.tables import columns, printable
from myownmesh.cli.tables import moment, object_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OUTLOOK = (
    ("ends", "Links of this device that end at once"),
    ("falling_admits", "Let in by it and by nobody else: out, unless somebody signs them in again"),
    ("falling_removals", "Put out by it and by nobody else"),
    ("let_in", "Put out so far, and back with the reopening"),
    ("unreachable", "Without a link to this device now; they hear of it later"),
)


def log(data: object) -> str:
    """Answer of ``governance_log``."""
    found = object_of(data)
    rows = [object_of(line) for line in _list(found.get("lines"))]
    if not rows:
        return "nothing has been signed in this network"
    table = columns(
        [
            [moment(row.get("at")), moment(row.get("first_held")), _through(row), text_of(row.get("text"))]
            for row in rows
        ],
        ["CLAIMED", "HERE SINCE", "THROUGH", "WHAT"],
    )
    more = found.get("more")
    return f"{table}\n… and {more} older ones; --limit shows more" if more else table


def who(data: object) -> str:
    """Answer of ``governance_who``."""
    found = object_of(data)
    rows = [object_of(row) for row in _list(found.get("authorities"))]
    lines = ["nobody decides here: no authority has been signed in"]
    if rows:
        cells = [
            [
                text_of(row.get("device_id")),
                "this device" if row.get("me") else text_of(row.get("label")),
                text_of(row.get("role")),
                text_of(row.get("status")),
                text_of(row.get("may")),
            ]
            for row in rows
        ]
        lines = [columns(cells, ["DEVICE", "LABEL", "ROLE", "LINK", "MAY"])]
    for row in rows:
        for refused in _list(row.get("refused")):
            lines.append(f"{text_of(row.get('device_id'))} signed and did not get: {_safe(refused)}")
    lines += [f"it once signed and did not get: {_safe(refused)}" for refused in _list(found.get("refused"))]
    return "\n".join(lines)


def doctor(data: object) -> str:
    """Answer of ``governance_doctor``."""
    rows = [object_of(row) for row in _list(object_of(data).get("findings"))]
    if not rows:
        return "nothing is amiss"
    return "\n".join(f"{_safe(row.get('text'))}\n  → {_safe(row.get('help'))}" for row in rows)


def decision(data: object) -> str:
    """Answer of an op that signs: what came of it, and who is missing."""
    found = object_of(data)
    outlook = object_of(found.get("outlook"))
    dry = bool(outlook)
    if found.get("effective") is False:
        waits = ", ".join(_safe(device) for device in _list(found.get("waits_for"))) or "nobody who could sign it"
        first = f"It would wait for: {waits}" if dry else f"Recorded; it waits for one of: {waits}"
        if not dry:
            first += f"\nProposal: {_safe(found.get('proposal_id') or found.get('signed'))}"
    elif dry:
        first = "It would be in force at once."
    elif found.get("effective") and found.get("proposal_id") == "":
        first = "It holds already; nothing was signed."
    elif found.get("effective"):
        first = "In force."
    else:
        first = "Done; this daemon does not say whether it is in force (`ctl governance state`)."
    return "\n".join([first, *_outlook(outlook)]) if dry else first


def recovery_key(data: object) -> str:
    """Answer of ``governance_recovery_create``: a page to print."""
    found = object_of(data)
    return "\n".join(
        [
            "Recovery key: whoever has it is an owner. Print it, keep it away from every device, show it to nobody.",
            "",
            f"  {text_of(found.get('key'))}",
            "",
            f"It is the owner {text_of(found.get('device_id'))}.",
            decision(data),
        ]
    )


def recovered(data: object) -> str:
    """Answer of ``governance_recover``."""
    found = object_of(data)
    lines = [f"{_safe(found.get('owner'))} is an owner now."]
    if found.get("evicted"):
        lines.append(
            f"{text_of(found.get('evicted'))} is out; {text_of(found.get('signed_anew'))} of its decisions stay."
        )
    lines.append("The recovery key has been typed into a device: take its role away and print a new one.")
    return "\n".join(lines)


def _outlook(outlook: Mapping[str, object]) -> list[str]:
    lines = []
    for member, heading in _OUTLOOK:
        devices = _list(outlook.get(member))
        if devices:
            lines += [f"{heading}:", *(f"  {_safe(device)}" for device in devices)]
    owners = _list(outlook.get("owners"))
    lines.append(f"Owners behind it: {', '.join(map(_safe, owners))}" if owners else "Nobody is owner behind it.")
    return lines


def _cells(row: Mapping[str, object]) -> list[str]:
    return [moment(row.get("at")), moment(row.get("first_held")), _through(row), text_of(row.get("text"))]


def _through(row: Mapping[str, object]) -> str:
    if row.get("own"):
        return "this device"
    if row.get("through"):
        return f"…{_safe(row.get('through'))[-6:]}"
    if row.get("log") == "governance":
        return "the log"
    return ", ".join(_safe(device)[-5:] for device in _list(row.get("vouched_by"))) or "hearsay"


def _list(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()


def _safe(value: object) -> str:
    return printable(text_of(value))
