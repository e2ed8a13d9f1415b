"""A peer that behaves on the wire as v0.3.8 does, built on parts that the daemon does not use.

Signaling events are composed and signed here (spec 03 §5–6), the transport is a stock `RTCPeerConnection` whose
descriptions are repainted in the words of the captured v0.3.8 ones (spec 04 §10.4), the handshake is plain JSON, PyNaCl
and hashlib (spec 01 §6–7). It runs on the loop that trio is a guest of; a test scripts what a real v0.3.8 would not do.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import re
import secrets
import time
import zlib
from typing import TYPE_CHECKING, Any

import aiortc
import aiortc.sdp
import nacl.signing
import trio
from attrs import define, field

from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from support.reference_relay import ReferenceRelay

APP_ID = "myownmesh-cloud-mesh-v1"
PATIENCE_S = 12.0
FEATURES = [
    "ring_topology",
    "generic_rpc",
    "typed_channels",
    "capabilities_update",
    "network_state_v1",
    "reliable_channels_v1",
]
HELLO_RETRIES_S = (5.0, 7.0, 10.0)
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"

_CAPTURED = {case["name"]: case["sdp"] for case in load("topology", "sdp_captured")["cases"]}
FIRST_OFFER = _CAPTURED["first offer of a transport"]
RESTART_OFFER = _CAPTURED["restart offer after our inactive answer"]
PLAIN_REOFFER = _CAPTURED["plain re-offer of the same transport 2.3 s later (gathering done)"]
LANE_OFFER = _CAPTURED["offer for video lane 1 after our inactive answer"]
LANE_OFFER_OF_DATA_ONLY = _CAPTURED["offer for video lane 1 on a transport that began data-only"]
DATA_ANSWER = _CAPTURED["answer to it"]


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def unbase32(text: str) -> bytes:
    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))


def room_of(network_id: str) -> str:
    return hashlib.sha256(f"{APP_ID}:{network_id}".encode()).hexdigest()


def membership_root(ids: set[str]) -> str:
    return base32(hashlib.sha256(("v1|membership" + "".join(f"{each}|" for each in sorted(ids))).encode()).digest())


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def attribute(sdp: str, name: str) -> str:
    """The first value of an attribute, from the application section on where the section has it."""
    _, application = split_at_application(sdp)
    found = re.search(rf"^a={name}:(.*?)\r?$", application, re.MULTILINE) or re.search(
        rf"^a={name}:(.*?)\r?$", sdp, re.MULTILINE
    )
    assert found is not None, f"no a={name} in {sdp}"
    return found[1].strip()


def split_at_application(sdp: str) -> tuple[str, str]:
    """What stands before the application section, and that section alone."""
    parts = re.split(r"(?=^m=)", sdp, flags=re.MULTILINE)
    application = next(part for part in parts if part.startswith("m=application"))
    return sdp[: sdp.index(application)], application


def first_fingerprint(sdp: str) -> str:
    line = next(line.strip() for line in sdp.split("\n") if line.strip().startswith("a=fingerprint:"))
    return line.removeprefix("a=fingerprint:").strip().lower()


@define(eq=False)
class StockLink:
    """One stock peer connection that carries the data channel; what it says outside is painted by `Painter`."""

    offerer: bool
    on_open: Callable[[], None]
    on_message: Callable[[Any], None]
    on_close: Callable[[], None]
    connection: Any = None
    channel: Any = None
    remote_set: bool = False
    remote_sdp: str = ""
    waiting_candidates: list[str] = field(factory=list)
    session_id: int = field(factory=lambda: secrets.randbits(62))
    ufrag: str = ""
    pwd: str = ""
    fingerprint: str = ""
    candidates: list[str] = field(factory=list)
    offer_open: bool = False
    mids: int = 1
    closed: bool = False

    def __attrs_post_init__(self) -> None:
        self.connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.connection.on("datachannel", self._use)

    async def start_offer(self) -> None:
        self._use(self.connection.createDataChannel("myownmesh"))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        self._read_own()

    async def start_answer(self, sdp: str) -> None:
        await self.connection.setRemoteDescription(aiortc.RTCSessionDescription(data_only(sdp, "actpass"), "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        self._read_own()
        await self.now_remote(sdp)

    async def take_answer(self, sdp: str) -> None:
        answer = data_only(sdp, attribute(sdp, "setup"))
        await self.connection.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
        await self.now_remote(sdp)

    async def now_remote(self, sdp: str) -> None:
        self.remote_set, self.remote_sdp = True, sdp
        waiting, self.waiting_candidates = self.waiting_candidates, []
        for text in waiting:
            await self.add_candidate(text)

    async def add_candidate(self, text: str) -> None:
        if not self.remote_set:
            self.waiting_candidates.append(text)
            return
        candidate = aiortc.sdp.candidate_from_sdp(text.removeprefix("candidate:"))
        candidate.sdpMid, candidate.sdpMLineIndex = "0", 0
        await self.connection.addIceCandidate(candidate)

    @property
    def ice(self) -> Any:
        """The aioice connection below everything."""
        return self.connection.sctp.transport.transport._connection

    def renew_credentials(self) -> None:
        """New local ICE credentials on the running connection (spec 04 §11.1, row "ICE restart")."""
        self.ufrag = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(16))
        self.pwd = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(32))
        self.ice._local_username, self.ice._local_password = self.ufrag, self.pwd

    def adopt_credentials(self, sdp: str) -> bool:
        """Take the remote credentials of a restart; True if they are new."""
        ufrag, pwd = attribute(sdp, "ice-ufrag"), attribute(sdp, "ice-pwd")
        if self.ice.remote_username == ufrag:
            return False
        self.ice.remote_username, self.ice.remote_password = ufrag, pwd
        return True

    def paint(self, template: str, *, setup: str | None = None, candidates: bool = False) -> str:
        """A captured description with what is ours in it, and a version that moves at random (spec 04 §10.4)."""
        text = re.sub(
            r"^o=.*?\r$", f"o=- {self.session_id} {secrets.randbelow(10**9)} IN IP4 0.0.0.0\r", template, flags=re.M
        )
        text = re.sub(r"^a=fingerprint:.*?\r$", f"a=fingerprint:{self.fingerprint}\r", text, flags=re.M)
        text = re.sub(r"^a=ice-ufrag:.*?\r$", f"a=ice-ufrag:{self.ufrag}\r", text, flags=re.M)
        text = re.sub(r"^a=ice-pwd:.*?\r$", f"a=ice-pwd:{self.pwd}\r", text, flags=re.M)
        if setup is not None:
            text = re.sub(r"^a=setup:.*?\r$", f"a=setup:{setup}\r", text, flags=re.M)
        text = re.sub(r"^a=(candidate:.*|end-of-candidates)\r\n", "", text, flags=re.M)
        if candidates:  # each twice, in the first section
            lines = "".join(f"a={each}\r\na={each.replace(' 1 udp ', ' 2 udp ')}\r\n" for each in self.candidates)
            head, first, rest = re.split(r"(?=^m=)", text + "m=", maxsplit=2, flags=re.M)
            text = head + first + lines + "a=end-of-candidates\r\n" + rest.removesuffix("m=")
        return text

    def close(self) -> Coroutine[Any, Any, None]:
        self.closed = True
        result: Coroutine[Any, Any, None] = self.connection.close()
        return result

    def vanish(self) -> None:
        """As if the process died: the sockets are gone, nothing is said."""
        self.closed = True
        self.abort()

    def abort(self) -> None:
        """Take the sockets away."""
        if self.connection.sctp is not None:
            for protocol in self.ice._protocols:
                protocol.transport.abort()

    def _read_own(self) -> None:
        sdp = self.connection.localDescription.sdp
        self.ufrag, self.pwd = attribute(sdp, "ice-ufrag"), attribute(sdp, "ice-pwd")
        self.fingerprint = attribute(sdp, "fingerprint")
        assert self.fingerprint.startswith("sha-256 ")
        self.candidates = [
            re.sub(r"^candidate:\S+", lambda whole: f"candidate:{zlib.crc32(whole[0].encode())}", line[2:].strip())
            for line in sdp.split("\n")
            if line.startswith("a=candidate:")
        ]

    def _use(self, channel: Any) -> None:
        if channel.label != "myownmesh":
            return
        self.channel = channel
        channel.on("message", self.on_message)
        channel.on("close", self.on_close)
        if channel.readyState == "open":
            self.on_open()
        else:
            channel.on("open", self.on_open)


def data_only(sdp: str, setup: str) -> str:
    """The application section of a description as the stock stack is to see it, whatever stands around it."""
    lines = [
        "v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sctp-port:5000",
        f"a=setup:{setup}", f"a=ice-ufrag:{attribute(sdp, 'ice-ufrag')}", f"a=ice-pwd:{attribute(sdp, 'ice-pwd')}",
        f"a=fingerprint:{attribute(sdp, 'fingerprint')}",
    ]  # fmt: skip
    lines += [line.strip() for line in sdp.split("\n") if line.startswith("a=candidate:") and " 1 udp " in line]
    return "\r\n".join(lines) + "\r\n"


@define(eq=False, slots=False)
class ReferencePeer:
    """A device that speaks v0.3.8's wire. By default it plays the whole part; the switches hold it back."""

    seed: bytes
    network_id: str
    relay: ReferenceRelay
    only: str
    """The daemon under test; everybody else is ignored."""
    label: str = "Rust"
    dials: bool = True
    """Offers when it is the lower id and sees an announce."""
    answers: bool = True
    shakes_hands: bool = True
    """Hello, auth_response and hello repeats by itself."""
    approves: bool = True
    gossips: bool = True
    sends_candidates: bool = True
    ping_every_s: float | None = None
    features: list[str] = field(factory=lambda: list(FEATURES))

    device_id: str = ""
    link: StockLink | None = None
    links: list[StockLink] = field(factory=list)
    frames: list[dict[str, Any]] = field(factory=list)
    """Everything received on the channel, over all links."""
    raw: list[bytes | str] = field(factory=list)
    descriptions: list[tuple[str, str]] = field(factory=list)
    """Received ("offer" | "answer", sdp), in order."""
    painted: list[str] = field(factory=list)
    """Sent descriptions."""
    remote_candidates: list[dict[str, Any]] = field(factory=list)
    announced: int = 0
    left: int = 0
    opened: int = 0
    closes: int = 0
    """Channels that the other side or the path closed."""
    closed_at: float = 0.0
    left_at: float = 0.0
    nonce: str = ""
    code: str = ""
    their_nonce: str = ""
    their_binding_proved: bool = False
    authenticated: bool = False
    approve_sent: bool = False
    approve_seen: bool = False
    active: bool = False
    roster: dict[str, tuple[str, int]] = field(factory=dict)
    on_frame: Callable[[dict[str, Any]], None] | None = None
    _key: Any = None
    _tasks: set[asyncio.Task[Any]] = field(factory=set)
    _errors: list[BaseException] = field(factory=list)
    _gate: set[tuple[str, str]] = field(factory=set)
    _last_announce: float = -10.0
    _stamp: int = 0
    _last_offer: float = -10.0
    _news: trio.Event = field(factory=trio.Event)
    _timers: list[asyncio.TimerHandle] = field(factory=list)
    _stopped: bool = False
    _busy: asyncio.Lock = field(factory=asyncio.Lock)

    def __attrs_post_init__(self) -> None:
        self._key = nacl.signing.SigningKey(self.seed)
        self.device_id = base32(bytes(self._key.verify_key))

    @property
    def is_lower(self) -> bool:
        return self.device_id < self.only

    # ── signaling ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def join(self) -> None:
        self.relay.attach(self.on_event)
        self.announce(force=True)

    def publish(self, kind: int, tags: list[list[str]], content: dict[str, Any]) -> None:
        created_at = int(time.time())
        if kind == 1077:  # those of one second would be one event; v0.3.8 loses a nudge so, a test must not
            created_at = self._stamp = max(created_at, self._stamp + 1)
        self.relay.publish(self.relay.event(kind, tags, compact(content), created_at=created_at))

    def announce(self, *, force: bool = False) -> None:
        """At most one a second, the surplus is dropped (spec 03 §10.1)."""
        now = time.monotonic()
        if not force and now - self._last_announce < 1.0:
            return
        self._last_announce = now
        self.publish(
            1077,
            [["r", room_of(self.network_id)]],
            {"from": self.device_id, "to": None, "kind": "announce", "peer_id": self.device_id, "caps": ["ptag"]},
        )

    def leave(self) -> None:
        room = room_of(self.network_id)
        self.publish(
            21077,
            [["r", room], ["p", room]],
            {"from": self.device_id, "to": None, "kind": "leave", "peer_id": self.device_id},
        )

    def directed(self, kind: str, **members: Any) -> None:
        self.publish(
            21077,
            [["r", room_of(self.network_id)], ["p", self.only]],
            {"from": self.device_id, "to": self.only, "kind": kind, "peer_id": self.device_id, **members},
        )

    def send_description(self, kind: str, sdp: str) -> None:
        self.painted.append(sdp)
        offer_id = base32(secrets.token_bytes(8)) if kind == "offer" else ""
        self.directed(kind, offer_id=offer_id, sdp=sdp)
        if kind == "offer":
            self._last_offer = time.monotonic()

    def send_candidates(self, link: StockLink) -> None:
        if self.sends_candidates:
            for text in link.candidates:
                self.send_candidate(text)

    def send_candidate(self, text: str) -> None:
        self.directed("candidate", candidate=text, sdp_mid="", sdp_mline_index=0, username_fragment=None)

    def on_event(self, event: dict[str, Any]) -> None:
        if ["r", room_of(self.network_id)] not in event["tags"]:
            return
        envelope = json.loads(event["content"])
        if self._stopped or envelope["from"] != self.only or envelope.get("to") not in (None, self.device_id):
            return
        match envelope["kind"]:
            case "announce":
                self.announced += 1
                self.announce()
                if self.dials and self.is_lower:
                    if self.link is None:
                        if time.monotonic() - self._last_offer >= 0.5:  # the one that is being built counts
                            self._last_offer = time.monotonic()
                            self.spawn(self.dial())
                    elif not self.opened_now and time.monotonic() - self._last_offer >= 2.0:
                        self.plain_reoffer()
            case "leave":
                self.left += 1
                self.left_at = time.monotonic()
                self.drop()
            case "offer" | "answer" as kind:
                content = (kind, envelope["sdp"])
                if content in self._gate:
                    return  # spec 04 §1.5: an identical one is swallowed
                self._gate.add(content)
                self.descriptions.append(content)
                self.spawn(self.take(kind, envelope["sdp"]))
            case "candidate":
                self.remote_candidates.append(envelope)
                if self.link is not None and not self.link.closed:
                    self.spawn(self.link.add_candidate(envelope["candidate"]))
        self._wake()

    @property
    def opened_now(self) -> bool:
        return self.link is not None and self.link.channel is not None and self.link.channel.readyState == "open"

    async def take(self, kind: str, sdp: str) -> None:
        async with self._busy:
            if kind == "offer":
                await self._take_offer(sdp)
            else:
                await self._take_answer(sdp)
        self._wake()

    async def _take_offer(self, sdp: str) -> None:
        if not self.answers:
            return
        link = self.link
        if link is not None and link.remote_set and first_fingerprint(link.remote_sdp) != first_fingerprint(sdp):
            self.drop()
            link = None
        if link is None:
            link = self.new_link(offerer=False)
            await link.start_answer(sdp)
            self.send_description("answer", self.answer_text(link, sdp))
            self.send_candidates(link)
            return
        if link.offer_open:
            return  # spec 04 §5.9: never rolls back, sends nothing
        candidates = not link.adopt_credentials(sdp)
        if not candidates:
            link.renew_credentials()
        await link.now_remote(sdp)
        self.send_description("answer", self.answer_text(link, sdp, candidates=candidates))
        if not candidates:
            self.send_candidates(link)

    def answer_text(self, link: StockLink, offer: str, *, candidates: bool = False) -> str:
        """v0.3.8 mirrors sections and mids; every answer says active (spec 04 §10.4)."""
        if offer.count("\nm=") > 1:  # of a transport that this side began: our sections come back
            return link.paint(offer, setup="active", candidates=candidates)
        mid = attribute(offer, "mid")
        return link.paint(
            DATA_ANSWER.replace("BUNDLE 0", f"BUNDLE {mid}").replace("mid:0", f"mid:{mid}"), candidates=candidates
        )

    async def _take_answer(self, sdp: str) -> None:
        link = self.link
        if link is None or not link.offer_open:
            return
        link.offer_open = False
        if link.remote_set:
            link.adopt_credentials(sdp)
            await link.now_remote(sdp)
        else:
            await link.take_answer(sdp)

    # ── offers ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def dial(self, edit: Callable[[str], str] = str) -> None:
        """Open a fresh transport and offer; `edit` may change the text."""
        link = self.new_link(offerer=True)
        self._last_offer = time.monotonic()
        await link.start_offer()
        link.offer_open = True
        self.send_description("offer", edit(link.paint(FIRST_OFFER)))
        self.send_candidates(link)

    def later_offer(self, template: str, *, candidates: bool = False) -> str:
        assert self.link is not None
        self.link.offer_open = True
        text = self.link.paint(template, setup="actpass", candidates=candidates)
        self.send_description("offer", text)
        return text

    def plain_reoffer(self) -> str:
        """Same credentials, other version; the candidates stand in the first section (spec 04 §10.4)."""
        assert self.link is not None
        return self.later_offer(PLAIN_REOFFER if self.link.offerer else DATA_ANSWER, candidates=True)

    def restart_offer(self) -> str:
        """New credentials, the same certificate."""
        assert self.link is not None
        self.link.renew_credentials()
        text = self.later_offer(RESTART_OFFER if self.link.offerer else DATA_ANSWER)
        self.send_candidates(self.link)
        return text

    def new_link(self, *, offerer: bool) -> StockLink:
        self.drop()
        self._reset_handshake()
        link = StockLink(
            offerer, lambda: self._open(link), lambda data: self._message(link, data), lambda: self._closed(link)
        )
        self.link = link
        self.links.append(link)
        return link

    def drop(self) -> None:
        """Close what there is, with ABORT and close_notify."""
        link, self.link = self.link, None
        if link is not None and not link.closed:
            self.spawn(link.close())

    def vanish(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.vanish()

    # ── the channel ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _reset_handshake(self) -> None:
        self.nonce, self.code = base32(secrets.token_bytes(32)), "".join(random.choices(ALPHABET, k=6))
        self.their_nonce = ""
        self.authenticated = self.approve_sent = self.approve_seen = self.active = False

    def _open(self, link: StockLink) -> None:
        if link is not self.link:
            return
        self.opened += 1
        if self.shakes_hands:
            self.send_hello()
            self._after(HELLO_RETRIES_S[0], lambda: self._retry_hello(link, 0))
        if self.ping_every_s is not None:
            self._after(self.ping_every_s, lambda: self._ping_again(link))
        self._wake()

    def _closed(self, link: StockLink) -> None:
        if not link.closed:
            self.closes += 1
            self.closed_at = time.monotonic()
            link.closed = True
            if link is self.link:
                self.link = None
            self.spawn(link.connection.close())
        self._wake()

    def send(self, kind: str, **members: Any) -> None:
        self.send_raw(compact({"kind": kind, **members}).encode())

    def send_raw(self, data: bytes | str) -> None:
        assert self.link is not None
        self.link.channel.send(data)

    def hello(self, **changes: Any) -> dict[str, Any]:
        """Member for member as the v0.3.8 daemon writes it (spec 01 §6.0)."""
        return {
            "protocol": 1,
            "device_id": self.device_id,
            "label": self.label,
            "nonce": self.nonce,
            "verification_code": self.code,
            "capabilities": {"tags": [], "app_version": "0.3.8", "max_connections": None, "extra": None},
            "max_connections": None,
            "features": self.features,
            "app_version": "0.3.8",
            **changes,
        }

    def send_hello(self, **changes: Any) -> None:
        self.send("hello", **self.hello(**changes))

    def send_proof(self, nonce: str | None = None) -> None:
        assert self.link is not None
        text = (
            f"myownmesh-mesh-auth-v1:{nonce or self.their_nonce}|{self.device_id}|{self.only}|"
            f"{self.link.fingerprint.strip().lower()}"
        )
        self.send("auth_response", signature=base32(self._key.sign(text.encode()).signature))

    def send_approve(self) -> None:
        self.approve_sent = True
        self.send("approve")
        self._activate()

    def check_proof(self, signature: str) -> None:
        """The daemon's proof, over our nonce and the certificate that its description names."""
        assert self.link is not None
        binding = first_fingerprint(self.link.remote_sdp)
        text = f"myownmesh-mesh-auth-v1:{self.nonce}|{self.only}|{self.device_id}|{binding}"
        nacl.signing.VerifyKey(unbase32(self.only)).verify(text.encode(), unbase32(signature))
        self.authenticated = True

    def _message(self, link: StockLink, data: Any) -> None:
        if link is not self.link:
            return
        self.raw.append(data)
        frame = json.loads(data)
        self.frames.append(frame)
        try:
            self._handle(frame)
        except Exception as error:  # a test's assertion must not vanish in a callback
            self._errors.append(error)
            raise
        finally:
            self._wake()

    def _handle(self, frame: dict[str, Any]) -> None:
        match frame["kind"]:
            case "hello":
                self.their_nonce = frame["nonce"]
                if self.shakes_hands:
                    self.send_proof()
            case "auth_response":
                self.check_proof(frame["signature"])
                if self.shakes_hands and self.approves and not self.approve_sent:
                    self.send_approve()
            case "approve":
                self.approve_seen = True
                self._activate()
            case "ping":
                if self.active:
                    self.send("pong", t=frame["t"])
            case "roster_summary" if self.gossips and frame["root"] != self.root:
                self.send("roster_request", include_all=True, subtree_hashes=[])
            case "network_state" if self.gossips and frame["roster_root"] != self.root:
                self.send("roster_request", include_all=True, subtree_hashes=[])
            case "roster_request" if self.gossips:
                self.send_roster()
        if self.on_frame is not None:
            self.on_frame(frame)

    @property
    def root(self) -> str:
        return membership_root(set(self.roster))

    def send_roster(self) -> None:
        entries = [
            {"device_id": each, "label": label, "approved_at": at, "role": "member", "granted_by": ""}
            for each, (label, at) in self.roster.items()
        ]
        self.send("roster_entries", entries=entries, transitions=[], member_log=[])

    def send_summary(self) -> None:
        newest = max((at for _, at in self.roster.values()), default=0)
        self.send("roster_summary", root=self.root, count=len(self.roster), last_edit_ts=newest)
        self.send("network_state", network_kind="open", transitions_count=0, member_log_count=0, roster_root=self.root)

    def _activate(self) -> None:
        if self.active or not (self.authenticated and self.approve_sent and self.approve_seen):
            return
        self.active = True
        self.roster.setdefault(self.only, ("Ours", int(time.time())))
        if self.gossips:
            self.send_summary()

    def _retry_hello(self, link: StockLink, number: int) -> None:
        if link is self.link and not self.authenticated and not link.closed:
            self.send_hello()
            if number + 1 < len(HELLO_RETRIES_S):
                self._after(HELLO_RETRIES_S[number + 1], lambda: self._retry_hello(link, number + 1))

    def _ping_again(self, link: StockLink) -> None:
        assert self.ping_every_s is not None
        if link is self.link and not link.closed:
            if self.active:
                self.send("ping", t=time.time_ns() // 1_000_000)
            self._after(self.ping_every_s, lambda: self._ping_again(link))

    # ── waiting ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def kinds(self, since: int = 0) -> list[str]:
        return [frame["kind"] for frame in self.frames[since:]]

    def count(self, kind: str) -> int:
        return sum(1 for frame in self.frames if frame["kind"] == kind)

    async def sees(self, kind: str, since: int = 0, **members: Any) -> dict[str, Any]:
        """The first frame of this kind, with these members, from index `since` on; waits for it."""

        def found() -> dict[str, Any] | None:
            for frame in self.frames[since:]:
                if frame["kind"] == kind and all(frame.get(name) == value for name, value in members.items()):
                    return frame
            return None

        await self.until(lambda: found() is not None, f"a frame {kind} {members}")
        frame = found()
        assert frame is not None
        return frame

    async def becomes_active(self) -> None:
        await self.until(lambda: self.active, "the link is active here")

    async def alive(self) -> None:
        """The daemon answers a ping at once, so the link is admitted there."""
        since, stamp = len(self.frames), random.randrange(1, 1 << 40)
        self.send("ping", t=stamp)
        await self.sees("pong", since, t=stamp)

    async def quiet(self, seconds: float) -> None:
        """Let time pass, in which something must not happen."""
        await trio.sleep(seconds)
        self._raise()

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> None:
        with trio.move_on_after(seconds):
            while not condition():
                self._raise()
                await self._news.wait()
        self._raise()
        assert condition(), (
            f"{what} never came; frames {self.kinds()}, descriptions {[k for k, _ in self.descriptions]}, "
            f"opened {self.opened}, closed {self.closes}"
        )

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run loop code to its end, from a test."""
        done = trio.Event()
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: done.set())
        await done.wait()
        task.result()

    async def stop(self) -> None:
        self._stopped = True
        for timer in self._timers:
            timer.cancel()
        with trio.move_on_after(2):
            while self._tasks:  # a transport that is being opened must not be closed under its own feet
                await self._news.wait()
        for link in self.links:
            with trio.move_on_after(1):
                await self.run(link.close())
            link.abort()  # a socket that is left open would keep the loop from closing
        self._raise()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._stopped:
            self._errors.append(error)
        self._wake()

    def _raise(self) -> None:
        if self._errors:
            raise self._errors.pop(0)

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, then))

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


def seed_for(number: int, *, below: str | None = None, above: str | None = None) -> bytes:
    """A reproducible seed whose id lies on the wanted side of another one."""
    rng = random.Random(number)
    while True:
        seed = rng.randbytes(32)
        device_id = base32(bytes(nacl.signing.SigningKey(seed).verify_key))
        if (below is None or device_id < below) and (above is None or device_id > above):
            return seed
