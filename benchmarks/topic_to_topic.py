"""A plain producer and a plain consumer around a worker: requests to one topic, responses from another."""

from __future__ import annotations

import time
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.headers import REPLY_TOPIC
from transport.reader import watermarks

from .services import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from .services import Broker

_ANSWERED_SECONDS: Final = 900.0
_POLL_SECONDS: Final = 0.05
_POLL_MESSAGES: Final = 500
_BULK_LINGER_MS: Final = 5
_WARM_UP: Final = 64
_FLUSH_SECONDS: Final = 10.0


class TopicToTopic:
    """Sends requests and reads responses; from one thread.

    Args:
        broker: Where the topics are.
        requests: Topic to publish to.
        responses: Topic to read, from its present end.
        is_prompt: Whether one message matters more than many: nothing lingers, and answers are asked to `responses`.
    """

    def __init__(self, broker: Broker, requests: str, responses: str, *, is_prompt: bool = False) -> None:
        self._requests, self._most_outstanding = requests, broker.most_outstanding
        self._headers: dict[str, str | bytes | None] = {REPLY_TOPIC: responses} if is_prompt else {}
        profile, common = broker.cluster.profile, {"bootstrap.servers": broker.bootstrap}
        self._producer = Producer(
            {**common, "linger.ms": 0 if is_prompt else _BULK_LINGER_MS, "partitioner": "murmur2_random"}
        )
        self._consumer = Consumer(
            {
                **common,
                "group.id": f"benchmark-{uuid.uuid4().hex}",
                "fetch.wait.max.ms": profile.prompt_fetch_ms if is_prompt else profile.patient_fetch_ms,
                "enable.auto.commit": False,
            }
        )
        partitions = self._consumer.list_topics(responses, timeout=10).topics[responses].partitions
        ends = [TopicPartition(responses, partition) for partition in partitions]
        for one in ends:
            # Patient: a topic just made has no leader for a moment.
            one.offset = watermarks(self._consumer, responses, one.partition, 10)[1]
        self._consumer.assign(ends)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One request a text; vectors in the order of the texts, shape `(len(texts), dim)`.

        Raises:
            SystemExit: A response is an error, or responses stay out.
        """
        run = uuid.uuid4().hex[:8]
        vectors: dict[int, NDArray[np.float32]] = {}
        for value in self.exchange(requests(run, texts), len(texts)):
            response = orjson.loads(value)
            if "error" in response:
                raise SystemExit(f"a request failed: {response['error']['message']}")
            number = int(response["id"].rpartition("/")[2])
            vectors[number] = np.asarray(response["data"][0]["embedding"], dtype=np.float32)
        return np.stack([vectors[number] for number in range(len(texts))])

    def warm_up(self, texts: Sequence[str]) -> Self:
        """Compute a few of the texts."""
        self.embed(texts[:_WARM_UP])
        return self

    def exchange(self, messages: Iterable[tuple[str, bytes]], count: int) -> Iterator[bytes]:
        """Publish keys and values; the values of `count` responses, as they come.

        Raises:
            SystemExit: Responses stay out.
        """
        waiting, sent, answered = iter(messages), 0, 0
        until = time.monotonic() + _ANSWERED_SECONDS
        while answered < count:
            sent += self.publish(islice(waiting, min(count, self._most_outstanding + answered) - sent))
            if time.monotonic() > until:
                raise SystemExit(f"{count - answered} responses stay out")
            for value in self.answers():
                answered += 1
                yield value

    def publish(self, messages: Iterable[tuple[str, bytes]]) -> int:
        """Publish keys and values; how many."""
        count = 0
        for key, value in messages:
            self._producer.produce(self._requests, value, key=key, headers=self._headers)
            self._producer.poll(0)
            count += 1
        return count

    def answers(self, timeout_seconds: float = _POLL_SECONDS) -> Iterator[bytes]:
        """Values of the responses that are there; waits for a first one."""
        first = self._consumer.poll(timeout_seconds)
        for message in [first, *self._consumer.consume(_POLL_MESSAGES, 0)] if first is not None else []:
            value = message.value()
            if message.error() is None and value is not None:
                yield value

    def close(self) -> None:
        """Leave the broker."""
        self._producer.flush(_FLUSH_SECONDS)
        # Kept longer it would complain that the embedded broker is gone.
        del self._producer
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def requests(run: str, texts: Iterable[str], encoding: str = "float") -> Iterator[tuple[str, bytes]]:
    """Keys and values of requests, one a text, their ids numbered within the run."""
    for number, text in enumerate(texts):
        request_id = f"{run}/{number}"
        message = {
            "id": request_id,
            "model": MODEL,
            "input": text,
            "truncate": "END",
            "encoding_format": encoding,
        }
        yield request_id, orjson.dumps(message)
