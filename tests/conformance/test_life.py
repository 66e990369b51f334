"""Cases 22, 28 to 31 and 36 where keys, load and the life of the processes decide, over either broker."""

from __future__ import annotations

import json
import signal
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from openai import OpenAI

from schemas import headers as names
from schemas.errors import ErrorCode
from schemas.topics import TopicNames
from tests.api.hybrid import check_error
from tests.api.stand_in import raw_connection
from tests.e2e.place import Place
from tests.stack.command import Command
from tests.stack.stack import MODEL, Api, http_client
from tests.stack.waiting import wait_until
from transport.cluster import Cluster
from transport.embedded import EmbeddedBroker
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics

from .models import F, M, body_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from .conftest import Guarded
    from .models import SmallModels
    from .service import Service

pytestmark = [pytest.mark.model, pytest.mark.slow]

PATH = "/v1/embeddings"
OPEN = [
    "/v1/health/live",
    "/v1/health/ready",
    "/v1/models",
    f"/v1/models/{M}",
    "/v1/metadata",
    "/v1/version",
    "/v1/metrics",
    "/metrics",
]


# --- other settings, the same models ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict(service: Service) -> Iterator[Service]:
    """The service through an API that refuses fields it does not know."""
    with Api("api", *service.place, "--port", "0", environment={"KAFKA_EMBEDDINGS_STRICT_FIELDS": "true"}) as api:
        api.wait_until_ready()
        yield service.through(api.http)


def test_case_22_unknown_fields_are_refused_in_strict_mode_and_all_others_are_not(strict: Service) -> None:
    assert "later" in strict.refused(body_of(F, "a", later=1))["message"]
    known = {"input_type": "query", "encoding_format": "float", "embedding_type": "float", "truncate": "NONE"}
    assert strict.ok(body_of(F, "a", user="u", modality="text", **known)).tokens > 0


@pytest.mark.parametrize("authorization", ["Bearer **********", "Bearer any", "Basic eDp5", "nonsense", ""])
def test_case_29_without_keys_any_header_is_let_in(service: Service, authorization: str) -> None:
    assert service.post(body_of(F, "a"), authorization=authorization).status_code == 200


def test_case_29_with_keys_only_they_are_let_in(guarded: Guarded) -> None:
    asked = body_of(F, "a")
    assert guarded.service.post(asked, authorization=f"Bearer {guarded.key}").status_code == 200
    for headers in ({}, {"authorization": "Bearer **********"}, {"authorization": guarded.key}):
        answer = guarded.service.post(asked, **headers)
        check_error(answer, ErrorCode.INVALID_API_KEY)
        assert "Unauthorized" in answer.json()["message"]
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", OPEN)
def test_case_29_what_probes_and_operators_ask_stays_open(guarded: Guarded, path: str) -> None:
    assert guarded.service.http.get(path).status_code == 200


def test_case_28_beyond_the_limit_of_a_key_and_of_a_body(guarded: Guarded) -> None:
    limited = {"authorization": f"Bearer {guarded.limited_key}"}
    first, second = (guarded.service.post(body_of(F, "a"), **limited) for _ in range(2))
    assert first.status_code == 200
    check_error(second, ErrorCode.RATE_LIMIT_EXCEEDED, retry_after_seconds=int(second.headers["retry-after"]))
    too_large = guarded.service.post(body_of(F, "a" * 9 * 2**20), authorization=f"Bearer {guarded.key}")
    check_error(too_large, ErrorCode.REQUEST_TOO_LARGE)


# --- processes of one's own, which may be stopped -----------------------------------------------------------------


@contextmanager
def _place(broker: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    topics = TopicNames(f"life-{uuid.uuid4().hex[:8]}")
    if broker == "kafka":
        bootstrap = request.getfixturevalue("kafka_bootstrap")
        create_topics(Cluster.probe(KafkaSettings(bootstrap=bootstrap)), topics.all())
        yield Place(bootstrap, topics)
        return
    with EmbeddedBroker() as embedded:
        embedded.create_topics(topics)
        yield Place(embedded.bootstrap, topics)


on_either_broker = pytest.mark.parametrize(
    "broker", ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)], scope="module"
)


@dataclass(frozen=True, slots=True)
class Narrow:
    """A worker that computes nothing, and an API that has room for one request."""

    place: Place
    worker: Command
    api: Api

    def ask(self, *, timeout_seconds: float = 20) -> httpx.Response:
        body = {"model": MODEL, "input": "a text"}
        with http_client(self.api.url) as http:
            return http.post(PATH, json=body, headers={"x-request-timeout": str(timeout_seconds)})

    def told(self, gauge: str) -> float:
        return self.api.metrics()[gauge]

    @contextmanager
    def halted(self) -> Iterator[None]:
        """The worker stands still; sessions and beats outlive it only for some seconds."""
        self.worker.pause()
        try:
            yield
        finally:
            self.worker.resume()


@pytest.fixture(scope="module")
def narrow(broker: str, request: pytest.FixtureRequest) -> Iterator[Narrow]:
    no_skew = {"KAFKA_EMBEDDINGS_CLOCK_SKEW_SECONDS": "0"}
    no_room = {"KAFKA_EMBEDDINGS_MAX_IN_FLIGHT_BYTES": "1024"}
    with (
        _place(broker, request) as place,
        Command("worker", *place.flags, "--encoder", "null", environment=no_skew) as worker,
        Api("api", *place.flags, "--port", "0", environment=no_room) as api,
    ):
        worker.wait_for('"ready"')
        api.wait_until_ready()
        yield Narrow(place, worker, api)


@on_either_broker
def test_case_30_a_full_house_is_said_at_once_and_a_client_that_tries_again_is_answered(narrow: Narrow) -> None:
    def come_again() -> list[float]:
        with OpenAI(base_url=f"{narrow.api.url}/v1", api_key="any", max_retries=10) as client:
            return client.embeddings.create(model=MODEL, input="a text").data[0].embedding

    refused = 'rejected_total{code="overloaded"}'
    with ThreadPoolExecutor() as threads:
        with narrow.halted():
            inside = threads.submit(narrow.ask)
            wait_until(lambda: narrow.told("pending_replies") == 1, "a request inside")
            started_at = time.monotonic()
            check_error(narrow.ask(), ErrorCode.OVERLOADED)
            assert time.monotonic() - started_at < 2
            before = narrow.told(refused)
            outside = threads.submit(come_again)
            wait_until(lambda: narrow.told(refused) > before, "a client that was refused")
        assert inside.result().status_code == 200
        assert np.linalg.norm(outside.result()) == pytest.approx(1, abs=1e-3)


@on_either_broker
@pytest.mark.parametrize("inputs", [1, 70])
def test_case_36_a_caller_that_disconnects_leaves_no_reply_awaited_and_no_room_taken(
    narrow: Narrow, inputs: int
) -> None:
    parts = -(-inputs // 64)
    strangers = narrow.told("unawaited_replies_total")
    body = json.dumps({"model": MODEL, "input": ["a text"] * inputs})
    with narrow.halted():
        with raw_connection(narrow.api.http) as connection:
            connection.sendall(
                f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
            )
            wait_until(lambda: narrow.told("pending_replies") == parts, "all parts asked")
        for gauge in ("pending_replies", "in_flight_requests", "in_flight_tokens", "in_flight_bytes"):
            wait_until(lambda gauge=gauge: narrow.told(gauge) == 0, f"{gauge} back to 0")
    wait_until(lambda: narrow.told("unawaited_replies_total") == strangers + parts, "replies for nobody")
    assert narrow.ask().status_code == 200


@on_either_broker
def test_case_28_past_its_deadline_a_request_is_504_and_the_worker_does_not_compute_it(narrow: Narrow) -> None:
    with narrow.halted():
        check_error(narrow.ask(timeout_seconds=0.3), ErrorCode.TIMEOUT)

    def expired(read: list[Any]) -> list[Any]:
        return [one for one in read if one.headers[names.STATUS] == b"timeout"]

    with closing(narrow.place.reader(narrow.place.topics.replies)) as replies:
        replies.until(lambda read: bool(expired(read)), "the worker's reply")
        assert narrow.ask().status_code == 200
        [reply] = expired(replies.up_to_now())
        assert [one for one in replies.messages if one.key == reply.key] == [reply]
    assert reply.body["error"]["code"] == "timeout"
    assert "data" not in reply.body


@on_either_broker
def test_case_31_an_api_is_ready_once_the_model_is_loaded_until_it_stops_and_answers_what_is_under_way(
    broker: str, request: pytest.FixtureRequest, small_models: SmallModels
) -> None:
    model = ("--models", str(small_models.catalogue), "--name", M)
    with (
        _place(broker, request) as place,
        Api("api", *place.flags, "--port", "0") as api,
        http_client(api.url) as http,
        ThreadPoolExecutor() as threads,
    ):

        def ask() -> httpx.Response:
            return http.post(PATH, json=body_of(M, "a text", input_type="query"))

        api.wait_for('"connected"')
        assert (api.http.get("/v1/health/live").status_code, api.readiness()) == (200, 503)
        check_error(ask(), ErrorCode.UNAVAILABLE)
        with Command("worker", *place.flags, *model) as worker:
            wait_until(lambda: "loading" in api.http.get("/v1/health/ready").text, "a model that loads")
            assert (api.http.get("/v1/health/live").status_code, api.readiness()) == (200, 503)
            check_error(ask(), ErrorCode.MODEL_NOT_READY)
            api.wait_until_ready(within_seconds=120)
            assert ask().status_code == 200

            worker.pause()
            under_way = threads.submit(ask)
            wait_until(lambda: api.metrics()["pending_replies"] == 1, "a request under way")
            api.signal(signal.SIGTERM)
            wait_until(lambda: api.readiness() == 503, "an API that is not ready")
            assert api.http.get("/v1/health/live").status_code == 200
            worker.resume()
            assert under_way.result().status_code == 200
            assert api.wait() == 0, api.quote()
