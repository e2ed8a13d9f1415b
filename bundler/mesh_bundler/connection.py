"""An HTTP client made from the environment, which a person may have got wrong (spec 09 §8.2).

The library reads proxies, exceptions from them, trust stores and a key log from variables, and logins from a file. What
it cannot use is refused by name here, before anything was asked of the network.
"""

from __future__ import annotations

import netrc as netrc_file
import os
import ssl
from functools import lru_cache
from importlib import import_module, util
from typing import Any

import httpx

from mesh_bundler import trouble
from mesh_common.version import VERSION

_PROXIES = tuple(name for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for name in (upper, upper.lower()))
_EXCEPTIONS = ("NO_PROXY", "no_proxy")
_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_UNUSABLE = (ValueError, OSError, ImportError, httpx.InvalidURL, netrc_file.NetrcParseError)


def new_client(timeout: httpx.Timeout, *, netrc: bool, agent: str) -> httpx.Client:
    """A client that follows no redirect and calls itself `agent`.

    Raises `Refused` naming what of the environment cannot be used.
    """
    tls = tls_context()
    return _client(
        timeout=timeout,
        verify=tls,
        auth=_logins() if netrc else None,
        headers={"User-Agent": f"{agent}/{VERSION}"},
        # A proxy for the outside world has no business with a feed on this machine.
        mounts=dict.fromkeys(("http://127.0.0.1", "http://localhost", "http://[::1]")),
    )


def _client(**members: Any) -> httpx.Client:
    for name in _PROXIES:
        if value := os.environ.get(name):
            try:
                _check_proxy(value if "://" in value else f"http://{value}", verify=members["verify"])
            except _UNUSABLE as error:
                raise trouble.variable(name, value, str(error)) from error
    try:
        return httpx.Client(follow_redirects=False, **members)
    except _UNUSABLE as error:
        for name in _EXCEPTIONS:
            if value := os.environ.get(name):
                raise trouble.variable(name, value, str(error)) from error
        raise


def _check_proxy(address: str, *, verify: ssl.SSLContext) -> None:
    """Raises one of `_UNUSABLE` for an address that could never be connected to."""
    url = httpx.URL(address)
    if not url.host or "%" in url.host:
        raise ValueError("it names no host")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError(f"there is no port {url.port}")
    httpx.Client(proxy=address, trust_env=False, verify=verify).close()


def tls_context() -> ssl.SSLContext:
    """The system's trust store when `truststore` is installed, else the bundled one. There is no insecure switch.

    Whoever names certificates or a key log in the environment gets those: the system's store reads no variable.
    """
    try:
        return _tls_context(*(os.environ.get(name) for name in (*_TRUST, "SSLKEYLOGFILE")))
    except _UNUSABLE as error:
        log = os.environ.get("SSLKEYLOGFILE")
        name = next((name for name in _TRUST if os.environ.get(name)), None)
        if log and (name is None or getattr(error, "filename", None) == log):
            name = "SSLKEYLOGFILE"
        if name is None:
            raise
        raise trouble.variable(name, os.environ[name], _words(error)) from error


@lru_cache(1)
def _tls_context(*told: str | None) -> ssl.SSLContext:
    """Read once for what the environment says: that takes 25 ms, half of a small download."""
    if not any(told) and util.find_spec("truststore") is not None:
        context: ssl.SSLContext = import_module("truststore").SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return context
    return httpx.create_ssl_context()


def _logins() -> httpx.NetRCAuth:
    try:
        return httpx.NetRCAuth()
    except _UNUSABLE as error:
        raise trouble.netrc(_words(error)) from error


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
