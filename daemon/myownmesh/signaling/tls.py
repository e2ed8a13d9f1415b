"""TLS with relays, also when this device's clock is wrong by more than their certificates allow (spec 03 §20)."""

from __future__ import annotations

import os
import ssl
import stat
from functools import cache
from typing import TYPE_CHECKING, Final

import trio

from mesh_common.readable import readable
from myownmesh.signaling.validity import Period

if TYPE_CHECKING:
    from collections.abc import Callable

_OUT_OF_DATE: Final = (9, 10)
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the `ssl` module does not name."""


_FILE: Final = "SSL_CERT_FILE"
_FOLDERS: Final = "SSL_CERT_DIR"
"""OpenSSL's own variables; what they name takes the place of the system's."""


class Untrusted(Exception):
    """Nobody whom we trust vouches for a certificate, and a variable that says whom to trust is wrong."""


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
    except trio.BrokenResourceError as error:
        forget_trust_stores()  # certificates that are installed meanwhile count at the next dial
        cause = error.__cause__
        if not isinstance(cause, ssl.SSLCertVerificationError) or cause.verify_code in _OUT_OF_DATE:
            raise
        problem = await trio.to_thread.run_sync(unusable_variable)
        raise trio.BrokenResourceError from Untrusted(f"{cause}; {problem}") if problem else cause
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
    return _trusting()


def _trusting() -> ssl.SSLContext:
    if _may_hang(os.environ.get(_FILE)):
        return ssl.create_default_context(capath=ssl.get_default_verify_paths().openssl_capath)
    return ssl.create_default_context()


def _may_hang(path: str | None) -> bool:
    """Whether it is a pipe or the like, whose reader may wait for ever."""
    try:
        return bool(path) and not stat.S_ISREG(os.stat(path or "").st_mode)  # noqa: PTH116 - as the library opens it
    except (OSError, ValueError):
        return False


def unusable_variable() -> str:
    """What is wrong with the variables that name certificates, as the end of a sentence; empty if nothing is."""
    if path := os.environ.get(_FILE):
        name = f"{_FILE} names {readable(path)}"
        if _may_hang(path):
            return f"{name}, which is no regular file"
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        except ssl.SSLError:
            return f"{name}, which holds no certificates"
        except (OSError, ValueError) as error:
            return f"{name}: {getattr(error, 'strerror', None) or error}"
    paths = os.environ.get(_FOLDERS)
    if paths and not any(os.path.isdir(path) for path in paths.split(os.pathsep)):  # noqa: PTH112 - raises for nothing
        return f"{_FOLDERS} names {readable(paths)}, which is no folder"
    return ""


@cache
def _timeless_trust_store() -> ssl.SSLContext:
    context = _trusting()
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


def forget_trust_stores() -> None:
    trust_store.cache_clear()
    _timeless_trust_store.cache_clear()
