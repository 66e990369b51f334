"""Every metric of a worker, one closed table. Units are in the names, and no label holds what a caller can make up.

`docs/operations.md` shows it; a test holds the two together.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "kafka_embeddings_worker_"


class Kind(StrEnum):
    """What Prometheus calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Outcome(StrEnum):
    """How a request that was read has ended."""

    ANSWERED = "answered"
    TOMBSTONE = "tombstone"
    FAILED = "failed"
    DISCARDED = "discarded"


class Change(StrEnum):
    """How a partition's owner changed."""

    ASSIGNED = "assigned"
    REVOKED = "revoked"
    LOST = "lost"


class Metric(NamedTuple):
    """One row."""

    name: str
    """Without the prefix; a counter's ends in `_total`."""
    kind: Kind
    labels: tuple[str, ...]
    meaning: str

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


METRICS: Final = (
    Metric(
        "info",
        Kind.GAUGE,
        ("worker", "model", "slug", "revision", "device", "dtype", "version"),
        "always 1, once the model is loaded; the labels say which worker, model and device this is",
    ),
    Metric("ready", Kind.GAUGE, (), "1 while `/health/ready` says 200"),
    Metric("live", Kind.GAUGE, (), "1 while `/health/live` says 200"),
    Metric(
        "lag_messages",
        Kind.GAUGE,
        ("lane", "partition"),
        "end offset less committed offset of each partition held, asked of the broker every 5 s",
    ),
    Metric("lag_age_seconds", Kind.GAUGE, ("lane",), "since the broker last said what the lag is"),
    Metric(
        "oldest_unanswered_seconds",
        Kind.GAUGE,
        ("lane",),
        "since the oldest request that is read and not acknowledged was read; 0: there is none",
    ),
    Metric(
        "watermark_gap_messages",
        Kind.GAUGE,
        ("lane", "partition"),
        "messages from the first unacknowledged one on; a poll before `bounds.messages_past_watermark` it pauses",
    ),
    Metric("assigned_partitions", Kind.GAUGE, ("lane",), "partitions held"),
    Metric("in_flight_requests", Kind.GAUGE, ("lane",), "read and not acknowledged"),
    Metric("queued_tokens", Kind.GAUGE, ("lane",), "their tokens; at `bounds.tokens` reading pauses"),
    Metric("in_flight_bytes", Kind.GAUGE, ("lane",), "their messages, vectors and expected responses"),
    Metric("requests_total", Kind.COUNTER, ("lane", "outcome"), "requests that are over"),
    Metric("failed_requests_total", Kind.COUNTER, ("lane", "code"), "those that failed, by `error.code`"),
    Metric("dead_letters_total", Kind.COUNTER, ("code",), "dead letters the broker has, by `dlq-code`"),
    Metric("inputs_total", Kind.COUNTER, ("lane",), "inputs that were answered"),
    Metric("prompt_tokens_total", Kind.COUNTER, ("lane",), "their tokens, as told in `usage`"),
    Metric(
        "request_duration_seconds",
        Kind.HISTOGRAM,
        ("lane",),
        "from reading a request to the broker's acknowledgement of all it led to",
    ),
    Metric(
        "malformed_headers_total",
        Kind.COUNTER,
        ("header",),
        "headers that cannot be read; a malformed deadline is none",
    ),
    Metric("lost_messages_total", Kind.COUNTER, ("lane",), "messages the broker deleted before they were read"),
    Metric("rebalances_total", Kind.COUNTER, ("lane", "change"), "times that partitions came, left or were lost"),
    Metric("commits_total", Kind.COUNTER, ("lane", "outcome"), "commits of progress, stored or failed"),
    Metric("publish_failures_total", Kind.COUNTER, ("kind",), "messages the broker did not take, retried or not"),
    Metric("beats_total", Kind.COUNTER, (), "beats the broker has"),
    Metric("batch_budget_tokens", Kind.GAUGE, (), "tokens a batch may have"),
    Metric("batch_fill_ratio", Kind.HISTOGRAM, (), "tokens of a batch, padding counted, over the budget"),
    Metric("batch_duration_seconds", Kind.HISTOGRAM, (), "time a batch was on the device"),
    Metric("batch_tokens_total", Kind.COUNTER, (), "tokens computed, padding counted"),
    Metric("failed_batches_total", Kind.COUNTER, (), "batches the device refused"),
    Metric(
        "device_busy_seconds_total",
        Kind.COUNTER,
        (),
        "time the device computed; its rate is the busy share, and half busy counts half",
    ),
)

BY_NAME: Final[Mapping[str, Metric]] = {metric.name: metric for metric in METRICS}
