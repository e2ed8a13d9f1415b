"""Every member of every case of the vectors about own infrastructure is looked at by a test, or named here with why."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
SECTIONS = {
    "signaling": (
        "mdns",
        "stun",
        "turn",
        "turn_url_parsing",
        "ice_defaults",
        "services_config_default",
        "signaling_config_default",
        "strategy_values",
        "service_advert",
        "relay_role",
        "caddy_installer",
    ),
    "bundler": ("update_policy", "install_kind", "release_feed", "asset_pick", "pending_marker"),
    "control-socket": ("updater",),
}
UNREAD = {
    r".*\.(source|note|rule|property|challenge_note|allocate_success_note)": "words for people",
    r".*\.(reference|reference_stages|accepted_by_reference)": "what v0.3.8 does where we do otherwise",
    r"signaling\.(turn\.stream_frame_lengths|relay_role\.forwarding)\[\d+\]\.error": "that there is one is read",
    r"signaling\.turn\.time_limited_credential_example\.scheme": "the words to its other members",
    r"signaling\.turn\.time_limited_credential_example\.supported_by_hosted_server": "of v0.3.8; ours does (06 §7)",
    r"signaling\.relay_role\.forwarding\[1\]\.forwarded(_to)?": "a foreign src ends here instead (06 A)",
    r"signaling\.turn_url_parsing\.cases\[(5|10|11)\]\.stream_endpoint": "our grammar refuses the URL (06 P)",
}
PATIENCE_S = 200.0


@pytest.mark.heavy
@pytest.mark.timeout(240)
def test_every_member_is_read_by_a_test_or_named_here(tmp_path: Path) -> None:
    sections = [f"{file}.{name}" for file, names in SECTIONS.items() for name in names]
    found = tmp_path / "unread"
    made = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "support.vector_reads"]
        + [str(path) for path in readers()],
        env={
            **os.environ,
            "PYTHONPATH": str(TESTS),
            "VECTOR_SECTIONS": " ".join(sections),
            "UNREAD_VECTORS": str(found),
        },
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    unread = found.read_text("utf-8").split()
    assert [name for name in unread if not any(re.fullmatch(each, name) for each in UNREAD)] == []
    assert [each for each in UNREAD if not any(re.fullmatch(each, name) for name in unread)] == [], "read meanwhile"


def readers() -> list[Path]:
    """The unit tests that load one of the sections."""
    names = "|".join(name for names in SECTIONS.values() for name in names)
    loads = re.compile(rf'\b(?:load\("[\w-]+", |each\()"(?:{names})"')
    return [path for path in sorted(TESTS.glob("unit/*/test_*.py")) if loads.search(path.read_text("utf-8"))]


def test_new_sections_are_watched_too() -> None:
    """What stands behind `mdns` in the file."""
    sections = list(_sections("signaling"))
    assert tuple(sections[sections.index("mdns") :]) == SECTIONS["signaling"]
    sections = list(_sections("bundler"))
    assert tuple(sections[sections.index("update_policy") :]) == SECTIONS["bundler"]


def _sections(file: str) -> list[str]:
    text = (TESTS / "vectors" / f"{file}.json").read_text("utf-8")
    return list(json.loads(text))
