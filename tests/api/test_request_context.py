from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from structlog.testing import capture_logs

from api.request_context import RequestContext
from schemas.errors import ErrorCode

from .hybrid import check_error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/health/live"),
        ("GET", "/v1/health/ready"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/nothing"),
        ("PUT", "/v1/models"),
        ("POST", "/v1/embeddings"),
    ],
)
def test_every_response_carries_an_id_of_its_own(http: httpx.Client, method: str, path: str) -> None:
    ids = [http.request(method, path).headers.get_list("x-request-id") for _ in range(2)]

    assert [len(each) for each in ids] == [1, 1]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("given", ["x", "req-1234:abc/def", "!" * 128])
def test_a_sane_id_is_the_callers_own(http: httpx.Client, given: str) -> None:
    response = http.get("/v1/models", headers={"x-request-id": given})

    assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", [b"", b"two words", b"x" * 129, b"caf\xe9", b"tab\there"])
def test_an_id_that_would_spoil_a_log_is_replaced(http: httpx.Client, given: bytes) -> None:
    response = http.get("/v1/models", headers=[(b"x-request-id", given)])

    assert response.headers["x-request-id"].encode() != given
    assert len(response.headers["x-request-id"]) == 32


async def _fails(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        raise KeyError("the first secret")
    except KeyError as error:
        raise ValueError("the secret cause") from error


async def _fails_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError("too late for another answer")


def _get(app: ASGIApp) -> httpx.Response:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(RequestContext(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get("/", headers={"x-request-id": "mine"})

    return asyncio.run(get())


def test_our_own_failure_is_a_500_that_names_the_request_and_hides_the_cause() -> None:
    with capture_logs() as logged:
        response = _get(_fails)

    error = check_error(response, ErrorCode.INTERNAL_ERROR)
    assert "mine" in error["message"]
    assert "secret" not in response.text
    assert response.headers["x-request-id"] == "mine"
    [entry] = logged
    assert (entry["event"], entry["log_level"], entry["request_id"]) == ("request failed", "error", "mine")
    assert [cause.split(" at ")[0] for cause in entry["causes"]] == ["ValueError", "KeyError"]
    assert all(f"{__file__}:" in cause and " _fails" in cause for cause in entry["causes"])


def test_a_failure_is_logged_without_its_message_which_may_quote_an_input() -> None:
    with capture_logs() as logged:
        _get(_fails)

    assert "secret" not in str(logged)


def test_a_failure_after_the_answer_began_is_not_hidden() -> None:
    with capture_logs() as logged, pytest.raises(ValueError, match="too late"):
        _get(_fails_late)

    assert len(logged) == 1
