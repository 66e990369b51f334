"""What the API really answers is what its OpenAPI document says: status, media type, headers, body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from api.admission import Admission
from api.keys import new_key
from schemas.errors import ERRORS, ErrorCode, RequestError

from .stand_in import StandInClient, api_over, ask, beat
from .test_openapi import DOCUMENT, OPERATIONS, resolved, validator

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

_NOT_OURS = {"content-length", "content-type", "date", "server"}


def check(response: httpx.Response, path: str, status: int) -> Any:
    """Hold an answer against the operation of a path; its body."""
    operation = OPERATIONS[response.request.method.lower(), path]
    assert response.status_code == status, response.text
    told = resolved(operation["responses"][str(status)])

    assert set(response.headers) - _NOT_OURS <= set(told["headers"])
    for name, header in told["headers"].items():
        schema = resolved(header)
        if name in response.headers:
            value = response.headers[name]
            Draft202012Validator(schema["schema"]).validate(
                int(value) if schema["schema"]["type"] == "integer" else value
            )
        assert name in response.headers or not schema.get("required", False)

    media = response.headers["content-type"].partition(";")[0]
    schema = told["content"][media]["schema"]
    if media != "application/json":
        return response.text
    body = response.json()
    name = schema["$ref"].rpartition("/")[2]
    validator(name).validate(body)
    assert body.keys() == DOCUMENT["components"]["schemas"][name]["properties"].keys()
    return body


@pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "get"])
def test_a_get_answers_as_the_document_says(path: str) -> None:
    client = StandInClient()
    client.beats = [beat("org/small", revision="r1"), beat("large", slug="large")]
    with api_over(client) as http:
        check(http.get(path.replace("{model}", "org/small")), path, 200)
        if path.endswith("metrics"):
            check(http.get(path, headers={"accept": "application/openmetrics-text; version=1.0.0"}), path, 200)


def test_without_a_worker_readiness_and_models_answer_as_the_document_says() -> None:
    client = StandInClient()
    client.beats = []
    with api_over(client) as http:
        check(http.get("/v1/health/ready"), "/v1/health/ready", 503)
        check(http.get("/v1/models"), "/v1/models", 200)
        check(http.get("/v1/models/none"), "/v1/models/{model}", 404)


@pytest.mark.parametrize(
    "fields",
    [{}, {"input": ["a", "b"]}, {"encoding_format": "base64"}, {"input_type": "query", "user": "u", "unknown": 1}],
)
def test_vectors_come_as_the_document_says(fields: dict[str, Any]) -> None:
    with api_over(StandInClient()) as http:
        check(ask(http, **fields), "/v1/embeddings", 200)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_of_a_worker_comes_as_the_document_says(code: ErrorCode) -> None:
    client = StandInClient()
    client.failure = RequestError(code, "what is wrong", param="input", index=0)
    with api_over(client) as http:
        body = check(ask(http), "/v1/embeddings", ERRORS[code].status)
    assert body["error"]["code"] == code


def test_what_is_refused_before_a_worker_is_asked_comes_as_the_document_says() -> None:
    client, path = StandInClient(), "/v1/embeddings"
    with api_over(client, max_body_bytes=1024) as http:
        check(http.post(path, content=b"{"), path, 400)
        check(ask(http, input=["a", ""]), path, 400)
        check(ask(http, model="other"), path, 404)
        check(ask(http, input="a" * 2000), path, 413)
        client.failure = ZeroDivisionError()
        check(ask(http), path, 500)
    admission = Admission(1, 1)
    admission.close()
    with api_over(StandInClient(), admission) as http:
        check(ask(http), path, 503)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_another_method_is_answered_as_the_document_says(method: str, path: str) -> None:
    with api_over(StandInClient()) as http:
        response = http.request("GET" if method == "post" else "POST", path)
        response.request.method = method
        check(response, path, 405)


def test_a_failure_of_ours_is_answered_as_the_document_says_whatever_was_asked() -> None:
    client = StandInClient()
    client.beats = None  # type: ignore[assignment]
    with api_over(client) as http:
        for path in ("/v1/models", "/v1/health/ready", "/v1/metadata", "/v1/manifest"):
            check(http.get(path), path, 500)


def test_keys_and_limits_answer_as_the_document_says(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = new_key(file, "one", requests_per_minute=1, tokens_per_minute=1000)
    path = "/v1/embeddings"
    with api_over(StandInClient(), auth_file=file) as http:
        check(ask(http), path, 401)
        allowed = ask(http, key=key)
        check(allowed, path, 200)
        assert "x-ratelimit-limit-tokens" in allowed.headers
        refused = ask(http, key=key)
        check(refused, path, 429)
        assert int(refused.headers["retry-after"]) > 0
