"""What a recording does not tell: who and where. The same id or address is the same one throughout, and ids keep their
order, for the lower one offers. Payloads and keys of paths are left out, labels are told apart.
"""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import msgspec

from myownmesh.identity import Identity
from myownmesh.protocol.envelopes import RELAY_CHANNEL, read_routed, wrapped
from myownmesh.protocol.offer_ids import gives_way, with_mark_of
from myownmesh.roster import Entry, Roster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ID: Final = re.compile(r"(?<![a-z2-7])[a-z2-7]{52}(?![a-z2-7])")
_IPV4: Final = r"\d{1,3}(?:\.\d{1,3}){3}"
_IPV6: Final = r"(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}"
_ADDRESS: Final = re.compile(rf"(?<![\w.:])(?:{_IPV4}|{_IPV6})(?![\w:])")
_PASSWORD: Final = re.compile(r"(?<=a=ice-pwd:)\S+")
LABELS: Final = frozenset({"label", "user_label"})
_PRIVATE: Final = frozenset({"payload", "ok", "extra", "capabilities", "approved_at"})
"""Members whose value is nobody's business."""


class Redactor:
    """Replaces in texts and JSON values. `salt` decides the substitutes; it is forgotten with the redactor."""

    def __init__(self, ids: set[str], network: str, salt: bytes) -> None:
        self._salt = salt
        self._network = network
        made = (Identity.from_seed(self._digest(f"id {number}")).device_id for number in range(len(ids)))
        self._ids = dict(zip(sorted(ids), sorted(made), strict=True))
        self._words: dict[str, str] = {}
        """Texts that follow from ids, with what follows from the substitutes."""
        self.signed: Callable[[bytes], bytes | None] = _nothing_signed
        """What to make of a frame about what is signed; None for others."""

    def id(self, device_id: str) -> str:
        return self._ids.get(device_id, device_id)

    def know(self, word: str, substitute: str) -> None:
        """A text that follows from ids."""
        self._words[word] = substitute

    def know_offer(self, offer_id: str, sender: str, receiver: str) -> None:
        """Ids of offers tell who made them for whom (`protocol.offer_ids`): this one's substitute tells the same."""
        if gives_way(offer_id, sender, receiver):
            self._words[offer_id] = with_mark_of(offer_id, self.id(sender), self.id(receiver))

    def know_roster(self, roster: Roster, me: str, peers: Iterable[str]) -> None:
        """Hashes over it that this device and its peers may name."""
        other = Roster("", tuple(Entry(self.id(entry.device_id), "", 0) for entry in roster.entries))
        self._words[roster.membership_root()] = other.membership_root()
        for peer in peers:
            self._words[roster.root_held_by(peer, me)] = other.root_held_by(self.id(peer), self.id(me))

    def text(self, text: str) -> str:
        """A text that may name ids, addresses and the network."""
        if (word := self._words.get(text)) is not None:
            return word
        if text == self._network:
            return "network"
        text = _ID.sub(lambda found: self.id(found[0]), text)
        text = _PASSWORD.sub(lambda found: self._digest(found[0]).hex()[: len(found[0])], text)
        return _ADDRESS.sub(lambda found: self._address(found[0]), text)

    def value(self, value: Any) -> Any:
        """A JSON value: every text in it, and nothing of what is private."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, dict):
            return {self.text(name): self._member(name, each) for name, each in value.items()}
        return value

    def label(self, label: str) -> str:
        """A name that a person gave: whether it is another one than before is all that is told."""
        return label and self._digest(label).hex()[:8]

    def _member(self, name: str, value: Any) -> Any:
        if name in LABELS and isinstance(value, str):
            return self.label(value)
        return _nothing(value) if name in _PRIVATE else self.value(value)

    def frame(self, data: bytes) -> bytes:
        """A frame of the data channel; one that is no JSON object is nothing but its length."""
        try:
            frame = msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return b"x" * min(len(data), 64)
        if (signed := self.signed(data)) is not None:
            return signed
        told = self.value(frame)
        if frame.get("channel") == RELAY_CHANNEL:
            told["payload"] = self._envelope(frame.get("payload"))
        return msgspec.json.encode(told)

    def _envelope(self, payload: Any) -> Any:
        """From whom to whom a forwarded frame is, without what it says; of what is no envelope nothing."""
        routed = read_routed(msgspec.Raw(msgspec.json.encode(payload)))
        if routed is None:
            return None
        ends = {"dst": self.text(routed.dst), "src": self.text(routed.src), "body": msgspec.Raw(b"null")}
        return wrapped(msgspec.structs.replace(routed, **ends)).payload

    def _address(self, text: str) -> str:
        try:
            address = ip_address(text)
        except ValueError:
            return text
        if address.is_unspecified or address.is_loopback:
            return text
        digest = self._digest(str(address))
        if address.version == 4:
            return f"10.{digest[0]}.{digest[1]}.{digest[2]}" if address.is_private else f"203.0.113.{digest[0]}"
        return f"fd00::{digest[:4].hex(':', 2)}" if address.is_private else f"2001:db8::{digest[:4].hex(':', 2)}"

    def _digest(self, text: str) -> bytes:
        return hashlib.sha256(self._salt + text.encode()).digest()


def _nothing_signed(_data: bytes) -> None:
    return None


def ids_in(text: str) -> set[str]:
    """What looks like a device id."""
    return set(_ID.findall(text))


def _nothing(value: Any) -> Any:
    """Of the same kind, and empty."""
    if isinstance(value, str):
        return ""
    if isinstance(value, int):
        return 0
    return {} if isinstance(value, dict) else None
