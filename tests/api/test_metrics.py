from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from api.admission import Admission
from api.metrics import Metrics
from schemas.errors import ErrorCode, RequestError
from schemas.requests import EncodingFormat
from schemas.response_sizes import response_bytes
from tests.stack.stack import MODEL
from tests.stack.waiting import wait_until

from .stand_in import DIM, TOKENS_AN_INPUT, StandInClient, api_over, ask, raw_connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

PREFIX = "kafka_embeddings_api_"
PATH = "/v1/embeddings"


@pytest.fixture
def client() -> StandInClient:
    return StandInClient()


@pytest.fixture
def http(client: StandInClient) -> Iterator[httpx.Client]:
    """An API that nobody has asked anything yet."""
    with api_over(client, max_body_bytes=4096) as http:
        yield http


def read(http: httpx.Client, path: str = "/metrics") -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample: (name without prefix, label values) -> value."""
    text = http.get(path).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(one.name.removeprefix(PREFIX), tuple(one.labels.values())): one.value for one in samples}


@pytest.mark.parametrize("path", ["/metrics", "/v1/metrics"])
def test_both_paths_tell_the_same_in_prometheus_words(http: httpx.Client, path: str) -> None:
    response = http.get(path)

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(response.text)}
    assert {name.removeprefix(PREFIX) for name in names} >= {
        "requests",
        "request_duration_seconds",
        "prompt_tokens",
        "inputs",
        "rejected",
        "in_flight_requests",
        "in_flight_tokens",
        "in_flight_bytes",
        "pending_replies",
        "unawaited_replies",
    }


def test_counters_rise_by_exactly_the_traffic(http: httpx.Client) -> None:
    for _ in range(3):
        assert ask(http, input=["a", "b"]).status_code == 200
    assert ask(http, model=f"{MODEL}-query").status_code == 200

    told = read(http)

    assert told["requests_total", (PATH, "200")] == 4
    assert told["request_duration_seconds_count", (PATH,)] == 4
    assert 0 < told["request_duration_seconds_sum", (PATH,)] < 20
    assert told["inputs_total", (MODEL,)] == 7
    assert told["prompt_tokens_total", (MODEL,)] == 7 * TOKENS_AN_INPUT


def test_every_refusal_is_counted_under_its_status_and_its_code(client: StandInClient, http: httpx.Client) -> None:
    ask(http, model="nothing")
    ask(http, input="x" * 5000)
    ask(http, input=[])
    http.get(PATH)
    http.get("/nowhere")
    client.failure = RequestError(ErrorCode.TIMEOUT, "no reply")
    ask(http)
    client.failure = ValueError("a bug")
    ask(http)

    told = read(http)

    rejected = {labels[0]: value for (name, labels), value in told.items() if name == "rejected_total" and value}
    assert rejected == {
        "model_not_found": 1,
        "request_too_large": 1,
        "invalid_request": 1,
        "method_not_allowed": 1,
        "not_found": 1,
        "timeout": 1,
        "internal_error": 1,
    }
    statuses = {labels: value for (name, labels), value in told.items() if name == "requests_total"}
    assert statuses == {
        (PATH, "404"): 1,
        (PATH, "413"): 1,
        (PATH, "400"): 1,
        (PATH, "405"): 1,
        ("unmatched", "404"): 1,
        (PATH, "504"): 1,
        (PATH, "500"): 1,
    }
    assert not any(name in ("inputs_total", "prompt_tokens_total") for name, _ in told)


def test_nothing_a_caller_makes_up_becomes_a_label(http: httpx.Client) -> None:
    for made_up in ("secret-1", "secret-2"):
        http.get(f"/{made_up}")
        http.get(f"/v1/models/{made_up}")
        http.request(made_up.replace("-", ""), PATH)
        ask(http, model=made_up, user=made_up)
    http.get("/docs")

    told = read(http)

    assert "secret" not in http.get("/metrics").text
    paths = {labels[0] for (name, labels) in told if name == "requests_total"}
    assert paths == {"unmatched", "/v1/models/{model:path}", PATH, "/docs"}


def test_what_is_under_way_is_told_while_it_is(client: StandInClient, http: httpx.Client) -> None:
    assert (read(http)["in_flight_requests", ()], read(http)["in_flight_tokens", ()]) == (0, 0)
    client.hold()
    body = f'{{"model": "{MODEL}", "input": "{"x" * 400}"}}'
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with raw_connection(http) as connection:
        connection.sendall((head + body).encode())
        wait_until(lambda: read(http)["in_flight_tokens", ()] == 100, "the request under way")
        assert read(http)["in_flight_requests", ()] == 1
        assert read(http)["in_flight_bytes", ()] == len(body) + response_bytes(1, DIM, EncodingFormat.FLOAT)

    wait_until(lambda: read(http)["in_flight_requests", ()] == 0, "the caller missed")
    assert read(http)["in_flight_tokens", ()] == read(http)["in_flight_bytes", ()] == 0
    assert read(http)["requests_total", (PATH, "499")] == 1
    assert read(http)["rejected_total", ("unavailable",)] == 0


def test_replies_that_nobody_awaited_are_told(client: StandInClient, http: httpx.Client) -> None:
    client.strangers = 3

    assert read(http)["unawaited_replies_total", ()] == 3


def test_two_applications_count_apart_and_nothing_is_global(client: StandInClient, http: httpx.Client) -> None:
    with api_over(StandInClient()) as other:
        ask(other)

    assert ("requests_total", (PATH, "200")) not in read(http)
    assert not any(name.startswith(PREFIX) for name in REGISTRY._names_to_collectors)


def test_every_name_has_a_base_unit_or_counts(client: StandInClient) -> None:
    names = [family.name for family in Metrics(Admission(1, 1), client).registry.collect()]

    assert len(names) == len(set(names)) == 10
    assert all(name.startswith(PREFIX) for name in names)
