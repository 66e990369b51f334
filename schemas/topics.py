"""The table of topics: partitions, retention, largest message. One row here, nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MEBIBYTE: Final = 1024 * 1024


class Lane(StrEnum):
    """Which of a model's two request topics: a caller waits, or throughput counts."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 24 * 60 * _MINUTE_MS

DEFAULT_PREFIX: Final = "embedding"
PREFIX_PATTERN: Final = r"^[a-zA-Z0-9._-]{1,100}$"
SLUG_PATTERN: Final = r"^[a-z0-9-]{0,64}$"
"""Empty for the default model."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One row: what a topic is for and how it is kept."""

    suffix: str
    key: str
    value: str
    partitions: int
    max_message_bytes: int
    retention_ms: int | None
    """None: compacted."""
    per_model: bool = False
    """Whether each further model has one of its own, named by its slug."""

    @property
    def config(self) -> dict[str, str]:
        """Topic configuration as Kafka's admin API takes it."""
        common = {"max.message.bytes": str(self.max_message_bytes)}
        if self.retention_ms is None:
            # Small segments: a compacted topic is read whole by whoever starts.
            return common | {
                "cleanup.policy": "compact",
                "segment.ms": str(10 * _MINUTE_MS),
                "min.cleanable.dirty.ratio": "0.1",
            }
        segment_ms = min(7 * _DAY_MS, max(_MINUTE_MS, self.retention_ms // 5))
        return common | {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "segment.ms": str(segment_ms),
        }


REQUESTS: Final = TopicSpec("requests", "anything", "EmbeddingRequest", 24, 8 * MEBIBYTE, 7 * _DAY_MS, per_model=True)
REQUESTS_INTERACTIVE: Final = TopicSpec(
    "requests.interactive",
    "request id",
    "EmbeddingRequest",
    24,
    2 * MEBIBYTE,
    10 * _MINUTE_MS,
    per_model=True,
)
RESPONSES: Final = TopicSpec(
    "responses", "request id", "EmbeddingResponse or ErrorResponse", 24, 16 * MEBIBYTE, 7 * _DAY_MS
)
REPLIES: Final = TopicSpec(
    "replies", "request id", "EmbeddingResponse or ErrorResponse", 24, 16 * MEBIBYTE, 10 * _MINUTE_MS
)
DEAD_LETTERS: Final = TopicSpec(
    "requests.dlq", "the original key", "the original bytes", 6, 9 * MEBIBYTE, 30 * _DAY_MS
)
WORKERS: Final = TopicSpec("workers", "worker id", "Beat", 1, 64 * 1024, None)
ERRORS: Final = TopicSpec("errors", "request id", "ErrorResponse", 6, 1 * MEBIBYTE, 7 * _DAY_MS)

TOPICS: Final = (REQUESTS, REQUESTS_INTERACTIVE, RESPONSES, REPLIES, DEAD_LETTERS, WORKERS, ERRORS)


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The topics of one model under one prefix.

    Args:
        prefix: First part of every name.
        slug: The model's own part of the request topics; empty for the default model.

    Raises:
        ValueError: A name Kafka would refuse.
    """

    prefix: str = DEFAULT_PREFIX
    slug: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(PREFIX_PATTERN, self.prefix):
            raise ValueError(f"topic prefix {self.prefix!r}: use letters, digits, '.', '_' and '-' only")
        if not re.fullmatch(SLUG_PATTERN, self.slug):
            raise ValueError(f"model slug {self.slug!r}: use lower-case letters, digits and '-' only")

    def name(self, spec: TopicSpec) -> str:
        """Full name of a row's topic."""
        parts = [self.prefix, self.slug, spec.suffix] if spec.per_model and self.slug else [self.prefix, spec.suffix]
        return ".".join(parts)

    @property
    def requests(self) -> str:
        return self.name(REQUESTS)

    @property
    def requests_interactive(self) -> str:
        return self.name(REQUESTS_INTERACTIVE)

    @property
    def responses(self) -> str:
        return self.name(RESPONSES)

    @property
    def replies(self) -> str:
        return self.name(REPLIES)

    @property
    def dead_letters(self) -> str:
        return self.name(DEAD_LETTERS)

    @property
    def workers(self) -> str:
        return self.name(WORKERS)

    @property
    def errors(self) -> str:
        return self.name(ERRORS)

    def requests_of(self, lane: Lane) -> str:
        """Request topic of a lane."""
        return self.requests_interactive if lane is Lane.INTERACTIVE else self.requests

    def group(self, lane: Lane) -> str:
        """Consumer group of a lane: `<prefix>.<slug>.<lane>`, without slug for the default model."""
        return ".".join(part for part in (self.prefix, self.slug, lane.value) if part)

    def all(self) -> dict[str, TopicSpec]:
        """Every topic of this model: full name -> its row."""
        return {self.name(spec): spec for spec in TOPICS}
