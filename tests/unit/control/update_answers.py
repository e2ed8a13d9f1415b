"""Requests to the updater and what v0.3.8 answers on a fresh home; `integration/reference` asks it again."""

from __future__ import annotations

import json
from typing import Any

STABLE = "https://api.github.com/repos/mrjeeves/MyOwnMesh/releases/latest"
BETA = "https://api.github.com/repos/mrjeeves/MyOwnMesh/releases"
FRESH = {
    "current_version": "0.3.8",
    "install_kind": "raw",
    "enabled": True,
    "channel": "stable",
    "auto_apply": "all",
    "check_interval_hours": 6,
    "last_check_at": None,
    "staged_version": None,
    "release_url": STABLE,
    "release_url_overridden": False,
}


def _set(prefs: str, **changed: object) -> tuple[str, dict[str, Any]]:
    return f'{{"op":"update_set_prefs","prefs":{prefs}}}', {"ok": True, "data": FRESH | changed}


def _refused(prefs: str, error: str) -> tuple[str, dict[str, Any]]:
    return f'{{"op":"update_set_prefs","prefs":{prefs}}}', {"ok": False, "error": error}


def _bad(prefs: str, error: str) -> tuple[str, dict[str, Any]]:
    return _refused(prefs, f"bad update prefs: {error}")


def _channel(word: str) -> tuple[str, dict[str, Any]]:
    error = f"invalid update channel '{word}' (expected 'stable' or 'beta')"
    return _refused(json.dumps({"channel": word}), error)


def _policy(word: str) -> tuple[str, dict[str, Any]]:
    error = f"invalid auto_apply policy '{word}' (expected patch | minor | all | none)"
    return _refused(json.dumps({"auto_apply": word}), error)


ANSWERS = [
    ('{"op":"update_status"}', {"ok": True, "data": FRESH}),
    _set("{}"),
    _set('{"zzz":1}'),
    _set('{"enabled":false}', enabled=False),
    _set('{"enabled":null,"channel":"beta"}', channel="beta", release_url=BETA),
    _set('{"enabled":false,"enabled":true}'),
    _set('{"auto_apply":"none"}', auto_apply="none"),
    _set('{"check_interval_hours":0}', check_interval_hours=1),
    _set('{"stable_url":"  "}'),
    _channel("x"),
    _channel("Beta"),
    _channel(" beta "),
    _policy("x"),
    _policy("None"),
    _bad('{"check_interval_hours":-1}', "invalid value: integer `-1`, expected u32"),
    _bad('{"check_interval_hours":"a"}', 'invalid type: string "a", expected u32'),
    _bad('{"check_interval_hours":4294967296}', "invalid value: integer `4294967296`, expected u32"),
    _bad('{"stable_url":5}', "invalid type: integer `5`, expected a string"),
    _bad('{"enabled":1}', "invalid type: integer `1`, expected a boolean"),
    _bad("5", "invalid type: integer `5`, expected struct UpdatePrefs"),
    _bad("null", "invalid type: null, expected struct UpdatePrefs"),
    _bad('"x"', 'invalid type: string "x", expected struct UpdatePrefs'),
]
