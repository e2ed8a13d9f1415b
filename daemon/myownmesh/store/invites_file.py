"""Invitations on disk (spec 11 §1.2): one file per network, 0600, because it holds secrets.

A file that cannot be read is set aside and no invitation of it is valid. One of a later release is neither read nor
written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Raw

from mesh_common.handwritten import in_style_of
from myownmesh.invitations.book import MAX_ACCEPTED, MAX_INVITES, MAX_USES, Accepted, Book, Invite
from myownmesh.invitations.tokens import id_of, read_token
from myownmesh.protocol.ids import is_device_id
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import U32, U64, read, shape
from myownmesh.protocol.strict_json import members, proven
from myownmesh.store.config import pretty
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.files import atomic_write, private_directory, quarantine
from myownmesh.store.json_file import read_file
from myownmesh.store.record import Record

if TYPE_CHECKING:
    from myownmesh.store.paths import Home

INVITES_VERSION = 1


class InviteRecord(Record, frozen=True, kw_only=True):
    """One invitation that was given."""

    id: str
    token: str
    exp: U64
    made: U64
    uses: U32
    by: tuple[str, ...]
    note: str = ""

    def __repr__(self) -> str:
        return f"InviteRecord(id={self.id!r})"


class AcceptedRecord(Record, frozen=True, kw_only=True):
    """One invitation that was taken; `inviter` stands as ``from`` in the file."""

    inviter: str
    token: str
    exp: U64
    label: str = ""

    def __repr__(self) -> str:
        return f"AcceptedRecord(inviter={self.inviter!r})"


class InvitesFile(Record, frozen=True, kw_only=True):
    """The file."""

    version: U32
    invites: tuple[InviteRecord, ...] = ()
    accepted: tuple[Raw, ...] = ()


def load_book(home: Home, network_id: str) -> Book:
    """The invitations of a network by its normalised id. Raises `StoreError` for a file that must be left alone."""
    path = home.invites(network_id)
    data = read_file(path, "invites: read")
    if data is None:
        return Book()
    try:
        file = read(InvitesFile, proven(data))
        if file.version > INVITES_VERSION:
            raise StoreError(f"invites: {path} was written by a newer version of the program; it is left alone")
        return _book(file)
    except ValueError as error:  # JsonError is one
        quarantine(path, str(error))
        return Book()


def save_book(home: Home, network_id: str, book: Book) -> None:
    """Replace the file; it is on disk when this returns. Raises `StoreError`."""
    path = home.invites(network_id)
    private_directory(path.parent.parent)
    private_directory(path.parent)
    content: dict[str, object] = {
        "version": INVITES_VERSION,
        "invites": [
            InviteRecord(id=e.id, token=e.token, exp=e.exp, made=e.made, uses=e.uses, by=e.by, note=e.note).to_json()
            for e in book.invites
        ],
        "accepted": [
            {"from": each.sender, "token": each.token, "exp": each.exp, "label": each.label} for each in book.accepted
        ],
    }
    try:
        atomic_write(path, in_style_of(pretty(content), path))
    except OSError as error:
        raise StoreError(f"invites: write {path}: {os_error_text(error)}") from error


def _book(file: InvitesFile) -> Book:
    invites = tuple(Invite(e.id, e.token, e.exp, e.made, e.uses, e.by, e.note) for e in file.invites)
    taken = map(_accepted, file.accepted)
    accepted = tuple(Accepted(each.inviter, each.token, each.exp, each.label) for each in taken)
    if len(invites) > MAX_INVITES or len(accepted) > MAX_ACCEPTED:
        raise JsonError("more invitations than are ever kept")
    for invite in invites:
        if id_of(read_token(invite.token)) != invite.id or not 1 <= invite.uses <= MAX_USES:
            raise JsonError("an invitation that was never made")
        if len(invite.by) > invite.uses or not all(map(is_device_id, invite.by)):
            raise JsonError("an invitation that let in others than devices")
    for each in accepted:
        read_token(each.token)
        if not is_device_id(each.sender):
            raise JsonError("an invitation of nobody")
    return Book(invites, accepted)


def _accepted(value: Raw) -> AcceptedRecord:
    names = {"from": "inviter"}
    found = [(names.get(name, name), each) for name, each in members(value) if name not in names.values()]
    record: AcceptedRecord = shape(AcceptedRecord).build(found)
    return record
