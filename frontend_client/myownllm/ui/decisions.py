"""Signed governance as the page shows it: sentences and names in place of records and keys. Pure (spec 08 FE-10.3).

Labels are of peers: each is cut and cleaned here, and stands beside the five characters that cannot be chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mesh_common.labels import shown
from myownllm.coerce import as_object
from myownllm.ids import bare_id, device_suffix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mesh_common.answers import (
        GovernanceAnswer,
        GovernanceFinding,
        GovernanceOutlook,
        GovernanceProposal,
        LogAnswer,
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
    ("falling_admits", "Let in by it and by nobody else: out, unless somebody signs them in again"),
    ("falling_removals", "Put out by it and by nobody else"),
    ("let_in", "Put out so far, and back with the reopening"),
    ("unreachable", "Without a link to this device now; they hear of it later"),
)


class Names:
    """What devices are called here."""

    def __init__(self, me: str, peers: Iterable[PeerEntry]) -> None:
        self.me = bare_id(me)
        self._labels = {peer.device_pubkey: shown(peer.label, 40) for peer in peers}

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


def wish(variant: Mapping[str, Any], names: Names) -> str:
    """What somebody wants, as the rest of a sentence that begins with who."""
    target = variant.get("target")
    name = names.of(target) if isinstance(target, str) else "a device"
    match variant.get("kind"):
        case "kind_change":
            to = variant.get("to")
            return (
                "wants the network to be closed" if to == "closed" else f"wants the network to be {shown(str(to), 40)}"
            )
        case "role_grant":
            role = shown(str(variant.get("role")), 40)
            return f"wants {name} to be let in" if role == "member" else f"wants {name} to be {role}"
        case "role_revoke":
            return f"wants {name} to lose its role"
        case "evict":
            return f"wants {name} to be put out"
        case "topology" | "topology_change":
            return "wants another shape for the network"
        case kind:
            return f"wants something that this app does not know ({shown(str(kind), 40)})"


def decisions(
    answer: GovernanceAnswer,
    names: Names,
    who: WhoAnswer | None,
    log: LogAnswer | None,
    amiss: Iterable[GovernanceFinding],
) -> JsonObject:
    """Everything on the surface. `who` and `log` are None where a daemon does not explain itself."""
    state = answer.state
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
        "pending": [_pending(each, names) for each in state.pending[:ROWS_MAX]],
        "evicted": [{"id": device, "name": names.of(device)} for device in answer.evicted[:ROWS_MAX]],
        "splits": [
            {"network": shown(split.new_network_id), "by": names.of(split.spawned_by)}
            for split in state.splits[:ROWS_MAX]
        ],
        "log": None
        if log is None
        else [{"at": x.at, "text": shown(x.text, TEXT_MAX), "state": x.state} for x in log.lines],
        "more": 0 if log is None else log.more,
        "amiss": [{"text": shown(each.text, TEXT_MAX), "help": shown(each.help, TEXT_MAX)} for each in amiss],
    }


def _pending(proposal: GovernanceProposal, names: Names) -> JsonObject:
    return {
        "id": proposal.id,
        "text": f"{names.of(proposal.proposer)} {wish(as_object(proposal.variant), names)}",
        "at": proposal.created_at,
        "signers": names.all(proposal.signers),
        "deniers": names.all(proposal.deniers),
        "is_mine": bare_id(proposal.proposer) == names.me,
        "is_signed": names.me in map(bare_id, proposal.signers),
    }


def outlook(found: GovernanceOutlook | None, name: Callable[[str], str]) -> list[JsonObject]:
    """What a change would do, in paragraphs; empty where a daemon does not say."""
    if found is None:
        return []
    rows = [(text, getattr(found, member)) for member, text in _OUTLOOK]
    told = [{"text": text, "names": [name(each) for each in devices[:ROWS_MAX]]} for text, devices in rows if devices]
    owners = [name(each) for each in found.owners[:ROWS_MAX]]
    return [*told, {"text": "Owners behind it" if owners else "Nobody is owner behind it", "names": owners}]
