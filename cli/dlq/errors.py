"""What `kafka-embeddings dlq` stops with.

DeadLetterError
├── NoSuchLetterError   no dead letter at the place that was named; exit 1
├── FilterError         a filter or a place cannot be read; exit 2
└── ReplayError         not everything that was to be replayed is on its topic; exit 1
"""

from __future__ import annotations


class DeadLetterError(Exception):
    """Base of what the commands for dead letters raise."""


class NoSuchLetterError(DeadLetterError):
    """No dead letter at the place that was named."""


class FilterError(DeadLetterError):
    """A filter or a place cannot be read."""


class ReplayError(DeadLetterError):
    """Not everything is on its topic; what is there is skipped by the next replay."""
