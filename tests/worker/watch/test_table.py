"""`worker/watch/table.py`: the one table of metrics, by its own rules."""

from __future__ import annotations

import pytest

from worker.watch.table import METRICS, Kind, Metric

_UNITS = ("_seconds", "_bytes", "_tokens", "_messages", "_partitions", "_requests", "_ratio")
_CLOSED_LABELS = {
    "lane", "partition", "outcome", "code", "header", "change", "kind",
    "worker", "model", "slug", "revision", "device", "dtype", "version",
}  # fmt: skip
"""Lanes, codes and kinds are enumerations, partitions the topic's; the others are those of the one row `info`."""


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_ends_in_its_unit_and_a_counters_in_total(metric: Metric) -> None:
    assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)
    if metric.kind is not Kind.COUNTER and metric.name not in ("info", "ready", "live"):
        assert metric.name.endswith(_UNITS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_no_label_holds_what_a_caller_can_make_up(metric: Metric) -> None:
    assert set(metric.labels) <= _CLOSED_LABELS


def test_each_name_is_there_once() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
