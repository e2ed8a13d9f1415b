"""TLS with relays, also when this device's clock is wrong by more than their certificates allow (spec 03 §20)."""

from __future__ import annotations

import ssl
from functools import cache
from typing import TYPE_CHECKING, Final

import trio

from myownmesh.signaling.validity import Period

if TYPE_CHECKING:
    from collections.abc import Callable

_OUT_OF_DATE: Final = (9, 10)
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the `ssl` module does not name."""


class OutOfDate(Exception):
    """By our clock a certificate is not valid yet, or not any more; nothing else was found yet."""


async def secured(stream: trio.abc.Stream, host: str) -> trio.abc.Stream:
    """TLS over a stream, every check done.

    Raises OutOfDate, or trio.BrokenResourceError with the reason as its cause.
    """
    try:
        return await _handshake(stream, host, trust_store)
    except trio.BrokenResourceError as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in _OUT_OF_DATE:
            raise OutOfDate from error
        raise


async def secured_at_any_time(stream: trio.abc.Stream, host: str) -> tuple[trio.abc.Stream, list[Period]]:
    """TLS with every check but that of the dates, and the dates of the whole chain.

    Until somebody has judged those (`signaling.validity`), nothing may be sent over it that the other end must not
    have, and nothing believed. Raises trio.BrokenResourceError with the reason as its cause.
    """
    secured = await _handshake(stream, host, _timeless_trust_store)
    return secured, _chain(secured)


async def _handshake(
    stream: trio.abc.Stream, host: str, trusted: Callable[[], ssl.SSLContext]
) -> trio.SSLStream[trio.abc.Stream]:
    context = await trio.to_thread.run_sync(trusted, abandon_on_cancel=True)
    secured = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await secured.do_handshake()
    except trio.BrokenResourceError:
        forget_trust_stores()  # certificates that are installed meanwhile count at the next dial
        raise
    return secured


def _chain(secured: trio.SSLStream[trio.abc.Stream]) -> list[Period]:
    """The dates of the verified chain, the trusted root's included."""
    # Public from Python 3.13 on only, and there without the dates; the object below has had both since 3.10.
    chain = secured._ssl_object._sslobj.get_verified_chain()  # type: ignore[attr-defined]  # no stub has it
    return [_period(each.get_info()) for each in chain]


def _period(info: dict[str, str]) -> Period:
    begins_s, ends_s = ssl.cert_time_to_seconds(info["notBefore"]), ssl.cert_time_to_seconds(info["notAfter"])
    return Period(begins_s * 1000, ends_s * 1000)


@cache
def trust_store() -> ssl.SSLContext:
    """The certificates that this system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` count."""
    # Reading the system's certificates takes tens of milliseconds; only a wss:// relay needs them.
    return ssl.create_default_context()


@cache
def _timeless_trust_store() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


def forget_trust_stores() -> None:
    trust_store.cache_clear()
    _timeless_trust_store.cache_clear()
