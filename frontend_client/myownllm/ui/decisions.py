"""Signed governance as the page shows it: sentences and names in place of records and keys. Pure (spec 08 FE-10.3).

Labels are of peers: each is cut and cleaned here, and stands beside the five characters that cannot be chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from mesh_common.labels import shown
from myownllm.ids import bare_id, device_suffix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mesh_common.answers import (
        GovernanceAnswer,
        GovernanceFinding,
        GovernanceOutlook,
        LogAnswer,
        PendingRow,
        WhoAnswer,
    )
    from myownllm.coerce import JsonObject
    from myownllm.peers import PeerEntry

TEXT_MAX: Final = 500
ROWS_MAX: Final = 200
"""Of one table; a network that has more is looked at with `myownmesh ctl governance`."""
RANK: Final = {"owner": 3, "controller": 2, "member": 1}
_OUTLOOK: Final = (
    ("ends", "Links of this device that end at once"),
    ("falling_removals", "Put out by it and by nobody else; signed anew before it goes"),
    ("let_in", "Put out so far, and back with the reopening; closed again, they are out again"),
    ("unreachable", "Without a link to this device now; they hear of it later"),
)
_FOUNDING: Final = (
    ("unsigned", "Approved here and signed in by nobody: at their next handshake they wait for your signature"),
    ("planted", "Given a role while the network was open; it will count for nothing"),
)


class Names:
    """What devices are called here."""

    def __init__(self, me: str, peers: Iterable[PeerEntry], former: Mapping[str, str] | None = None) -> None:
        """`former` says what devices were called that are no peers any more: those that were put out, by bare id."""
        self.me = bare_id(me)
        labels = {**(former or {}), **{peer.device_pubkey: peer.label for peer in peers}}
        self._labels = {device: shown(label, 40) for device, label in labels.items()}

    def of(self, device: str) -> str:
        """A device in a sentence; its id may be the one that people compare."""
        bare = bare_id(device)
        suffix = device_suffix(bare)
        if bare == self.me:
            return f"this device ({suffix})"
        label = self._labels.get(bare, "")
        return f"{label} ({suffix})" if label else f"the device {suffix}"

    def all(self, devices: Iterable[str]) -> list[str]:
        return [self.of(device) for device in devices]


@attrs.frozen(kw_only=True)
class Explained:
    """What our daemons say beside what is signed; another one leaves all of it out."""

    who: WhoAnswer | None = None
    log: LogAnswer | None = None
    pending: tuple[PendingRow, ...] | None = None
    amiss: tuple[GovernanceFinding, ...] = ()


def decisions(answer: GovernanceAnswer, names: Names, explained: Explained) -> JsonObject:
    """Everything on the surface."""
    state, who, log = answer.state, explained.who, explained.log
    links = {} if who is None else {bare_id(row.device_id): row for row in who.authorities}
    ranked = sorted(state.roles.items(), key=lambda item: (-RANK.get(item[1], 0), names.of(item[0]), item[0]))
    return {
        "kind": state.kind,
        "me": names.me,
        "role": state.roles.get(names.me, ""),
        "roles": [
            {
                "id": device,
                "name": names.of(device),
                "role": shown(role, 40),
                "is_me": device == names.me,
                "refused": [] if device not in links else [shown(text, TEXT_MAX) for text in links[device].refused],
            }
            for device, role in ranked[:ROWS_MAX]
        ],
        "pending": None
        if explained.pending is None
        else [_pending(each, names) for each in explained.pending[:ROWS_MAX]],
        "evicted": [{"id": device, "name": names.of(device)} for device in answer.evicted[:ROWS_MAX]],
        "splits": [
            {"network": shown(split.new_network_id), "by": names.of(split.spawned_by)}
            for split in state.splits[:ROWS_MAX]
        ],
        "log": None
        if log is None
        else [{"at": x.at, "text": shown(x.text, TEXT_MAX), "state": x.state} for x in log.lines],
        "more": 0 if log is None else log.more,
        "amiss": [
            {"code": shown(each.code, 40), "text": shown(each.text, TEXT_MAX), "help": shown(each.help, TEXT_MAX)}
            for each in explained.amiss
        ],
    }


def _pending(row: PendingRow, names: Names) -> JsonObject:
    return {
        "id": row.id,
        "sort": row.sort,
        "text": shown(row.text, TEXT_MAX),
        "digest": row.digest,
        "sign": shown(row.sign, TEXT_MAX),
        "deny": shown(row.deny, TEXT_MAX),
        "at": row.at,
        "signers": names.all(row.signers),
        "deniers": names.all(row.deniers),
        "decides": names.all(row.decides),
        "is_mine": bare_id(row.proposer) == names.me,
        "is_signed": row.mine,
    }


def outlook(found: GovernanceOutlook | None, name: Callable[[str], str]) -> list[JsonObject]:
    """What a change would do, in paragraphs; empty where a daemon does not say."""
    if found is None:
        return []
    rows: list[tuple[str, Iterable[str]]] = [(text, getattr(found, member)) for member, text in _OUTLOOK]
    anew = set(found.signed_anew)
    rows.append(
        ("Let in by it and by nobody else; you sign them in anew", [x for x in found.falling_admits if x in anew])
    )
    rows.append(("Let in by it and by nobody else; out with it", [x for x in found.falling_admits if x not in anew]))
    told = [_told(text, map(name, devices)) for text, devices in rows]
    told.append(_told("It once signed and did not get; an owner could bring it up again", found.refused))
    if (founding := found.founding) is not None:
        told += [_told(text, map(name, getattr(founding, member))) for member, text in _FOUNDING]
        if founding.guessable:
            told.append({"text": "The network’s id looks like a name: whoever guesses it can knock", "names": []})
        if founding.signed_before:
            told.append({"text": "This device has signed under this id before: that can be shown again", "names": []})
    owners = _told("Owners behind it", map(name, found.owners)) or {"text": "Nobody is owner behind it", "names": []}
    return [each for each in told if each is not None] + [owners]


def _told(text: str, names: Iterable[str]) -> JsonObject | None:
    listed = [shown(each, TEXT_MAX) for each in names][:ROWS_MAX]
    return {"text": text, "names": listed} if listed else None
