"""Reads one reply partition and hands its messages to the event loop, one call a poll.

A thread of its own: it waits for a broker, assigns the partition at its end and says so, then reads for ever.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from schemas.topics import REPLIES, REQUESTS, REQUESTS_INTERACTIVE, WORKERS, TopicNames
from transport.cluster import Cluster
from transport.errors import BrokerUnavailableError
from transport.limits import check_client_limits
from transport.reader import PartitionReader
from transport.topic_setup import check_topics

from .access import check_may_ask, check_may_read
from .workers import WorkersView

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.topics import Lane
    from transport.messages import Message
    from transport.settings import KafkaSettings

log = structlog.get_logger("client")

_POLL_SECONDS: Final = 0.1
_POLL_MESSAGES: Final = 1000


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client works with once a broker has answered."""

    cluster: Cluster
    workers: WorkersView
    reply_topic: str
    reply_partition: int


class ReplyReader:
    """The threads behind a client: one reads replies, one the workers' beats.

    Args:
        kafka: How to reach the cluster.
        topics: Names of our topics.
        lane: Which lane will be asked on.
        partition_of: Chooses the reply partition, given how many there are.
        on_connected: Called once, when replies can be awaited.
        on_replies: Called with every poll's messages, and how many the broker has dropped.
        on_failure: Called once, when reading cannot go on.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: TopicNames,
        lane: Lane,
        partition_of: Callable[[int], int],
        *,
        on_connected: Callable[[Connection], None],
        on_replies: Callable[[list[Message], int], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._kafka = kafka
        self._topics = topics
        self._lane = lane
        self._partition_of = partition_of
        self._on_connected = on_connected
        self._on_replies = on_replies
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._start("replies", self._read_replies)

    def stop(self, timeout_seconds: float = 3.0) -> None:
        """End both threads. Blocks up to `timeout_seconds` for each."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout_seconds)

    def _start(self, name: str, run: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                run()
            except BaseException as error:  # noqa: BLE001 - handed to the owner, who ends the process
                self._on_failure(error)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _read_replies(self) -> None:
        cluster = Cluster.connect(self._kafka, self._stop)
        if cluster is None:
            return
        reader, workers, partition = self._assign(cluster)
        if reader is None or workers is None:
            return
        self._start("workers", lambda: self._read_beats(workers))
        self._on_connected(Connection(cluster, workers, reader.topic, partition))
        while not self._stop.is_set():
            messages = reader.poll(_POLL_MESSAGES, _POLL_SECONDS)
            if messages:
                dropped = sum(map(reader.skipped, messages)) if cluster.profile.gaps_are_losses else 0
                self._on_replies(messages, dropped)
        reader.close()

    def _assign(self, cluster: Cluster) -> tuple[PartitionReader | None, WorkersView | None, int]:
        """Check rights and topics and assign the reply partition at its end; waits while the broker is away."""
        replies, rows = self._topics.replies, self._topics.all()
        while not self._stop.is_set():
            try:
                check_may_read(cluster, self._topics)
                check_client_limits(cluster, publishes=(REQUESTS_INTERACTIVE, REQUESTS), reads=(REPLIES, WORKERS))
                check_topics(cluster, {name: spec for name, spec in rows.items() if spec in (REPLIES, WORKERS)})
                partition = self._partition_of(cluster.topics()[replies])
                workers = WorkersView(cluster, self._topics)
                check_may_ask(cluster, self._topics, self._lane, workers)
                return PartitionReader(cluster, replies, [partition]), workers, partition
            except BrokerUnavailableError as error:
                log.warning(str(error))
                self._stop.wait(1.0)
        return None, None, 0

    def _read_beats(self, workers: WorkersView) -> None:
        while not self._stop.is_set():
            workers.refresh(_POLL_SECONDS)
        workers.close()
