"""What is wrong with a saved network as somebody typed it: the rules of the commands, for files edited by hand. Pure.

A member that cannot be used takes its default alone (spec 08 §6.3); here it is told, so that nobody believes in a
setting that is not in force (spec 08 FE-8.7, FE-8.10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownllm import coerce
from myownllm.catalog.network import ACCEPTING

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.catalog.network import SavedNetwork
    from myownllm.coerce import Json, JsonObject

_SHOWN_CHARS: Final = 60


def _is_text_list(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_turn_list(value: Json) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and isinstance(each.get("url"), str)
        and all(isinstance(each.get(k, ""), str) for k in ("username", "credential"))
        for each in value
    )


_RULES: Final[dict[str, tuple[Callable[[Json], bool], str]]] = {
    "label": (lambda v: isinstance(v, str), "a text"),
    "kind": (lambda v: v in ("open", "closed"), '"open" or "closed"'),
    "topology": (
        lambda v: coerce.topology(v) is not None,
        '{"kind": "ring"}, {"kind": "full_mesh"}, {"kind": "star", "hub": a device id} '
        'or {"kind": "hubs", "hubs": [device ids]}',
    ),
    "auto_approve": (lambda v: isinstance(v, bool), "true or false"),
    "signaling_servers": (_is_text_list, "a list of addresses"),
    "stun_servers": (_is_text_list, "a list of addresses"),
    "turn_servers": (_is_turn_list, 'a list of {"url", "username", "credential"}'),
    "signaling": (lambda v: isinstance(v, dict), 'an object, as {"mdns": false}'),
    "accepting": (lambda v: v in ACCEPTING, " or ".join(f'"{word}"' for word in ACCEPTING)),
    "auto_gossip": (lambda v: isinstance(v, bool), "true or false"),
}


def unusable_members(raw: JsonObject, handle: str) -> tuple[str, ...]:
    """Members of one record that count as their default because of what stands there; `null` counts as absent."""
    return tuple(
        f"'{handle}': {member} is {_shown(raw[member])}, which cannot be used; it must be {wanted}"
        for member, (is_good, wanted) in _RULES.items()
        if raw.get(member) is not None and not is_good(raw[member])
    )


def setting_problems(network: SavedNetwork) -> tuple[str, ...]:
    """What is wrong with the values of a record that has the right form."""
    wrong = network.problem()
    handle = (f"network '{network.id}' cannot be used: {wrong}",) if wrong is not None else ()
    halves = tuple(problem for server in network.turn_servers if (problem := server.problem()) is not None)
    return (*handle, *network.address_problems(), *halves)


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
