from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from starlette.exceptions import HTTPException
from structlog.testing import capture_logs

from api.errors import error_response, http_error
from schemas.errors import ERRORS, ErrorCode, RequestError

from .hybrid import check_error
from .stand_in import StandInClient, api_over, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_becomes_the_hybrid_body_with_status_and_type_of_its_row(code: ErrorCode) -> None:
    response = error_response(RequestError(code, "what is wrong", param="input", index=3))

    body = orjson.loads(response.body)
    kind = ERRORS[code]
    assert response.status_code == kind.status
    assert body["type"] == body["error"]["type"] == kind.type
    assert body["error"] == {
        "message": "what is wrong",
        "type": kind.type,
        "param": "input",
        "code": code.value,
        "index": 3,
    }
    assert isinstance(body["detail"], dict)
    after = kind.retry_after_seconds
    assert response.headers.get("retry-after") == (None if after is None else str(after))


def test_only_a_violation_of_the_schema_gets_nims_words_and_a_detail() -> None:
    invalid = orjson.loads(error_response(RequestError(ErrorCode.INVALID_REQUEST, "own words", param="user")).body)
    too_long = orjson.loads(error_response(RequestError(ErrorCode.CONTEXT_LENGTH_EXCEEDED, "own words")).body)

    assert invalid["message"] == "Your request cannot be validated, it is incorrect."
    assert invalid["detail"] == {"loc": ["body", "user"], "msg": "own words", "type": "value_error"}
    assert (too_long["message"], too_long["detail"]) == ("own words", {})


def test_what_the_framework_refuses_keeps_its_status_where_the_table_has_it() -> None:
    assert http_error(HTTPException(404), "GET", "/x").code is ErrorCode.NOT_FOUND
    assert http_error(HTTPException(405), "PUT", "/x").code is ErrorCode.METHOD_NOT_ALLOWED
    assert http_error(HTTPException(400, "odd"), "PUT", "/x").message == "odd"


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/embeddings", "/v1/embeddings/x", "/v1/health"])
def test_an_unknown_path_is_named(http: httpx.Client, path: str) -> None:
    error = check_error(http.get(path), ErrorCode.NOT_FOUND)

    assert path in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("PUT", "/v1/models/any/model", "GET, HEAD"),
        ("DELETE", "/v1/health/ready", "GET, HEAD"),
        ("POST", "/v1/metadata", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_refused_and_the_right_one_named(
    http: httpx.Client, method: str, path: str, allowed: str
) -> None:
    response = http.request(method, path)

    error = check_error(response, ErrorCode.METHOD_NOT_ALLOWED)
    assert method in error["message"]
    assert response.headers["allow"] == allowed


@pytest.fixture(scope="module")
def stand_in() -> Iterator[httpx.Client]:
    """An API that reads little and fails at whatever it reads."""
    client = StandInClient()
    client.failure = UnicodeEncodeError("utf-8", "the text of an input", 0, 1, "a bug of ours")
    with api_over(client, max_body_bytes=1024) as http:
        yield http


def test_a_failure_of_ours_is_a_500_that_names_its_request_and_nothing_else(stand_in: httpx.Client) -> None:
    with capture_logs() as logged:
        response = ask(stand_in, input="the text of an input")

    error = check_error(response, ErrorCode.INTERNAL_ERROR)
    assert response.headers["x-request-id"] in error["message"]
    assert "Unicode" not in response.text
    assert [entry["event"] for entry in logged] == ["request failed"]
    assert "text of" not in str(logged)


def test_what_the_framework_itself_would_answer_has_the_one_body_too(stand_in: httpx.Client) -> None:
    path = "/v1/embeddings"

    check_error(stand_in.post(path, content=b"{"), ErrorCode.INVALID_REQUEST)
    check_error(stand_in.post(path, content=b"x" * 1025), ErrorCode.REQUEST_TOO_LARGE)
    check_error(stand_in.post(path, content=iter([b"x" * 1025])), ErrorCode.REQUEST_TOO_LARGE)
    check_error(stand_in.get(path), ErrorCode.METHOD_NOT_ALLOWED)
    check_error(stand_in.post(f"{path}/"), ErrorCode.NOT_FOUND)
    check_error(stand_in.get("/v1/models/"), ErrorCode.MODEL_NOT_FOUND)
    check_error(stand_in.get("/v1//models"), ErrorCode.NOT_FOUND)
    check_error(stand_in.get("/%ff%00"), ErrorCode.NOT_FOUND)


def test_unknown_fields_are_refused_where_the_settings_say_so() -> None:
    with api_over(StandInClient(), strict_fields=True) as http:
        assert ask(http, user="u").status_code == 200
        refused = ask(http, later=1)
    error = check_error(refused, ErrorCode.INVALID_REQUEST)
    assert (error["param"], error["message"]) == ("later", '"later" is no field of a request')
    with api_over(StandInClient()) as http:
        assert ask(http, later=1).status_code == 200
