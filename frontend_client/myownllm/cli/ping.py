"""`myownllm ping`: how a device is reached, how fast, and what is lost on the way."""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from mesh_common.answers import CallAnswer, ServicesOffers
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.labels import shown
from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.cli.peers import OnNetwork, Peer
from myownllm.errors import FAILURES
from myownllm.peers import CONNECTED
from myownllm.ping import EXIT_CODES, Answer, is_over, sentence, summary, way_of

if TYPE_CHECKING:
    from mesh_common.answers import ServiceOffer
    from myownllm.peers import PeerEntry

METHOD: Final = "__ping__"
"""Nobody serves it: the refusal of the device's daemon is the answer, whatever program runs there (spec 10 §2.4)."""
ANSWER_S: Final = 5.0
COUNT_MAX: Final = 10_000
WAIT_S: Final = 30.0
"""A path over TURN is up within a second; a direct one is looked for as long as addresses come in."""
WAIT_MAX_S: Final = 3600.0
SEEK_S: Final = 10.0
"""Between two looks for a direct path, each of which asks STUN and TURN servers again."""
EPILOG: Final = (
    "Exit status: 0 the last answer came over a direct path, 4 over TURN, 5 there was none, 1 it could not ask. "
    "Ctrl-C prints the summary, too."
)
_ANSWERS: Final = (ErrorKind.NO_HANDLER, ErrorKind.HANDLER_FAILED)


def _count(value: int) -> int:
    if not 0 < value <= COUNT_MAX:
        raise typer.BadParameter(f"from 1 to {COUNT_MAX}")
    return value


def _wait(value: float) -> float:
    if not 0 <= value <= WAIT_MAX_S:  # not-a-number fails this, too
        raise typer.BadParameter(f"at most {WAIT_MAX_S:.0f} seconds")
    return value


def _interval(value: float) -> float:
    if not 0.1 <= value <= WAIT_MAX_S:
        raise typer.BadParameter(f"from 0.1 to {WAIT_MAX_S:.0f} seconds")
    return value


def ping(
    peer: Peer,
    count: Annotated[int, typer.Option("--count", "-c", help="Pings, at least.", callback=_count)] = 5,
    wait: Annotated[
        float, typer.Option("--wait", help="Go on for a direct path for this many seconds.", callback=_wait)
    ] = WAIT_S,
    interval: Annotated[float, typer.Option("--interval", help="Seconds between pings.", callback=_interval)] = 1.0,
    network: OnNetwork = None,
    as_json: Json = False,
) -> None:
    """Ask a device for a sign of life: which way it is reached, how long an answer takes, what is lost."""
    answers: list[Answer] = []
    since = time.monotonic()
    try:
        here = context.session(network)
        found = here.peer(peer, rostered=True)
        look = _Look(here, found)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    name = shown(found.label, 40)
    try:
        while True:
            began = time.monotonic()
            answers.append(look.once(len(answers) + 1))
            if not as_json:
                print(_line(answers[-1], name), flush=True)
            if is_over(answers, count, time.monotonic() - since, wait):
                break
            look.seek(answers[-1])
            time.sleep(max(0.0, interval - (time.monotonic() - began)))
    except KeyboardInterrupt:
        if not answers:
            raise
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    told = summary(answers)
    waited_s = time.monotonic() - since
    text = sentence(told, name, waited_s)
    if as_json:
        rows = [msgspec.to_builtins(answer) for answer in answers]
        device = {"device_pubkey": found.device_pubkey, "label": found.label}
        context.print_answer({**device, **msgspec.to_builtins(told), "sentence": text, "answers": rows})
    else:
        print(f"{told.sent} sent, {told.answered} answered, {told.loss_percent} % lost", end="")
        if told.mean_ms is not None:
            print(f"; {told.least_ms:.1f} / {told.mean_ms:.1f} / {told.most_ms:.1f} ms (least, mean, most)", end="")
        print(f"\n{text}")
    sys.stdout.flush()
    raise SystemExit(EXIT_CODES[told.outcome])


def _line(answer: Answer, name: str) -> str:
    if answer.ms is None:
        return f"{answer.number}: no answer from {name}{f': {answer.way}' if answer.way else ''}"
    return f"{answer.number}: answer from {name} in {answer.ms:.1f} ms {answer.way}"


class _Look:
    """One device in one network."""

    def __init__(self, here: context.Session, peer: PeerEntry) -> None:
        self._here = here
        self._key = peer.device_pubkey
        self._offers: tuple[ServiceOffer, ...] | None = None
        self._sought_at = -math.inf

    def once(self, number: int) -> Answer:
        """Raises what ends the command: a daemon that is gone."""
        known = {peer.device_pubkey: peer for peer in self._here.peers()}
        peer = known.get(self._key)
        if peer is None:
            return Answer(number=number, way="it is away")
        if peer.status not in CONNECTED:
            return Answer(number=number, way=shown(peer.why[1], 200) if peer.why is not None else "it is not connected")
        offers = self._hosted() if peer.path == "TURN" else ()
        names = {key: shown(each.label, 40) for key, each in known.items()}
        way = way_of(peer.path, peer.turn, offers, names)
        began = time.monotonic()
        try:
            self._here.ask_peer(
                CallAnswer,
                peer,
                "rpc_call",
                method=METHOD,
                payload=None,
                timeout_ms=int(ANSWER_S * 1000),
                timeout_s=ANSWER_S + 1,
            )
        except ControlError as error:
            if error.kind not in _ANSWERS:
                if not error.refused and error.kind is not ErrorKind.TIMEOUT:
                    raise
                reason = f"within {ANSWER_S:.0f} s" if error.kind is ErrorKind.TIMEOUT else shown(error.text, 200)
                return Answer(number=number, way=reason)
        return Answer(number=number, ms=round(1000 * (time.monotonic() - began), 1), path=peer.path, way=way)

    def seek(self, last: Answer) -> None:
        """Where answers come over TURN: have the daemon look for a path among the addresses of now, now and then.

        A link that works is left as it is when an address is added. The old path carries on until there is a better.
        """
        due = time.monotonic() - self._sought_at >= SEEK_S
        if last.ms is None or last.path != "TURN" or not due or self._here.daemon.status.instance is None:
            return  # an older daemon drops links that it renews (spec 10 §5 no. 32)
        self._sought_at = time.monotonic()
        with suppress(ControlError):  # the link may have just gone, which the next ping says
            self._here.daemon.ask("network_reconnect", network=self._here.network, peer=self._key)

    def _hosted(self) -> tuple[ServiceOffer, ...]:
        if self._offers is None:
            try:
                self._offers = self._here.daemon.answer(ServicesOffers, "services_offers").offers
            except ControlError:
                self._offers = ()  # an older daemon adopts nothing
        return self._offers
