"""Whatever the input: no address outside the feed, no digest that is none, no file outside the temp folder."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_bundler import extract, header, signature
from mesh_bundler.checksum import parse_checksum_file
from mesh_bundler.errors import Exit, Refused
from mesh_bundler.feed import Feed
from mesh_bundler.lockfile import Lock, LockEntry, is_sha256, parse_lock
from mesh_bundler.record import parse_record
from mesh_bundler.target import PLATFORMS
from mesh_common.pins import Pin, PinError, parse_pin

_pin_texts = st.one_of(
    st.binary(max_size=80),
    st.from_regex(r"[vV]?[0-9.]{1,12}([-+/?#%. ][0-9A-Za-z./%#?-]*)?", fullmatch=True).map(str.encode),
)


@given(_pin_texts)
def test_no_pin_leads_outside_its_release(text: bytes) -> None:
    try:
        pin = parse_pin(text)
    except PinError:
        return
    if not isinstance(pin, Pin) or pin.tag is None:
        return
    feed = Feed()
    url = feed.urls(pin.tag, PLATFORMS["linux-x86_64"].asset()).archive
    parts = urlsplit(url)
    assert parts.netloc == "github.com"
    assert not parts.query
    assert not parts.fragment
    assert parts.path.startswith("/mrjeeves/MyOwnMesh/releases/download/v")
    assert parts.path.count("/") == 6
    assert ".." not in parts.path


@given(st.one_of(st.binary(max_size=300), st.from_regex(r"(\\?[0-9a-fA-F]{62,66} [ *](a|b)\n?){0,3}").map(str.encode)))
def test_a_checksum_file_yields_a_digest_or_a_refusal(data: bytes) -> None:
    try:
        digest = parse_checksum_file(data, "a")
    except Refused:
        return
    assert is_sha256(digest)


@given(st.binary(max_size=400))
def test_readers_of_foreign_bytes_never_break(data: bytes) -> None:
    digests = signature.SignedDigests.of(b"")
    assert not signature.verify(data, digests, (), asset="a", tag="v1.0.0").valid
    assert parse_record(data) is None
    for reader, errors in ((header.parse, header.BadHeader), (parse_lock, Refused)):
        with contextlib.suppress(errors):
            reader(data)


_names = st.one_of(
    st.sampled_from(["myownmesh", "./myownmesh", "../x", "/abs", "a/../b", "C:x", "a\\b", "aux", "x.", "dir/", "é"]),
    st.text(max_size=12),
)


def _tar(members: list[tuple[str, bytes, bytes]], tail: bytes) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(data) if kind == tarfile.REGTYPE else None)
    return gzip.compress(raw.getvalue() + tail, compresslevel=1)


def _zip(members: list[tuple[str, bytes, bytes]]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, _, data in members:
            archive.writestr(zipfile.ZipInfo(name or "x"), data)
    return raw.getvalue()


@settings(deadline=None)
@given(
    members=st.lists(
        st.tuples(
            _names,
            st.sampled_from([tarfile.REGTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE]),
            st.binary(max_size=64),
        ),
        max_size=4,
    ),
    form=st.sampled_from(["tar.gz", "zip", "cut", "noise"]),
    noise=st.binary(max_size=64),
    cut=st.integers(0, 300),
)
def test_no_archive_writes_outside_the_file_we_name(
    members: list[tuple[str, bytes, bytes]], form: str, noise: bytes, cut: int
) -> None:
    try:
        data = _zip(members) if form == "zip" else _tar(members, noise if form == "noise" else b"")
    except (ValueError, UserWarning, UnicodeEncodeError):
        return  # the writers themselves refuse such a name
    with TemporaryDirectory() as folder:
        archive = Path(folder) / ("a.zip" if form == "zip" else "a.tar.gz")
        archive.write_bytes(data[: max(0, len(data) - cut)] if form == "cut" else data)
        before = sorted(Path(folder).rglob("*"))
        taken: list[bytes] = []
        with pytest.raises(Refused) as caught:  # nothing here is a megabyte, so nothing here is a daemon
            extract.extract(archive, "myownmesh", taken.append)
        assert caught.value.exit_code is Exit.INTEGRITY
        assert sorted(Path(folder).rglob("*")) == before


def test_a_lock_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    entry = LockEntry("a.tar.gz", 5, "0" * 64, "1" * 64, 9, "minisign:AB", "sidecar", {"x": 1})
    lock = Lock("myownmesh", "v0.1.2", "o/r", {"linux-x86_64": entry}, ("AB",), {"note": "kept"})
    data = lock.to_bytes()
    assert parse_lock(data) == lock
    assert data.endswith(b"}\n")
    assert parse_lock(data).to_bytes() == data
    with pytest.raises(Refused) as caught:
        parse_lock(data.replace(b"0" * 64, b"0" * 63))
    assert caught.value.code == "lock_malformed"
