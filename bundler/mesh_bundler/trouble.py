"""What goes wrong on the way to a release host, as refusals with a way out (spec 09 §8, exit 6 and 7)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mesh_bundler.errors import Exit, Refused

if TYPE_CHECKING:
    import ssl


def network(url: str, why: str) -> Refused:
    return Refused(
        "network",
        Exit.NETWORK,
        f"{url} could not be fetched: {why}.",
        hint="Check the connection and the proxy variables.",
        url=url,
    )


def variable(name: str, value: str, why: str) -> Refused:
    return Refused(
        "bad_variable",
        Exit.USAGE,
        f"The variable {name} cannot be used ({value[:200]!r}: {why}).",
        hint=f"Correct {name} or unset it, then run again.",
        variable=name,
    )


def netrc(why: str) -> Refused:
    return Refused(
        "bad_netrc",
        Exit.USAGE,
        f"The netrc file cannot be used: {why}.",
        hint="Correct ~/.netrc, or leave out --netrc.",
    )


def tls(url: str, error: ssl.SSLError) -> Refused:
    why = getattr(error, "verify_message", "") or str(error)
    clock = "expired" in why or "not yet valid" in why
    return Refused(
        "tls",
        Exit.NETWORK,
        f"{url} could not be trusted: {why}.",
        hint="Check this machine's clock." if clock else "If a proxy re-signs traffic, set SSL_CERT_FILE to its root.",
        url=url,
    )


def rate_limited(url: str, wait: float | None) -> Refused:
    until = "" if wait is None else time.strftime(" until %Y-%m-%d %H:%M:%S", time.localtime(time.time() + wait))
    return Refused(
        "rate_limited",
        Exit.NETWORK,
        f"{url} refuses more requests from this address{until}.",
        hint="Set MYOWNMESH_GITHUB_TOKEN (or GH_TOKEN, GITHUB_TOKEN) for a higher limit, or run again later.",
        url=url,
        wait=wait,
    )


def redirect(url: str, target: str, why: str) -> Refused:
    return Refused(
        "redirect_refused",
        Exit.NETWORK,
        f"{url} leads to {target[:200]}: {why}.",
        hint="Nothing was fetched from there. A mirror must be named in MYOWNMESH_RELEASE_MIRRORS.",
        url=url,
        target=target[:500],
    )


def proxy_auth(url: str) -> Refused:
    return Refused(
        "proxy_auth_required",
        Exit.NETWORK,
        f"The proxy wants a user and password before it fetches {url}.",
        hint="Put them into HTTPS_PROXY as http://user:password@host:port.",
        url=url,
    )


def too_large(url: str, limit: int) -> Refused:
    return Refused(
        "too_large",
        Exit.INTEGRITY,
        f"{url} sends more than {limit} bytes.",
        hint="Nothing was staged. This is not the file that was asked for.",
        url=url,
        limit=limit,
    )
