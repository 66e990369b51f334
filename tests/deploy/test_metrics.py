"""Prometheus' files against the metrics that there are."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from worker.watch.table import METRICS, PREFIX, Kind

from .files import COMPOSE, ROOT

_DEPLOY: Final = ROOT / "deploy"
_PROMETHEUS: Final[dict[str, Any]] = yaml.safe_load((_DEPLOY / "prometheus.yml").read_text())
_OVERRIDE: Final[dict[str, Any]] = yaml.safe_load((_DEPLOY / "compose.metrics.yml").read_text())
_RULES: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load((_DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
_LABELS: Final = {metric.full_name: set(metric.labels) for metric in METRICS}
_COUNTERS: Final = {metric.full_name for metric in METRICS if metric.kind is Kind.COUNTER}


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    asked = re.findall(rf"({PREFIX}\w+|process_start_time_seconds)\{{(\w+)=", rule["expr"])
    names = set(re.findall(rf"{PREFIX}\w+", rule["expr"]))

    assert names <= set(_LABELS)
    for name, label in asked:
        assert label in _LABELS.get(name, {"job"})
    for grouped in re.findall(r"by \((\w+)\)", rule["expr"]):
        assert all(grouped in _LABELS[name] for name in names)
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert f"by ({label})" in rule["expr"]


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule["alert"])
def test_counters_are_asked_for_their_rise_and_gauges_for_their_value(rule: dict[str, Any]) -> None:
    risen = set(re.findall(rf"(?:rate|increase)\(({PREFIX}\w+)", rule["expr"]))

    assert risen == set(re.findall(rf"{PREFIX}\w+", rule["expr"])) & _COUNTERS


def test_each_alert_says_whom_it_wakes_and_why() -> None:
    assert {rule["labels"]["severity"] for rule in _RULES} == {"page", "look"}
    assert all(rule["annotations"]["summary"].endswith(".") for rule in _RULES)


def test_prometheus_scrapes_worker_and_api_where_compose_serves_them() -> None:
    found = {}
    for job in _PROMETHEUS["scrape_configs"]:
        [search] = job["dns_sd_configs"]
        [service] = search["names"]
        found[service] = search["port"]
    commands = {name: COMPOSE["services"][name]["command"] for name in found}

    assert found == {
        "worker": int(commands["worker"][commands["worker"].index("--metrics-port") + 1]),
        "api": int(commands["api"][commands["api"].index("--port") + 1]),
    }


def test_the_override_mounts_files_that_are_there_and_is_published_on_loopback_only() -> None:
    prometheus = _OVERRIDE["services"]["prometheus"]
    files = [volume.split(":")[0] for volume in prometheus["volumes"] if volume.startswith("./")]

    assert all((ROOT / file).is_file() for file in files)
    assert prometheus["ports"] == ["127.0.0.1:9090:9090"]
    assert {volume.split(":")[0] for volume in prometheus["volumes"]} - set(files) == set(_OVERRIDE["volumes"])
    assert _PROMETHEUS["rule_files"] == ["alerts.yml"]
