"""Which topics exist and how many partitions they have, remembered, so that a name in a header costs no look-up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from .errors import BrokerUnavailableError

if TYPE_CHECKING:
    from .cluster import Cluster

log = structlog.get_logger("transport")

_TRUST_SECONDS: Final = 1.0
"""How long an answer "not there" or "nobody answers" holds; then the broker is asked again."""
_LOOK_UP_SECONDS: Final = 1.0
_REMEMBERED: Final = 1000


class KnownTopics:
    """Partitions by topic. A name that is not known is looked up at once, and again only after a second."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._topics: dict[str, int] = {}
        self._absent_since: dict[tuple[str, int | None], float] = {}
        self._unreachable_since = float("-inf")

    def has(self, topic: str, partition: int | None) -> bool:
        """Whether a message can be published there; True while no broker can be asked. May block for a look-up."""
        with self._lock:
            if self._covers(topic, partition):
                return True
            now = time.monotonic()
            if now - self._unreachable_since < _TRUST_SECONDS:
                return True
            if now - self._absent_since.get((topic, partition), float("-inf")) < _TRUST_SECONDS:
                return False
            try:
                self._topics = self._cluster.topics(_LOOK_UP_SECONDS)
            except BrokerUnavailableError as error:
                log.warning("cannot look up topics, publishing anyway", topic=topic, error=str(error))
                self._unreachable_since = time.monotonic()
                return True
            found = self._covers(topic, partition)
            if not found:
                self._remember_absent(topic, partition)
            return found

    def _remember_absent(self, topic: str, partition: int | None) -> None:
        if len(self._absent_since) >= _REMEMBERED:
            self._absent_since.clear()
        self._absent_since[topic, partition] = time.monotonic()

    def _covers(self, topic: str, partition: int | None) -> bool:
        partitions = self._topics.get(topic, 0)
        return partitions > 0 if partition is None else partition < partitions
