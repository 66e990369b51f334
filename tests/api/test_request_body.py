from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from api.admission import UNDECLARED_BYTES, Admission
from api.settings import ApiSettings
from schemas.errors import ErrorCode
from schemas.requests import EncodingFormat
from schemas.response_sizes import response_bytes
from tests.stack.stack import MODEL
from tests.stack.waiting import wait_until

from .hybrid import check_error
from .stand_in import DIM, StandInClient, api_over, ask, raw_connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    import httpx

MAX_TOKENS = 30_000
BODY = f'{{"model": "{MODEL}", "input": "{"x" * 4000}"}}'.encode()
ANSWER_BYTES = response_bytes(1, DIM, EncodingFormat.FLOAT)


class Place:
    """An API with little room, and a look at what is under way."""

    def __init__(self, http: httpx.Client, client: StandInClient, admission: Admission) -> None:
        self.http = http
        self.client = client
        self.admission = admission

    @contextmanager
    def connection(self, *headers: str) -> Iterator[socket.socket]:
        """A connection on which a request has begun."""
        with raw_connection(self.http) as connection:
            head = "\r\n".join(("POST /v1/embeddings HTTP/1.1", "host: x", *headers))
            connection.sendall(f"{head}\r\n\r\n".encode())
            yield connection

    def wait_until_used(self, requests: int, size_bytes: int) -> None:
        wait_until(
            lambda: (self.admission.requests, self.admission.used_bytes) == (requests, size_bytes),
            f"{requests} requests of {size_bytes} bytes under way",
        )


@pytest.fixture(scope="module")
def shared() -> Iterator[Place]:
    client = StandInClient()
    admission = Admission(10**9, MAX_TOKENS)
    with api_over(client, admission) as http:
        yield Place(http, client, admission)


@pytest.fixture
def place(shared: Place) -> Iterator[Place]:
    """The API, empty before and after each test."""
    yield shared
    shared.client.let_go()
    shared.wait_until_used(0, 0)
    assert shared.admission.used_tokens == 0


def test_a_body_that_was_only_announced_holds_no_more_room_than_the_server_reads_ahead(place: Place) -> None:
    with place.connection("content-length: 5000000") as slow:
        slow.sendall(b"{")
        place.wait_until_used(1, UNDECLARED_BYTES)

        assert ask(place.http, input="x" * 40_000).status_code == 200


def test_a_body_without_room_is_refused_before_it_is_sent(place: Place) -> None:
    with place.connection("content-length: 5000000"):
        place.wait_until_used(1, UNDECLARED_BYTES)
        with place.connection(f"content-length: {4 * MAX_TOKENS}") as connection:
            answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in answer


def test_a_body_of_known_length_is_refused_where_its_growth_finds_no_room(place: Place) -> None:
    with place.connection("content-length: 40000"):
        place.wait_until_used(1, 40000)
        with place.connection("content-length: 1000000") as connection:
            connection.sendall(b"x" * (4 * MAX_TOKENS - 40000))
            place.wait_until_used(2, 4 * MAX_TOKENS)
            connection.sendall(b"x")

            assert connection.recv(4096).startswith(b"HTTP/1.1 503 ")
        place.wait_until_used(1, 40000)


def test_a_body_of_unknown_length_is_refused_where_its_growth_finds_no_room(place: Place) -> None:
    with place.connection("content-length: 40000"):
        place.wait_until_used(1, 40000)
        with place.connection("transfer-encoding: chunked") as connection:
            place.wait_until_used(2, 40000 + UNDECLARED_BYTES)
            room = 4 * MAX_TOKENS - 40000
            connection.sendall(b"%x\r\n" % room + b"x" * room + b"\r\n")
            place.wait_until_used(2, 4 * MAX_TOKENS)
            connection.sendall(b"1\r\nx\r\n")

            assert connection.recv(4096).startswith(b"HTTP/1.1 503 ")
        place.wait_until_used(1, 40000)


def test_a_caller_that_goes_away_while_it_waits_frees_its_place(place: Place) -> None:
    place.client.hold()
    with place.connection(f"content-length: {len(BODY)}") as connection:
        connection.sendall(BODY)
        place.wait_until_used(1, len(BODY) + ANSWER_BYTES)
        wait_until(lambda: place.admission.used_tokens == 1000, "the request with its worker")

    place.wait_until_used(0, 0)
    assert place.admission.used_tokens == 0


def test_a_caller_that_goes_away_while_it_sends_frees_its_place(place: Place) -> None:
    with place.connection(f"content-length: {len(BODY)}") as connection:
        connection.sendall(BODY[:100])
        place.wait_until_used(1, len(BODY))

    place.wait_until_used(0, 0)


def test_a_body_that_does_not_arrive_in_time_frees_its_place(place: Place) -> None:
    started_at = time.monotonic()
    with place.connection(f"content-length: {len(BODY)}", "x-request-timeout: 0.2") as connection:
        connection.sendall(BODY[:100])

        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 504 ")
    assert 0.15 < time.monotonic() - started_at < 10
    place.wait_until_used(0, 0)


def test_what_the_body_took_is_not_granted_to_the_reply_once_more(place: Place) -> None:
    ask(place.http)

    assert place.client.timeout_seconds is not None
    assert 0 < place.client.timeout_seconds < ApiSettings().timeout_seconds


@pytest.mark.parametrize("content", [b"not JSON", b'{"model": "nothing", "input": "a"}'])
def test_a_refused_request_frees_its_place(place: Place, content: bytes) -> None:
    assert place.http.post("/v1/embeddings", content=content).status_code in (400, 404)

    assert (place.admission.requests, place.admission.used_bytes, place.admission.used_tokens) == (0, 0, 0)


def test_beyond_the_bound_callers_are_refused_at_once_and_never_wait_in_line(place: Place) -> None:
    place.client.hold()
    with ThreadPoolExecutor(40) as threads:
        asked = [threads.submit(ask, place.http, input="x" * 4000) for _ in range(40)]
        wait_until(
            lambda: place.admission.requests + sum(one.done() for one in asked) == 40,
            "40 callers, each let in or refused",
        )
        refused = [one for one in asked if one.done()]
        assert place.admission.used_tokens <= MAX_TOKENS

        place.client.let_go()

        for one in refused:
            check_error(one.result(), ErrorCode.OVERLOADED)
        let_in = [one for one in asked if one not in refused]
        assert [one.result().status_code for one in let_in] == [200] * len(let_in)
    assert len(let_in) in (29, 30)


@pytest.mark.slow
def test_openai_s_client_comes_back_by_itself_and_is_answered_once_there_is_room(place: Place) -> None:
    from openai import OpenAI

    def refusals() -> str:
        return next(line for line in place.http.get("/metrics").text.splitlines() if '"overloaded"' in line)

    place.client.hold()
    refusals_before = refusals()
    with (
        ThreadPoolExecutor(2) as threads,
        OpenAI(base_url=str(place.http.base_url.join("/v1")), api_key="any", max_retries=3) as openai,
    ):
        first = threads.submit(ask, place.http, input="x" * 80_000)
        wait_until(lambda: place.admission.used_tokens == 20_000, "the first request under way")
        started_at = time.monotonic()
        second = threads.submit(openai.embeddings.create, model=MODEL, input="x" * 80_000)
        wait_until(lambda: refusals() != refusals_before, "the refusal")

        place.client.let_go()

        assert first.result().status_code == 200
        assert len(second.result().data) == 1
    # As long as Retry-After said, not the client's own half a second.
    assert time.monotonic() - started_at >= 1
