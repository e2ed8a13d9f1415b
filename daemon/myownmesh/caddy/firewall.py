"""The firewall of this machine is told of the ports; one that nobody here runs is told of by words (spec 06 §10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.caddy.tools import must

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.caddy.plan import Ports
    from myownmesh.caddy.tools import Run


def active(run: Run) -> str | None:
    """The firewall that is at work here: ``ufw``, else ``firewalld``, else none that we know."""
    if run.finds("ufw") is not None and "Status: active" in run("ufw", "status").out:
        return "ufw"
    if run.finds("firewall-cmd") is not None and run("firewall-cmd", "--state").status == 0:
        return "firewalld"
    return None


def let_in(run: Run, firewall: str, ports: Sequence[Ports]) -> None:
    """Open the ports, now and after a restart; what is open already stays so. Raises `CaddyError`."""
    if firewall == "ufw":
        for each in ports:
            must(run, "ufw", "allow", each.text(":"))
        return
    for each in ports:
        must(run, "firewall-cmd", "--permanent", f"--add-port={each.text('-')}")
    must(run, "firewall-cmd", "--reload")
