"""The whole story of the screen, in a real browser, on two real devices; its steps are in `use`, `rest`, `guard`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.web import guard, rest, third, use
from support.browsers import Person

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from e2e.web.conftest import Household


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_people_use_the_mesh_through_the_screen_alone(
    chromium: Browser, household: Household, tmp_path: Path
) -> None:
    couple = [Person.at(chromium) for _ in household.urls]
    anna = couple[0]
    for person, url in zip(couple, household.urls, strict=True):
        person.enter(url)
    use.two_devices_meet_and_a_card_decided_in_one_tab_is_gone_in_the_other(couple, household)
    use.a_name_full_of_markup_is_a_name(couple)
    use.a_file_is_sent_and_accepted(couple, household, tmp_path)
    a_minute_later = use.a_large_file_is_offered(couple, tmp_path)
    use.another_devices_model_answers_and_its_words_are_text(couple, household)
    use.a_conversation_moves_and_is_read_and_written_where_it_is(couple, household)
    use.it_is_accepted_after_a_minute(couple, household, tmp_path, a_minute_later)
    use.an_offer_ends_in_three_other_ways(couple, household, tmp_path)
    use.a_phone_of_the_local_network_is_paired_talks_and_is_put_out(couple, household, chromium)
    use.who_decides_is_seen_looked_at_first_and_signed(couple, household)
    use.settings_are_saved_on_leaving_a_field_and_wrong_ones_say_why(couple)
    rest.of_the_status(couple)
    rest.of_the_settings(couple, tmp_path)
    rest.of_a_model_that_wants_to_write(couple, household, tmp_path)
    rest.of_the_connections(couple, household, tmp_path)
    rest.of_the_graph_and_of_what_was_noted(couple, tmp_path)
    rest.of_letting_in(couple)
    rest.of_a_daemon_that_is_restarted(couple)
    guard.every_surface_and_dialog_is_for_everyone(anna)
    guard.large_and_small_screens_and_colours_of_the_reader_are_all_right(anna)
    guard.everything_is_reached_by_keyboard(anna)
    use.an_invitation_is_a_link_and_a_picture_and_the_other_side_looks_before_it_joins(couple)
    use.leaving_and_coming_back(couple)
    use.of_two_saved_networks_one_is_joined(anna, household)
    with third.clara(household) as clara:
        third.council(household)
        third.a_member_lets_in_and_an_owner_has_the_say(couple, household, clara)
        third.a_broken_answer_is_asked_for_again_at_another_device(anna, household)
    assert [(device.home / "up.err").read_text() for device in household.pair.both] == ["", ""]
    assert [text for person in couple for text in person.wrong] == []
    guard.another_local_port_and_a_rebound_name_reach_nothing(anna)
    guard.each_way_of_having_nothing_to_show_says_what_helps(household, anna)
    for person in couple:
        person.context.close()
