"""Feeds that are wrong in any way: nothing is staged, and what was wrong is told (spec 09 §10.4, §12, §13)."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import random
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from integration.bundler.test_release_builder import builder
from mesh_bundler import host
from mesh_bundler.target import detect
from myownmesh.store.config import AutoUpdate
from myownmesh.updates.errors import UpdateError
from myownmesh.updates.installation import Installation
from myownmesh.updates.offers import FEED_MAX_BYTES, asset_name
from myownmesh.updates.place import Place
from myownmesh.updates.updater import Updater

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mesh_common.answers import UpdateChecked

NEW = "0.3.801"
ASSET = asset_name(detect(host.gather()).platform.name)
KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
"""A public key that is in minisign's manual; nobody here signs with it."""


def archive(*members: tuple[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), compresslevel=1, mtime=0)


PROGRAM = archive(("myownmesh", b"#!/bin/sh\n" + random.Random(2).randbytes(1 << 20)))
"""Long enough, and no native program."""


class Host:
    """A release host on loopback: what is asked for, and what it answers."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.elsewhere: dict[str, str] = {}
        """Where paths send whoever asks."""
        self.endless = set[str]()
        """Paths that are answered with blanks until whoever asks goes."""
        self.asked = list[tuple[str, str]]()
        self.base = ""

    @property
    def url(self) -> str:
        return f"{self.base}/latest"

    def publish(self, data: bytes = PROGRAM, *, tag: str = f"v{NEW}", digest: str | None = None, **row: Any) -> None:
        """A release with our asset and its checksum."""
        name = f"/{ASSET}"
        said = hashlib.sha256(data).hexdigest()
        self.answers |= {name: data, f"{name}.sha256": f"{digest or said}  {ASSET}\n".encode()}
        assets = [
            {"name": ASSET, "browser_download_url": self.base + name},
            {"name": f"{ASSET}.sha256", "browser_download_url": f"{self.base}{name}.sha256"},
        ]
        self.answers["/latest"] = json.dumps({"tag_name": tag, "assets": assets, **row}).encode()

    def change(self, **members: Any) -> None:
        """Change the row of the asset in the feed."""
        document = json.loads(self.answers["/latest"])
        document["assets"][0] |= members
        self.answers["/latest"] = json.dumps(document).encode()


@pytest.fixture
def published() -> Iterator[Host]:
    found = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, self.headers["User-Agent"]))
            if self.path in found.endless:
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):  # whoever reads has gone
                    while found.asked:
                        self.wfile.write(b" " * 65536)
                self.close_connection = True
                return
            body = found.answers.get(self.path)
            if self.path in found.elsewhere:
                self.send_response(302)
                self.send_header("Location", found.elsewhere[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.base = f"http://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        found.asked.clear()
        server.shutdown()
        thread.join()
        server.server_close()


class Device:
    def __init__(self, root: Path, host: Host) -> None:
        self.program = root / "myownmesh"
        self.program.write_bytes(b"the old one")
        self.place = Place(root / "home")
        self.host = host
        self.environ = {"MYOWNMESH_AUTOUPDATE": "1"}

    def check(self, **preferences: Any) -> UpdateChecked:
        wanted = AutoUpdate(stable_url=self.host.url, **preferences)
        return Updater(self.place, Installation("file", self.program), wanted, self.environ).check()

    def refuses(self, words: str) -> None:
        """The check fails with these words, is noted as failed, and changes nothing."""
        with pytest.raises(UpdateError, match=words):
            self.check()
        assert self.place.failures().count == 1
        assert self.place.last_check() is None
        assert self.place.staged() is None
        assert self.program.read_bytes() == b"the old one"


@pytest.fixture
def device(tmp_path: Path, published: Host) -> Device:
    return Device(tmp_path, published)


def test_a_feed_that_is_not_there(device: Device) -> None:
    device.refuses("returned 404")
    assert device.host.asked[0][1].startswith("myownmesh-self-update/")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>log in first</html>", "not JSON"),
        (b"[]", "did not answer with a release"),
        (b"{}", "tag_name"),
        (b'{"tag_name":"v9.9.9","draft":true}', "not published"),
        (b"[" * 100_000, "not JSON"),
        (b" " * (9 * 1024 * 1024), "larger|more than|bytes"),
    ],
)
def test_a_feed_that_is_none(device: Device, body: bytes, words: str) -> None:
    """F17; and a body without end is not read to its end."""
    device.host.answers["/latest"] = body
    device.refuses(words)


@pytest.mark.parametrize("tag", ["vv0.3.9", "v9.9.9/../../../x", "nightly", "v0.3"])
def test_a_tag_that_is_no_version_is_no_offer(device: Device, tag: str) -> None:
    """BW22: it would become part of a path."""
    device.host.publish(tag=tag)
    told = device.check()
    assert (told.outcome, told.latest) == ("up_to_date", None)
    assert told.detail is not None
    assert not [path for path in device.place.root.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("tag", "preferences", "outcome"),
    [
        ("v0.3.7", {}, "up_to_date"),
        ("v0.3.801-rc.1", {}, "up_to_date"),
        ("v0.4.0", {"auto_apply": "patch"}, "policy_blocked"),
        ("v1.0.0", {"auto_apply": "minor"}, "policy_blocked"),
    ],
)
def test_what_is_not_taken_is_not_fetched(device: Device, tag: str, preferences: Any, outcome: str) -> None:
    """F48."""
    device.host.publish(tag=tag)
    assert device.check(**preferences).outcome == outcome
    assert [path for path, _ in device.host.asked] == ["/latest"]
    assert device.place.last_check() is not None


def test_a_release_that_is_still_being_built_is_none_yet(device: Device) -> None:
    """F49, F52: without our asset, without its checksum, and with a name that differs in case only."""
    for names in ([], [ASSET], [ASSET.upper(), f"{ASSET.upper()}.sha256"]):
        rows = [{"name": name, "browser_download_url": f"{device.host.base}/x"} for name in names]
        device.host.answers["/latest"] = json.dumps({"tag_name": f"v{NEW}", "assets": rows}).encode()
        told = device.check()
        assert (told.outcome, told.latest) == ("up_to_date", NEW)
        assert "nothing for this machine yet" in str(told.detail)


def test_a_wrong_checksum(device: Device) -> None:
    """F25: fetched once more from scratch, then refused."""
    device.host.publish(digest="0" * 64)
    device.refuses("was expected")
    assert [path for path, _ in device.host.asked].count(f"/{ASSET}") == 2


def test_a_checksum_that_says_nothing(device: Device) -> None:
    device.host.publish()
    device.host.answers[f"/{ASSET}.sha256"] = b"<html>"
    device.refuses("HTML|checksum")


def test_a_feed_that_contradicts_the_checksum(device: Device) -> None:
    device.host.publish()
    device.host.change(digest="sha256:" + "0" * 64)
    device.refuses("contradict")


@pytest.mark.parametrize(
    "address", ["https://evil.example/x", "http://evil.example/x", "file:///etc/passwd", "", "ftp://x"]
)
def test_files_elsewhere(device: Device, address: str) -> None:
    """F23: the feed names no place of its own host."""
    device.host.publish()
    device.host.change(browser_download_url=address)
    device.refuses("not its own host")


@pytest.mark.parametrize(
    "location", ["https://evil.example/latest", "http://evil.example/latest", "file:///etc/passwd"]
)
def test_a_feed_that_leads_elsewhere(device: Device, location: str) -> None:
    """F23: nobody there is asked."""
    device.host.elsewhere["/latest"] = location
    device.refuses("that host is not allowed")
    assert [path for path, _ in device.host.asked] == ["/latest"]


def test_a_feed_that_leads_round_in_a_ring(device: Device) -> None:
    """F23: five are followed."""
    device.host.elsewhere["/latest"] = device.host.url
    device.refuses("redirect")
    assert len(device.host.asked) == 6


def test_a_signature_is_demanded_as_soon_as_a_key_is_trusted(device: Device) -> None:
    """F27, F51."""
    device.host.publish()
    device.environ["MYOWNMESH_TRUSTED_KEYS"] = KEY
    device.refuses("signature is required")


def sign(device: Device, tag: str, *, data: bytes = PROGRAM) -> None:
    """Publish the program with a signature that is for the release `tag`, by a key that is trusted."""
    signer = builder("sign").Signer.new()
    device.environ["MYOWNMESH_TRUSTED_KEYS"] = signer.public
    device.host.publish()
    device.host.answers[f"/{ASSET}.minisig"] = signer.sign(data, ASSET, tag, 1_700_000_000)
    document = json.loads(device.host.answers["/latest"])
    row = {"name": f"{ASSET}.minisig", "browser_download_url": f"{device.host.base}/{ASSET}.minisig"}
    document["assets"].append(row)
    device.host.answers["/latest"] = json.dumps(document).encode()


def test_a_signature_that_is_good_leads_on_to_the_program(device: Device) -> None:
    sign(device, f"v{NEW}")
    device.refuses("no program for any machine")


@pytest.mark.parametrize(("tag", "data"), [("v0.3.802", PROGRAM), (f"v{NEW}", b"something else")])
def test_a_signature_of_something_else_is_none(device: Device, tag: str, data: bytes) -> None:
    """BW19: an old release under a new name, for one."""
    sign(device, tag, data=data)
    device.refuses("signature|version|bytes")
    assert device.place.state() is None, "what lies may be mended; nothing is in quarantine"


NOISE = random.Random(1).randbytes(4000)
"""Does not compress, so the archive is long enough to be one."""


@pytest.mark.parametrize(
    "data",
    [archive(("../myownmesh", NOISE)), archive(("other", NOISE)), archive(("myownmesh", NOISE)), NOISE, PROGRAM],
    ids=["climbs", "without-the-daemon", "tiny", "no-archive", "no-native-program"],
)
def test_an_archive_that_will_not_do_is_not_fetched_again(device: Device, data: bytes) -> None:
    """F28 to F31: the next look finds it in quarantine."""
    device.host.publish(data)
    device.refuses(r"\w")
    fetched = len(device.host.asked)
    told = device.check()
    assert (told.outcome, told.latest) == ("up_to_date", NEW)
    assert "did not work" in str(told.detail)
    assert len(device.host.asked) == fetched + 1, "only the feed"


def test_switched_off_nobody_is_asked(device: Device) -> None:
    device.host.publish()
    assert device.check(enabled=False).outcome == "disabled"
    device.environ["MYOWNMESH_AUTOUPDATE"] = "0"
    assert device.check().outcome == "disabled"
    assert device.host.asked == []


LOOK = """
import json, sys
from pathlib import Path
from myownmesh.store.config import AutoUpdate
from myownmesh.updates.errors import UpdateError
from myownmesh.updates.installation import Installation
from myownmesh.updates.place import Place
from myownmesh.updates.updater import Updater

def most_kb():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

root, warm, *urls = sys.argv[1:]
seen = []
for url in (warm, *urls):
    place = Place(Path(root) / "home")
    wanted = AutoUpdate(stable_url=url)
    try:
        Updater(place, Installation("file", Path(root) / "myownmesh"), wanted, {"MYOWNMESH_AUTOUPDATE": "1"}).check()
    except UpdateError as error:
        seen.append((most_kb(), str(error)))
print(json.dumps(seen))
"""
"""A process of its own looks once at each feed; the most memory that it ever had after each, in KiB."""


def test_memory_stays_where_it_is_while_a_feed_has_no_end(device: Device) -> None:
    """F20 and the issue's "Feed": it is read as far as a feed may be long, and let go; a second look costs no more."""
    device.host.endless.add("/latest")
    urls = [f"{device.host.base}/gone", *[device.host.url] * 4]
    command = [sys.executable, "-c", LOOK, str(device.program.parent), *urls]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120)
    before, *looks = json.loads(done.stdout)
    assert "404" in before[1]
    assert len(looks) == 4
    assert all("larger" in words or "more than" in words for _, words in looks), looks
    assert [path for path, _ in device.host.asked].count("/latest") == 4, "no second try of what is too long"
    assert looks[0][0] - before[0] < 1.5 * FEED_MAX_BYTES / 1024, (before, looks)
    assert looks[-1][0] - looks[0][0] < FEED_MAX_BYTES / 2 / 1024, (before, looks)
    assert device.program.read_bytes() == b"the old one"
