"""`worker/watch/samples.py`: from numbers to Prometheus' text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from worker.watch.samples import Distribution, Sample, TableCollector
from worker.watch.table import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Source:
    def __init__(self, *samples: Sample) -> None:
        self._samples = samples

    def samples(self, now: float) -> Sequence[Sample]:
        return self._samples


def _text(*samples: Sample) -> str:
    registry = CollectorRegistry()
    registry.register(TableCollector([_Source(*samples)], lambda: 0.0))
    return generate_latest(registry).decode()


def test_every_metric_of_the_table_is_told_also_without_a_number() -> None:
    text = _text()

    assert [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")] == [
        metric.full_name for metric in METRICS
    ]


def test_a_counter_a_gauge_and_a_histogram_are_told_with_their_labels() -> None:
    distribution = Distribution([1.0, 2.0])
    for value in (0.5, 1.0, 1.5, 9.0):
        distribution.observe(value)

    lines = _text(
        Sample("requests_total", ("bulk", "answered"), 3),
        Sample("assigned_partitions", ("bulk",), 2),
        Sample("batch_duration_seconds", (), distribution.told()),
    ).splitlines()

    prefix = "kafka_embeddings_worker_"
    assert f'{prefix}requests_total{{lane="bulk",outcome="answered"}} 3.0' in lines
    assert f'{prefix}assigned_partitions{{lane="bulk"}} 2.0' in lines
    buckets = [line.split() for line in lines if line.startswith(f"{prefix}batch_duration_seconds_bucket")]
    assert [number for _, number in buckets] == ["2.0", "3.0", "4.0"]
    assert f"{prefix}batch_duration_seconds_sum 12.0" in lines


def test_what_the_table_does_not_have_cannot_be_told() -> None:
    with pytest.raises(KeyError, match="made_up"):
        _text(Sample("made_up", (), 1))
