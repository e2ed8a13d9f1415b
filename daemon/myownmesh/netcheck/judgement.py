"""What a look at the surroundings means: what will work, and what to change, in one sentence. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

from mesh_common.netcheck import Netcheck, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mesh_common.netcheck import ServerRow, Surroundings

WRONG_CLOCK_MS: Final = 60_000
"""The shortest window of a relay; `myownllm health` speaks of the same."""
_ALONE: Final = ("no_network", "no_way", "lan_only", "no_relay")
"""Cases that speak of all servers, or of none."""
_NAMED: Final = 3
"""Servers that a sentence names; the rows have all."""


class _Case(Struct, frozen=True):
    code: str
    verdict: Verdict
    works: str
    change: str = ""
    """What a person has to do, or may; empty: nothing."""


def judged(found: Surroundings) -> Netcheck:
    """The measurements with what they mean."""
    case = _case(found)
    changes = [case.change, *_further(found, case)]
    advice = ", and ".join(change for change in changes if change)
    sentence = f"{case.works}; {advice or 'nothing has to be changed'}."
    facts = {name: getattr(found, name) for name in found.__struct_fields__}
    return Netcheck(verdict=case.verdict, code=case.code, sentence=sentence, **facts)


def _case(found: Surroundings) -> _Case:
    if not found.addresses:
        return _Case("no_network", "nothing", "Nothing works: this device has no network", "connect a cable or a Wi-Fi")
    relays = [row for row in found.servers if row.kind == "relay"]
    lan = _is_lan_possible(found)
    if not found.servers:
        return _lan_alone(lan=lan)
    if not any(row.ok for row in found.servers):
        return _nobody_answers(lan=lan)
    if not any(row.ok for row in relays):
        return _no_relay(relays, lan=lan)
    return _links(found, lan=lan)


def _lan_alone(*, lan: bool) -> _Case:
    if lan:
        return _Case("lan", "works", "Devices in the local network find each other and connect directly")
    return _Case(
        "no_way",
        "nothing",
        "Nothing works: the networks of this device are met in the local network alone, where multicast does not pass",
        "name a relay, or let UDP port 5353 through",
    )


def _nobody_answers(*, lan: bool) -> _Case:
    change = "connect this network to the internet, or name servers that it reaches"
    if lan:
        works = "Devices in the local network find each other and connect directly, and nothing beyond it answers"
        return _Case("lan_only", "limited", works, change)
    return _Case("no_way", "nothing", "Nothing works: no server answers, and multicast does not pass here", change)


def _no_relay(relays: list[ServerRow], *, lan: bool) -> _Case:
    change = f"have {_list(row.url for row in relays)} mended, or name another relay" if relays else "name a relay"
    if lan:
        works = "Only devices in the local network find each other, because no relay answers"
        return _Case("no_relay", "limited", works, change)
    works = "No device is found: no relay answers, and multicast does not pass here"
    return _Case("no_relay", "nothing", works, change)


def _links(found: Surroundings, *, lan: bool) -> _Case:
    turn = [row for row in found.servers if row.kind == "turn" and row.ok]
    find = "Devices find each other"
    near = "those in the local network" if lan else "those in one local network"
    need_turn = "have a TURN server that answers" if _any_turn(found) else "name a TURN server"
    if found.udp.state == "blocked":
        streams = [row for row in turn if row.over != "udp"]
        open_udp = "let UDP out for direct links"
        if streams:
            works = f"{find} and connect over TURN by {_ways(streams)}, which is slower, because UDP is blocked here"
            return _Case("udp_blocked", "works", works, open_udp)
        works = (
            f"{find} and only {near} connect, because UDP is blocked here and no TURN server answers over TCP or TLS"
        )
        return _Case("udp_blocked_no_turn", "limited", works, "let UDP out, or name a TURN server with turns:")
    if found.nat.state == "dependent":
        nat = "this network's router uses another port for each destination (symmetric NAT)"
        if turn:
            works = f"{find} and connect, with hard routers at both ends over TURN: {nat}"
            return _Case("symmetric_nat", "works", works)
        works = f"{find}, and links to devices behind hard routers fail: {nat}, and no TURN server answers"
        return _Case("symmetric_nat_no_turn", "limited", works, need_turn)
    if found.udp.state == "unknown":
        if turn:
            works = f"{find} and connect at least over TURN by {_ways(turn)}"
            return _Case("turn_alone", "works", works, "name a STUN server for more direct links")
        works = (
            f"{find} and {near} connect, others only where no router is between, for no STUN or TURN server is named"
        )
        return _Case("no_servers", "limited", works, "name a STUN and a TURN server")
    if turn and (host := _only_host(found, lan=lan)) is not None:
        works = f"{find} and connect at least over TURN by {_ways(turn)}, for nothing but {host} answers here"
        change = "name a STUN server at another address to learn whether they connect directly as well"
        return _Case("turn_alone", "works", works, change)
    if turn:
        return _Case("direct", "works", f"{find} and most links are direct, the others go over TURN")
    works = f"{find} and most links are direct, and those past a strict router or firewall fail without TURN"
    return _Case("direct_no_turn", "limited", works, need_turn)


def _further(found: Surroundings, case: _Case) -> list[str]:
    """What a person may have to do besides."""
    changes = []
    if case.code not in _ALONE:
        unmet = _unmet(found)
        if unmet:
            changes.append(f"name another relay for {_list(unmet)}, of which none answers")
        dead = [row.url for row in found.servers if not row.ok and not _is_told(row, found, case, unmet)]
        if dead:
            changes.append(f"mend or remove {_list(dead)}, which {'does' if len(set(dead)) == 1 else 'do'} not answer")
    if found.clock is not None and abs(found.clock.ahead_ms) >= WRONG_CLOCK_MS:
        side = "ahead" if found.clock.ahead_ms > 0 else "behind"
        changes.append(f"set this device's clock, which is {_span(abs(found.clock.ahead_ms))} {side}")
    return changes


def _is_told(row: ServerRow, found: Surroundings, case: _Case, unmet: list[str]) -> bool:
    """Whether the sentence has already said what is to be done about a dead server."""
    if row.kind == "relay":
        return bool(row.networks) and set(row.networks) <= set(unmet)
    if row.kind == "turn" and case.code.endswith("no_turn"):
        return True
    return row.over == "udp" and found.udp.state == "blocked"


def _unmet(found: Surroundings) -> list[str]:
    """Networks that have relays, none of which answers."""
    relays = [row for row in found.servers if row.kind == "relay"]
    return [
        network
        for network in found.networks
        if (mine := [row for row in relays if network in row.networks]) and not any(row.ok for row in mine)
    ]


def _is_lan_possible(found: Surroundings) -> bool:
    """Is multicast of use to a network of this device? Without any, to a new one."""
    return found.multicast.state in ("heard", "possible") and bool(found.lan_networks or not found.networks)


def _only_host(found: Surroundings, *, lan: bool) -> str | None:
    """The one host that answers, where nothing shows that this device reaches any other; None otherwise."""
    hosts = {_host(row.url) for row in found.servers if row.ok}
    is_near = found.nat.state == "none" and lan
    return hosts.pop() if len(hosts) == 1 and found.nat.state != "independent" and not is_near else None


def _host(url: str) -> str:
    rest = url.partition(":")[2].removeprefix("//")
    return urlsplit(f"//{rest}").hostname or url


def _any_turn(found: Surroundings) -> bool:
    return any(row.kind == "turn" for row in found.servers)


def _ways(rows: list[ServerRow]) -> str:
    ways = [
        word for over, word in (("udp", "UDP"), ("tcp", "TCP"), ("tls", "TLS")) if any(r.over == over for r in rows)
    ]
    return " and ".join(ways)


def _list(texts: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(texts))
    named = distinct[:_NAMED]
    if len(distinct) > _NAMED:
        named.append(f"{len(distinct) - _NAMED} more")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _span(span_ms: int) -> str:
    minutes = round(span_ms / 60_000)
    if minutes < 120:
        return f"{minutes} minute{'s' * (minutes != 1)}"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
