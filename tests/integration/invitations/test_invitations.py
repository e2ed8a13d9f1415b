"""A device is let in by a link (spec 11 §1): real daemons, a real relay, no code compared by anybody."""

from __future__ import annotations

import json
import signal
import stat
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import trio

from myownmesh.invitations.link import PREFIX
from myownmesh.protocol import base64url
from support.daemons import Refused, daemon, host_relay, network_record, until
from support.moods import Moods
from support.preloaded import build, missing

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Daemon

NET = "fleet-1"
LIMIT_S = 60.0


async def bare_id(device: Daemon) -> str:
    pubkey: str = (await device.ask("identity_show"))["pubkey"]
    return pubkey


async def active(device: Daemon, peer: str) -> None:
    await device.wait_for_peer(NET, peer, "active")


async def test_a_fresh_device_is_let_in_by_a_link_and_nobody_is_asked(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben, daemon(tmp_path / "c") as carl:
            await anna.ask("identity_set_label", label="Anna")
            await ben.ask("identity_set_label", label="Ben")
            relay = await host_relay(anna)
            await anna.ask("network_add", config=network_record(NET, relay, label="Fleet", kind="open"))
            made = await anna.ask("invite_create", network=NET, note="for Ben")
            assert made["text"].startswith(PREFIX)
            assert (made["effective"], made["waits_for"]) == (True, [])

            shown = await ben.ask("network_join_invite", text=made["text"], dry_run=True)
            assert (shown["network_id"], shown["label"], shown["from_label"]) == (NET, "Fleet", "Anna")
            assert (shown["present"], shown["servers"]) == (False, [relay])
            link = json.loads(base64url.decode(made["text"].removeprefix(PREFIX)))
            assert shown["settings"] == {**link["network"], "signaling": link["signaling"]}
            assert shown["settings"]["signaling"]["mdns"] is False
            assert (await ben.ask("networks_list"))["networks"] == []

            taken = await ben.ask("network_join_invite", text=" \n".join([made["text"][:50], made["text"][50:]]))
            assert taken == {name: told for name, told in shown.items() if name != "settings"}
            a, b = await bare_id(anna), await bare_id(ben)
            await active(anna, b)
            await active(ben, a)
            [row] = (await anna.ask("roster_list", network=NET))["roster"]
            assert (row["device_id"].split("-")[0], row["label"]) == (b, "Ben")
            [invite] = (await anna.ask("invite_list", network=NET))["invites"]
            assert (invite["by"], invite["uses"], invite["note"]) == ([b], 1, "for Ben")
            assert "token" not in invite

            # The link is used up: the next one knocks as anybody does.
            await carl.ask("network_join_invite", text=made["text"])
            c = await bare_id(carl)
            await anna.wait_for_peer(NET, c, "pending_approval")

            # Who is in stays in without the link, over restarts of both.
            book = tmp_path / "b" / "mesh" / "invites" / f"{NET}.json"
            assert json.loads(book.read_text())["accepted"] == []
            kept = tmp_path / "a" / "mesh" / "invites" / f"{NET}.json"
            assert stat.S_IMODE(kept.stat().st_mode) == 0o600
            await ben.stop()
            await ben.start()
            await active(anna, b)
            for device in (anna, ben, carl):
                token = json.loads(base64url.decode(made["text"].removeprefix(PREFIX)))["token"]
                assert token not in device.log
                assert made["text"] not in device.log


async def test_in_a_silent_network_only_the_inviter_knows_the_joiner(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben, daemon(tmp_path / "c") as carl:
            relay = await host_relay(anna)
            await anna.ask("network_add", config=network_record(NET, relay, kind="silent"))
            made = await anna.ask("invite_create", network=NET, uses=2)
            for device in (ben, carl):
                taken = await device.ask("network_join_invite", text=made["text"])
                assert taken["kind"] == "silent"
            a, b, c = await bare_id(anna), await bare_id(ben), await bare_id(carl)
            for device, other in ((anna, b), (anna, c), (ben, a), (carl, a)):
                await active(device, other)
            [invite] = (await anna.ask("invite_list", network=NET))["invites"]
            assert sorted(invite["by"]) == sorted([b, c])
            for device in (ben, carl):
                [row] = (await device.ask("roster_list", network=NET))["roster"]
                assert row["device_id"].split("-")[0] == a


async def test_the_inviter_may_be_away_and_may_be_killed(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "r") as host, daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben:
            relay = await host_relay(host)
            await anna.ask("network_add", config=network_record(NET, relay))
            made = await anna.ask("invite_create", network=NET)
            await anna.stop(signal.SIGKILL)
            await ben.ask("network_join_invite", text=made["text"])
            await ben.stop(signal.SIGKILL)
            await ben.start()
            await anna.start()
            await active(anna, await bare_id(ben))
            await active(ben, await bare_id(anna))


async def test_two_at_once_do_not_use_one_twice(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben, daemon(tmp_path / "c") as carl:
            relay = await host_relay(anna)
            await anna.ask("network_add", config=network_record(NET, relay))
            made = await anna.ask("invite_create", network=NET)
            async with trio.open_nursery() as nursery:
                for device in (ben, carl):
                    nursery.start_soon(lambda each: each.ask("network_join_invite", text=made["text"]), device)
            ids = [await bare_id(ben), await bare_id(carl)]
            while True:
                peers = [await anna.peer(NET, each) for each in ids]
                states = sorted(peer["status"] for peer in peers if peer is not None)
                if states == ["active", "pending_approval"]:
                    break
                await trio.sleep(0.05)
            [invite] = (await anna.ask("invite_list", network=NET))["invites"]
            assert len(invite["by"]) == 1


async def test_a_network_that_is_there_already(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben:
            relay = await host_relay(anna)
            await anna.ask("network_add", config=network_record(NET, relay))
            await ben.ask("network_add", config=network_record(NET, relay, label="mine"))
            a, b = await bare_id(anna), await bare_id(ben)
            await ben.wait_for_peer(NET, a, "pending_approval")  # both knock already
            made = await anna.ask("invite_create", network=NET)
            with pytest.raises(
                Refused, match=r"invite: this link asks you to approve .* in fleet-1, where you already are"
            ):
                await ben.ask("network_join_invite", text=made["text"])
            assert (await ben.ask("roster_list", network=NET))["roster"] == []
            taken = await ben.ask("network_join_invite", text=made["text"], approve_inviter=True)
            assert taken["present"]
            await active(anna, b)
            await active(ben, a)
            [network] = (await ben.ask("networks_list"))["networks"]
            assert network["label"] == "mine"


async def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben:
            relay = await host_relay(anna)
            await anna.ask("network_add", config=network_record(NET, relay))
            await anna.ask("network_add", config=network_record("closed-1", relay, kind="closed"))
            made = await anna.ask("invite_create", network=NET)
            refusals: list[tuple[dict[str, Any], str]] = [
                ({"op": "invite_create", "network": "nowhere"}, "unknown network"),
                ({"op": "invite_create", "network": "closed-1"}, "is closed and nobody has founded it"),
                ({"op": "invite_create", "network": NET, "ttl_s": 0}, "an invitation lasts from a second to 30 days"),
                ({"op": "invite_create", "network": NET, "uses": 101}, "for 1 to 100 devices"),
                ({"op": "invite_revoke", "network": NET, "id": "x"}, "there is no invitation x"),
                ({"op": "network_join_invite", "text": made["text"]}, "leads to this very device"),
                ({"op": "network_join_invite", "text": "x"}, "this is no invitation"),
            ]
            for request, why in refusals:
                with pytest.raises(Refused, match=why):
                    await anna.ask(request.pop("op"), **request)
            link = json.loads(base64url.decode(made["text"].removeprefix(PREFIX)))
            sealed = base64url.encode(json.dumps({**link, "signaling": {"sealed": "maybe"}}).encode())
            with pytest.raises(Refused, match="a sealing that does not exist"):
                await ben.ask("network_join_invite", text=sealed)
            with pytest.raises(Refused, match="copy the whole link"):
                await ben.ask("network_join_invite", text=made["text"][:-9])
            await anna.ask("invite_revoke", network=NET, id=made["id"])
            assert (await anna.ask("invite_list", network=NET))["invites"] == []
            assert (await ben.ask("networks_list"))["networks"] == []
            assert not (tmp_path / "b" / "mesh" / "invites").exists()


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
async def test_a_crash_between_the_save_and_the_approval_doubles_nothing(tmp_path: Path) -> None:
    """Killed when the use is on the disk and before it lets anybody in: it is that device's, which comes again."""
    end = f"/invites/{NET}.json"
    plug = {"LD_PRELOAD": str(build("pulled_plug", tmp_path)), "PLUG": end, "PLUG_AT": "2"}  # made, then used
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a", environ=plug) as anna, daemon(tmp_path / "b") as ben:
            relay = await host_relay(ben)  # the other one is killed
            await anna.ask("network_add", config=network_record(NET, relay))
            made = await anna.ask("invite_create", network=NET)
            b = await bare_id(ben)
            await ben.ask("network_join_invite", text=made["text"])
            assert anna.process is not None
            assert await anna.process.wait() == -signal.SIGKILL
            kept = json.loads((tmp_path / f"a/mesh{end}").read_text())
            assert kept["invites"][0]["by"] == [b]
            assert not list((tmp_path / "a" / "mesh" / "rosters").glob("*")), "nobody was let in yet"
            await anna.start()
            async with daemon(tmp_path / "c") as carl:
                await carl.ask("network_join_invite", text=made["text"])
                await active(anna, b)
                await active(ben, await bare_id(anna))
                await anna.wait_for_peer(NET, await bare_id(carl), "pending_approval")
            [invite] = (await anna.ask("invite_list", network=NET))["invites"]
            assert invite["by"] == [b]


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
async def test_clocks_that_are_an_hour_apart_keep_nobody_out(tmp_path: Path) -> None:
    """Expired is what the inviter's clock says; the joiner's may be wrong by two hours (spec 11 §1.3)."""
    moods = Moods(tmp_path)
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna:
            relay = await host_relay(anna)
            await anna.ask("network_add", config=network_record(NET, relay))
            a = await bare_id(anna)
            for number, wrong_by_s in enumerate((3600, -3600)):
                moods.set(wrong_by_s=wrong_by_s)
                async with daemon(tmp_path / f"b{number}", environ=moods.environment) as ben:
                    made = await anna.ask("invite_create", network=NET)
                    await ben.ask("network_join_invite", text=made["text"])
                    await active(ben, a)
                    await active(anna, await bare_id(ben))
                    sealed = await anna.peer(NET, await bare_id(ben))
                    assert sealed is not None
                    assert sealed["sealed"] is True
            moods.set(wrong_by_s=3 * 3600)
            async with daemon(tmp_path / "late", environ=moods.environment) as late:
                made = await anna.ask("invite_create", network=NET)
                with pytest.raises(Refused, match="this invitation has expired: ask for a new one"):
                    await late.ask("network_join_invite", text=made["text"])


async def test_a_link_can_be_prepared_before_somebody_else_adds_its_network(tmp_path: Path) -> None:
    """As an app does, whose record it is: the first meeting shows the link and knows the inviter: nobody is asked."""
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben:
            relay = await host_relay(anna)
            await anna.ask("network_add", config=network_record(NET, relay))
            a, b = await bare_id(anna), await bare_id(ben)
            made = await anna.ask("invite_create", network=NET)
            told = await ben.ask("network_join_invite", text=made["text"], ahead=True)
            assert told["present"] is False
            assert (await ben.ask("networks_list"))["networks"] == []
            await ben.ask("network_add", config={**network_record(NET, relay), "id": "mine"})
            [row] = (await ben.ask("roster_list", network=NET))["roster"]
            assert row["device_id"].split("-")[0] == a
            await active(ben, a)
            await active(anna, b)
            # Said once more of a link that is up, it leaves nothing to be shown again.
            again = await ben.ask("network_join_invite", text=made["text"], approve_inviter=True)
            assert (again["network"], again["present"]) == ("mine", True)
            book = tmp_path / "b" / "mesh" / "invites" / f"{NET}.json"
            await until(lambda: json.loads(book.read_text())["accepted"] == [], "nothing is left to be shown")


async def test_a_file_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben:
            relay = await host_relay(ben)  # the other one is killed
            path = tmp_path / "a" / "mesh" / "invites" / f"{NET}.json"
            await anna.ask("network_add", config=network_record(NET, relay))
            made = await anna.ask("invite_create", network=NET)
            whole = path.read_text()

            await anna.stop(signal.SIGKILL)
            path.write_text(whole.replace('"version":1', '"version":2').replace('"version": 1', '"version": 2'))
            later = path.read_bytes()
            await anna.start()
            for op in ("invite_list", "invite_create"):
                with pytest.raises(Refused, match="written by a newer version of the program"):
                    await anna.ask(op, network=NET)
            await ben.ask("network_join_invite", text=made["text"])
            await anna.wait_for_peer(NET, await bare_id(ben), "pending_approval")
            assert path.read_bytes() == later, "neither read nor written"

            await anna.stop(signal.SIGKILL)
            path.write_text(whole[: len(whole) // 2])
            await anna.start()
            assert (await anna.ask("invite_list", network=NET))["invites"] == []
            await anna.wait_for_peer(NET, await bare_id(ben), "pending_approval")
            assert [each.read_text() for each in path.parent.glob("*.corrupt*")] == [whole[: len(whole) // 2]]
            await anna.ask("invite_create", network=NET)


@pytest.mark.slow
async def test_ten_at_once_use_one_just_as_often_as_it_says(tmp_path: Path) -> None:
    uses = 4
    with trio.fail_after(3 * LIMIT_S):
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            anna = await stack.enter_async_context(daemon(tmp_path / "a"))
            comers = [await stack.enter_async_context(daemon(tmp_path / str(number))) for number in range(10)]
            relay = await host_relay(anna)
            await anna.ask("network_add", config=network_record(NET, relay))
            made = await anna.ask("invite_create", network=NET, uses=uses)
            for comer in comers:
                nursery.start_soon(lambda each: each.ask("network_join_invite", text=made["text"]), comer)
            ids = [await bare_id(comer) for comer in comers]
            wanted = ["active"] * uses + ["pending_approval"] * (len(comers) - uses)
            states: list[str] = []
            while states != wanted:
                await trio.sleep(0.1)
                peers = [await anna.peer(NET, each) for each in ids]
                states = sorted(peer["status"] for peer in peers if peer is not None)
                assert states.count("active") <= uses
            [invite] = (await anna.ask("invite_list", network=NET))["invites"]
            assert len(set(invite["by"])) == len(invite["by"]) == uses
