"""What is answered to each request of a TURN client (spec 06 §7.2, D, F, G)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.turn import stun
from myownmesh.turn.binding import address_of, binding_answer, is_stream
from myownmesh.turn.credentials import Credentials, Nonces
from myownmesh.turn.limits import LIFETIME_S, MAX_LIFETIME_S
from myownmesh.turn.rationing import Ration
from myownmesh.turn.targets import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.protocol.clock import Instant
    from myownmesh.turn.allocation import Allocation
    from myownmesh.turn.binding import Client, Counts
    from myownmesh.turn.credentials import User
    from myownmesh.turn.limits import Limits
    from myownmesh.turn.stun import Address, Message
    from myownmesh.turn.table import Settings, Table
    from myownmesh.turn.targets import Targets

BAD_REQUEST, UNAUTHORISED, FORBIDDEN, MISMATCH, UNKNOWN_ATTRIBUTE = 400, 401, 403, 437, 420
STALE_NONCE, OTHER_USER, FAMILY_UNSUPPORTED, TRANSPORT_UNSUPPORTED, FAMILY_MISMATCH = 438, 441, 440, 442, 443
OVER_QUOTA, NO_CAPACITY = 486, 508

UDP = 17
CHANNELS = range(0x4000, 0x8000)

_SIGNATURE = {stun.A_USERNAME, stun.A_REALM, stun.A_NONCE, stun.A_INTEGRITY}
_KNOWN = {
    stun.ALLOCATE: frozenset(
        _SIGNATURE | {stun.A_TRANSPORT, stun.A_LIFETIME, stun.A_FAMILY, stun.A_EVEN_PORT, stun.A_RESERVATION}
    ),
    stun.REFRESH: frozenset(_SIGNATURE | {stun.A_LIFETIME, stun.A_FAMILY}),
    stun.CREATE_PERMISSION: frozenset(_SIGNATURE | {stun.A_PEER}),
    stun.CHANNEL_BIND: frozenset(_SIGNATURE | {stun.A_PEER, stun.A_CHANNEL}),
}


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: int, *attributes: tuple[int, bytes]) -> None:
        super().__init__(code)
        self.code = code
        self.attributes = attributes


class Requests:
    """One method per request of TURN."""

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        table: Table,
        targets: Targets,
        nonce_secret: bytes,
        counts: Counts,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._table = table
        self._targets = targets
        self._counts = counts
        self.credentials = Credentials(settings.realm, settings.passwords, settings.secret, settings.labels)
        self._nonces = Nonces(nonce_secret)
        self._ration = Ration(limits)
        self._handlers: dict[int, Callable[[Client, Message, User, float], bytes]] = {
            stun.ALLOCATE: self._allocate,
            stun.REFRESH: self._refresh,
            stun.CREATE_PERMISSION: self._create_permission,
            stun.CHANNEL_BIND: self._channel_bind,
        }

    def answer(self, client: Client, message: Message, now: Instant) -> bytes | None:
        """The answer; None for what is no request of ours, and for strangers who got enough of them."""
        if message.kind == stun.BINDING:
            return binding_answer(message, client, fingerprint=True) if self._may_answer(client, now) else None
        handler = self._handlers.get(message.kind)
        if handler is None:
            return None
        try:
            user = self._authenticate(client, message, now)
        except Refused as refused:
            self._counts.unauthorised += 1
            return _error(message, refused) if self._may_answer(client, now) else None
        try:
            if unknown := message.unknown(_KNOWN[message.kind]):
                kinds = b"".join(kind.to_bytes(2) for kind in unknown)
                raise Refused(UNKNOWN_ATTRIBUTE, (stun.A_UNKNOWN, kinds))
            return handler(client, message, user, now.mono)
        except Refused as refused:
            self._counts.forbidden += refused.code == FORBIDDEN
            self._counts.over_quota += refused.code == OVER_QUOTA
            return _error(message, refused)

    def _may_answer(self, client: Client, now: Instant) -> bool:
        allowed = is_stream(client) or self._ration.allows(address_of(client)[0], now.mono)
        self._counts.unanswered += not allowed
        return allowed

    def _authenticate(self, client: Client, message: Message, now: Instant) -> User:
        if message.signed is None:
            raise self._challenge(UNAUTHORISED, client, now)
        username, nonce = message.get(stun.A_USERNAME), message.get(stun.A_NONCE)
        if username is None or nonce is None or message.get(stun.A_REALM) is None:
            raise Refused(BAD_REQUEST)
        if not self._nonces.is_good(nonce, client, now):
            raise self._challenge(STALE_NONCE, client, now)
        allocation = self._table.by_client.get(client)
        user = self.credentials.find(username, now, None if allocation is None else allocation.user.key)
        if user is None or not message.is_signed_with(user.key):
            raise self._challenge(UNAUTHORISED, client, now)
        return user

    def _challenge(self, code: int, client: Client, now: Instant) -> Refused:
        nonce = self._nonces.make(client, now)
        return Refused(code, (stun.A_NONCE, nonce), (stun.A_REALM, self._settings.realm.encode()))

    def _allocate(self, client: Client, message: Message, user: User, now: float) -> bytes:
        existing = self._table.of(client, now)
        if existing is not None:
            if existing.transaction == message.transaction and existing.user == user:
                return existing.answer
            raise Refused(MISMATCH)
        even, lifetime_s = _what_is_asked(message)
        if self._table.is_over_quota(client, user):
            raise Refused(OVER_QUOTA)
        allocation = self._table.add(client, user, message.transaction, even=even, lifetime_s=lifetime_s, now=now)
        if allocation is None:
            raise Refused(NO_CAPACITY)
        transaction = message.transaction
        allocation.answer = _success(
            message,
            user,
            (stun.A_RELAYED, stun.xor_address(self._settings.public_ip, allocation.port, transaction)),
            (stun.A_LIFETIME, lifetime_s.to_bytes(4)),
            (stun.A_MAPPED, stun.xor_address(*address_of(client), transaction)),
        )
        return allocation.answer

    def _refresh(self, client: Client, message: Message, user: User, now: float) -> bytes:
        lifetime_s = _lifetime(message)
        allocation = self._table.of(client, now)
        if allocation is None and lifetime_s:
            raise Refused(MISMATCH)
        if allocation is not None:
            if allocation.user.account != user.account:
                raise Refused(OTHER_USER)
            if (family := message.get(stun.A_FAMILY)) is not None and family[:1] != bytes((stun.IPV4,)):
                raise Refused(FAMILY_MISMATCH)
            if lifetime_s:
                allocation.until = now + lifetime_s
            else:
                self._table.end(allocation)
        return _success(message, user, (stun.A_LIFETIME, lifetime_s.to_bytes(4)))

    def _create_permission(self, client: Client, message: Message, user: User, now: float) -> bytes:
        allocation = self._own_allocation(client, user, now)
        addresses = [stun.read_address(value, message.transaction) for value in message.all(stun.A_PEER)]
        if not addresses:
            raise Refused(BAD_REQUEST)
        ips = {self._judged(address)[0] for address in addresses}
        grants = self._table.grants
        if not allocation.has_room_for(ips, self._limits.permissions, now):
            raise Refused(OVER_QUOTA)
        if not grants.has_room_for(allocation, allocation.missing(ips)):
            raise Refused(OVER_QUOTA)
        for ip in ips:
            allocation.permit(ip, now)
        grants.settle(allocation, allocation.held)
        return _success(message, user)

    def _channel_bind(self, client: Client, message: Message, user: User, now: float) -> bytes:
        allocation = self._own_allocation(client, user, now)
        asked, peer = message.get(stun.A_CHANNEL), message.get(stun.A_PEER)
        if asked is None or len(asked) != 4 or peer is None:
            raise Refused(BAD_REQUEST)
        number = int.from_bytes(asked[:2])
        address = self._judged(stun.read_address(peer, message.transaction))
        if number not in CHANNELS or not allocation.can_bind(number, address, now):
            raise Refused(BAD_REQUEST)
        if address[0] == self._settings.public_ip and not self._table.is_live(address[1], now):
            raise Refused(FORBIDDEN)
        most, grants, ips = self._limits.permissions, self._table.grants, {address[0]}
        if not allocation.has_room_for(ips, most, now):
            raise Refused(OVER_QUOTA)
        if not grants.has_room_for(allocation, allocation.missing(ips) + (number not in allocation.channels)):
            raise Refused(OVER_QUOTA)
        if not allocation.bind(number, address, most, now):
            raise Refused(OVER_QUOTA)
        grants.settle(allocation, allocation.held)
        return _success(message, user)

    def _own_allocation(self, client: Client, user: User, now: float) -> Allocation:
        allocation = self._table.of(client, now)
        if allocation is None:
            raise Refused(MISMATCH)
        if allocation.user.account != user.account:
            raise Refused(OTHER_USER)
        return allocation

    def _judged(self, address: Address | None) -> Address:
        """An address that may be a peer."""
        if address is None:
            raise Refused(BAD_REQUEST)
        verdict = self._targets.verdict(address[0])
        if verdict is Verdict.FORBIDDEN:
            raise Refused(FORBIDDEN)
        if verdict is Verdict.OTHER_FAMILY:
            raise Refused(FAMILY_MISMATCH)
        return address


def granted_lifetime(asked: int | None) -> int:
    """Seconds; what is longer than an hour falls back to the default, as everywhere on this mesh (spec 06 §7.2)."""
    return asked if asked is not None and asked < MAX_LIFETIME_S else LIFETIME_S


def _lifetime(message: Message) -> int:
    value = message.get(stun.A_LIFETIME)
    if value is not None and len(value) != 4:
        raise Refused(BAD_REQUEST)
    return granted_lifetime(None if value is None else int.from_bytes(value))


def _what_is_asked(message: Message) -> tuple[bool, int]:
    """Whether the port is to be even, and the lifetime of an Allocate request that we can serve."""
    transport, family = message.get(stun.A_TRANSPORT), message.get(stun.A_FAMILY)
    even = message.get(stun.A_EVEN_PORT)
    if transport is None or len(transport) != 4:
        raise Refused(BAD_REQUEST)
    if transport[0] != UDP:
        raise Refused(TRANSPORT_UNSUPPORTED)
    if message.get(stun.A_RESERVATION) is not None:
        # We reserve nothing, so no token can be of ours.
        raise Refused(NO_CAPACITY if even is None and family is None else BAD_REQUEST)
    if family is not None and family[:1] != bytes((stun.IPV4,)):
        raise Refused(FAMILY_UNSUPPORTED)
    if even is not None and (len(even) != 1 or even[0] & 0x80):
        raise Refused(NO_CAPACITY if len(even) == 1 else BAD_REQUEST)
    lifetime_s = _lifetime(message)
    if not lifetime_s:
        raise Refused(NO_CAPACITY)
    return even is not None, lifetime_s


def _success(message: Message, user: User, *attributes: tuple[int, bytes]) -> bytes:
    return stun.encode(message.kind | stun.SUCCESS, message.transaction, list(attributes), key=user.key)


def _error(message: Message, refused: Refused) -> bytes:
    attributes = [stun.error(refused.code), *refused.attributes]
    return stun.encode(message.kind | stun.ERROR, message.transaction, attributes)
