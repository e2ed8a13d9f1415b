"""The weaknesses of v0.3.8's governance as attacks: what a hostile peer sends, and what it would have won by it.

One table (`ATTACKS`). Each row is mounted three times: at a daemon, which must not yield; at one with the switch that
restores the point, or at a plain reading of v0.3.8 where there is none, which must. So no row can pass for nothing.
"""

from __future__ import annotations

import time
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from attrs import define, field, frozen

from myownmesh.governance.marking import sign_marked
from myownmesh.governance.signed_bytes import denied_bytes, signed_bytes
from myownmesh.governance.state_file import StateFile, write_state
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.frames import Deny, NetworkStateAck, NetworkStatePropose, NetworkStateSplit, RosterEntries
from myownmesh.protocol.modes import FullMesh, Ring
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, Split, TopologyChange, Transition
from support.governance import DEVICES, IDS, entry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from myownmesh.protocol.frames import Frame, NetworkKind
    from myownmesh.protocol.transitions import Variant
    from myownmesh.simulator.reference_governance import ReferenceGovernance

NETWORK: Final = "fortress"
NOW: Final = int(time.time())
DAY: Final = 24 * 3600

Where = Literal["court", "away", "reopened", "again", "joiner", "unfounded", "open", "silent"]
"""What the victim holds: a founded network; one whose latest entries it has not heard; one that was opened again; one
that was closed behind that; nothing but the name of the founder; nothing, though its record says closed; an open
network; a silent one."""
Who = Literal["mallory", "carol", "stranger"]
"""The hostile peer: a member, a controller, or nobody."""

ALICE, BOB, CAROL = (DEVICES[name] for name in ("alice", "bob", "carol"))
DAVE, ERIN, FRANK, GRACE, HEIDI = (IDS[name] for name in ("dave", "erin", "frank", "grace", "heidi"))
YVES, ZOE = (sha256(name).digest() for name in (b"yves", b"zoe"))


def device(number: int) -> str:
    """The id of some device."""
    return Identity.from_seed(sha256(b"device %d" % number).digest()).device_id


PUT_OUT_BY_CAROL: Final = device(1)


def signed(variant: Variant, *signers: Identity, at: int = NOW) -> Transition:
    payload = signed_bytes(NETWORK, variant)
    signatures = tuple(base32.encode(signer.sign(payload)) for signer in signers)
    return Transition(at, variant, tuple(signer.device_id for signer in signers), signatures)


def marked(variant: Variant, signer: Identity, at: int) -> Transition:
    """As ours signs: once for ever."""
    return Transition(
        at, variant, (signer.device_id,), (sign_marked(signer, signed_bytes(NETWORK, variant), Random(at)),)
    )


@frozen
class View:
    """What a device believes, whoever it is."""

    kind: str
    roles: dict[str, str]
    evicted: frozenset[str]
    log: tuple[Variant, ...]
    copies: tuple[Variant, ...]
    """Of the member log, with repetitions."""
    pending: dict[str, Variant]
    rows: frozenset[str] = frozenset()
    active: frozenset[str] = frozenset()

    @classmethod
    def of_state(cls, told: Any, rows: Iterable[str], active: Iterable[str]) -> View:
        """From the answer to `governance_state`."""
        state = told["state"]
        variants = [entry_of(each).variant for each in state["transitions"]]
        copies = [entry_of(each).variant for each in state["member_log"]]
        pending = {
            each["id"]: entry_of({"at": 0, "variant": each["variant"], "signers": [], "signatures": []}).variant
            for each in state["pending"]
        }
        return cls(
            state["kind"],
            state["roles"],
            frozenset(told["evicted"]),
            tuple(variants),
            tuple(copies),
            pending,
            frozenset(rows),
            frozenset(active),
        )

    @classmethod
    def of_model(cls, model: ReferenceGovernance) -> View:
        devices = {getattr(each.variant, "target", "") for each in model.members}
        return cls(
            model.kind,
            model.roles,
            frozenset(each for each in devices if model.is_evicted(each)),
            tuple(each.variant for each in model.log),
            tuple(each.variant for each in model.members),
            {known: record["variant"] for known, record in model.pending.items()},
        )


@define
class Scene:
    """A victim's network before the attack, and who attacks."""

    victim: str
    mallory: Identity
    """The hostile peer, whoever it plays."""
    who: Who = "mallory"
    carol: Identity = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.carol = self.mallory if self.who == "carol" else CAROL

    def log(self, where: Where) -> tuple[Transition, ...]:
        """What the victim holds already."""
        whole = (
            signed(KindChange("closed"), ALICE, at=NOW - 9000),
            signed(RoleGrant(BOB.device_id, "owner"), ALICE, at=NOW - 8000),
            signed(RoleGrant(self.carol.device_id, "controller"), ALICE, at=NOW - 7000),
            signed(RoleGrant(GRACE, "owner"), ALICE, at=NOW - 6000),
        )
        match where:
            case "court":
                return (*whole, signed(RoleRevoke(GRACE), ALICE, at=NOW - 5000))
            case "away":
                return whole
            case "reopened":
                return (*whole, signed(KindChange("open"), ALICE, at=NOW - 5000))
            case "again":
                shapes = (signed(TopologyChange(mode), ALICE, at=NOW - 5500) for mode in (Ring(3), FullMesh()))
                kinds = (signed(KindChange(kind), ALICE, at=NOW - 5000) for kind in ("open", "closed"))
                return (*whole, *shapes, *kinds)
            case _:
                return ()

    def members(self) -> tuple[Transition, ...]:
        """Who was let in and put out before."""
        inside = [self.victim, DAVE, *([] if self.who == "stranger" else [self.mallory.device_id])]
        return (
            *(signed(RoleGrant(each, "member"), ALICE, at=NOW - 4000) for each in inside),
            signed(RoleGrant(ERIN, "member"), ALICE, at=NOW - 4000),
            signed(Evict(ERIN), ALICE, at=NOW - 3000),
            signed(RoleGrant(FRANK, "member"), ALICE, at=NOW - 4000),
            marked(Evict(FRANK), ALICE, at=NOW - 3000),
            marked(RoleGrant(FRANK, "member"), BOB, at=NOW - 2000),
            signed(RoleGrant(PUT_OUT_BY_CAROL, "member"), ALICE, at=NOW - 4000),
            signed(Evict(PUT_OUT_BY_CAROL), self.carol, at=NOW - 3000),
            signed(RoleGrant(self.carol.device_id, "member"), BOB, at=NOW - 7800),
            self.old_eviction_of_carol,
            marked(RoleGrant(self.carol.device_id, "member"), BOB, at=NOW - 7600),
        )

    @property
    def old_eviction_of_carol(self) -> Transition:
        """From before she was let in again and got her seat."""
        return marked(Evict(self.carol.device_id), BOB, at=NOW - 7700)

    def admit_of(self, target: str) -> Transition:
        return next(each for each in self.members() if each.variant == RoleGrant(target, "member"))

    def propose(self, known: str, variant: Variant, at: int = NOW) -> NetworkStatePropose:
        [signature] = signed(variant, self.mallory).signatures
        return NetworkStatePropose(known, variant, self.mallory.device_id, at, signature)


def hold(
    home: Path, log: tuple[Transition, ...], members: tuple[Transition, ...], kind: NetworkKind = "closed"
) -> None:
    """A daemon's state file, from before it knows of the network."""
    path = home / "mesh" / "states" / f"{NETWORK}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(write_state(StateFile(2, NETWORK, kind, {}, tuple(log), (), (), tuple(members)))))


def later(entry: Transition, at: int) -> Transition:
    return msgspec.structs.replace(entry, at=at)


def entries(log: Iterable[Transition] = (), members: Iterable[Transition] = (), *, vouched: bool = False) -> Frame:
    return RosterEntries((), tuple(log), tuple(members), True if vouched else msgspec.UNSET)


# ── the attacks ───────────────────────────────────────────────────────────────────────────────────────────────────────


def raised_admit(scene: Scene) -> Sequence[Frame]:
    return [entries(members=[later(scene.admit_of(ERIN), NOW + 100)])]


def admit_beyond_every_eviction(scene: Scene) -> Sequence[Frame]:
    raised = later(scene.admit_of(DAVE), NOW + DAY - 60)
    return [entries(members=[raised]), entries(members=[marked(Evict(DAVE), BOB, NOW)])]


def co_signers_by_the_dozen(scene: Scene) -> Sequence[Frame]:
    throwaways = [Identity.from_seed(sha256(b"throwaway %d" % number).digest()) for number in range(40)]
    copies = [signed(RoleGrant(DAVE, "member"), ALICE, each, at=NOW + n) for n, each in enumerate(throwaways)]
    return [entries(members=copies)]


def old_eviction(scene: Scene) -> Sequence[Frame]:
    old = next(each for each in scene.members() if each.variant == Evict(FRANK))
    return [entries(members=[later(old, NOW)])]


def undone_grant(scene: Scene) -> Sequence[Frame]:
    log = scene.log("court")
    return [entries([*log, log[3]])]


def undone_grant_vouched(scene: Scene) -> Sequence[Frame]:
    log = scene.log("court")
    return [entries([*log, log[3]], vouched=True)]


def undone_reopening(scene: Scene) -> Sequence[Frame]:
    log = scene.log("again")
    return [entries([*log, next(each for each in log if each.variant == KindChange("open"))])]


def undone_shape(scene: Scene) -> Sequence[Frame]:
    log = scene.log("again")
    return [entries([*log, next(each for each in log if isinstance(each.variant, TopologyChange))])]


def owner_lowered(scene: Scene) -> Sequence[Frame]:
    return [entries([*scene.log("court"), signed(RoleGrant(BOB.device_id, "controller"), scene.carol)])]


def admit_of_an_owner_behind_its_promotion(scene: Scene) -> Sequence[Frame]:
    """Whoever was let in first and made owner later has an admit that everybody holds."""
    return [entries([*scene.log("court"), signed(RoleGrant(BOB.device_id, "member"), ALICE, at=NOW - 8500)])]


def old_eviction_behind_the_seat(scene: Scene) -> Sequence[Frame]:
    return [entries([*scene.log("court"), later(scene.old_eviction_of_carol, NOW)])]


def founder_made_member(scene: Scene) -> Sequence[Frame]:
    return [entries([*scene.log("court"), signed(RoleGrant(ALICE.device_id, "member"), scene.carol)])]


def split_frame(scene: Scene) -> Sequence[Frame]:
    split = Split(device(9), (scene.mallory.device_id,))
    [signature] = signed(split, scene.mallory).signatures
    parent = "prop_0000000000000001"
    return [NetworkStateSplit(parent, split.new_network_id, split.members, scene.mallory.device_id, NOW, signature)]


def split_in_the_log(scene: Scene) -> Sequence[Frame]:
    return [entries([*scene.log("court"), signed(Split(device(9), (DAVE,)), scene.mallory)])]


def last_second_of_time(scene: Scene) -> Sequence[Frame]:
    return [scene.propose("prop_00000000000000aa", Evict(DAVE), 2**64 - 1)]


def proposals_without_end(scene: Scene) -> Sequence[Frame]:
    return [scene.propose(f"prop_{number:016x}", RoleGrant(device(number), "member")) for number in range(100, 140)]


def decided_by_a_proposal_alone(scene: Scene) -> Sequence[Frame]:
    """Its author shows each device a copy of its own: whoever writes it down by itself has a log of its own."""
    return [scene.propose("prop_00000000000000dd", RoleGrant(device(90), "controller"))]


def bait_and_switch(scene: Scene) -> Sequence[Frame]:
    known, me = "prop_00000000000000bb", scene.mallory
    denial = base32.encode(me.sign(denied_bytes(NETWORK, known, me.device_id)))
    return [
        scene.propose(known, Evict(DAVE)),
        NetworkStateAck(known, me.device_id, "deny", NOW, denial),
        scene.propose(known, RoleGrant(me.device_id, "owner")),
    ]


def log_filled_by_a_controller(scene: Scene) -> Sequence[Frame]:
    filling = [
        signed(variant, scene.carol, at=NOW + number)
        for number in range(75)
        for variant in (RoleGrant(device(500 + number), "controller"), RoleRevoke(device(500 + number)))
    ]
    return [entries([*scene.log("court"), *filling])]


def author_demoted(scene: Scene) -> Sequence[Frame]:
    return [entries([*scene.log("court"), signed(RoleRevoke(scene.carol.device_id), ALICE)])]


def revoked_owner_extends_the_past(scene: Scene) -> Sequence[Frame]:
    past, grace = scene.log("away"), DEVICES["grace"]
    honest = [signed(RoleRevoke(GRACE), ALICE, at=NOW - 5000), signed(RoleGrant(HEIDI, "controller"), ALICE)]
    return [
        entries([*past, signed(RoleGrant(scene.mallory.device_id, "owner"), grace)]),
        entries([*past, *honest]),
    ]


def revoked_owner_puts_an_honest_entry_first(scene: Scene) -> Sequence[Frame]:
    past, grace = scene.log("away"), DEVICES["grace"]
    revoke, grant = signed(RoleRevoke(GRACE), ALICE, at=NOW - 5000), signed(RoleGrant(HEIDI, "controller"), ALICE)
    return [
        entries([*past, grant, signed(RoleGrant(scene.mallory.device_id, "owner"), grace)]),
        entries([*past, revoke, grant]),
    ]


def half_of_a_losing_tail(scene: Scene) -> Sequence[Frame]:
    """An owner's grant without its undoing, both on a branch that lost because somebody else on it was put out."""
    past, x = scene.log("away"), device(77)
    honest = [signed(RoleRevoke(GRACE), ALICE, at=NOW - 5000), signed(RoleGrant(HEIDI, "controller"), ALICE)]
    half = signed(RoleGrant(x, "owner"), BOB)
    lost = [half, signed(RoleRevoke(x), BOB), signed(RoleGrant(device(78), "controller"), DEVICES["grace"])]
    return [entries([*past, *honest]), entries([*past, *lost]), entries([*past, *honest, half])]


def stranger_closes_again(scene: Scene) -> Sequence[Frame]:
    return [entries([*scene.log("reopened"), signed(KindChange("closed"), scene.mallory)])]


def owner_planted_while_open(scene: Scene) -> Sequence[Frame]:
    planted = signed(RoleGrant(scene.mallory.device_id, "owner"), scene.mallory, at=NOW - 9500)
    return [entries([planted, signed(KindChange("closed"), ALICE, at=NOW - 9000)])]


def poisoned_genesis(scene: Scene) -> Sequence[Frame]:
    log = scene.log("court")
    cosigned = signed(KindChange("closed"), ALICE, scene.mallory, at=NOW - 9000)
    return [entries([cosigned]), entries(log)]


def worthless_entry(scene: Scene) -> Sequence[Frame]:
    return [entries([signed(Split(device(9), ()), scene.mallory)])]


def founding_by_anybody(scene: Scene) -> Sequence[Frame]:
    return [entries([signed(KindChange("closed"), scene.mallory)])]


def deny_before_any_hello(scene: Scene) -> Sequence[Frame]:
    founding = signed(KindChange("closed"), scene.mallory)
    return [Deny("evicted", (founding,), (signed(Evict(scene.victim), scene.mallory),))]


def raised_admit_in_a_deny(scene: Scene) -> Sequence[Frame]:
    return [Deny("evicted", scene.log("court"), (later(scene.admit_of(ERIN), NOW + 100),))]


def worthless_entry_in_a_deny(scene: Scene) -> Sequence[Frame]:
    return [Deny("evicted", (signed(Split(device(9), ()), scene.mallory),), ())]


def eviction_on_an_open_network(scene: Scene) -> Sequence[Frame]:
    return [scene.propose("prop_00000000000000cc", Evict(DAVE))]


def nothing(_scene: Scene) -> Sequence[Frame]:
    return []


@frozen
class Attack:
    """One row."""

    weakness: str
    """Of 02 §24 or 24.3."""
    frames: Callable[[Scene], Sequence[Frame]]
    won: Callable[[View, Scene], bool]
    """Whether the attacker has what it wanted."""
    where: Where = "court"
    who: Who = "mallory"
    switch: str | None = None
    """What lets it succeed at ours; None: it is mounted at a model of v0.3.8."""
    unauthenticated: bool = False
    """Its frames are the first on the channel."""

    @property
    def name(self) -> str:
        return self.frames.__name__.replace("_", " ")


def _is(role: str | None, whom: Callable[[Scene], str]) -> Callable[[View, Scene], bool]:
    return lambda view, scene: view.roles.get(whom(scene)) == role


def _mallory(scene: Scene) -> str:
    return scene.mallory.device_id


ATTACKS: Final = (
    Attack("W3", raised_admit, lambda view, _: ERIN not in view.evicted, switch="replayable_logs"),
    Attack(
        "42",
        admit_beyond_every_eviction,
        lambda view, _: Evict(DAVE) in view.copies and DAVE not in view.evicted,
        switch="replayable_logs",
    ),
    Attack("42", co_signers_by_the_dozen, lambda view, _: view.copies.count(RoleGrant(DAVE, "member")) > 4),
    Attack("W3", old_eviction, lambda view, _: FRANK in view.evicted),
    Attack("W4", undone_grant, _is("owner", lambda _: GRACE), switch="replayable_logs"),
    Attack(
        "W4",
        undone_shape,
        lambda view, _: len([each for each in view.log if isinstance(each, TopologyChange)]) > 2,
        where="again",
        who="carol",
        switch="replayable_logs",
    ),
    Attack("W4", undone_reopening, lambda view, _: view.kind == "open", where="again", switch="replayable_logs"),
    # As v0.3.8 hands on whatever it was told: the link of somebody seated is no word for what others signed.
    Attack("44", raised_admit, lambda view, _: ERIN not in view.evicted, who="carol"),
    Attack("44", undone_grant, _is("owner", lambda _: GRACE), who="carol"),
    Attack("44", undone_grant_vouched, _is("owner", lambda _: GRACE), who="carol"),
    Attack(
        "W9",
        decided_by_a_proposal_alone,
        lambda view, _: RoleGrant(device(90), "controller") in view.log,
        who="carol",
        switch="ratify_everything",
    ),
    Attack("W5", owner_lowered, _is("controller", lambda _: BOB.device_id), switch="controller_demotes_owner"),
    Attack("W5, 64", admit_of_an_owner_behind_its_promotion, lambda view, _: view.roles.get(BOB.device_id) != "owner"),
    Attack("W3, 64", old_eviction_behind_the_seat, _is("member", lambda scene: scene.carol.device_id)),
    Attack("W5", founder_made_member, lambda view, _: view.roles.get(ALICE.device_id) != "owner"),
    Attack(
        "W7",
        split_frame,
        lambda view, _: any(isinstance(each, Split) for each in view.log),
        switch="unauthorised_splits",
    ),
    Attack("W7", split_in_the_log, lambda view, _: any(isinstance(each, Split) for each in view.log)),
    Attack("W12", last_second_of_time, lambda view, _: "prop_00000000000000aa" in view.pending),
    Attack(
        "W14",
        proposals_without_end,
        lambda view, _: len([each for each in view.pending if each.startswith("prop_000000000000")]) > 32,
    ),
    Attack(
        "45",
        bait_and_switch,
        lambda view, scene: view.pending.get("prop_00000000000000bb") == RoleGrant(_mallory(scene), "owner"),
    ),
    Attack("49", log_filled_by_a_controller, lambda view, _: len(view.log) > 154),
    Attack("W11, 48", author_demoted, lambda view, _: PUT_OUT_BY_CAROL not in view.evicted),
    Attack("46", revoked_owner_extends_the_past, _is("owner", _mallory), where="away"),
    Attack("46", revoked_owner_puts_an_honest_entry_first, _is("owner", _mallory), where="away"),
    Attack("64", half_of_a_losing_tail, _is("owner", lambda _: device(77)), where="away"),
    Attack("W2", stranger_closes_again, _is("owner", _mallory), where="reopened", switch="adopt_any_genesis"),
    Attack("W6", owner_planted_while_open, _is("owner", _mallory), where="joiner", switch="roles_from_open_phase"),
    Attack(
        "W8",
        poisoned_genesis,
        lambda view, scene: view.roles.get(scene.carol.device_id) != "controller",
        where="joiner",
    ),
    Attack("W40", worthless_entry, lambda view, _: view.kind == "open", where="unfounded"),
    Attack("W40", worthless_entry, lambda view, _: view.kind == "open", where="silent"),
    Attack("W40", worthless_entry_in_a_deny, lambda view, _: view.kind == "open", where="silent", unauthenticated=True),
    Attack(
        "W40", worthless_entry_in_a_deny, lambda view, _: view.kind == "open", where="unfounded", unauthenticated=True
    ),
    Attack("W2", founding_by_anybody, _is("owner", _mallory), where="silent"),
    Attack("W31", founding_by_anybody, _is("owner", _mallory), where="unfounded", switch="adopt_any_genesis"),
    Attack(
        "W1, 53",
        deny_before_any_hello,
        lambda view, scene: view.roles.get(_mallory(scene)) == "owner" or scene.victim in view.evicted,
        where="open",
        unauthenticated=True,
    ),
    Attack(
        "W1, W3", raised_admit_in_a_deny, lambda view, _: ERIN not in view.evicted, where="court", unauthenticated=True
    ),
    Attack("W2", founding_by_anybody, _is("owner", _mallory), where="open", switch="adopt_any_genesis"),
    Attack(
        "W35",
        eviction_on_an_open_network,
        lambda view, _: DAVE not in view.rows,
        where="open",
        switch="open_network_evict",
    ),
    Attack(
        "W18",
        nothing,
        lambda view, scene: _mallory(scene) in view.active,
        who="stranger",
        switch="closed_local_approve",
    ),
)
"""What is not here: W9 with an ack and what takes two peers or a person (test_governance_by_several.py), W10
(tests/integration/governance), W15, 47 and 58 (test_rogue_controller.py), W17 and W41, which need a link that lasts,
W24 ids (test_hostile_peer.py), W21, W27, 43 and 52, which need no peer at all."""
