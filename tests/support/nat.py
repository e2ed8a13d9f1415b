"""Routers of the machines of tests, as homes and phone companies have them: the kernel's own address translation."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from support.tools import needs

if TYPE_CHECKING:
    import pytest

    from support.namespaces import Machine

needs_nft: pytest.MarkDecorator = needs("nft", "nftables", "no router that translates addresses is tried")

_SYMMETRIC = """
table ip nat {
    chain out {
        type nat hook postrouting priority srcnat
        oifname "up0" masquerade fully-random
    }
}
"""
"""A port by chance for each destination: what a peer is told by one server is of no use to anybody else."""

_NO_UDP = """
table inet filter {
    chain pass {
        type filter hook forward priority filter
        meta l4proto udp drop
    }
}
"""


def passes_on(router: Machine) -> None:
    """Have a machine hand on what is not for it."""
    command = [*router.enter, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]
    subprocess.run(command, check=True, capture_output=True)


def symmetric(router: Machine) -> None:
    """Have a machine with the interface `up0` translate what others send through it."""
    passes_on(router)
    _load(router, _SYMMETRIC)


def let_no_udp_pass(router: Machine) -> None:
    """As in some offices: datagrams are dropped without a word."""
    _load(router, _NO_UDP)


def _load(router: Machine, rules: str) -> None:
    command = [*router.enter, "nft", "-f", "-"]
    done = subprocess.run(command, input=rules, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
