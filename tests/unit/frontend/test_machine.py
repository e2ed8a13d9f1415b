"""The client's machine, transition by transition, with literal times (spec 08 §5, §12)."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from myownllm.catalog.model import Catalog
from myownllm.catalog.network import UNSEALED_TEXT, SavedNetwork, TurnServer, with_sealing
from myownllm.client import Method
from myownllm.client import messages as m
from myownllm.client.hearing import DOUBTED_FRAMES, EARLY_FRAMES, REFUSALS
from myownllm.client.state import Settings
from myownllm.client.upkeep import CHECK_ONLINE_S, COALESCE_S
from myownllm.client.work import FileWork
from unit.frontend.fakes import DEVICE_B, peer_info
from unit.frontend.machine_bench import HOME, WORK, Bench, never, online

PENDING = peer_info(status="pending_approval", local_approve_sent=False, remote_approve_seen=False)
OLD = "parse: unknown variant `network_update`, expected one of `status`"


def call(request_id: str = "r", **members: Any) -> dict[str, Any]:
    inbound = {"kind": "rpc_inbound", "from": DEVICE_B, "request_id": request_id, "method": "echo", "payload": 1}
    return {**inbound, "streaming": False, **members}


# ── starting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_start_asks_each_thing_once() -> None:
    b = online(Bench())
    assert b.daemon.ops() == [
        "status", "network_add", "peers_list", "networks_list", "rpc_register", "rpc_register", "channel_subscribe",
        "identity_show", "capabilities_set",
    ]  # fmt: skip


def test_a_start_on_a_joined_network_changes_nothing_and_asks_status_once() -> None:
    b = Bench()
    b.daemon.networks = [HOME.to_daemon()]
    online(b)
    assert b.daemon.ops("status", "config_show", "network_add", "network_update") == ["status", "config_show"]
    assert b.daemon.mutations == []


def test_online_is_the_last_thing_that_a_start_says() -> None:
    b = Bench()
    b.connect()
    b.held.add("capabilities_set")
    b.start()
    assert b.state.phase == "starting"
    assert set(b.daemon.claims) == {"echo", "count"}
    b.let_go("capabilities_set")
    assert (b.state.phase, b.state.status) == ("signaling-up", "online")


def test_starts_at_once_share_one_run_and_its_outcome() -> None:
    b = Bench()
    b.connect()
    b.held.add("network_add")
    tickets = [b.start() for _ in range(3)]
    assert b.outcomes == {}
    b.let_go("network_add")
    assert [b.error_of(t) for t in [*tickets, b.start()]] == [None] * 4
    assert b.daemon.ops("network_add") == ["network_add"]


def test_a_start_without_a_daemon_gives_up_after_six_seconds_and_comes_back_with_one() -> None:
    b = Bench()
    ticket = b.start()
    b.wait(5.9)
    assert ticket not in b.outcomes
    b.wait(0.2)
    assert b.error_of(ticket) == "not_connected"
    assert (b.state.phase, b.state.error) == ("starting", "")
    b.connect()
    assert b.state.status == "online"


def test_a_start_that_waits_goes_on_in_the_moment_of_the_connection() -> None:
    b = Bench()
    ticket = b.start()
    b.wait(3.1)
    b.connect()
    assert b.error_of(ticket) is None


def test_status_is_tried_thirty_times_and_the_last_error_counts() -> None:
    b = Bench()
    b.connect()
    b.daemon.refuse["status"] = [f"failure {n}" for n in range(1, 31)]
    ticket = b.start()
    b.wait(5.9)
    assert ticket not in b.outcomes
    b.wait(0.2)
    assert str(b.outcomes[ticket].error) == "failure 30"
    assert b.state.pill == "Mesh error: failure 30"


def test_a_start_that_failed_on_a_living_connection_is_repeated_after_ten_seconds() -> None:
    b = Bench(catalog_error="cannot read config.json")
    b.connect()
    b.start()
    assert b.state.pill == "Mesh error: cannot read config.json"
    b.catalog_error = ""
    b.wait(9.9)
    assert b.state.status == "error"
    b.wait(0.2)
    assert b.state.status == "online"


def test_a_start_that_hangs_says_after_eight_seconds_what_it_waits_for() -> None:
    b = Bench()
    b.connect()
    b.held.add("network_add")
    b.start()
    b.wait(7.9)
    assert b.state.error == ""
    b.wait(0.2)
    assert (b.state.phase, b.state.error) == ("starting", "the mesh daemon has not answered `network_add` yet")
    b.let_go("network_add")
    assert (b.state.status, b.state.error) == ("online", "")


def test_without_an_active_network_the_client_is_off_and_deaf() -> None:
    b = Bench(catalog=Catalog())
    b.connect()
    b.start()
    assert b.daemon.ops() == ["status"]
    assert b.state.pill == "No active network — pick one below"
    assert b.of(m.Bind)[-1].wire_id == ""
    b.event(event_kind="phase", kind="changed", next="active")
    assert b.state.phase == "off"


def test_a_daemon_without_events_is_an_error_that_the_next_connection_ends() -> None:
    b = Bench()
    b.start()
    for _ in range(2):
        b.give(m.NotSubscribed("subscribe rejected: nope"))
    b.wait(7)
    assert b.state.pill == "Mesh error: subscribe rejected: nope"
    assert b.notes.count("subscribe rejected: nope") == 1
    b.connect()
    assert b.state.status == "online"


# ── races (FE-5.25) ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "operation", ["status", "network_add", "peers_list", "networks_list", "rpc_register", "capabilities_set"]
)
def test_a_stop_during_a_start_leaves_nothing_registered(operation: str) -> None:
    b = Bench()
    b.connect()
    b.held.add(operation)
    start = b.start()
    stop = b.stop()
    assert b.error_of(start) == "stopped"
    assert b.error_of(stop) is None
    b.let_go(operation)
    assert (b.daemon.claims, b.daemon.channels) == ({}, {})
    assert (b.state.phase, b.state.network) == ("off", "")


@pytest.mark.parametrize("operation", ["status", "network_add", "peers_list", "rpc_register", "capabilities_set"])
def test_a_daemon_lost_during_a_start_is_retried(operation: str) -> None:
    b = Bench()
    b.connect()
    b.held.add(operation)
    ticket = b.start()
    b.lose()
    assert b.error_of(ticket) is not None
    assert b.state.phase == "starting"
    b.held.clear()
    b.connect()
    assert b.state.status == "online"
    assert set(b.daemon.claims.values()) == {"c1"}


def test_a_start_during_a_stop_waits_for_it_then_starts() -> None:
    b = online(Bench())
    b.held.add("channel_unsubscribe")
    stop, start = b.stop(), b.start()
    assert stop not in b.outcomes
    assert start not in b.outcomes
    b.let_go("channel_unsubscribe")
    assert (b.error_of(stop), b.error_of(start)) == (None, None)
    assert b.state.status == "online"
    assert set(b.daemon.claims) == {"echo", "count"}


def test_a_stop_after_that_has_the_last_word() -> None:
    b = online(Bench())
    b.held.add("channel_unsubscribe")
    b.stop()
    start, stop = b.start(), b.stop()
    b.let_go("channel_unsubscribe")
    assert (b.error_of(start), b.error_of(stop)) == ("stopped", None)
    assert b.state.phase == "off"


def test_a_release_that_hangs_costs_three_seconds() -> None:
    """FE-5.23."""
    b = online(Bench())
    b.held.add("channel_unsubscribe")
    ticket = b.stop()
    b.wait(2.9)
    assert ticket not in b.outcomes
    b.wait(0.2)
    assert b.error_of(ticket) is None


def test_a_stop_is_idempotent_and_stays() -> None:
    """FE-5.23."""
    b = online(Bench())
    for _ in range(3):
        b.stop()
    assert b.daemon.ops("channel_unsubscribe", "rpc_unregister") == [
        "channel_unsubscribe", "rpc_unregister", "rpc_unregister"
    ]  # fmt: skip
    b.wait(60)
    assert b.state.phase == "off"
    assert b.daemon.joined == ["home"], "the daemon stays joined"


def test_answers_of_an_ended_life_change_nothing() -> None:
    """FE-5.25, FE-12.47."""
    b = online(Bench())
    b.held.add("peers_list")
    b.give(m.PeersChanged())
    late = [c for c in b.of(m.Carry) if c.request == m.Ask("peers_list", {"network": "home"})][-1]
    b.stop()
    b.give(m.Answered(late.number, {"peers": [peer_info()]}))
    assert b.state.peers == ()


def test_frames_and_losses_of_an_old_connection_mean_nothing() -> None:
    """FE-4.9."""
    b = online(Bench())
    b.connect()
    rev = b.state.rev
    b.give(m.Disconnected(1))
    b.give(m.Arrived(1, replace(_lagged(), skipped=9)))
    assert b.state.rev == rev
    assert b.notes == []


def _lagged() -> Any:
    from mesh_common.client.frames import Lagged

    return Lagged(1)


# ── switching and following ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_switch_leaves_then_joins_and_never_says_online_of_the_old_one() -> None:
    b = online(Bench())
    b.daemon.log.clear()
    del b.states[:-1]
    b.change(lambda c: c.set_active_network(WORK.id))
    b.reconcile()
    assert b.daemon.mutations == ["network_remove", "network_add"]
    assert b.daemon.ops()[:3] == ["channel_unsubscribe", "rpc_unregister", "rpc_unregister"]
    assert (b.state.network, b.state.status) == ("work", "online")
    assert {s.network for s in b.states if s.handle == "work" and s.status == "online"} == {"work"}


def test_switches_while_one_runs_collapse_into_one_more() -> None:
    b = online(Bench())
    b.daemon.log.clear()
    b.held.add("network_add")
    tickets = []
    for config_id in (WORK.id, HOME.id, WORK.id, HOME.id):
        b.change(lambda c, i=config_id: c.set_active_network(i))  # type: ignore[misc]  # mypy knows no default of a lambda
        tickets.append(b.reconcile())
    b.let_go("network_add")
    assert [b.error_of(t) for t in tickets] == [None] * 4
    assert b.daemon.joined == ["home"]
    assert b.state.network == "home"
    assert len(b.daemon.ops("network_add")) <= 2


def test_a_switch_during_a_start_for_another_network_cuts_it_off() -> None:
    """FE-12.3."""
    b = Bench()
    b.connect()
    b.held.add("peers_list")
    start = b.start()
    b.change(lambda c: c.set_active_network(WORK.id))
    b.reconcile()
    assert b.error_of(start) == "stopped"
    b.let_go("peers_list")
    assert (b.daemon.joined, b.state.network, b.state.status) == (["work"], "work", "online")


def test_a_start_for_the_same_network_is_awaited_not_repeated() -> None:
    b = Bench()
    b.connect()
    b.held.add("peers_list")
    start, follow = b.start(), b.reconcile()
    assert follow not in b.outcomes
    b.let_go("peers_list")
    assert (b.error_of(start), b.error_of(follow)) == (None, None)
    assert b.daemon.ops("network_add") == ["network_add"]


def test_a_stop_during_a_switch_has_the_last_word() -> None:
    b = online(Bench())
    b.held.add("channel_unsubscribe")
    b.change(lambda c: c.set_active_network(WORK.id))
    follow, stop = b.reconcile(), b.stop()
    b.let_go("channel_unsubscribe")
    assert (b.error_of(follow), b.error_of(stop)) == (None, None)
    assert b.state.phase == "off"
    assert b.daemon.joined == ["home"]


def test_a_network_without_a_successor_is_left() -> None:
    b = online(Bench())
    b.change(lambda c: c.remove_network(HOME.id))
    b.reconcile()
    assert b.daemon.joined == []
    assert b.state.pill == "No active network — pick one below"


def test_the_same_handle_under_another_record_is_a_switch() -> None:
    """FE-5.20."""
    b = online(Bench())
    b.change(lambda c: c.remove_network(HOME.id).add_network(SavedNetwork("net-9", "home"), activate=True))
    b.reconcile()
    assert b.state.active_config_id == "net-9"
    assert len(b.of(m.EndWork)) == 1


def test_a_catalog_that_cannot_be_read_changes_nothing() -> None:
    b = online(Bench(catalog_error=""))
    b.catalog_error = "cannot read"
    assert b.error_of(b.reconcile()) is None
    assert b.notes == ["reconcile loadConfig failed: cannot read"]
    assert b.state.status == "online"


def test_nothing_new_is_a_look_at_the_peers() -> None:
    b = online(Bench())
    b.daemon.log.clear()
    b.reconcile()
    assert b.daemon.ops() == ["peers_list"]


@pytest.mark.parametrize(
    ("refusals", "mutations", "notes"),
    [
        ([], ["network_update"], []),
        ([OLD], ["network_update", "network_remove", "network_add"], []),
        (["unknown network 'x' — join it first"], ["network_update", "network_remove", "network_add"], []),
        (
            ["config applied but config.json save failed: full"],
            ["network_update"],
            ["settings of 'Home' are live but will not survive a restart: config applied but config.json save failed: "
             "full"],
        ),
        (["apply config: no"], ["network_update"], ["settings of 'Home' were not applied: apply config: no"]),
    ],
)  # fmt: skip
def test_an_edit_is_brought_in_once(refusals: list[str], mutations: list[str], notes: list[str]) -> None:
    b = online(Bench())
    b.daemon.log.clear()
    if refusals:
        b.daemon.refuse["network_update"] = refusals
    b.change(lambda c: c.update_network(HOME.id, auto_approve=True))
    asked = b.reconcile()
    assert b.daemon.mutations == []
    b.wait(1)
    assert b.error_of(asked) is None
    assert b.daemon.mutations == mutations
    assert b.notes == notes
    assert b.state.status == "online"


def test_an_edit_that_restarts_the_network_registers_everything_anew() -> None:
    """FE-8.4."""
    b = online(Bench())
    b.daemon.log.clear()
    b.change(lambda c: c.update_network(HOME.id, signaling_servers=("ws://r",)))
    b.reconcile()
    b.wait(1)
    assert b.daemon.ops("network_update", "rpc_register") == ["network_update", "rpc_register", "rpc_register"]
    assert b.state.status == "online"
    assert b.state.settings == Settings("rebuilt")


def test_edits_in_a_row_are_one_update_a_second_after_the_last_one() -> None:
    b = online(Bench())
    b.daemon.log.clear()
    for label in ("one", "two", "three"):
        b.change(lambda c, label=label: c.update_network(HOME.id, label=label))  # type: ignore[misc]  # mypy knows no default of a lambda
        b.reconcile()
        b.wait(0.6)
        assert b.state.settings.state == "pending"
    b.wait(0.5)
    assert [r["config"]["label"] for r in b.daemon.log if r["op"] == "network_update"] == ["three"]
    assert b.state.settings == Settings("applied")


def test_an_edit_that_a_look_reads_first_is_brought_in() -> None:
    """Whoever watches the file hears nothing of what has been read already."""
    b = online(Bench())
    b.daemon.log.clear()
    b.change(lambda c: c.update_network(HOME.id, label="one"))
    b.wait(CHECK_ONLINE_S + 0.1)
    assert b.state.settings.state == "pending"
    b.change(lambda c: c.update_network(HOME.id, label="two"))
    b.wait(1.0)
    assert [r["config"]["label"] for r in b.daemon.log if r["op"] == "network_update"] == ["two"], "with the next one"
    assert b.state.settings == Settings("applied")
    b.wait(60)
    assert len(b.daemon.ops("network_update")) == 1


def test_an_edit_that_looking_anew_reads_first_is_brought_in() -> None:
    b = online(Bench())
    b.daemon.log.clear()
    b.change(lambda c: c.update_network(HOME.id, label="one"))
    b.give(m.Rediscover(7))
    b.wait(CHECK_ONLINE_S + COALESCE_S + 0.1)
    assert b.daemon.ops("network_update") == ["network_update"]


@pytest.mark.parametrize(
    ("texts", "settings"),
    [
        (["apply config: no such topology"], Settings("rejected", "apply config: no such topology")),
        (
            ["config applied but config.json save failed"],
            Settings("applied", "will not survive a restart: config applied but config.json save failed"),
        ),
    ],
)
def test_what_became_of_an_edit_is_said_in_the_daemons_words(texts: list[str], settings: Settings) -> None:
    """Not tried again until it is edited again (spec 08 FE-8.7)."""
    b = online(Bench())
    b.daemon.log.clear()
    b.daemon.refuse["network_update"] = texts
    b.change(lambda c: c.update_network(HOME.id, label="Other"))
    b.reconcile()
    b.wait(30)
    assert b.state.settings == settings
    assert b.daemon.ops("network_update") == ["network_update"]


@pytest.mark.parametrize("ours", [True, False])
def test_a_demand_for_sealing_reaches_a_daemon_that_keeps_it_and_no_other_is_told_forever(ours: bool) -> None:
    b = Bench()
    b.daemon.home = "/there" if ours else None
    online(b)
    b.daemon.log.clear()
    demand = with_sealing(None, "require")
    b.change(lambda c: c.update_network(HOME.id, signaling=demand))
    b.reconcile()
    b.wait(30)
    assert b.state.settings == (Settings("rebuilt") if ours else Settings("applied", UNSEALED_TEXT))
    told = [r["config"]["signaling"]["sealed"] for r in b.daemon.log if r["op"] == "network_update"]
    assert told == (["require"] if ours else [])
    # Another edit finds nothing of it to do.
    b.change(lambda c: c.update_network(HOME.id, label="Other"))
    b.reconcile()
    b.wait(1)
    assert b.state.settings == Settings("applied", "" if ours else UNSEALED_TEXT)


@pytest.mark.parametrize(("home", "notes"), [("/there", []), (None, [f"settings of 'Home' {UNSEALED_TEXT}"])])
def test_joining_says_that_a_daemon_cannot_seal(home: str | None, notes: list[str]) -> None:
    b = Bench()
    b.daemon.home = home
    b.change(lambda c: c.update_network(HOME.id, signaling=with_sealing(None, "require")))
    online(b)
    assert [r["config"]["signaling"]["sealed"] for r in b.daemon.log if r["op"] == "network_add"] == ["require"]
    assert [note for note in b.notes if "settings" in note] == notes
    assert b.state.settings == Settings("applied", "" if home else UNSEALED_TEXT), "for the command that added it"


@pytest.mark.parametrize("confirmed", [True, False])
def test_an_edit_that_would_cut_off_work_waits_for_its_end_or_for_a_person(confirmed: bool) -> None:
    """FE-8.6: a relay edit takes the links down, a label does not."""
    b = online(Bench())
    running = FileWork("f1", "p", "Pi", direction="outbound", filename="x", bytes_total=9, status="sending")
    b.daemon.log.clear()
    transfer = b.work.begin(running)
    b.change(lambda c: c.update_network(HOME.id, label="Other"))
    b.reconcile()
    b.wait(1)
    assert b.daemon.ops("network_update") == ["network_update"]
    b.change(lambda c: c.update_network(HOME.id, signaling_servers=("ws://r",)))
    asked = b.reconcile()
    b.wait(20)
    assert b.state.settings.state == "waiting"
    assert b.error_of(asked) is None, "whoever asked is told, and need not wait"
    assert b.daemon.ops("network_update") == ["network_update"]
    if confirmed:
        b.give(m.Reconcile(99, may_disrupt=True))
    else:
        transfer.end(status="sent")
    b.wait(6)
    assert b.daemon.ops("network_update") == ["network_update"] * 2
    assert b.state.settings == Settings("rebuilt")


def test_another_kind_of_daemon_after_a_loss_is_told() -> None:
    """FE-3.2, FE-12.19: a shared one is another device, which peers must approve anew."""
    b = online(Bench())
    b.lose()
    b.connect(mode="shared", device_id="other")
    assert "the mesh daemon is now shared with another app" in b.notes
    assert any("its peers must approve it anew" in note for note in b.notes)


def test_a_daemon_upgraded_underneath_is_told_and_its_operations_are_tried_anew() -> None:
    """FE-3.25, FE-12.17."""
    b = online(Bench())
    b.lose()
    b.daemon.version = "0.4.0"
    b.connect()
    assert "daemon is now 0.4.0, was 0.3.8" in b.notes
    assert b.state.daemon_version == "0.4.0"
    assert b.state.status == "online"


def test_the_event_connection_is_part_of_the_state() -> None:
    """FE-4.10."""
    b = Bench()
    assert b.state.subscription == "disconnected"
    online(b)
    assert b.state.subscription == "live"
    b.lose()
    assert b.state.subscription == "disconnected"


def test_the_daemon_hears_the_wire_id_and_nothing_else() -> None:
    """FE-4.11: claims are keyed by the literal text, so a local id or a label would make them miss."""
    b = online(Bench())
    b.stop()
    b.run()
    named = [request["network"] for request in b.daemon.log if "network" in request]
    assert len(named) > 6
    assert set(named) == {HOME.wire_id}
    assert HOME.wire_id not in (HOME.id, HOME.label)


def test_peers_that_cannot_be_read_stay_as_they_were_and_those_that_are_gone_go() -> None:
    """FE-5.15."""
    b = online(Bench())
    b.daemon.peers = [peer_info(), peer_info("c" * 51 + "q")]
    b.event(event_kind="peer", kind="sighted", device_id=DEVICE_B)
    b.wait(1)
    assert len(b.state.peers) == 2
    b.daemon.peers = [peer_info()]
    b.daemon.refuse["peers_list"] = ["engine: busy"]
    b.event(event_kind="peer", kind="dropped", device_id="c" * 51 + "q")
    b.wait(0.05)
    assert len(b.state.peers) == 2
    assert "reconcile peers_list failed: engine: busy" in b.notes
    b.event(event_kind="peer", kind="dropped", device_id="c" * 51 + "q")
    b.wait(1)
    assert [p.device_pubkey for p in b.state.peers] == [DEVICE_B]


@pytest.mark.parametrize("operation", ["identity_show", "capabilities_set", "rpc_register", "rpc_unregister"])
def test_a_loss_that_an_answer_tells_first_ends_no_more_than_the_life(operation: str) -> None:
    """Whatever is being told to the daemon when its connection breaks: the next connection is a new start."""
    b = online(Bench())
    b.held.add(operation)
    if operation == "rpc_unregister":
        echo = b.registry.method("echo")
        assert echo is not None
        b.registry.remove_method(echo)
    else:
        b.registry.add_method(Method("more", answer=never))
        b.registry.add_features(("more_v1",))
    b.give(m.ClaimsChanged())
    b.give(m.CapabilitiesChanged())
    b.wait(0.6)
    assert any(c.request.operation == operation for c in b.pending if isinstance(c.request, m.Ask))
    b.held.clear()
    b.lose()
    assert b.state.subscription == "disconnected"
    b.connect()
    assert b.state.status == "online"
    assert ("more" in b.daemon.claims) == (operation != "rpc_unregister")


def test_after_sleep_everything_is_looked_up_again() -> None:
    """FE-12.40: a timer that comes minutes late."""
    b = online(Bench())
    b.wait(1)
    b.daemon.log.clear()
    b.now += 300
    b.give(m.Woke())
    b.wait(1)
    assert "this device was asleep: everything is looked up again" in b.notes
    assert {"status", "peers_list", "capabilities_set"} <= set(b.daemon.ops())
    assert b.state.status == "online"


# ── the daemon's networks ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_network_says_why_and_is_tried_again_every_two_seconds() -> None:
    b = Bench()
    b.connect()
    b.daemon.refuse["network_add"] = ["join: identity: bad"] * 3
    assert b.error_of(b.start()) is None
    assert b.state.pill == "Mesh error: cannot join 'Home': join: identity: bad"
    b.wait(1.9)
    assert b.daemon.ops("network_add") == ["network_add"]
    b.wait(4.2)
    assert b.daemon.joined == ["home"]
    assert b.state.status == "online"


def test_a_network_removed_by_another_program_is_joined_again_within_five_seconds() -> None:
    b = online(Bench())
    b.daemon.networks = []
    b.daemon.claims.clear()
    b.wait(5.1)
    assert b.daemon.joined == ["home"]
    assert set(b.daemon.claims) == {"echo", "count"}
    assert b.state.status == "online"


def test_a_quiet_client_looks_every_five_seconds_and_asks_nothing_else() -> None:
    b = online(Bench())
    b.daemon.log.clear()
    b.wait(60)
    assert b.daemon.ops() == ["status", "networks_list"] * 12


@pytest.mark.parametrize("text", ["timeout", "network: engine busy"])
def test_a_network_that_cannot_be_left_does_not_hold_the_other_one_up(text: str) -> None:
    b = online(Bench())
    b.daemon.refuse["network_remove"] = [text]
    b.change(lambda c: c.set_active_network(WORK.id))
    b.reconcile()
    assert "work" in b.daemon.joined
    assert b.of(m.DaemonStuck) == ([m.DaemonStuck(1)] if text == "timeout" else [])
    assert f"leaving network 'home': {text}" in b.notes


def test_what_cannot_be_saved_by_the_daemon_counts_and_is_told() -> None:
    """FE-12.23."""
    b = Bench()
    b.connect()
    b.daemon.before["network_add"] = lambda: b.daemon.networks.append(HOME.to_daemon())
    b.daemon.refuse["network_add"] = ["network joined but config.json save failed: No space left on device"]
    b.start()
    assert b.state.status == "online"
    assert "is joined but will not survive a restart" in b.notes[0]


def test_a_taken_record_id_is_freed_once_and_then_said() -> None:
    """FE-5.9, FE-12.31."""
    b = Bench(mode="shared")
    b.daemon.networks = [SavedNetwork(HOME.id, "other").to_daemon()]
    b.connect()
    b.start()
    assert b.daemon.joined == ["home"]
    assert b.owned == {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaq-0A1B2": {"home"}}

    stubborn = Bench()
    stubborn.connect()
    stubborn.daemon.refuse["network_add"] = ["config id 'net-1' already in use"] * 9
    stubborn.start()
    assert stubborn.state.pill == "Mesh error: cannot join 'Home': config id 'net-1' already in use"
    assert stubborn.daemon.ops("network_add") == ["network_add"] * 2


def test_a_shared_daemon_keeps_what_other_apps_joined() -> None:
    b = Bench(mode="shared")
    b.daemon.networks = [SavedNetwork("x", "gui").to_daemon()]
    online(b)
    b.change(lambda c: c.set_active_network(WORK.id))
    b.reconcile()
    assert b.daemon.joined == ["gui", "work"]
    b.change(lambda c: c.set_active_network(None))
    b.reconcile()
    assert b.daemon.joined == ["gui"]
    assert b.state.network == ""


# ── what the daemon pushes ────────────────────────────────────────────────────────────────────────────────────────────


def test_frames_before_the_start_is_over_are_heard_after_it() -> None:
    b = Bench()
    b.connect()
    b.event(event_kind="phase", kind="changed", prev="alone", next="discovering")
    b.start()
    assert b.state.phase == "peer-discovered"


def test_more_frames_than_are_kept_mean_a_resync() -> None:
    b = Bench()
    b.connect()
    for n in range(EARLY_FRAMES + 5):
        b.push(kind="channel_inbound", channel=str(n), payload=None, **{"from": DEVICE_B})
    b.start()
    assert "mesh event subscriber lagged; dropped 5 events" in b.notes


def test_fifty_peer_events_are_two_looks() -> None:
    b = online(Bench())
    b.daemon.log.clear()
    b.wait(1)
    for _ in range(50):
        b.event(event_kind="peer", kind="sighted", device_id=DEVICE_B)
    b.daemon.peers = [peer_info()]
    b.wait(1)
    assert b.daemon.ops("peers_list") == ["peers_list"] * 2
    assert [p.label for p in b.state.peers] == ["Pi"]


def test_a_pending_decision_is_looked_for_four_times_a_second() -> None:
    b = Bench()
    b.daemon.peers = [PENDING]
    online(b)
    b.daemon.log.clear()
    b.wait(0.2)
    assert b.daemon.ops("peers_list") == []
    b.daemon.peers = [peer_info()]
    b.wait(0.1)
    assert [p.status for p in b.state.peers] == ["active"]
    b.wait(4)
    assert b.daemon.ops("peers_list") == ["peers_list"]


def test_the_headline_counts_peers_so_active_waits_for_them() -> None:
    b = online(Bench())
    b.daemon.peers, b.daemon.phase = [peer_info()], "active"
    b.held.add("peers_list")
    b.event(event_kind="phase", kind="changed", prev="alone", next="active")
    assert b.state.phase == "signaling-up"
    b.let_go("peers_list")
    assert b.state.pill == "Connected · Home · 1 peer · auto-healing ring"


def test_a_network_that_the_daemon_stopped_is_checked_at_once() -> None:
    b = online(Bench())
    b.daemon.networks = []
    b.event(event_kind="phase", kind="changed", prev="alone", next="stopped")
    assert b.daemon.joined == ["home"]
    assert b.state.status == "online"


@pytest.mark.parametrize(("turn", "phase"), [((), "no-turn"), ((TurnServer("turn:t"),), "turn-unreachable")])
def test_an_unreachable_peer_is_the_headline_while_nobody_is_connected(turn: Any, phase: str) -> None:
    """FE-5.3."""
    saved = attrs.evolve(HOME, turn_servers=turn)
    b = online(Bench(catalog=Catalog((saved,), saved.id)))
    b.daemon.peers = [peer_info(status="handshaking", needs_turn=True)]
    b.event(event_kind="peer", kind="sighted", device_id=DEVICE_B)
    assert b.state.phase == f"ice-failed-{phase}"
    assert b.state.recent_ice_failure_at == int(b.now * 1000)
    b.daemon.peers = [peer_info()]
    b.wait(0.2)
    b.event(event_kind="peer", kind="approved", device_id=DEVICE_B)
    assert b.state.recent_ice_failure_at is None


def test_a_displaced_method_is_claimed_back_once_after_five_seconds() -> None:
    b = online(Bench())
    b.daemon.log.clear()
    displaced = {"kind": "handler_displaced", "method": "echo", "by": "c9"}
    b.push(**displaced)
    b.wait(4.9)
    assert b.daemon.ops("rpc_register") == []
    b.wait(0.2)
    assert b.daemon.ops("rpc_register") == ["rpc_register"]
    b.push(**displaced)
    b.wait(50)
    assert b.daemon.ops("rpc_register") == ["rpc_register"]
    assert "'echo' is served by another app on this daemon" in b.notes


def test_only_approved_peers_are_served() -> None:
    b = Bench()
    b.daemon.peers = [peer_info(), peer_info("c" * 52, status="pending_approval")]
    online(b)
    b.push(**call("r1"))
    b.push(**call("r2", **{"from": "c" * 52}))
    b.push(**call("r3", method="zap"))
    b.push(**call("r4", method="count"))
    assert [s.call.request_id for s in b.of(m.Serve)] == ["r1"]
    told = [(r["op"], r["request_id"], r["error"]) for r in b.daemon.log if r["op"].startswith("rpc_") and "error" in r]
    assert told == [
        ("rpc_respond", "r2", "not authorized"),
        ("rpc_respond", "r3", "frontend: no handler for method 'zap'"),
        ("rpc_stream_end", "r4", "'count' answers in pieces; call it as a stream"),
    ]


def test_a_peer_that_connects_in_the_same_moment_is_looked_up_before_it_is_refused() -> None:
    b = online(Bench())
    b.daemon.peers = [peer_info()]
    b.push(**call())
    assert len(b.of(m.Serve)) == 1


def test_calls_beyond_the_limit_of_a_peer_are_refused_until_one_ends() -> None:
    b = Bench()
    b.daemon.peers = [peer_info()]
    online(b)
    for n in range(9):
        b.push(**call(f"r{n}"))
    serving = b.of(m.Serve)
    assert len(serving) == 8
    assert [r["error"] for r in b.daemon.log if r["op"] == "rpc_respond"] == ["host busy"]
    b.give(m.Served(serving[0], "declined"))
    assert b.daemon.log[-1] == {"op": "rpc_respond", "request_id": "r0", "error": "declined"}
    b.push(**call("r9"))
    assert len(b.of(m.Serve)) == 9


def test_a_quiet_catalog_hides_info_lines() -> None:
    b = online(Bench(catalog=Catalog((HOME,), HOME.id, diag_quiet=True)))
    b.event(event_kind="diag", level="info", message="hello", category="x")
    b.event(event_kind="diag", level="warn", message="careful", category="x", ts=7)
    assert b.of(m.Note) == [m.Note("warn", "careful", 7)]


# ── totality ──────────────────────────────────────────────────────────────────────────────────────────────────────────

STEPS = (
    "start", "stop", "reconcile", "home", "work", "none", "lose", "connect", "forget", "hold", "let go", "wait 0.3",
    "wait 9", "stopped", "unsubscribed", "stale answer", "unreadable",
)  # fmt: skip


def step(b: Bench, name: str) -> None:
    match name.split():
        case ["start"]:
            b.start()
        case ["stop"]:
            b.stop()
        case ["reconcile"]:
            b.reconcile()
        case ["home" | "work" | "none"]:
            b.change(lambda c: c.set_active_network({"home": HOME.id, "work": WORK.id, "none": None}[name]))
            b.reconcile()
        case ["lose"] if b.state.subscription == "live":
            b.lose()
        case ["connect"] if b.state.subscription != "live":
            b.connect()
        case ["forget"]:
            b.daemon.networks = []
        case ["hold"]:
            b.held = {"network_add", "peers_list"}
        case ["let", "go"]:
            b.let_go("network_add", "peers_list")
        case ["wait", seconds]:
            b.wait(float(seconds))
        case ["stopped"]:
            b.event(event_kind="phase", kind="changed", next="stopped")
        case ["unsubscribed"] if b.state.subscription != "live":
            b.give(m.NotSubscribed("no"))
        case ["stale", "answer"]:
            b.give(m.Answered(1, None))
        case ["unreadable"]:
            b.daemon.refuse["peers_list"] = ["network: engine busy"]
        case _:
            return


@given(st.lists(st.sampled_from(STEPS), max_size=15))
def test_whatever_happens_every_intent_ends_and_the_quiet_mesh_is_what_the_catalog_says(steps: list[str]) -> None:
    b = Bench()
    for name in steps:
        step(b, name)
        shown = b.state
        assert shown.status != "online" or (shown.network and shown.subscription == "live")
    b.let_go("network_add", "peers_list")
    if b.state.subscription != "live":
        b.connect()
    last = b.start()
    b.wait(30)
    assert set(b.outcomes) == set(range(1, last + 1)), "an intent that never ends hangs its caller"
    active = b.catalog.active
    wanted = [] if active is None else [active.wire_id]
    assert b.daemon.joined == wanted
    assert (b.state.network, b.state.status) == ((wanted[0], "online") if wanted else ("", "off"))
    assert set(b.daemon.claims) == ({"echo", "count"} if wanted else set())
    assert set(b.daemon.channels) == ({"notice"} if wanted else set())


# ── answers out of order, sleep, rediscovery ──────────────────────────────────────────────────────────────────────────


def test_an_answer_that_a_later_question_has_overtaken_shows_nothing() -> None:
    """FE-5.17: two questions about the peers are under way; the first one's answer comes last."""
    b = online(Bench())
    b.held.add("peers_list")
    b.give(m.PeersChanged())
    b.push(**call("r1", **{"from": DEVICE_B}))  # a stranger: the list is asked for a second time
    first, second = [c for c in b.of(m.Carry) if c.request == m.Ask("peers_list", {"network": "home"})][-2:]
    b.give(m.Answered(second.number, {"peers": [peer_info(label="new")]}))
    b.give(m.Answered(first.number, {"peers": [peer_info(label="old")]}))
    assert [p.label for p in b.state.peers] == ["new"]


@pytest.mark.parametrize("how", ["late timer", "wall clock ran on"])
def test_after_a_sleep_everything_is_looked_up_and_told_again(how: str) -> None:
    """FE-12.40."""
    b = online(Bench())
    b.wait(7)
    b.daemon.log.clear()
    if how == "late timer":
        b.now += 3600
        b.give(m.Woke())
    else:
        for command in b.machine.handle(m.Woke(), b.now, int(b.now * 1000) + 3_600_000):
            b.commands.append(command)
            if isinstance(command, m.Carry):
                b.pending.append(command)
        b.run()
    assert len(b.of(m.Woken)) == 1
    b.wait(0.6)
    assert set(b.daemon.ops()) == {
        "status", "peers_list", "networks_list", "identity_show", "capabilities_set",
    }  # fmt: skip
    assert b.state.status == "online"


def test_a_quiet_minute_is_no_sleep() -> None:
    b = online(Bench())
    b.wait(60)
    assert b.of(m.Woken) == []


def test_a_stranger_that_floods_while_it_is_looked_up_costs_a_bounded_queue() -> None:
    b = online(Bench())
    b.held.add("peers_list")
    for n in range(DOUBTED_FRAMES + 50):
        b.push(kind="channel_inbound", channel="notice", payload=n, **{"from": DEVICE_B})
    b.push(**call("late"))
    assert b.daemon.ops("rpc_respond") == ["rpc_respond"], "a call beyond the queue is refused at once"
    b.daemon.peers = [peer_info()]
    b.let_go("peers_list")
    assert [c.payload for c in b.of(m.Deliver)] == list(range(DOUBTED_FRAMES))
    assert b.notes == ["50 messages of bbbbbbbb came before it was looked up and are dropped"]


def test_whoever_asks_for_something_hears_of_the_end_of_the_life() -> None:
    """FE-5.25, FE-5.26."""
    b = online(Bench())
    b.held.add("network_reconnect")
    b.give(m.Rediscover(77))
    assert b.state.is_rediscovering
    b.stop()
    assert b.error_of(77) == "stopped"
    assert not b.state.is_rediscovering
    b.give(m.Rediscover(78))
    assert b.error_of(78) == "not_connected"


def test_claims_of_a_network_that_is_gone_are_no_news() -> None:
    b = online(Bench())
    b.daemon.networks.clear()
    b.daemon.refuse["rpc_unregister"] = ["unknown network: home"] * 2
    b.daemon.refuse["channel_unsubscribe"] = ["engine busy"]
    b.stop()
    assert b.notes == ["feature release failed: engine busy"]


def test_a_flood_of_calls_that_nobody_serves_costs_a_bounded_number_of_answers() -> None:
    """FE-12.48."""
    b = online(Bench())
    b.held.add("rpc_respond")
    for n in range(REFUSALS + 100):
        b.push(**call(f"r{n}", method="nonsense"))
    asked = [c for c in b.of(m.Carry) if isinstance(c.request, m.Ask) and c.request.operation == "rpc_respond"]
    assert len(asked) == REFUSALS
    b.let_go("rpc_respond")
    b.push(**call("later", method="nonsense"))
    assert b.daemon.ops("rpc_respond") == ["rpc_respond"] * (REFUSALS + 1)
