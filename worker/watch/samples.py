"""What the parts of a worker tell when somebody asks, and how it becomes Prometheus' families."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from .table import BY_NAME, METRICS, Kind, Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client import Metric as Family


class Distribution:
    """Counts of a histogram. Not thread-safe: its owner holds a lock.

    Args:
        bounds: Upper bounds of the buckets, rising; the last one, infinity, is added.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def told(self) -> Told:
        """As it is now."""
        bounds = [*map(str, self._bounds), "+Inf"]
        return Told(list(zip(bounds, map(float, accumulate(self._counts)), strict=True)), self._sum)


class Told(NamedTuple):
    """A histogram at one moment."""

    buckets: list[tuple[str, float]]
    """Upper bound, and how many were not above it."""
    sum: float


class Sample(NamedTuple):
    """One number of one metric."""

    name: str
    """As the table has it."""
    labels: tuple[str, ...]
    """In the table's order."""
    value: float | Told


Samples: TypeAlias = "Iterable[Sample]"


class Source(Protocol):
    """Something that has numbers to tell."""

    def samples(self, now: float) -> Samples:
        """Its numbers.

        Args:
            now: On the monotonic clock.
        """


SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
RATIOS: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0)


class TableCollector(Collector):
    """The table, filled from its sources at each scrape.

    Args:
        sources: Asked in turn.
        clock: The monotonic clock.
    """

    def __init__(self, sources: Sequence[Source], clock: _Clock) -> None:
        self._sources = sources
        self._clock = clock

    def collect(self) -> Iterator[Family]:
        """Every metric of the table, those without numbers too.

        Raises:
            KeyError: A source tells what the table does not have.
        """
        now = self._clock()
        found: dict[str, list[Sample]] = {metric.name: [] for metric in METRICS}
        for source in list(self._sources):
            for sample in source.samples(now):
                found[BY_NAME[sample.name].name].append(sample)
        for metric in METRICS:
            yield _family(metric, found[metric.name])


class _Clock(Protocol):
    def __call__(self) -> float: ...


def _family(metric: Metric, samples: Samples) -> Family:
    name, labels = metric.full_name, metric.labels
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, metric.meaning, labels=labels)
        for sample in samples:
            if isinstance(sample.value, Told):
                histogram.add_metric(sample.labels, sample.value.buckets, sample.value.sum)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily = (
        CounterMetricFamily(name, metric.meaning, labels=labels)
        if metric.kind is Kind.COUNTER
        else GaugeMetricFamily(name, metric.meaning, labels=labels)
    )
    for sample in samples:
        if not isinstance(sample.value, Told):
            family.add_metric(sample.labels, sample.value)
    return family
