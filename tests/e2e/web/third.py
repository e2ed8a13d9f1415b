"""A third device: in a closed network a member's click is a proposal; and a question goes on to another device."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from e2e.devices import demo, eventually, fork
from e2e.test_one_device import ask_shared
from e2e.web.conftest import shot
from e2e.web.use import pill
from support.model_servers import scripted
from support.warm import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.web.conftest import Household
    from support.browsers import Person

COUNCIL = "council-of-three"


@contextmanager
def clara(household: Household) -> Iterator[Any]:
    """Her app, without a screen, beside a model server of her own."""
    device = demo.Device("Clara", household.pair.base / "c")
    device.program = words("myownllm")
    device.launch = partial(fork, device, device.app, device.launch)
    with scripted(models=["gemma4:e2b"], words=4) as model:
        demo.configure(device, {"kind": "ollama", "base_url": model.url})
        config = device.home / ".myownllm" / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "ui": {"enabled": False}}))
        device.up("--label", "Clara")
        try:
            yield device
        finally:
            device.stop()


def council(household: Household) -> None:
    """A closed network of Anna's that Boris is a member of."""
    anna, boris = household.pair.both
    daemon = anna.home / ".myownllm" / ".myownmesh" / "daemon.sock"
    household.pair.add(anna, COUNCIL)
    eventually(lambda: ask_shared(daemon, "status")["joined_networks"] == [COUNCIL], "Anna is in it")
    ask_shared(daemon, "governance_propose_kind_change", network=COUNCIL, to="closed")
    mark = boris.mark()
    boris.run("join", anna.run("invite")["text"])
    boris.wait("connected peer", demo.peer_becomes("active"), mark)


def a_member_lets_in_and_an_owner_has_the_say(couple: list[Person], household: Household, device: Any) -> None:
    """Spec 02: what a member approves waits for a signature, and the screen says whose."""
    anna, boris = couple
    for person in couple:
        person.surface("Status")
    mark = device.mark()
    household.pair.add(device, COUNCIL)
    card = boris.page.locator(".knock")
    expect(card).to_contain_text("Clara")
    boris.press("Approve…", card)
    boris.press("Yes, let it in")
    dialog = boris.page.locator("dialog")
    expect(dialog.get_by_role("heading", name="Proposed, not yet in")).to_be_visible()
    expect(dialog).to_contain_text("comes in when an owner or a controller has signed it: Anna (")
    boris.look_over("what a member's approval is")
    shot(boris, "proposed")
    boris.press("OK", dialog)
    anna.surface("Governance")
    waits = anna.page.locator("[data-pending]")
    expect(waits).to_contain_text("Clara")
    anna.press("Sign…", waits)
    anna.press("Sign it", anna.page.locator("dialog"))
    expect(anna.page.locator("[data-device]").filter(has_text="Clara")).to_contain_text("member")
    for peer in ("Anna", "Boris"):
        device.wait(f"knock of {peer}", lambda e, peer=peer: e["event"] == "knock" and e["label"] == peer, mark)
        device.run("approve", peer)
    for person in couple:
        person.surface("Status")
        pill(person, "2 peers")


def a_broken_answer_is_asked_for_again_at_another_device(anna: Person, household: Household) -> None:
    page = anna.page
    anna.surface("Chat")
    anna.press("New conversation")
    picker = page.get_by_label("Who answers")
    tag = "gemma4:e2b (gemma4)"
    for owner in ("Boris", "Clara"):
        expect(picker.locator(f"optgroup[label='{owner}'] option")).not_to_have_count(0)
    of = {owner: picker.locator(f"optgroup[label='{owner}'] option", has_text=tag) for owner in ("Boris", "Clara")}
    household.model.behave(words=3, delay_s=0, fault="half", fault_after=2)
    picker.select_option(value=of["Boris"].get_attribute("value"))
    page.get_by_label("Your words").fill("who else knows?")
    anna.press("Ask")
    answer = page.locator(".messages .assistant")
    expect(answer).to_contain_text("gemma4:e2b on Boris")
    expect(answer).to_contain_text("Broken off: this is a part")
    picker.select_option(value=of["Clara"].get_attribute("value"))
    anna.press("Ask again")
    expect(answer).to_contain_text("gemma4:e2b on Clara")
    expect(page.get_by_role("button", name="Ask again")).to_be_visible()
    expect(answer).not_to_contain_text("this is a part")
    expect(answer).to_have_count(1)
    household.model.behave(fault="")
    anna.surface("Status")
