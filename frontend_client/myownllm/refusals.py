"""What a peer's refusal means: apps answer each other with a text and nothing else, and only we compare these. Pure."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from mesh_common.client.errors import HANDLER_ERROR
from myownllm.capabilities import BUSY_TEXT
from myownllm.transfers import offer

if TYPE_CHECKING:
    from mesh_common.client.errors import ControlError

HOST_BUSY_TEXT: Final = "host busy"
"""Of a peer that has too much of this under way for us (FE-9.10)."""
NO_MODEL_TEXT: Final = "no local LLM available"
LINK_DROPPED_TEXT: Final = "network down"
"""What a daemon says of a peer's link as of its own network."""
NOT_AUTHORIZED_TEXT: Final = "not authorized"
CANCELLED_TEXT: Final = "cancelled"
PEER_GONE_TEXT: Final = "peer went offline"


class Meaning(Enum):
    """What became of something that a peer was asked for."""

    BUSY = auto()
    """There is too much under way for us."""
    NOT_ACCEPTING = auto()
    """Its person has said that it takes no work now."""
    NO_MODEL = auto()
    LATER = auto()
    """It could not do that now, and may a little later."""
    LINK_DROPPED = auto()
    """The link went down before the answer was whole."""
    APP_GONE = auto()
    """The app that was to answer ended."""
    OTHER = auto()
    """Anything else; the text is for people."""


_MEANINGS: Final = {
    HOST_BUSY_TEXT: Meaning.BUSY,
    BUSY_TEXT: Meaning.NOT_ACCEPTING,
    NO_MODEL_TEXT: Meaning.NO_MODEL,
    "handler owner client disconnected": Meaning.APP_GONE,  # spec 05 §13.1
    **dict.fromkeys(
        (CANCELLED_TEXT, PEER_GONE_TEXT, NOT_AUTHORIZED_TEXT, offer.NO_OFFER, offer.SHUTTING_DOWN, offer.INTERRUPTED),
        Meaning.LATER,
    ),
}


def words(error: ControlError) -> str:
    """What the peer itself said."""
    return error.text.removeprefix(HANDLER_ERROR)


def meaning(error: ControlError) -> Meaning:
    """What the failure of a call or stream says of the peer."""
    if error.text == LINK_DROPPED_TEXT:  # the daemon's own words, which no handler of a peer can say
        return Meaning.LINK_DROPPED
    return _MEANINGS.get(words(error), Meaning.OTHER)
