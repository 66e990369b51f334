"""The producers: publish all requests of a run and tell which of them the broker acknowledged, and where."""

from __future__ import annotations

import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from confluent_kafka import Producer

from schemas.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import KafkaError, Message

    from schemas.topics import TopicNames

    from .traffic import Traffic

_LOOK_EVERY: Final = 64
_WAIT_SECONDS: Final = 0.01


class Sending(threading.Thread):
    """One thread, with a producer of its own for each lane, none of which ever gives a request up.

    Args:
        bootstrap: The broker.
        topics: Where to.
        traffic: What.
        requests: How many.
        backlog: How many may be sent and not yet answered.
        seconds: The time that sending takes at least.
        most_seconds: The time after which nothing more is sent; None: all is.
        answered: How many are answered now.
        acknowledged: Told number, lane, partition and offset of what the broker has.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: TopicNames,
        traffic: Traffic,
        *,
        requests: int,
        backlog: int,
        seconds: float,
        most_seconds: float | None,
        answered: Callable[[], int],
        acknowledged: Callable[[int, Lane, int, int], None],
    ) -> None:
        super().__init__(name="sending", daemon=True)
        self._topics = topics
        self._traffic = traffic
        self._requests = requests
        self._backlog = backlog
        self._seconds = seconds
        self._most_seconds = math.inf if most_seconds is None else most_seconds
        self._answered = answered
        self._acknowledged = acknowledged
        self._producers = {lane: _producer(bootstrap) for lane in Lane}
        self._ended = threading.Event()
        self.sent = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._send_all()
            for producer in self._producers.values():
                while producer.flush(1) and not self._ended.is_set():
                    pass
        except BaseException as error:  # noqa: BLE001 - raised by whoever runs it all
            self.error = error

    def stop(self) -> None:
        """Send no more."""
        self._ended.set()

    def _send_all(self) -> None:
        started_at = time.monotonic()
        for number in range(self._requests):
            if number % _LOOK_EVERY == 0:
                self._wait_for_room(number, started_at)
            if self._ended.is_set() or time.monotonic() - started_at > self._most_seconds:
                return
            self._send(number)
            self.sent = number + 1

    def _wait_for_room(self, number: int, started_at: float) -> None:
        while not self._ended.is_set():
            for producer in self._producers.values():
                producer.poll(0)
            is_early = time.monotonic() - started_at < self._seconds * number / self._requests
            if number - self._answered() < self._backlog and not is_early:
                return
            self._ended.wait(_WAIT_SECONDS)

    def _send(self, number: int) -> None:
        asked = self._traffic.request(number, int(time.time() * 1000))
        producer = self._producers[asked.lane]
        while not self._ended.is_set():
            try:
                producer.produce(
                    self._topics.requests_of(asked.lane),
                    value=asked.value,
                    key=asked.key,
                    headers=list(asked.headers),
                    on_delivery=partial(self._delivered, number, asked.lane),
                )
            except BufferError:
                producer.poll(_WAIT_SECONDS)
            else:
                return

    def _delivered(self, number: int, lane: Lane, error: KafkaError | None, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        if error is None and partition is not None and offset is not None:
            self._acknowledged(number, lane, partition, offset)


def _producer(bootstrap: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "delivery.timeout.ms": 0,
            "linger.ms": 5,
            # Requests without a key are spread evenly, so that every worker has work.
            "sticky.partitioning.linger.ms": 0,
            "partitioner": "murmur2_random",
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
        }
    )
