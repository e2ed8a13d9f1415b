"""Answers to strangers are rationed: who asks may not be who gets the answer (spec 06 F)."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import TYPE_CHECKING

from myownmesh.protocol.tokens import TokenBucket

if TYPE_CHECKING:
    from myownmesh.turn.limits import Limits

_V6_PREFIX_BITS = 56


class Ration:
    """A bucket for each prefix and one for all."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all = TokenBucket(limits.answers_s, limits.answers_burst, 0.0)
        self._prefixes: OrderedDict[object, TokenBucket] = OrderedDict()

    def allows(self, ip: str, now: float) -> bool:
        """Whether this address may have one more answer; if so, it is counted."""
        limits = self._limits
        prefix = prefix_of(ip)
        bucket = self._prefixes.get(prefix)
        if bucket is None:
            if len(self._prefixes) >= limits.prefixes:
                self._prefixes.popitem(last=False)
            bucket = TokenBucket(limits.answers_per_prefix_s, limits.answers_per_prefix_burst, now)
            self._prefixes[prefix] = bucket
        else:
            self._prefixes.move_to_end(prefix)
        return bucket.take(now) and self._all.take(now)


def prefix_of(ip: str) -> object:
    """Addresses that one sender may well forge or own together: /24, or /56."""
    if ":" not in ip:
        return ip.rpartition(".")[0]
    return int(ipaddress.IPv6Address(ip)) >> 128 - _V6_PREFIX_BITS
