"""What two people do at their screens, step by step: no terminal (spec 08 §10, §11 S1, S2, S5, S7)."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from e2e.devices import eventually
from e2e.test_one_device import ask_shared
from e2e.web.conftest import shot
from myownmesh.custody import provisioning, totp
from support.browsers import Person

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Locator

    from e2e.web.conftest import Household

NETWORK = "quiet-otter-lake"
MARKUP = '<img src=x onerror="document.title=1">\u202e'
DETECTOR = """() => {
  window.BarcodeDetector = class {
    async detect() { return window.inFrontOfTheCamera ? [{ rawValue: window.inFrontOfTheCamera }] : []; }
  };
}"""
"""This system's Chromium has none; the camera is the browser's own test picture."""
LATER = """(seconds) => {
  window.rightNow ??= Date.now;
  Date.now = () => window.rightNow() + seconds * 1000;
}"""
SEE_PROGRESS = """() => {
  const look = () => (window.progressSeen ||= document.querySelector("[data-file='film.bin'] progress") !== null);
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""
CODE = "Look:\n```\n<script>document.title='taken'</script>\n```\ndone"


def pill(person: Person, text: str) -> None:
    expect(person.page.locator("#pill")).to_contain_text(text)


def two_devices_meet_and_a_card_decided_in_one_tab_is_gone_in_the_other(
    couple: list[Person], household: Household
) -> None:
    """FE-10.1, FE-10.2, FE-10.8"""
    anna = couple[0]
    assert anna.page.evaluate("() => location.href").endswith("/")  # the key has left the address bar
    pill(anna, "No active network — pick one below")
    for person in couple:
        page = person.page
        person.press("Add a network…")
        page.get_by_label("Name", exact=True).fill(NETWORK)
        page.get_by_text("Relays of your own").click()
        page.get_by_label("Relays", exact=True).fill(household.relay)
        person.press("Join")
        expect(page.locator("dialog")).not_to_be_visible()
    cards = [person.page.locator(".knock") for person in couple]
    for card in cards:
        expect(card).to_be_visible()
    theirs = [person.tiles(card) for person, card in zip(couple, cards, strict=True)]
    assert theirs[0] == theirs[1][::-1]
    assert all(re.fullmatch("(. ){5}.", code) for code in theirs[0])  # read out letter by letter
    expect(anna.page).to_have_title("(1) Status – MyOwnLLM")
    second = anna.context.new_page()
    anna.watch(second)
    second.goto(anna.page.url)
    expect(second.locator(".knock")).to_be_visible()
    second.get_by_role("link", name="Files").click()
    expect(second.get_by_text("A device wants to join your mesh")).to_be_visible()
    shot(anna, "knock")
    for person in couple:
        focused = "() => document.activeElement.textContent"
        assert "Approve" not in person.page.evaluate(focused)
        person.ask_for("Approve…")
        expect(person.page.get_by_role("heading", name="Same codes on the other screen?")).to_be_visible()
        assert person.page.evaluate(focused) == "Cancel"
        person.press("Yes, let it in")
    expect(second.get_by_text("A device wants to join your mesh")).not_to_be_visible()
    second.close()
    for person in couple:
        pill(person, f"Connected · {NETWORK} · 1 peer")
        expect(person.page.locator(".knock")).to_have_count(0)


def a_name_full_of_markup_is_a_name(couple: list[Person]) -> None:
    """FE-10.7"""
    anna, boris = couple
    boris.press("Rename…")
    boris.page.get_by_label("Name", exact=True).fill(MARKUP)
    boris.press("Rename")
    anna.surface("Connections")
    expect(anna.page.locator(".peer strong")).to_contain_text(MARKUP.rstrip("\u202e"))
    assert "\u202e" not in anna.page.locator("main").inner_text()
    assert anna.page.locator("main img").count() == 0
    expect(anna.page.locator(".peer")).to_contain_text("LAN")
    anna.surface("Graph")
    node = anna.page.locator("[data-node]")
    node.focus()
    anna.page.keyboard.press("Enter")
    expect(anna.page.get_by_role("region", name="Chosen device")).to_contain_text("Connected")
    shot(anna, "graph")
    boris.press("Rename…")
    boris.page.get_by_label("Name", exact=True).fill("Boris")
    boris.press("Rename")
    anna.surface("Connections")
    expect(anna.page.locator(".peer strong")).to_contain_text("Boris")
    shot(anna, "connections")


def a_file_is_sent_and_accepted(couple: list[Person], household: Household, tmp_path: Path) -> None:
    anna, boris = couple
    content = bytes(range(256)) * 8192
    (tmp_path / "holiday.bin").write_bytes(content)
    anna.surface("Files")
    anna.page.get_by_label("Pick files for Boris").set_input_files(tmp_path / "holiday.bin")
    boris.surface("Files")
    offer = boris.page.locator("[data-offer]")
    expect(offer).to_contain_text("holiday.bin")
    expect(offer).to_contain_text("from Anna")
    expect(offer).to_contain_text("2.1 MB")
    expect(offer).to_contain_text(f"It goes into {household.pair.boris.home / 'Downloads'}")
    shot(boris, "files")
    boris.press("Accept", offer)
    expect(anna.page.locator("[data-file='holiday.bin']")).to_contain_text("Sent")
    expect(boris.page.locator("[data-file='holiday.bin']")).to_contain_text("Received")
    assert (household.pair.boris.home / "Downloads" / "holiday.bin").read_bytes() == content
    uploads = household.pair.anna.home / ".myownllm" / "uploads"
    eventually(lambda: list(uploads.iterdir()) == [], "what was dropped leaves the disk when it is sent")


def a_large_file_is_offered(couple: list[Person], tmp_path: Path) -> float:
    """S12 begins: 30 MiB; Boris is not there for a minute. Returns when that is over, in monotonic seconds."""
    anna, boris = couple
    large = tmp_path / "film.bin"
    large.write_bytes(bytes(range(256)) * 4 * 30 * 1024)
    anna.page.get_by_label("Pick files for Boris").set_input_files(large)
    expect(boris.page.locator("[data-offer]")).to_contain_text("film.bin")
    return time.monotonic() + 61


def it_is_accepted_after_a_minute(couple: list[Person], household: Household, tmp_path: Path, at: float) -> None:
    """S12: how far it is can be seen on both sides."""
    anna, boris = couple
    for person in couple:
        person.surface("Files")
        person.page.evaluate(SEE_PROGRESS)
    boris.page.wait_for_timeout(max(0, at - time.monotonic()) * 1000)
    boris.press("Accept", boris.page.locator("[data-offer]"))
    expect(anna.page.locator("[data-file='film.bin']")).to_contain_text("Sent")
    expect(boris.page.locator("[data-file='film.bin']")).to_contain_text("Received")
    assert [person.page.evaluate("() => window.progressSeen") for person in (anna, boris)] == [True, True]
    downloads = household.pair.boris.home / "Downloads"
    assert (downloads / "film.bin").read_bytes() == (tmp_path / "film.bin").read_bytes()


def an_offer_ends_in_three_other_ways(couple: list[Person], household: Household, tmp_path: Path) -> None:
    """S13: taken back, turned down, and not answered in time. Nothing is left of any."""
    anna, boris = couple

    def offered(name: str) -> Locator:
        (tmp_path / name).write_text(name)
        anna.page.get_by_label("Pick files for Boris").set_input_files(tmp_path / name)
        return anna.page.locator(f"[data-file='{name}']")

    late = offered("late.txt")
    expect(boris.page.locator("[data-offer]")).to_be_visible()
    anna.press("Cancel", late)
    expect(boris.page.locator("[data-offer]")).to_have_count(0)
    expect(late).to_contain_text("Ended")
    no = offered("no.txt")
    boris.press("Decline", boris.page.locator("[data-offer]"))
    expect(no).to_contain_text("Ended")
    expect(no).to_contain_text("receiver declined")
    household.hurry()
    nobody = offered("nobody.txt")
    expect(nobody).to_contain_text("Ended")
    expect(nobody).to_contain_text("user did not respond")
    expect(boris.page.locator("[data-offer]")).to_have_count(0)
    household.hurry(no_more=True)
    home = household.pair.boris.home
    assert sorted(path.name for path in (home / "Downloads").iterdir()) == ["film.bin", "holiday.bin"]


def another_devices_model_answers_and_its_words_are_text(couple: list[Person], household: Household) -> None:
    anna, _ = couple
    page = anna.page
    anna.surface("Chat")
    page.get_by_label("Who answers").select_option(label="gemma4:e2b (gemma4)")
    page.get_by_label("Your words").fill("what is a mesh?")
    anna.press("Ask")
    answer = page.locator(".messages .assistant")
    expect(answer).to_contain_text("gemma4:e2b on Boris")
    expect(page.locator("#said")).to_contain_text("has answered")
    household.model.behave(words=500, delay_s=0.02)
    page.get_by_label("Your words").fill(CODE)
    anna.press("Ask")
    asked = page.locator(".messages .user").last
    expect(asked.locator("pre.code")).to_have_text("<script>document.title='taken'</script>\n")
    expect(answer.last.locator(".said")).to_be_visible()
    anna.press("Stop")
    expect(answer.last).to_contain_text("Stopped: this is a part")
    assert household.model.closed_chat()
    household.model.behave(words=3, delay_s=0, fault="half", fault_after=2)
    anna.press("Ask again")
    expect(answer.last).to_contain_text("Broken off: this is a part")
    household.model.behave(fault="")
    for picked, by in (("llama3:8b (llama3)", "llama3:8b"), ("Any device with gemma4", "gemma4:e2b")):
        page.get_by_label("Who answers").select_option(label=picked)
        anna.press("Ask again")
        expect(answer.last).to_contain_text(f"{by} on Boris")
        expect(page.get_by_role("button", name="Ask again")).to_be_visible()
        expect(answer.last).not_to_contain_text("this is a part")
    expect(page.get_by_role("button", name="what is a mesh?")).to_be_visible()
    shot(anna, "chat")


def a_conversation_moves_and_is_read_and_written_where_it_is(couple: list[Person], household: Household) -> None:
    """S15: its folder goes with it; opened afar it stays there, and what is said is saved there."""
    anna, _ = couple
    page = anna.page
    anna.ask_for("Folder…")
    page.get_by_role("textbox", name="Folder").fill("Work/Q4")
    anna.press("Put it there")
    expect(page.locator(".talks")).to_contain_text("Work/Q4")
    anna.ask_for("Move to Boris…")
    anna.press("Move it")
    there = page.get_by_role("button", name="what is a mesh?", exact=True)
    expect(page.get_by_role("heading", name="On Boris", exact=True)).to_be_visible()
    there.click()
    expect(page.locator("[data-at]")).to_contain_text("This conversation is on Boris")
    before = page.locator(".messages li").count()
    page.get_by_label("Your words").fill("and what is a star?")
    anna.press("Ask")
    expect(page.locator("#said")).to_have_text("Saved on Boris")
    conversations = household.pair.boris.home / ".myownllm" / "conversations"
    [kept] = (conversations / "Work" / "Q4").glob("*.json")
    assert len(json.loads(kept.read_text())["messages"]) == before + 2
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "updated_at": "2030-01-01T00:00:00.000Z"}))
    page.get_by_label("Your words").fill("and a ring?")
    anna.press("Ask")
    expect(page.locator("[id='wrong-keep']")).to_contain_text("it was changed there since")
    anna.forgive("409")
    anna.press("Save it over that")
    expect(page.locator("[id='wrong-keep']")).to_have_count(0)
    anna.press("Move here")
    expect(page.locator(".talks > .cards").first).to_contain_text("Work/Q4")
    assert list((conversations / "Work" / "Q4").glob("*.json")) == []


def wants_it_open(one: Person, other: Person) -> None:
    """A controller asks for what only an owner decides; the owner sees it."""
    one.press("Open it…")
    expect(one.page.locator("dialog")).to_contain_text("It would wait for")
    one.look_over("what would come of it")
    one.press("Open it", one.page.locator("dialog"))
    expect(one.page.locator("dialog")).to_contain_text("Recorded. It waits for Anna")
    one.look_over("what came of it")
    one.press("Close")
    expect(other.page.locator("[data-pending]")).to_contain_text("wants: opens the network")


def who_decides_is_seen_looked_at_first_and_signed(couple: list[Person], household: Household) -> None:
    """FE-10.3, spec 02: Anna founds it; Boris agrees, is signed in, promoted, put out and let in again, behind a lock.

    What he proposes is withdrawn, refused and signed; the network opens again.
    """
    anna, boris = couple
    anna.surface("Governance")
    expect(anna.page.locator("main")).to_contain_text("This network is open")
    anna.press("Close it…")
    dialog = anna.page.locator("dialog")
    expect(dialog).to_contain_text("Owners behind it: this device")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    anna.look_over("what closing it would do")
    anna.press("Close it", dialog)
    expect(anna.page.locator("[data-role]")).to_have_text("owner")
    boris.surface("Governance")
    expect(boris.page.locator("[data-pending]")).to_contain_text("closes the network, and would be its founder")
    boris.ask_for("Sign…")
    boris.press("Sign it")
    expect(boris.page.locator("main")).to_contain_text("This network is closed")
    row = anna.page.locator("[data-device]").filter(has_text="Boris")
    expect(row).to_contain_text("not signed in")
    anna.ask_for("Give a role…", row)
    anna.press("Look at it…", dialog)
    anna.press("Sign it", dialog)
    expect(row).to_contain_text("member")
    anna.press("Change role…", row)
    anna.page.get_by_role("combobox", name="Role").select_option("controller")
    anna.press("Look at it…", dialog)
    expect(dialog).to_contain_text("becomes controller")
    anna.press("Sign it", dialog)
    expect(row).to_contain_text("controller")
    expect(boris.page.locator("[data-role]")).to_have_text("controller")
    expect(anna.page.locator("main")).to_contain_text("in force")
    shot(anna, "governance")
    waits = anna.page.locator("[data-pending]")
    wants_it_open(boris, anna)
    boris.press("Withdraw", boris.page.locator("[data-pending]"))
    expect(waits).to_have_count(0)
    wants_it_open(boris, anna)
    anna.press("Refuse", waits)
    for person in couple:
        expect(person.page.locator("[data-pending]")).to_have_count(0)
    anna.press("Put out…", row)
    expect(dialog).to_contain_text("refuses it from then on")
    anna.look_over("what putting it out would do")
    anna.press("Put it out", dialog)
    gone = anna.page.locator("[data-evicted]")
    for person, said in ((anna, "Boris ("), (boris, "this device (")):  # although its approval is gone
        expect(person.page.locator("[data-evicted]")).to_contain_text(said)
    daemon = household.pair.anna.home / ".myownllm" / ".myownmesh" / "daemon.sock"
    lock = ask_shared(daemon, "governance_mfa_enroll", network=NETWORK)
    anna.ask_for("Let in again…", gone)
    anna.page.get_by_role("combobox", name="Role").select_option("controller")
    anna.press("Look at it…", dialog)
    anna.press("Sign it", dialog)
    expect(dialog).to_contain_text("requires your authenticator code")
    anna.look_over("what asks for a code")
    anna.page.get_by_label("Code of your authenticator").fill(
        totp.code_of(provisioning.secret_bytes(lock["secret"]), totp.step_at(int(time.time())))
    )
    anna.press("Sign it", dialog)
    expect(row).to_contain_text("controller")
    expect(gone).to_have_count(0)
    anna.forgive("502")
    ask_shared(daemon, "governance_mfa_disable", network=NETWORK, code=lock["recovery_codes"][0])
    wants_it_open(boris, anna)
    anna.press("Sign…", waits)
    anna.press("Sign it", dialog)
    for person in couple:
        expect(person.page.locator("main")).to_contain_text("This network is open")


def settings_are_saved_on_leaving_a_field_and_wrong_ones_say_why(couple: list[Person]) -> None:
    anna, boris = couple
    page = anna.page
    anna.surface("Settings")
    stun = page.get_by_label("STUN servers")
    stun.fill("http://x")
    stun.blur()
    expect(page.locator("#wrong-stun")).to_contain_text("http://x")
    expect(stun).to_have_attribute("aria-invalid", "true")
    anna.forgive("400")
    stun.fill("stun:127.0.0.1:9")
    stun.blur()
    expect(page.locator("#wrong-stun")).to_have_count(0)
    expect(page.locator("[data-drift='applied'], [data-drift='rebuilt']")).to_be_visible()
    boris.surface("Chat")  # S16: he still reaches what is on Anna's device
    boris.page.get_by_role("button", name="what is a mesh?", exact=True).click()
    expect(boris.page.locator("[data-at]")).to_contain_text("This conversation is on Anna")
    stun.fill("")
    stun.blur()
    page.get_by_label("Name on this device").fill("Home")
    page.get_by_label("Name on this device").blur()
    expect(page.locator("[data-drift='applied'], [data-drift='rebuilt']")).to_be_visible()
    page.get_by_label("Run commands").select_option("denied")
    anna.ask_for("Add a prompt…")
    page.get_by_label("Name", exact=True).fill("Short")
    page.get_by_label("What the model is told first").fill("Answer in one sentence.")
    anna.press("Save")
    expect(page.get_by_text("Short")).to_be_visible()
    shot(anna, "settings")
    anna.surface("Activity")
    anna.press("Clear")
    expect(page.get_by_text("Nothing has been noted.")).to_be_visible()
    anna.surface("Status")
    pill(anna, "Connected · Home · 1 peer")


def its_time_runs_down(person: Person) -> None:
    """Of fifteen minutes; what the page takes for the time is what passes."""
    left = person.page.locator("[data-until]").first
    for later_s, said in ((0, "1[34] min left"), (600, "[34] min left"), (900, "over"), (0, "1[234] min left")):
        person.page.evaluate(LATER, later_s)
        expect(left).to_have_text(re.compile(f"^{said}$"))


def an_invitation_is_a_link_and_a_picture_and_the_other_side_looks_before_it_joins(couple: list[Person]) -> None:
    """S7 and spec 11, by link: Boris forgets the network and comes back by an invitation."""
    anna, boris = couple
    anna.press("Invite a device…")
    anna.press("Make a link")
    expect(anna.page.get_by_role("img", name="The link as a QR code")).to_be_visible()
    its_time_runs_down(anna)
    anna.look_over("an invitation")
    shot(anna, "invite")
    link = anna.page.get_by_role("textbox", name="Link").input_value()
    boris.surface("Status")
    boris.page.evaluate(DETECTOR)
    boris.press("Forget…")
    boris.page.get_by_label("Also take back the approvals of its devices").check()
    boris.press("Forget it")
    pill(boris, "No active network")
    boris.press("Add a network…")
    boris.press("By link or settings")
    boris.page.get_by_label("Link or settings").fill(link[:-9])
    boris.press("Look at it")
    expect(boris.page.locator("#wrong-add-link")).to_contain_text("copy the whole link")
    boris.forgive("502")
    boris.press("Scan a QR code…")
    boris.press("Stop the camera")
    boris.press("Scan a QR code…")
    expect(boris.page.locator("video")).to_be_visible()
    boris.look_over("the camera")
    boris.page.evaluate("(link) => { window.inFrontOfTheCamera = link; }", link)
    expect(boris.page.locator("video")).to_have_count(0)
    expect(boris.page.get_by_role("region", name="Where it leads")).to_contain_text("Anna")
    boris.look_over("where an invitation leads")
    boris.page.get_by_role("button", name=re.compile("^Join ")).click()
    pill(boris, "Connected")
    anna.press("Take it back")
    anna.press("Close")
    pill(anna, "Connected")


def leaving_and_coming_back(couple: list[Person]) -> None:
    """S2: a switch; a device that was let in once needs no second approval (S5)."""
    anna, boris = couple
    anna.press("Leave")
    pill(anna, "No active network")
    anna.press("Switch")
    for person in couple:
        pill(person, "Connected")
    boris.surface("Connections")
    boris.press("Reconnect")
    expect(boris.page.locator(".peer")).to_contain_text("Connected")


def of_two_saved_networks_one_is_joined(anna: Person, household: Household) -> None:
    """S2: the peers of the one that was left are gone; the switch back brings them. Both phases stand in the pill."""
    daemon = household.pair.anna.home / ".myownllm" / ".myownmesh" / "daemon.sock"
    page = anna.page

    def joined(network: str) -> None:
        eventually(lambda: ask_shared(daemon, "status")["joined_networks"] == [network], f"{network} alone is joined")

    anna.press("Add a network…")
    page.get_by_label("Name", exact=True).fill("still-heron-bay")
    page.get_by_text("Relays of your own").click()
    page.get_by_label("Relays", exact=True).fill(household.relay)
    anna.press("Join")
    pill(anna, "Online on still-heron-bay")
    joined("still-heron-bay")
    anna.surface("Connections")
    expect(page.locator(".peer")).to_have_count(0)
    anna.surface("Status")
    pid = int(household.pair.anna.run("status")["daemon"]["pid"])
    os.kill(pid, signal.SIGSTOP)  # so long as the daemon does nothing
    try:
        anna.press("Switch", page.locator(f"[data-network='{NETWORK}']"))
        pill(anna, "Joining Home…")
    finally:
        os.kill(pid, signal.SIGCONT)
    pill(anna, "Connected · Home · 1 peer")
    joined(NETWORK)


def a_phone_of_the_local_network_is_paired_talks_and_is_put_out(
    couple: list[Person], household: Household, chromium: Browser
) -> None:
    """FE-10.4: opened with a warning, let in by a code, seen while it is there. FE-10.5: the token on demand."""
    _, boris = couple
    page = boris.page
    boris.surface("HTTP")
    expect(page.locator("[data-remote]")).to_contain_text("Off: no other device can reach it.")
    page.get_by_label("Port").fill("0")
    page.get_by_label("Port").blur()
    dialog = boris.ask_for("Turn it on…")
    expect(dialog).to_contain_text("HTTP without encryption")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    boris.press("Open it", dialog)
    expect(page.locator("[data-remote]")).to_contain_text("On: every device of the local network can reach port")
    port = str(page.get_by_label("Port").input_value())
    listed = page.locator("main .card .id")
    url = listed.first.inner_text() if listed.count() > 0 else f"http://127.0.0.1:{port}"  # a machine without a network
    boris.press("Show a code")
    code = str(page.locator("[data-code]").get_attribute("aria-label")).replace(" ", "")
    assert boris.violations() == []
    phone = Person.at(chromium, url.split("/")[2].split(":")[0], viewport={"width": 360, "height": 740})
    phone.page.goto(url)
    expect(phone.page.get_by_role("heading", level=1, name="Pair this browser")).to_be_visible()
    phone.look_over("pairing")
    phone.page.get_by_label("Code").fill("1234")
    phone.press("Pair")
    expect(phone.page.locator("#wrong-code")).to_contain_text("not the code")
    phone.forgive("403")
    phone.page.get_by_label("Code").fill(f"{code[:4]} {code[4:]}")
    phone.press("Pair")
    expect(phone.page.get_by_role("heading", level=1, name="Chat")).to_be_visible()
    expect(page.locator("[data-code]")).to_have_count(0)
    expect(page.locator("[data-guest]")).to_contain_text("here now")
    shot(boris, "http")
    phone.page.get_by_label("Your words").fill(CODE)
    phone.press("Ask")
    expect(phone.page.locator("#said")).to_contain_text("has answered")
    expect(phone.page.locator(".messages .assistant")).to_contain_text("gemma4:e2b on this device")
    expect(phone.page.locator(".messages .user pre.code")).to_have_text("<script>document.title='taken'</script>\n")
    expect(phone.page.get_by_role("button", name="Look:").first).to_be_visible()
    phone.page.get_by_label("Who answers").select_option(label="Any device with gemma4")
    phone.press("Ask again")
    expect(phone.page.get_by_role("button", name="Ask again")).to_be_visible()
    expect(phone.page.locator(".messages .assistant")).to_contain_text("gemma4:e2b on this device")
    phone.look_over("the chat of a phone")
    shot(phone, "phone")
    phone.page.reload()
    expect(phone.page.locator(".messages .assistant")).to_be_visible()  # it goes on with the talk that was open
    boris.press("Put out")
    expect(phone.page.get_by_role("heading", name="This browser was put out")).to_be_visible()
    expect(page.locator("[data-guest]")).to_have_count(0)
    phone.forgive("403")
    assert phone.wrong == []
    phone.context.close()
    boris.press("Show the token")
    expect(page.locator("[data-token]")).to_contain_text(household.token)
    boris.context.grant_permissions(["clipboard-read", "clipboard-write"])
    boris.press("Copy it")
    expect(page.locator("#said")).to_have_text("Token copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == household.token
    state = "async () => JSON.stringify((await import('/mesh.js')).mesh.state)"
    assert household.token not in page.evaluate(state), "only who asks for it sees it"
    boris.press("Hide it")
    expect(page.locator("main")).not_to_contain_text(household.token)
    boris.press("Turn it off")
    expect(page.locator("[data-remote]")).to_contain_text("Off:")
