"""The Caddyfile of a host whose relay and TURN others reach by name (spec 06 §10). Pure.

Two fenced blocks are ours, and what stands around them is the operator's: sites for the relay and for TURN's
certificate, and in the global options a TLS listener before TURN over TCP, which needs the module caddy-l4.
"""

from __future__ import annotations

import re
from typing import Final

LAYER4_PORT: Final = 5349
TURN_PORT: Final = 3478
_SCHEMES: Final = ("wss://", "ws://", "https://", "http://")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_TURN_FENCE: Final = "myownmesh-turn-layer4"


def normalised(domain: str) -> str:
    """A domain as a person writes it, as a bare name. Raises `ValueError` for what is none."""
    name = domain.strip()
    for scheme in _SCHEMES:
        if name.startswith(scheme):
            name = name.removeprefix(scheme)
            break
    name = name.partition("/")[0].rstrip(".")
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"'{domain}' is no domain")
    return name


def merged(caddyfile: str, domain: str, relay_port: int, turn_domain: str | None = None) -> str:
    """The Caddyfile with our blocks inserted, or replaced where they stand.

    The domains are normalised here; `turn.<domain>` is for TURN unless another is named. Raises `ValueError` for what
    is no domain, and for a fence that begins and does not end.
    """
    site = normalised(domain)
    turn_site = normalised(turn_domain if turn_domain is not None else f"turn.{site}")
    return _with_site(_with_layer4(caddyfile, turn_site), site, turn_site, relay_port)


def _with_site(text: str, site: str, turn_site: str, relay_port: int) -> str:
    # `handle` keeps the order: by itself `respond` would come before `reverse_proxy`, and answer everything.
    block = f"""\
{site} {{
	@websocket {{
		header Connection *Upgrade*
		header Upgrade websocket
	}}
	handle @websocket {{
		reverse_proxy 127.0.0.1:{relay_port}
	}}
	handle {{
		respond "myownmesh signaling relay" 200
	}}
}}
{turn_site} {{
	respond "myownmesh turn" 200
}}
"""
    fence = f"myownmesh-managed: {site}"
    found = _fenced(text, fence)
    if found is not None:
        return text[: found[0]] + block + text[found[1] :]
    if text and not text.endswith("\n"):
        text += "\n"
    return f"{text}\n# >>> {fence}\n{block}# <<< {fence}\n"


def _with_layer4(text: str, turn_site: str) -> str:
    block = f"""\
	layer4 {{
		:{LAYER4_PORT} {{
			@turn tls sni {turn_site}
			route @turn {{
				tls
				proxy tcp/127.0.0.1:{TURN_PORT}
			}}
		}}
	}}
"""
    found = _fenced(text, _TURN_FENCE)
    if found is not None:
        return text[: found[0]] + block + text[found[1] :]
    fenced = f"\t# >>> {_TURN_FENCE}\n{block}\t# <<< {_TURN_FENCE}\n"
    opening = re.match(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*\{[ \t]*(?:#[^\n]*)?\n", text)
    if opening is not None:
        return text[: opening.end()] + fenced + text[opening.end() :]
    return f"{{\n{fenced}}}\n{text}"


def _fenced(text: str, fence: str) -> tuple[int, int] | None:
    """Where what stands between the lines of a fence begins and ends; None without the fence."""
    begin = re.search(rf"^[ \t]*# >>> {re.escape(fence)}[ \t]*\n", text, re.MULTILINE)
    if begin is None:
        return None
    end = re.compile(rf"^[ \t]*# <<< {re.escape(fence)}[ \t]*$", re.MULTILINE).search(text, begin.end())
    if end is None:
        raise ValueError(f"the line '# >>> {fence}' has no '# <<< {fence}' behind it: mend the Caddyfile first")
    return begin.end(), end.start()
