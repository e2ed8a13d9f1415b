"""OpenMetrics text, read back by Prometheus' own parser."""

from __future__ import annotations

import os

import pytest

from myownmesh.control.openmetrics import Exposition, labels

if not os.environ.get("CI"):
    pytest.importorskip("prometheus_client", reason="NO prometheus-client HERE: scripts/test brings it")
from prometheus_client.openmetrics.parser import text_string_to_metric_families


def test_what_is_written_is_what_is_read() -> None:
    out = Exposition()
    out.family("info", "app_build", "It.", {labels(version='0.3.8 "a\\b"\n'): 1})
    out.gauge("app_things", "How many.", 3)
    out.family("counter", "app_sent_bytes", "Sent.", {labels(lane="a"): 2**60, labels(lane="b"): 0}, "bytes")
    out.summary("app_delay_seconds", "Late.", 4, 0.25, "seconds")
    families = {family.name: family for family in text_string_to_metric_families(out.text())}
    assert {name: family.type for name, family in families.items()} == {
        "app_build": "info",
        "app_things": "gauge",
        "app_sent_bytes": "counter",
        "app_delay_seconds": "summary",
    }
    assert families["app_build"].samples[0].labels == {"version": '0.3.8 "a\\b"\n'}
    assert [sample.value for sample in families["app_sent_bytes"].samples] == [2**60, 0]
    assert families["app_sent_bytes"].unit == "bytes"
    assert [(sample.name, sample.value) for sample in families["app_delay_seconds"].samples] == [
        ("app_delay_seconds_count", 4),
        ("app_delay_seconds_sum", 0.25),
    ]
