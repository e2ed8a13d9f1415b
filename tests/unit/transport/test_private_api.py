"""Every member of aiortc, aioice and pyOpenSSL that we use without a promise of theirs: one list, held to both sides.

An upgrade fails here, with the rows that have to be looked at; and so does a line of ours that touches something new.
What the libraries document (`aioice.Connection`, `Candidate`, `RTCCertificate`, `RTCSctpTransport.start` …) is not
listed. The list is about shape. That the parts still do together what we need, `myownmesh version --self-test` shows.
"""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from myownmesh.transport.checking import PINNED
from myownmesh.transport.loading import import_backend

ROOT = Path(__file__).parents[3]
TRANSPORT = ROOT / "daemon" / "myownmesh" / "transport"

CONNECTION: Final = "aioice.ice:Connection"
PAIR: Final = "aioice.ice:CandidatePair"
PROTOCOL: Final = "aioice.ice:StunProtocol"
SCTP: Final = "aiortc.rtcsctptransport:RTCSctpTransport"
RECORDS: Final = "OpenSSL.SSL:Connection"
ICE: Final = "aiortc.rtcicetransport:RTCIceTransport"

DOCUMENTED: Final = {
    CONNECTION: {"__init__", "connect", "close", "remote_username", "remote_password", "ice_controlling"}
    | {"local_username", "local_password"},
    SCTP: {"start", "stop", "State"},
    RECORDS: {"__init__"},
}


@frozen
class Member:
    """One member that we use or override."""

    owner: str
    """`module:Class`, or `module` for a name of the module itself."""
    name: str
    shape: str
    """A function's parameters and result, a field's annotation or first value, or what kind of thing it is."""
    used_for: str


MEMBERS: Final = (
    # ── ICE: a generation is a Connection whose gathering, order of checks and life are ours ──────────────────────────
    Member(CONNECTION, "_add_remote_candidate", "(self, remote_candidate: Candidate, network_host: str) -> None",
           "adds a candidate that we have parsed, without resolving names"),
    Member(CONNECTION, "_check_list", "list[CandidatePair]", "which pairs wait; bounded by us"),
    Member(CONNECTION, "_check_list_done", "= False", "whether checks go on"),
    Member(CONNECTION, "_check_list_maybe_complete", "(self) -> bool", "overridden: notices the nominated pair"),
    Member(CONNECTION, "_check_periodic", "(self) -> bool", "starts the next check"),
    Member(CONNECTION, "_closing", "= False", "nothing is added any more"),
    Member(CONNECTION, "_early_checks", "deque[tuple[stun.Message, tuple[str, int], StunProtocol]]",
           "checks of the peer that came before its description"),
    Member(CONNECTION, "_early_checks_done", "= False", "whether our loop of checks has begun"),
    Member(CONNECTION, "_local_candidates", "list[Candidate]", "gathering is ours"),
    Member(CONNECTION, "_local_candidates_end", "= False", "gathering is ours"),
    Member(CONNECTION, "_local_candidates_start", "= False", "gathering is ours"),
    Member(CONNECTION, "_local_password", "= local_password", "tests: the reference's peer restarts where it stands"),
    Member(CONNECTION, "_local_username", "= local_username", "the same"),
    Member(CONNECTION, "_nominated", "dict[int, CandidatePair]", "the selected pair, under component 1"),
    Member(CONNECTION, "_pair_remote_candidate", "(self, remote_candidate: Candidate) -> None",
           "pairs what was known before the start, or a late relay"),
    Member(CONNECTION, "_protocols", "list[StunProtocol]", "our sockets and relays"),
    Member(CONNECTION, "_remote_candidates", "list[Candidate]", "bounded by us"),
    Member(CONNECTION, "build_request", "(self, pair: CandidatePair, nominate: bool) -> stun.Message",
           "the probe of a silent path"),
    Member(CONNECTION, "check_complete", "(self, pair: CandidatePair) -> None",
           "overridden: a worse pair does not take over"),
    Member(CONNECTION, "check_incoming",
           "(self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol) -> None",
           "overridden: bounds peer-reflexive candidates, notes proven addresses"),
    Member(CONNECTION, "sort_check_list", "(self) -> None", "overridden: the order of the routing table, and a bound"),
    Member("aioice.candidate:Candidate", "_network_host", "= host", "the address that a candidate was reached at"),
    Member("aioice.candidate", "candidate_foundation", "(candidate_type: str, candidate_transport: str, "
           "base_address: str) -> str", "candidates of our own sockets"),
    Member("aioice.candidate", "candidate_priority",
           "(candidate_component: int, candidate_type: str, local_pref: int=65535) -> int", "the same"),
    Member("aioice.ice", "CandidatePair", "class", "what is checked"),
    Member("aioice.ice", "StunProtocol", "class", "base of what reads our sockets"),
    Member("aioice.ice", "candidate_pair_priority",
           "(local: Candidate, remote: Candidate, ice_controlling: bool) -> int", "which of two working pairs sends"),
    Member("aioice.ice", "relayed_candidate",
           "(*, component: int, hide_related_address: bool, protocol_factory: Callable[[], 'StunProtocol'], "
           "turn_server: tuple[str, int], turn_username: str | None, turn_password: str | None, turn_ssl: bool, "
           "turn_transport: str) -> tuple[Candidate, 'StunProtocol']", "addresses at TURN servers"),
    Member("aioice.stun", "Class", "class", "questions to STUN servers"),
    Member("aioice.stun", "Message", "class", "the same"),
    Member("aioice.stun", "Method", "class", "the same"),
    Member(PROTOCOL, "datagram_received", "(self, data: bytes | str, addr: tuple[Any, ...]) -> None",
           "overridden: DTLS is told from STUN by the first byte"),
    Member(PROTOCOL, "receiver", "= receiver", "the generation"),
    Member(ICE, "_connection", "= gatherer._connection", "tests: what is below the stock transport of that peer"),
    # ── DTLS: only a name ─────────────────────────────────────────────────────────────────────────────────────────────
    Member("aiortc.rtcdtlstransport", "RTCDtlsTransport", "class", "the type that our link stands in for"),
    Member("OpenSSL._util", "ffi", "FFI", "one buffer for every record"),
    Member("OpenSSL._util", "lib", "module", "reads and writes records without the detours of pyOpenSSL's methods"),
    Member(RECORDS, "_from_ssl", "= _lib.BIO_new(_lib.BIO_s_mem())", "what goes out"),
    Member(RECORDS, "_into_ssl", "= _lib.BIO_new(_lib.BIO_s_mem())", "what comes in"),
    Member(RECORDS, "_raise_ssl_error", "(self, ssl: Any, result: int) -> None", "errors, in their words"),
    Member(RECORDS, "_ssl", "= _ffi.gc(ssl, _lib.SSL_free)", "the association"),
    # ── SCTP: the association is theirs; DATA, SACK and the timers are ours ───────────────────────────────────────────
    Member("aiortc.rtcsctptransport", "CHUNK_TYPES", "dict", "which class reads a chunk"),
    Member("aiortc.rtcdatachannel", "RTCDataChannel", "class", "the type that our channel stands in for"),
    Member("aiortc.rtcsctptransport", "Chunk", "class", "what it sends"),
    Member("aiortc.rtcsctptransport", "CookieEchoChunk", "class", "carries the first message"),
    Member("aiortc.rtcsctptransport", "InitChunk", "class", "may collide with ours or come late"),
    Member("aiortc.rtcsctptransport", "RTCSctpTransport", "class", "base of the association"),
    Member(SCTP, "_association_state", "= self.State.CLOSED", "whether data may be sent"),
    Member(SCTP, "_data_channel_flush", "(self) -> None", "overridden: its queue stays empty"),
    Member(SCTP, "_data_channels", "dict[int, RTCDataChannel]", "our one channel, for stream resets"),
    Member(SCTP, "_last_received_tsn", "Optional[int]", "overridden: the receiver's"),
    Member(SCTP, "_local_port", "= port", "packets are written by us"),
    Member(SCTP, "_local_tsn", "= random32()", "where our sender begins, and how far it is"),
    Member(SCTP, "_local_verification_tag", "= random32()", "packets are read by us"),
    Member(SCTP, "_receive_chunk", "(self, chunk: Chunk) -> None", "takes every chunk but DATA and SACK"),
    Member(SCTP, "_reconfig_deferred", "Optional[StreamResetOutgoingParam]", "a reset that waits for data"),
    Member(SCTP, "_reconfig_response_seq", "= 0", "kept when an INIT comes late"),
    Member(SCTP, "_remote_verification_tag", "= 0", "packets are written by us"),
    Member(SCTP, "_reset_deferred_streams", "(self) -> None", "the reset, once its data is here"),
    Member(SCTP, "_rto", "= SCTP_RTO_INITIAL", "of the handshake; shortened"),
    Member(SCTP, "_send_chunk", "(self, chunk: Chunk) -> None", "overridden: sends at once"),
    Member(SCTP, "_set_state", "(self, state: 'RTCSctpTransport.State') -> None", "overridden: opening and the end"),
    Member(SCTP, "_ssthresh", "= chunk.advertised_rwnd", "holds the peer's first window after the handshake"),
    Member(SCTP, "_t3_cancel", "(self) -> None", "stops the timer of data"),
    Member(SCTP, "_t3_expired", "(self) -> None", "overridden: the timer is ours"),
    Member(SCTP, "_t3_handle", "Optional[asyncio.TimerHandle]", "the timer of data"),
    Member(SCTP, "_transmit", "(self) -> None", "overridden: pumps our sender"),
    Member(SCTP, "is_server", "(self) -> bool", "parity of the stream id"),
)  # fmt: skip

ASKED_OF_DTLS: Final = {"state", "_role", "_register_data_receiver", "_unregister_data_receiver", "_send_data"}
"""What `RTCSctpTransport` asks of its transport; `dtls.DtlsLink` stands there."""
ASKED_OF_A_CHANNEL: Final = (
    {"id", "negotiated", "readyState", "_setReadyState", "maxPacketLifeTime", "maxRetransmits", "ordered"}
    | {"_setId", "_addBufferedAmount", "label", "protocol"}  # only of channels that it opens itself
)  # fmt: skip
"""What it asks of a channel; `sctp._Channel` stands there."""
ASKED_OF_MDNS: Final = {"MDnsProtocol", "create_mdns_protocol", "is_mdns_hostname"}
"""What aioice asks of its module `mdns`, which `lean_imports` replaces; the second only for names, and we give none."""


@cache
def source(module: str) -> ast.Module:
    import_backend()
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text())


def shape_of(found: ast.stmt) -> str:
    match found:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            returns = f" -> {ast.unparse(found.returns)}" if found.returns else ""
            return f"({ast.unparse(found.args)}){returns}"
        case ast.AnnAssign():
            return ast.unparse(found.annotation)
        case ast.Assign():
            return f"= {ast.unparse(found.value)}"
        case ast.ClassDef():
            return "class"
    raise AssertionError(ast.dump(found))


def members_of(body: list[ast.stmt]) -> dict[str, str]:
    """Names of a class body, with the fields that its methods set; the first setting is the shape."""
    found: dict[str, str] = {}
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = shape_of(statement)
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = shape_of(statement)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for line in ast.walk(statement):
                match line:
                    case (
                        ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)])
                        | ast.AnnAssign(target=ast.Attribute(value=ast.Name(id="self"), attr=name))
                    ):
                        found.setdefault(name, shape_of(line))
    return found


@cache
def library_class(owner: str) -> dict[str, str]:
    module, _, name = owner.partition(":")
    body = next(node.body for node in source(module).body if isinstance(node, ast.ClassDef) and node.name == name)
    return members_of(body)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: f"{member.owner}.{member.name}")
def test_the_member_is_there_as_it_was(member: Member) -> None:
    module, _, cls = member.owner.partition(":")
    if cls:
        assert library_class(member.owner)[member.name] == member.shape
        return
    found = next((node for node in source(module).body if getattr(node, "name", None) == member.name), None)
    if found is not None:
        assert shape_of(found) == member.shape
    else:
        value = getattr(__import__(module, fromlist=[member.name]), member.name)
        assert type(value).__name__ == member.shape


# ── what we touch ─────────────────────────────────────────────────────────────────────────────────────────────────────

BASES: Final = {
    "aioice.Connection": CONNECTION,
    "StunProtocol": PROTOCOL,
    "RTCSctpTransport": SCTP,
    "SSL.Connection": RECORDS,
}
LIBRARIES: Final = ("aioice", "aiortc", "OpenSSL")


def touched_by_heirs(tree: ast.Module) -> set[tuple[str, str]]:
    """Undocumented members of a library class that a class of ours reads, writes or overrides on itself."""
    found: set[tuple[str, str]] = set()
    for heir in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for owner in (BASES[name] for base in heir.bases if (name := ast.unparse(base)) in BASES):
            used = set(members_of(heir.body)) | {
                node.attr
                for node in ast.walk(heir)
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "super()")
            }
            theirs = set(library_class(owner)) - DOCUMENTED.get(owner, set())
            found |= {(owner, name) for name in used & theirs if not name.startswith("__")}
    return found


def touched_elsewhere(tree: ast.Module) -> set[str]:
    """Private members of something that is not `self`."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and ast.unparse(node.value) not in ("self", "cls", "super()")
    }


def imported(tree: ast.Module) -> set[tuple[str, str]]:
    """Names taken from modules of the libraries below their documented packages."""
    return {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module is not None
        and node.module.split(".")[0] in LIBRARIES
        and node.module not in LIBRARIES
        for alias in node.names
    }


TREES = {path.name: ast.parse(path.read_text()) for path in sorted(TRANSPORT.glob("*.py"))}
REFERENCE_PEER = ast.parse((ROOT / "tests" / "support" / "reference_peer.py").read_text())


def test_our_transport_and_the_reference_s_peer_touch_what_is_listed_and_nothing_else() -> None:
    trees = [*TREES.values(), REFERENCE_PEER]
    touched = {found for tree in trees for found in touched_by_heirs(tree) | imported(tree)}
    elsewhere = {name for tree in trees for name in touched_elsewhere(tree)}
    listed = {(member.owner, member.name) for member in MEMBERS}
    foreign = {key for key in listed if key[1] in elsewhere}
    assert elsewhere == {name for _, name in foreign}, "private members of other objects, beside the listed ones"
    assert touched | foreign == listed


def test_the_scan_sees_what_it_looks_for() -> None:
    """Or the test above could not fail."""
    tree = ast.parse(
        "from aioice.ice import Connection as C\n"
        "class G(aioice.Connection):\n"
        "    def check_complete(self, pair): ...\n"
        "    def f(self, other): return self._nominated, super()._check_periodic(), other._network_host, self._own\n"
    )
    assert touched_by_heirs(tree) == {(CONNECTION, n) for n in ("check_complete", "_nominated", "_check_periodic")}
    assert touched_elsewhere(tree) == {"_network_host"}
    assert imported(tree) == {("aioice.ice", "Connection")}


@pytest.mark.heavy
def test_nobody_outside_of_the_transport_knows_the_libraries() -> None:
    others = [path for path in (ROOT / "daemon").rglob("*.py") if TRANSPORT not in path.parents]
    assert others
    for path in others:
        text = path.read_text()
        assert not any(library in text for library in LIBRARIES) or not imported(ast.parse(text)), path


# ── what stands in for their objects ──────────────────────────────────────────────────────────────────────────────────


def asked(tree: ast.Module, *objects: str) -> set[str]:
    return {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) in objects
    }


def test_what_is_asked_of_our_stand_ins() -> None:
    sctp = source("aiortc.rtcsctptransport")
    body = next(node for node in sctp.body if isinstance(node, ast.ClassDef) and node.name == "RTCSctpTransport")
    of_class = ast.Module([body], [])
    assert asked(of_class, "self.__transport", "self.transport") | {"state"} == ASKED_OF_DTLS
    assert asked(of_class, "channel") == ASKED_OF_A_CHANNEL
    assert asked(source("aioice.ice"), "mdns") == ASKED_OF_MDNS

    ours = {
        node.name: members_of(node.body)
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    assert set(ours["DtlsLink"]) >= ASKED_OF_DTLS
    assert set(ours["_NoMdns"]) == ASKED_OF_MDNS - {"create_mdns_protocol"}


def test_the_pins_are_those_that_the_list_was_made_with() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["daemon"]
    for name, pinned in PINNED.items():
        assert f"{name}=={pinned}" in wanted
        assert version(name) == pinned, f"{name} {version(name)}: go through the list above, then move the pins"


@pytest.mark.parametrize("folder", ["unit", "integration"])
def test_the_tests_of_the_transport_go_through_public_ways(folder: str) -> None:
    for path in sorted((ROOT / "tests" / folder / "transport").glob("*.py")):
        assert not touched_elsewhere(ast.parse(path.read_text())), path
