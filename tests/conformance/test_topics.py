"""The same contract for messages: what is asked over a topic is answered as over HTTP."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.topics import TopicNames

from .models import DIM, F, M, S, body_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .service import Service

pytestmark = [pytest.mark.model, pytest.mark.slow]

SLUGS = {M: "", F: "fixed", S: "symmetric"}
WAIT_SECONDS = 30.0

ANSWERED = [
    body_of(f"{M}-query", ["a text", "b"]),
    body_of("matryoshka-passage", "a text"),
    body_of(f"{M}-query", "a text", input_type="passage"),
    body_of(M, "a text", input_type="query", dimensions=8),
    body_of(M, ["a text", "b"], input_type="query", embedding_type="int8"),
    body_of(M, "a text", input_type="query", embedding_type="ubinary", dimensions=16),
    body_of(M, "word " * 100, input_type="query", truncate="START"),
    body_of(F, "a text", encoding_format=None, truncate=None),
    body_of(S, [5, 6, 7]),
    body_of(S, "a text", dimensions=DIM + 1),
]
REFUSED = [
    body_of(M, "a text"),
    body_of(M, "a text", input_type="document"),
    body_of(M, "word " * 100, input_type="query"),
    body_of(F, "a text", dimensions=256),
    body_of(F, "a text", embedding_type="int8"),
    body_of(F, [1, 2]),
    body_of(S, [[1], [400]]),
    body_of(F, ["a", ""]),
    body_of(F, "a", encoding_format="hex"),
]


class Topics:
    """A plain producer and a plain consumer, as any pipeline has them."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.prefix = prefix
        self._producer = Producer({"bootstrap.servers": bootstrap})
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "x", "enable.auto.commit": False})
        responses = TopicNames(prefix).responses
        partitions = self._consumer.list_topics(responses, timeout=10).topics[responses].partitions
        ends = [TopicPartition(responses, partition) for partition in partitions]
        for end in ends:
            end.offset = self._consumer.get_watermark_offsets(end, timeout=10)[1]
        self._consumer.assign(ends)

    def ask(self, body: dict[str, Any], slug: str) -> dict[str, Any]:
        """Publish one request and wait for its response."""
        request_id = uuid.uuid4().hex
        value = json.dumps({"id": request_id, **body})
        self._producer.produce(TopicNames(self.prefix, slug).requests, value, key=request_id)
        assert self._producer.flush(WAIT_SECONDS) == 0
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            message = self._consumer.poll(0.2)
            if message is not None and message.error() is None and message.key() == request_id.encode():
                answer: dict[str, Any] = json.loads(message.value() or b"{}")
                assert answer.pop("id") == request_id
                return answer
        raise AssertionError(f"no response to {value[:200]}")

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture(scope="module")
def topics(service: Service) -> Iterator[Topics]:
    over = Topics(service.bootstrap, service.prefix)
    yield over
    over.close()


@pytest.mark.parametrize("body", ANSWERED, ids=lambda body: json.dumps(body)[:80])
def test_a_message_gets_the_vectors_that_http_gives(service: Service, topics: Topics, body: dict[str, Any]) -> None:
    over_http = service.ok(body).fields
    model = next(name for name in SLUGS if name in body["model"] or body["model"].startswith("matryoshka"))
    over_topic = topics.ask(body, SLUGS[model])
    rows = [[entry["embedding"] for entry in answer["data"]] for answer in (over_http, over_topic)]
    assert np.allclose(*map(np.array, rows), atol=1.01 if "int8" in body.values() else 1e-4)
    assert {**over_topic, "data": None} == {**over_http, "data": None}


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: json.dumps(body)[:80])
def test_a_message_gets_the_error_that_http_gives(service: Service, topics: Topics, body: dict[str, Any]) -> None:
    over_http = service.post(body).json()["error"]
    over_topic = topics.ask(body, SLUGS[body["model"]])["error"]
    assert over_topic == {name: value for name, value in over_http.items() if value is not None}


def test_a_message_on_another_models_topic_is_told_the_right_one(service: Service, topics: Topics) -> None:
    error = topics.ask(body_of(F, "a text"), SLUGS[S])["error"]
    assert (error["code"], error["param"]) == ("wrong_topic", "model")
    assert TopicNames(service.prefix, SLUGS[F]).requests in error["message"]
    unknown = topics.ask(body_of("org/none", "a text"), SLUGS[S])["error"]
    assert (unknown["code"], S in unknown["message"]) == ("model_not_found", True)


def test_the_prefix_of_a_role_is_counted(service: Service, topics: Topics) -> None:
    answer = topics.ask(body_of(M, "a text", input_type="query"), "")
    assert answer["usage"]["prompt_tokens"] == service.references[M].tokens("a text", "query")
