"""Answers about signed governance as text for people; nothing of a peer moves the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.tables import columns, printable
from myownmesh.cli.tables import moment, object_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_OUTLOOK = (
    ("ends", "Links of this device that end at once"),
    ("falling_removals", "Put out by it and by nobody else; signed anew before it goes"),
    ("let_in", "Put out so far, and back with the reopening; closed again, they are out again"),
    ("unreachable", "Without a link to this device now; they hear of it later"),
)


_FOUNDING = (
    ("unsigned", "Approved here and signed in by nobody: at their next handshake they wait for your signature"),
    ("planted", "Given a role while the network was open; it will count for nothing"),
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
                _last_heard(row),
                text_of(row.get("may")),
            ]
            for row in rows
        ]
        lines = [columns(cells, ["DEVICE", "LABEL", "ROLE", "LINK", "LAST HEARD", "MAY"])]
    for row in rows:
        for refused in _list(row.get("refused")):
            lines.append(f"{text_of(row.get('device_id'))} signed and did not get: {_safe(refused)}")
    lines += [f"it once signed and did not get: {_safe(refused)}" for refused in _list(found.get("refused"))]
    return "\n".join(lines)


def pending(data: object) -> str:
    """Answer of ``governance_pending``."""
    rows = [object_of(row) for row in _list(object_of(data).get("rows"))]
    if not rows:
        return "nothing waits for a decision"
    return "\n".join("\n".join(_waits(row)) for row in rows)


def _waits(row: Mapping[str, object]) -> Iterator[str]:
    yield f"{_safe(row.get('id'))}  {_safe(row.get('text'))}"
    yield f"  of {moment(row.get('at'))}, by {_safe(row.get('proposer'))}"
    if denied := _list(row.get("deniers")):
        yield f"  against it: {', '.join(map(_safe, denied))}"
    if row.get("mine"):
        yield "  this device has signed it"
    else:
        yield f"  sign: {_safe(row.get('sign'))}"
    yield f"  deny: {_safe(row.get('deny'))}"
    if row.get("sort") == "proposal":
        able = ", ".join(map(_safe, _list(row.get("decides")))) or "nobody any more"
        yield f"  it takes the signature of one of: {able}"


def doctor(data: object) -> str:
    """Answer of ``governance_doctor``."""
    rows = [object_of(row) for row in _list(object_of(data).get("findings"))]
    if not rows:
        return "nothing is amiss"
    return "\n".join(f"{_safe(row.get('text'))}\n  → {_safe(row.get('help'))}" for row in rows)


def decision(data: object) -> str:
    """Answer of an op that signs: what came of it, and who is missing."""
    found = object_of(data)
    would = object_of(found.get("outlook"))
    dry = bool(would)
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
    return f"{first}\n{outlook_text}" if dry and (outlook_text := outlook(would)) else first


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


def replaced(data: object) -> str:
    """Answer of ``governance_replace``."""
    found = object_of(data)
    old, new, role = (_safe(found.get(member)) for member in ("old", "new", "role"))
    waits = ", ".join(map(_safe, _list(found.get("waits_for"))))
    match found.get("step"):
        case "done":
            return f"{new} is {role} in the place of {old}, which is out."
        case "put out" if found.get("proposal_id") == "":
            return f"{new} is {role} now. Run the same command there: {old} cannot put itself out."
        case "put out":
            return f"{new} is {role} now. That {old} goes waits for one of: {waits}"
        case _:
            return f"That {new} becomes {role} waits for one of: {waits}. Run the same command again then."


def imported(data: object) -> str:
    """Answer of ``governance_import``."""
    found = object_of(data)
    log, why = _safe(found.get("log")), _safe(found.get("why"))
    lines = [
        f"The governance log: {_LOGS.get(log, log)}{f' ({why})' if why else ''}.",
        f"New entries: {text_of(found.get('new'))}; new proposals: {text_of(found.get('proposals'))}.",
    ]
    if found.get("refused"):
        lines.append(f"Entries that were refused: {text_of(found.get('refused'))}; `ctl events` names them.")
    if found.get("waiting"):
        lines.append(f"Entries that wait: {text_of(found.get('waiting'))} (`ctl governance log`, `… pending`).")
    return "\n".join(lines)


_LOGS = {
    "none": "the file holds none",
    "known": "known already",
    "adopted": "it goes further than what was held; taken over",
    "kept": "another branch, which does not count; remembered",
    "switched": "another branch, which counts; this device has changed sides",
    "asked": "a person decides (`ctl governance pending`)",
    "claim": "its founder is nobody that a person here has agreed to (`ctl governance pending`)",
    "refused": "refused",
    "ignored": "of no use here",
    "waits": "not looked at: too many signatures that are none came before it",
}


def outlook(outlook: Mapping[str, object]) -> str:
    """What a change would do, or nothing to say."""
    if not outlook:
        return ""
    lines: list[str] = []
    for member, heading in _OUTLOOK:
        lines += _listed(heading, _list(outlook.get(member)))
    anew = {*_list(outlook.get("signed_anew"))}
    admits = [*_list(outlook.get("falling_admits"))]
    lines += _listed("Let in by it and by nobody else; you sign them in anew", [one for one in admits if one in anew])
    lines += _listed("Let in by it and by nobody else; out with it", [one for one in admits if one not in anew])
    lines += _listed("It once signed and did not get; an owner could bring it up again", _list(outlook.get("refused")))
    founding = object_of(outlook.get("founding"))
    for member, heading in _FOUNDING:
        lines += _listed(heading, _list(founding.get(member)))
    if founding.get("guessable"):
        lines.append("The network's id looks like a name: whoever guesses it can knock (`ctl networks generate-id`).")
    if founding.get("signed_before"):
        lines.append("This device has signed under this id before: what it signed then can be shown again.")
    owners = ", ".join(map(_safe, _list(outlook.get("owners"))))
    lines.append(f"Owners behind it: {owners}" if owners else "Nobody is owner behind it.")
    return "\n".join(lines)


def _listed(heading: str, devices: Iterable[object]) -> list[str]:
    lines = [f"  {_safe(device)}" for device in devices]
    return [f"{heading}:", *lines] if lines else []


def _last_heard(row: Mapping[str, object]) -> str:
    if row.get("me") or row.get("status") in ("active", "shelved"):
        return "now"
    return moment(row.get("last_heard")) or "not yet"


def _through(row: Mapping[str, object]) -> str:
    if row.get("own"):
        return "this device"
    if row.get("through"):
        through = _safe(row.get("through"))
        return f"…{through[-6:]}" if "-" in through else through
    if row.get("log") == "governance":
        return "the log"
    return ", ".join(_safe(device)[-5:] for device in _list(row.get("vouched_by"))) or "hearsay"


def _list(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()


def _safe(value: object) -> str:
    return printable(text_of(value))
