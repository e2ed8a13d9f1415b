"""Every action of the screen that the story of `use` has no place for, once."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import expect

from e2e.web.use import pill
from myownllm.door import client as door

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator

    from e2e.web.conftest import Household
    from support.browsers import Person

NOTIFIED = """() => {
  window.notified = [];
  window.Notification = class {
    static permission = "granted";
    constructor(title, { body }) { window.notified.push(`${title}: ${body}`); }
  };
  Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
}"""
"""A browser without a head shows no notification, so its own class is stood in for; and the tab is not looked at."""
SHOWN_AGAIN = "() => delete document.hidden"
DROPPED = """([name, text]) => {
  const all = new DataTransfer();
  all.items.add(new File([text], name));
  return all;
}"""
MOVED = "() => document.getElementById('moved').style.transform"


def saved(person: Person) -> Locator:
    return person.page.locator("[data-drift='applied'], [data-drift='rebuilt']")


def of_the_status(couple: list[Person]) -> None:
    anna, boris = couple
    page = anna.page
    anna.surface("Status")
    boris.surface("Connections")
    for value, is_told in (("busy", 1), ("available", 0)):
        page.get_by_label("What others may ask of it").select_option(value)
        expect(boris.page.locator(".peer .tag", has_text="busy")).to_have_count(is_told)
    gossip = page.get_by_label("Share prompts and tool policies")
    for is_on in (not gossip.is_checked(), gossip.is_checked()):
        gossip.set_checked(is_on)
        page.reload()
        expect(gossip).to_be_checked(checked=is_on)
    anna.press("Show its log")
    expect(page.get_by_label("Log of the daemon")).to_contain_text("myownmesh")
    anna.press("Hide its log")
    expect(page.get_by_label("Log of the daemon")).to_have_count(0)
    anna.press("Add a network…")
    anna.press("Make up a name")
    expect(page.get_by_label("Name", exact=True)).not_to_have_value("")
    anna.press("Cancel")


def of_the_settings(couple: list[Person], tmp_path: Path) -> None:
    """What is exported is what the other way in reads."""
    anna, _ = couple
    page = anna.page
    anna.surface("Settings")
    with page.expect_download() as download:
        anna.press("Export…")
    exported = tmp_path / "exported.json"
    download.value.save_as(exported)
    page.get_by_label("Topology").fill("ring")
    page.get_by_label("Topology").blur()
    expect(page.locator("#said")).to_have_text("Saved")
    expect(saved(anna)).to_be_visible()
    turn = page.locator(".field", has=page.get_by_label("TURN servers"))
    turn.get_by_label("TURN servers").fill("turn:127.0.0.1:9,anna,secret")
    turn.get_by_label("TURN servers").blur()
    expect(turn.get_by_label("TURN servers")).to_have_value("turn:127.0.0.1:9,anna,***")
    anna.press("Default", turn)
    expect(turn.get_by_label("TURN servers")).not_to_have_value("turn:127.0.0.1:9,anna,***")
    alone = page.get_by_label("Let every device in")
    for is_on in (True, False):
        alone.set_checked(is_on)
        expect(saved(anna)).to_be_visible()
        page.reload()
        expect(alone).to_be_checked(checked=is_on)
    page.get_by_label("Topology").fill("")
    page.get_by_label("Topology").blur()
    expect(saved(anna)).to_be_visible()
    anna.ask_for("Edit…")
    page.get_by_label("How your words begin").fill("Please: ")
    anna.press("Save")
    expect(page.locator("dialog")).not_to_be_visible()
    anna.ask_for("Delete…")
    anna.press("Delete it")
    expect(page.get_by_text("Short", exact=True)).to_have_count(0)
    anna.ask_for("Import…")
    page.get_by_label("Or read a file").set_input_files(exported)
    expect(page.get_by_role("region", name="Where it leads")).to_contain_text("saved here already")
    anna.press("Cancel")


def of_a_model_that_wants_to_write(couple: list[Person], household: Household, tmp_path: Path) -> None:
    """FE-10.8, spec 08 §9.9: the question stands on every surface, and what was allowed for ever can be taken back."""
    anna, _ = couple
    path, said = tmp_path / "made.txt", list[object]()
    household.model.behave(tool="write_file", arguments={"path": str(path), "content": "hi"})
    members = {
        "messages": [{"role": "user", "content": "write"}],
        "model": anna.page.evaluate(
            "async () => (await (await import('/api.js')).ask('GET', '/api/models')).models[0].id"
        ),
        "functions": ["write_file"],
    }

    def ask() -> None:
        socket = household.pair.anna.home / ".myownllm" / "app.sock"
        with door.asking(socket, "infer", timeout_s=60, **members) as answer:
            said.extend(answer)

    asking = threading.Thread(target=ask)
    asking.start()
    question = anna.page.locator("[data-question]")
    expect(question).to_contain_text("write a file")
    assert not path.exists()
    anna.press("Always allow exactly this", question)
    asking.join(60)
    assert path.read_text() == "hi"
    expect(question).to_have_count(0)
    household.model.behave(tool="")
    anna.surface("Settings")
    allowed = anna.page.locator("li", has=anna.page.get_by_role("button", name="Forget", exact=True))
    expect(allowed).to_contain_text("made.txt")
    anna.press("Forget", allowed)
    expect(allowed).to_have_count(0)


def of_the_connections(couple: list[Person], household: Household, tmp_path: Path) -> None:
    anna, boris = couple
    page = anna.page
    anna.surface("Connections")
    page.get_by_label("Filter").fill("nobody of this name")
    expect(page.locator(".peer")).to_have_count(0)
    page.get_by_label("Filter").fill("bor")
    expect(page.locator(".peer")).to_have_count(1)
    page.get_by_label("Filter").fill("")
    page.get_by_label("Sort by").select_option("name")
    anna.press("Look for devices anew")
    anna.press("Pin as host")
    expect(page.locator(".peer .tag", has_text="pinned host")).to_be_visible()
    boris.surface("Files")
    (tmp_path / "chosen.txt").write_text("chosen")
    with page.expect_file_chooser() as chooser:
        anna.press("Send a file…")
    chooser.value.set_files(tmp_path / "chosen.txt")
    boris.press("Accept", boris.page.locator("[data-offer]"))
    expect(page.locator("[data-file='chosen.txt']")).to_contain_text("Sent")
    dropped = page.evaluate_handle(DROPPED, ["dropped.txt", "dropped"])
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": dropped})
    boris.press("Accept", boris.page.locator("[data-offer]"))
    expect(page.locator("[data-file='dropped.txt']")).to_contain_text("Sent")
    assert (household.pair.boris.home / "Downloads" / "dropped.txt").read_text() == "dropped"
    household.model.behave(words=500, delay_s=0.02)
    anna.surface("Chat")
    anna.press("New conversation")
    page.get_by_label("Who answers").select_option(label="Pinned host: Boris")
    page.get_by_label("Your words").fill("a long story")
    anna.press("Ask")
    expect(page.locator(".messages .assistant .said")).to_be_visible()
    anna.surface("Connections")
    running = page.get_by_role("region", name="Work with other devices").locator("li").first
    expect(running).to_contain_text("This device asks Boris")
    anna.press("Cancel", running)
    expect(running).to_have_count(0)
    anna.press("Unpin")
    expect(page.locator(".peer .tag", has_text="pinned host")).to_have_count(0)
    household.model.behave(words=3, delay_s=0)
    anna.surface("Chat")
    expect(page.locator(".messages .assistant")).to_contain_text("Broken off: this is a part")
    anna.ask_for("Delete…")
    anna.press("Delete it")
    expect(page.get_by_role("button", name="a long story")).to_have_count(0)


def of_the_graph_and_of_what_was_noted(couple: list[Person], tmp_path: Path) -> None:
    anna, _ = couple
    page = anna.page
    anna.surface("Graph")
    picture = page.get_by_role("group", name="Devices of the mesh")
    seen = {""}

    def moved() -> None:
        now = page.evaluate(MOVED)
        assert now not in seen
        seen.add(now)

    anna.press("Zoom in")
    moved()
    anna.press("Zoom out")
    anna.press("Zoom out")
    moved()
    picture.press("ArrowLeft")
    moved()
    box = picture.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.wheel(0, -100)
    moved()
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    expect(page.locator("#moved")).to_have_class("moving")  # a layer of its own, drawn once
    page.mouse.up()
    moved()
    expect(page.locator("#moved")).to_have_class("")  # sharp again
    left = page.evaluate(MOVED)
    anna.surface("Files")
    anna.surface("Graph")
    assert page.evaluate(MOVED) == left
    anna.press("Reset the view")
    assert page.evaluate(MOVED) == "translate(0px, 0px) scale(1)"
    anna.surface("Activity")
    quiet = page.get_by_label("Warnings and errors only")
    for is_on in (True, False):
        quiet.set_checked(is_on)
        page.reload()
        expect(quiet).to_be_checked(checked=is_on)
    anna.context.grant_permissions(["clipboard-write"])
    anna.press("Copy")
    expect(page.locator("#said")).to_have_text("Log copied")
    with page.expect_download() as download:
        anna.press("Download")
    download.value.save_as(tmp_path / "activity.txt")


def looks_until(person: Person, wanted: Locator) -> None:
    """Looks again, as a person would, where a look found nobody within fifteen seconds."""
    for _ in range(5):
        person.press("Look for devices anew")
        with suppress(PlaywrightTimeout):
            wanted.wait_for(timeout=15_000)
            break
    expect(wanted).to_be_visible()


def of_letting_in(couple: list[Person]) -> None:
    """Removed, it knocks; denied, it waits; asked again, it is let in from the graph. The other side revokes, too."""
    anna, boris = couple
    page = anna.page
    anna.surface("Connections")
    page.evaluate(NOTIFIED)
    anna.ask_for("Remove…")
    anna.press("Remove it")
    boris.surface("Connections")
    boris.press("Look for devices anew")
    expect(page.get_by_text("A device wants to join your mesh")).to_be_visible()
    [told] = page.evaluate("() => window.notified")
    assert told.startswith("A device wants to join your mesh: Boris · ")
    page.evaluate(SHOWN_AGAIN)
    anna.surface("Status")
    anna.press("Deny")
    expect(page.locator(".knock")).to_have_count(0)
    looks_until(boris, page.locator(".knock"))
    anna.surface("Graph")
    page.locator("[data-node]").click()
    chosen = page.get_by_role("region", name="Chosen device")
    anna.press("Approve…", chosen)
    anna.press("Yes, let it in")
    expect(chosen).to_contain_text("Connected")
    boris.surface("Graph")
    boris.page.locator("[data-node]").click()
    boris.ask_for("Revoke…", boris.page.get_by_role("region", name="Chosen device"))
    boris.press("Revoke", boris.page.locator("dialog"))
    anna.surface("Connections")
    anna.press("Look for devices anew")
    boris.surface("Connections")
    boris.press("Approve…")
    boris.press("Yes, let it in")
    for person in couple:
        person.surface("Status")
        pill(person, "1 peer")


def of_a_daemon_that_is_restarted(couple: list[Person]) -> None:
    anna, _ = couple
    anna.surface("Status")
    anna.press("Restart it")
    for person in couple:
        pill(person, "1 peer")
