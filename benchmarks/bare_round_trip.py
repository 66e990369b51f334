"""What two topics cost by themselves: a plain producer, a consumer that publishes what it reads, a plain consumer."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from typing import Final, Self

from confluent_kafka import Consumer, Producer, TopicPartition

_WAIT_SECONDS: Final = 10.0


def _producer(bootstrap: str) -> Producer:
    return Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "enable.idempotence": True})


def _consumer(bootstrap: str, topic: str, fetch_ms: int) -> Consumer:
    config = {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "fetch.wait.max.ms": fetch_ms}
    consumer = Consumer({**config, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    return consumer


class BareRoundTrip:
    """Messages there and back; use as a context manager, which ends the process that echoes.

    Args:
        bootstrap: Address of the broker.
        there: Topic of one partition, empty.
        back: The same.
        fetch_ms: How long the broker may hold an empty fetch, as in our own consumers.
    """

    def __init__(self, bootstrap: str, there: str, back: str, fetch_ms: int) -> None:
        command = [sys.executable, "-m", "benchmarks.bare_round_trip", bootstrap, there, back, str(fetch_ms)]
        self._echo = subprocess.Popen(command)
        self._there = there
        self._producer = _producer(bootstrap)
        self._consumer = _consumer(bootstrap, back, fetch_ms)

    def seconds(self, value: bytes) -> float:
        """How long one message takes, there and back.

        Raises:
            TimeoutError: It did not come back.
        """
        started_at = time.perf_counter()
        self._producer.produce(self._there, value)
        self._producer.poll(0)
        while time.perf_counter() - started_at < _WAIT_SECONDS:
            message = self._consumer.poll(_WAIT_SECONDS)
            if message is not None and message.error() is None:
                return time.perf_counter() - started_at
        raise TimeoutError(f"no echo within {_WAIT_SECONDS:g} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._echo.terminate()
        self._echo.wait()
        self._producer.flush(_WAIT_SECONDS)
        # Kept longer it would complain that the embedded broker is gone.
        del self._producer
        self._consumer.close()


def _echo(bootstrap: str, there: str, back: str, fetch_ms: int) -> None:
    """Publish whatever comes, for ever."""
    consumer, producer = _consumer(bootstrap, there, fetch_ms), _producer(bootstrap)
    while True:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            producer.produce(back, message.value())
            producer.poll(0)


if __name__ == "__main__":
    _echo(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
