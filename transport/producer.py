"""A producer whose every message ends in exactly one call of its delivery callback.

Failures that librdkafka raises in the caller's thread (a partition out of range, a message over the limit) come
through the same callback, so that no header of a request can stop the thread that publishes. Callbacks run on the
producer's own poll thread, or at once in the caller's; they must not block.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Producer

from .cluster import new_client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import confluent_kafka

    from schemas.headers import Header

    from .cluster import Cluster

_POLL_SECONDS: Final = 0.1
_FULL_QUEUE_WAIT_SECONDS: Final = 0.02


class FailureKind(Enum):
    """Why a message was not delivered, by what can be done about it."""

    UNKNOWN = "unknown topic or partition"
    REFUSED = "refused by the broker"
    TOO_LARGE = "too large"
    TRANSIENT = "not delivered in time"
    FATAL = "fatal"


_KINDS: Final = {
    KafkaError._FATAL: FailureKind.FATAL,
    KafkaError._UNKNOWN_TOPIC: FailureKind.UNKNOWN,
    KafkaError._UNKNOWN_PARTITION: FailureKind.UNKNOWN,
    KafkaError.UNKNOWN_TOPIC_OR_PART: FailureKind.UNKNOWN,
    KafkaError.TOPIC_EXCEPTION: FailureKind.UNKNOWN,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: FailureKind.REFUSED,
    KafkaError.POLICY_VIOLATION: FailureKind.REFUSED,
    KafkaError.INVALID_RECORD: FailureKind.REFUSED,
    KafkaError.MSG_SIZE_TOO_LARGE: FailureKind.TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE: FailureKind.TOO_LARGE,
    KafkaError._MSG_TIMED_OUT: FailureKind.TRANSIENT,
    KafkaError._TIMED_OUT: FailureKind.TRANSIENT,
    KafkaError._TRANSPORT: FailureKind.TRANSIENT,
    KafkaError._ALL_BROKERS_DOWN: FailureKind.TRANSIENT,
    KafkaError._PURGE_QUEUE: FailureKind.TRANSIENT,
    KafkaError._PURGE_INFLIGHT: FailureKind.TRANSIENT,
}


@dataclass(frozen=True, slots=True)
class DeliveryFailure:
    """A message that is not on its topic."""

    kind: FailureKind
    reason: str


Delivery: TypeAlias = "Callable[[DeliveryFailure | None], None]"
"""Called once a message: with None when every in-sync replica has it."""


class DeliveringProducer:
    """Publishes messages and tells what became of each. Thread-safe.

    Args:
        cluster: Where to publish.
        client: Name in the broker's logs and ours.
        linger_ms: How long librdkafka gathers messages into one request.
        compression: Codec for message batches.
        delivery_timeout_seconds: After this a message fails as `TRANSIENT`; None: never, it is retried for ever.
        buffered_bytes: Bound of what waits to be sent; `produce` blocks beyond it.
        on_failure: Called once when no more deliveries can be told; the process should end.
    """

    def __init__(
        self,
        cluster: Cluster,
        client: str,
        *,
        linger_ms: float,
        compression: str = "none",
        delivery_timeout_seconds: float | None = None,
        buffered_bytes: int = 64 * 1024 * 1024,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        config = {
            "linger.ms": linger_ms,
            "compression.type": compression,
            "delivery.timeout.ms": int((delivery_timeout_seconds or 0) * 1000),
            "queue.buffering.max.kbytes": max(1024, buffered_bytes // 1024),
            "queue.buffering.max.messages": 500_000,
            **cluster.producer_config(client),
        }
        self._on_failure = on_failure
        self._producer = new_client(Producer, config)
        self._closed = threading.Event()
        self._counting = threading.Lock()
        self.failures: Counter[FailureKind] = Counter()
        """Messages that were not delivered, by why."""
        self._undelivered = 0  # not librdkafka's own count, which takes in events that are no messages
        self._thread = threading.Thread(target=self._serve, name=f"delivery-{client}", daemon=True)
        self._thread.start()

    def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
        on_delivery: Delivery,
    ) -> None:
        """Hand over one message. Blocks while the buffer is full.

        Raises:
            RuntimeError: The producer is closed.
        """
        while not self.try_produce(
            topic, key=key, value=value, headers=headers, partition=partition, on_delivery=on_delivery
        ):
            self._closed.wait(_FULL_QUEUE_WAIT_SECONDS)

    def try_produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
        on_delivery: Delivery,
    ) -> bool:
        """Hand over one message unless the buffer is full. Never blocks.

        Returns:
            Whether it was handed over; after False nothing has happened, and its callback is not called.

        Raises:
            RuntimeError: The producer is closed.
        """
        if self._closed.is_set():
            raise RuntimeError("the producer is closed")

        def delivered(error: KafkaError | None, _: confluent_kafka.Message) -> None:
            with self._counting:
                self._undelivered -= 1
            on_delivery(None if error is None else self._failed(failure_of(error)))

        try:
            with self._counting:  # before its delivery can be counted
                self._producer.produce(
                    topic,
                    value=value,
                    key=key,
                    # -1: the partitioner decides.
                    partition=-1 if partition is None else partition,
                    headers=list(headers),
                    on_delivery=delivered,
                )
                self._undelivered += 1
        except BufferError:
            return False
        except ValueError as error:  # a topic's name that no C string can hold, for instance
            on_delivery(self._failed(DeliveryFailure(FailureKind.UNKNOWN, str(error))))
        except KafkaException as error:
            on_delivery(self._failed(failure_of(error.args[0])))
        return True

    def _failed(self, failure: DeliveryFailure) -> DeliveryFailure:
        with self._counting:
            self.failures[failure.kind] += 1
        return failure

    def flush(self, timeout_seconds: float) -> int:
        """Wait until everything is delivered or the time is up.

        Returns:
            Messages still on their way.
        """
        self._producer.flush(timeout_seconds)
        with self._counting:
            return self._undelivered

    def close(self, timeout_seconds: float = 5.0) -> int:
        """Flush, then stop. Messages still undelivered are dropped, their callbacks not called.

        Returns:
            How many were dropped.
        """
        remaining = self.flush(timeout_seconds)
        self._closed.set()
        self._thread.join(timeout=2 * _POLL_SECONDS + 1)
        return remaining

    def _serve(self) -> None:
        try:
            while not self._closed.is_set():
                self._producer.poll(_POLL_SECONDS)
        except Exception as error:  # librdkafka gave up (poll raises it), or a callback failed
            if self._on_failure is None:
                raise
            self._on_failure(error)


def fault_of(error: KafkaError) -> DeliveryFailure | None:
    """The failure of a message that is itself at fault, whoever sends it and when; None for everything else."""
    kind = None if error.fatal() else _KINDS.get(error.code())
    if kind not in (FailureKind.UNKNOWN, FailureKind.REFUSED, FailureKind.TOO_LARGE):
        return None
    return DeliveryFailure(kind, f"{error.name()}: {error.str()}")


def failure_of(error: KafkaError) -> DeliveryFailure:
    """What an error of librdkafka means for the message it is about."""
    kind = FailureKind.FATAL if error.fatal() else _KINDS.get(error.code())
    if kind is None:
        kind = FailureKind.TRANSIENT if error.retriable() else FailureKind.REFUSED
    return DeliveryFailure(kind, f"{error.name()}: {error.str()}")
