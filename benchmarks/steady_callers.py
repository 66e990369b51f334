"""Callers that never stop asking and remember when they were answered: what an outage costs is read off them."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from .services import MODEL

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from schemas.topics import TopicNames

_TEXT: Final = "How do I read a file line by line?"
_CALL_SECONDS: Final = 60.0
_AGAIN_AFTER_SECONDS: Final = 0.02
_JOIN_SECONDS: Final = 70.0


class Answer(NamedTuple):
    """When something was asked and when it was answered, on the monotonic clock."""

    asked_at: float
    answered_at: float


class SteadyCaller:
    """Asks from a thread of its own until it is closed; a context manager."""

    def __init__(self) -> None:
        self._answers: list[Answer] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self) -> None:
        raise NotImplementedError

    @property
    def answered(self) -> int:
        """Good answers so far."""
        return len(self._answers)

    def answered_since(self, moment: float) -> int:
        """Good answers to what was asked since then."""
        return sum(answer.asked_at >= moment for answer in list(self._answers))

    def longest_pause(self, since: float) -> float:
        """Longest time without a good answer from then until now, seconds."""
        moments = sorted(answer.answered_at for answer in list(self._answers))
        seen = [since, *(moment for moment in moments if moment > since), time.monotonic()]
        return max(later - earlier for earlier, later in itertools.pairwise(seen))

    def longest_call(self, since: float) -> float:
        """Longest time from question to answer of those answered since then, seconds."""
        return max(
            answer.answered_at - answer.asked_at for answer in list(self._answers) if answer.answered_at > since
        )

    def close(self) -> None:
        """Stop asking."""
        self._stop.set()
        self._thread.join(_JOIN_SECONDS)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HttpCaller(SteadyCaller):
    """Posts one text after the other to the API.

    Args:
        url: Of the API.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._host = url.removeprefix("http://")
        self.statuses: Counter[str] = Counter()

    def _ask(self) -> None:
        body = orjson.dumps({"model": MODEL, "input": _TEXT})
        connection = http.client.HTTPConnection(self._host, timeout=_CALL_SECONDS)
        while not self._stop.is_set():
            asked_at = time.monotonic()
            try:
                connection.request("POST", "/v1/embeddings", body, {"content-type": "application/json"})
                response = connection.getresponse()
                response.read()
                status = str(response.status)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                status = type(error).__name__
            self.statuses[status] += 1
            if status == "200":
                self._answers.append(Answer(asked_at, time.monotonic()))
            self._stop.wait(_AGAIN_AFTER_SECONDS)
        connection.close()


class BulkCaller(SteadyCaller):
    """Publishes requests at a steady rate and reads their responses.

    Args:
        bootstrap: Addresses of the brokers.
        topics: Where to publish and read.
        rate: Requests a second.
    """

    def __init__(self, bootstrap: str, topics: TopicNames, rate: float) -> None:
        super().__init__()
        self._topics = topics
        self._every_seconds = 1 / rate
        self._run = uuid.uuid4().hex[:8]
        self._asked: dict[str, float] = {}
        self._unanswered: set[str] = set()
        self._outcomes: Counter[str] = Counter()
        common = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._producer = Producer({**common, "enable.idempotence": True, "linger.ms": 5})
        self._consumer = Consumer({**common, "group.id": f"outage-{self._run}", "enable.auto.commit": False})
        partitions = self._consumer.list_topics(topics.responses, timeout=10).topics[topics.responses].partitions
        self._consumer.assign([TopicPartition(topics.responses, partition, 0) for partition in partitions])

    @property
    def outcomes(self) -> dict[str, int]:
        """What became of the requests: `published`, `answered`, `unanswered`, and every kind of error."""
        return {**self._outcomes, "unanswered": len(self._unanswered)}

    def finish(self, within_seconds: float) -> None:
        """Stop asking, and wait until everything is answered or the time is up."""
        self.close()
        self._producer.flush(within_seconds)
        until = time.monotonic() + within_seconds
        while self._unanswered and time.monotonic() < until:
            self._read(0.1)

    def _ask(self) -> None:
        due = time.monotonic()
        for number in itertools.count():
            if self._stop.is_set():
                return
            self._publish(f"{self._run}/{number}")
            self._producer.poll(0)
            due += self._every_seconds
            self._read(max(0.0, due - time.monotonic()))

    def _publish(self, request_id: str) -> None:
        value = orjson.dumps({"id": request_id, "model": MODEL, "input": _TEXT, "encoding_format": "base64"})
        self._asked[request_id] = time.monotonic()
        self._unanswered.add(request_id)
        self._outcomes["published"] += 1
        self._producer.produce(self._topics.requests, value, key=request_id, on_delivery=self._delivered)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._outcomes[f"not delivered: {error.name()}"] += 1

    def _read(self, timeout_seconds: float) -> None:
        first = self._consumer.poll(timeout_seconds)
        for message in [first, *self._consumer.consume(500, 0)] if first is not None else []:
            value = message.value()
            if message.error() is not None or value is None:
                continue
            response = orjson.loads(value)
            code = response.get("error", {}).get("code")
            if code is not None:
                self._outcomes[f"error: {code}"] += 1
            elif response["id"] in self._unanswered:
                self._outcomes["answered"] += 1
                self._answers.append(Answer(self._asked[response["id"]], time.monotonic()))
            else:
                self._outcomes["answered again"] += 1
            self._unanswered.discard(response["id"])
