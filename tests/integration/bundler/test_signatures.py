"""Signed releases: who made it, which file, which version (spec 09 §7.4, §7.5, F27)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest
from nacl.signing import SigningKey

from integration.bundler.bench import ASSET, TAG, publish
from integration.bundler.fakes import daemon
from integration.bundler.release_server import tar_gz
from mesh_bundler import client

if TYPE_CHECKING:
    from integration.bundler.bench import Machine
    from integration.bundler.release_server import ReleaseServer


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.Client, "pause", lambda _self, _seconds: None)


class Signer:
    """A publisher's minisign key."""

    def __init__(self, seed: int = 7) -> None:
        self._key = SigningKey(bytes([seed]) * 32)
        self._id = bytes([seed]) * 8

    @property
    def public(self) -> str:
        return base64.b64encode(b"Ed" + self._id + bytes(self._key.verify_key)).decode()

    def sign(self, data: bytes, comment: str) -> bytes:
        signature = self._key.sign(hashlib.blake2b(data).digest()).signature
        trusted = self._key.sign(signature + comment.encode()).signature
        lines = [
            "untrusted comment: signature from a test key",
            base64.b64encode(b"ED" + self._id + signature).decode(),
            f"trusted comment: {comment}",
            base64.b64encode(trusted).decode(),
        ]
        return ("\n".join(lines) + "\n").encode()

    def bound(self, data: bytes, asset: str = ASSET, tag: str = TAG) -> bytes:
        digest = hashlib.sha256(data).hexdigest()
        return self.sign(data, f"timestamp:1\tfile:{asset}\tproduct:myownmesh\tversion:{tag}\tsha256:{digest}\thashed")


def trust(machine: Machine, *signers: Signer) -> None:
    machine.env["MYOWNMESH_TRUSTED_KEYS"] = " ".join(signer.public for signer in signers)


def test_a_bound_signature_is_enough_and_recorded(machine: Machine, server: ReleaseServer) -> None:
    signer = Signer()
    trust(machine, Signer(9), signer)
    data = server.assets[TAG, ASSET]
    server.assets[TAG, f"{ASSET}.minisig"] = signer.bound(data)
    result = machine.run(require=True)
    assert (result.verified, result.key_id) == ("signature", "0707070707070707")
    assert "unsigned_release" not in machine.said()


def test_a_signature_covers_a_missing_checksum(machine: Machine, server: ReleaseServer) -> None:
    signer = Signer()
    trust(machine, signer)
    server.assets[TAG, f"{ASSET}.minisig"] = signer.bound(server.assets[TAG, ASSET])
    del server.assets[TAG, f"{ASSET}.sha256"]
    assert machine.run().verified == "signature"


def test_without_a_trusted_key_only_the_checksum_counts_and_that_is_said(machine: Machine) -> None:
    assert machine.run().verified == "checksum"
    assert "unsigned_release" in machine.said()


def test_f27_in_release_mode_a_key_makes_signatures_mandatory(machine: Machine, server: ReleaseServer) -> None:
    trust(machine, Signer())
    refusal = machine.refusal(require=True)
    assert (refusal.code, refusal.exit_code) == ("signature_missing", 7)
    assert machine.run().verified == "checksum"
    refusal = machine.refusal(require=True)
    assert refusal.code == "signature_missing", "what was staged with less is not current for a release build"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda signer, data: signer.bound(data + b"x"), "bad_signature"),
        (lambda signer, data: signer.bound(data).replace(b"version:v0.1.2", b"version:v0.1.3"), "bad_signature"),
        (lambda signer, data: signer.bound(data, asset="myownmesh-linux-aarch64.tar.gz"), "wrong_asset"),
        (lambda signer, data: signer.bound(data, tag="v0.1.1"), "wrong_version"),
        (lambda _signer, data: Signer(8).bound(data), "unknown_key"),
        (lambda _signer, _data: b"<html>", "malformed"),
    ],
    ids=["other bytes", "comment changed", "other asset", "older version", "foreign key", "no signature"],
)
def test_f27_a_signature_that_does_not_fit(machine: Machine, server: ReleaseServer, make: object, code: str) -> None:
    signer = Signer()
    trust(machine, signer)
    data = server.assets[TAG, ASSET]
    server.assets[TAG, f"{ASSET}.minisig"] = make(signer, data)  # type: ignore[operator]  # callers hand a maker of that kind
    refusal = machine.refusal(allow_stub=True)
    assert (refusal.code, refusal.exit_code) == (code, 7)
    assert not machine.slot.exists()


def test_an_older_release_under_the_new_name_is_refused(machine: Machine, server: ReleaseServer) -> None:
    """Genuine file, genuine signature, genuine checksum file: only the binding tells."""
    signer = Signer()
    trust(machine, signer)
    old = tar_gz(("myownmesh", daemon("0.1.1")))
    server.publish(TAG, ASSET, old)
    server.assets[TAG, f"{ASSET}.minisig"] = signer.bound(old, tag="v0.1.1")
    assert machine.refusal().code == "wrong_version"


def test_unbound_signatures_are_for_releases_that_had_no_other(machine: Machine, server: ReleaseServer) -> None:
    signer = Signer()
    trust(machine, signer)
    for version in ("0.1.2", "0.4.0"):
        publish(server, version)
        data = server.assets[f"v{version}", ASSET]
        server.assets[f"v{version}", f"{ASSET}.minisig"] = signer.sign(data, f"timestamp:1\tfile:{ASSET}\thashed")
    assert machine.run().verified == "signature"
    (machine.repo / ".myownmesh-rev").write_text("v0.4.0")
    assert machine.refusal().code == "signature_unbound"
    assert machine.run(allow_unbound_signature=True).verified == "signature"


def test_a_trusted_key_that_cannot_be_read_is_a_usage_error(machine: Machine) -> None:
    machine.env["MYOWNMESH_TRUSTED_KEYS"] = "nonsense"
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("bad_trusted_key", 2)
