"""What relays mean by their words: the class decides which way out a person is told."""

from __future__ import annotations

import pytest

from myownmesh.signaling.trouble import Kind, refusal


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("error: failed to generate a response", Kind.ERROR),
        ("this is a moderated relay", Kind.ERROR),
        ("corporate members only", Kind.RESTRICTED),
        ("author is not on the allowlist", Kind.RESTRICTED),
        ("you are not welcome here", Kind.RESTRICTED),
        ("web of trust: nobody follows you", Kind.RESTRICTED),
        ("your payment has expired", Kind.RESTRICTED),
        ("your subscription has expired", Kind.RESTRICTED),
        ("blocked: your subscription has expired", Kind.BLOCKED),
        ("blocked: invitation expired", Kind.BLOCKED),
        ("invalid: event has expired", Kind.CLOCK),
        ("event expired", Kind.CLOCK),
        ("invalid: event is from the future", Kind.CLOCK),
        ("created_at too late", Kind.CLOCK),
        ("the event's timestamp is off", Kind.CLOCK),
        ("RATE_LIMIT", Kind.RATE_LIMITED),
        ("request rate exceeded", Kind.RATE_LIMITED),
        ("not authorized", Kind.AUTH_REQUIRED),
        ("Unauthorized", Kind.AUTH_REQUIRED),
        ("PoW", Kind.POW),
        ("pow: 28 bits needed", Kind.POW),
        ("error: unlock first", Kind.ERROR),
    ],
)
def test_what_the_words_of_a_relay_mean(words: str, kind: Kind) -> None:
    assert refusal(words).kind is kind
