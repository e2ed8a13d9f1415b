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
_SITE_FENCE: Final = "myownmesh-managed: "
_NO_OPTIONS: Final = "{\n}\n"
"""What `merged` opened for the listener of TURN where there were no options."""
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


def turn_site_of(site: str, turn_domain: str | None) -> str:
    """The name for TURN over TLS. Raises `ValueError` for what is no domain."""
    return normalised(turn_domain if turn_domain is not None else f"turn.{host_of(site)}")


def host_of(site: str) -> str:
    """A site without its port: what DNS and TLS know."""
    return site.partition(":")[0]


def merged(caddyfile: str, domain: str, relay_port: int, turn_domain: str | None = None) -> str:
    """The Caddyfile with our blocks inserted, or replaced where they stand.

    The domains are normalised here; `turn.<domain>` is for TURN unless another is named. Raises `ValueError` for what
    is no domain, and for a fence that begins and does not end.
    """
    site = normalised(domain)
    turn_site = turn_site_of(site, turn_domain)
    return _with_site(_with_layer4(caddyfile, turn_site), site, relay_port, turn_site)


def merged_for_relay(caddyfile: str, domain: str, relay_port: int) -> str:
    """The same with nothing for TURN, for a Caddy without the module. Raises as `merged` does."""
    return _with_site(caddyfile, normalised(domain), relay_port, None)


def managed(caddyfile: str) -> tuple[str, ...]:
    """The sites that are ours, in the file's order."""
    return tuple(re.findall(rf"^[ \t]*# >>> {re.escape(_SITE_FENCE)}([^\n]*?)[ \t]*$", caddyfile, re.MULTILINE))


def without(caddyfile: str, domain: str) -> str:
    """The Caddyfile without our blocks for a domain; the listener for TURN goes with the last of them.

    Raises `ValueError` as `merged` does.
    """
    site = normalised(domain)
    if site not in managed(caddyfile):
        return caddyfile
    text = _unfenced(caddyfile, f"{_SITE_FENCE}{site}")
    if managed(text):
        return text
    text = _unfenced(text, _TURN_FENCE)
    rest = text.removeprefix(_NO_OPTIONS)
    return rest if rest.strip() else _NO_OPTIONS  # of an empty file Caddy says that it is none


def _with_site(text: str, site: str, relay_port: int, turn_site: str | None) -> str:
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
"""
    if turn_site is not None:  # for its certificate
        block += f"""\
{turn_site} {{
	respond "myownmesh turn" 200
}}
"""
    fence = f"{_SITE_FENCE}{site}"
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
			@turn tls sni {host_of(turn_site)}
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


def _unfenced(text: str, fence: str) -> str:
    found = _fenced(text, fence)
    if found is None:
        return text
    begin = text.rfind("\n", 0, found[0] - 1) + 1
    end = text.find("\n", found[1])
    before, behind = text[:begin], text[end + 1 :] if end >= 0 else ""
    if fence.startswith(_SITE_FENCE) and (before == "\n" or before.endswith("\n\n")):
        before = before[:-1]  # the blank line that `_with_site` set before it
    return before + behind


def _fenced(text: str, fence: str) -> tuple[int, int] | None:
    """Where what stands between the lines of a fence begins and ends; None without the fence."""
    begin = re.search(rf"^[ \t]*# >>> {re.escape(fence)}[ \t]*\n", text, re.MULTILINE)
    if begin is None:
        return None
    end = re.compile(rf"^[ \t]*# <<< {re.escape(fence)}[ \t]*$", re.MULTILINE).search(text, begin.end())
    if end is None:
        raise ValueError(f"the line '# >>> {fence}' has no '# <<< {fence}' behind it: mend the Caddyfile first")
    return begin.end(), end.start()
