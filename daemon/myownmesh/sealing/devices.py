"""Who is known to seal, and which of a device's announces is the newest (spec 11 §2.1).

All times of announces are compared with other times of the same device, never with our clock.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from mesh_common.values import Value
from myownmesh.protocol.tokens import TokenBucket
from myownmesh.sealing.replays import Replays

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEVICES: Final = 4096
APART_S: Final = 5
"""A process that follows another may start in its second, and an announce may be 2 s ahead of the clock."""
KEYS: Final = 4
"""Processes of one device whose newest time is remembered."""
CLEAR_FOR_S: Final = 600.0
CLEAR_ANNOUNCES: Final = 3
"""So many in so long, with no sign of sealing between them, and the device seals no more."""
FORMS: Final = 16
"""Offers of either side whose form is remembered: a transport makes a handful before it is given up."""
OPENED_PER_S: Final = 50


class Newest(Value, frozen=True):
    """The newest good announce of a device."""

    key: str
    """Of its event."""
    t: int


class Device(Struct, eq=False):
    """What is known of one device."""

    seals: bool = False
    newest: Newest | None = None
    ours: OrderedDict[str, bool] = field(default_factory=OrderedDict)
    """Our last offers to it: whether each was sealed."""
    theirs: OrderedDict[str, bool] = field(default_factory=OrderedDict)
    """Its last offers to us, likewise."""
    replays: Replays = field(default_factory=Replays)
    told_at: float | None = None
    """When a message that does not open was last told of."""
    budget: TokenBucket = field(default_factory=lambda: TokenBucket(OPENED_PER_S, OPENED_PER_S, 0.0))
    """Of messages under the newest announce's key."""
    _by_key: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _clear_since: float | None = None
    _clear: deque[float] = field(default_factory=lambda: deque(maxlen=CLEAR_ANNOUNCES))

    def announced(self, key: str, t: int, *, seals: bool) -> bool:
        """A good announce; False for a stale copy, of which nothing follows."""
        if t <= self._by_key.get(key, -1):
            return False
        newest = self.newest
        if newest is not None and newest.key != key and t < newest.t - APART_S:
            return False
        self._is_newest(key, t)
        self.seals = seals
        self.stands_proved()
        return True

    def left(self, key: str, t: int) -> bool:
        """A leave with a good signature: whether it is of the process that announced itself last."""
        newest = self.newest
        if newest is None or newest.key != key or t < newest.t:
            return False
        self._is_newest(key, t)
        return True

    def opened(self) -> None:
        """It sealed something that only a present process of it could."""
        self.seals = True
        self.stands_proved()

    def stands_proved(self) -> None:
        """Whatever was heard in clear is over: it seals, or is linked with us."""
        self._clear_since = None
        self._clear.clear()

    def announced_clear(self, mono: float) -> None:
        """An announce that anybody could have made."""
        if self._clear and mono - self._clear[-1] > CLEAR_FOR_S:
            self.stands_proved()
        if self._clear_since is None:
            self._clear_since = mono
        self._clear.append(mono)
        is_often = len(self._clear) == CLEAR_ANNOUNCES and mono - self._clear[0] <= CLEAR_FOR_S
        if is_often and mono - self._clear_since >= CLEAR_FOR_S:
            self.seals = False
            self.stands_proved()

    def _is_newest(self, key: str, t: int) -> None:
        self.newest = Newest(key, t)
        self._by_key[key] = t
        self._by_key.move_to_end(key)
        if len(self._by_key) > KEYS:
            self._by_key.popitem(last=False)


class Devices:
    """The last `MAX_DEVICES` that were heard of; what the roster remembers outlasts them."""

    def __init__(self, is_known_to_seal: Callable[[str], bool]) -> None:
        """`is_known_to_seal` asks the roster for a device that is heard of for the first time."""
        self._is_known_to_seal = is_known_to_seal
        self._by_id: OrderedDict[str, Device] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, device_id: str) -> Device | None:
        return self._by_id.get(device_id)

    def of(self, device_id: str) -> Device:
        """What is known of a device, noted if it is heard of for the first time."""
        device = self._by_id.get(device_id)
        if device is None:
            device = self._by_id[device_id] = Device(self._is_known_to_seal(device_id))
            if len(self._by_id) > MAX_DEVICES:
                self._by_id.popitem(last=False)
        else:
            self._by_id.move_to_end(device_id)
        return device

    def seals(self, device_id: str) -> bool:
        """Whether a device is known to seal."""
        device = self._by_id.get(device_id)
        return self._is_known_to_seal(device_id) if device is None else device.seals


def remember(forms: OrderedDict[str, bool], offer_id: str, sealed: bool) -> None:
    """Note the form of an offer; a repeated id keeps its first one."""
    forms.setdefault(offer_id, sealed)
    if len(forms) > FORMS:
        forms.popitem(last=False)


def newest_form(forms: OrderedDict[str, bool]) -> bool | None:
    """Of the last offer; None without any."""
    return next(reversed(forms.values()), None)
