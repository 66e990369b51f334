"""`schemas/errors.py`: one row a code, and the same on the messages page."""

from __future__ import annotations

import orjson
import pytest

from schemas import codec
from schemas.errors import ERRORS, ErrorBody, ErrorCode, RequestError, SchemaError, UnanswerableError

from .messages_page import table
from .recorded import files

# The HTTP contract's table, and below it the codes that are ours.
STATUSES = {
    "invalid_request": 400,
    "context_length_exceeded": 400,
    "input_type_required": 400,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_exceeded": 429,
    "overloaded": 503,
    "unavailable": 503,
    "model_not_ready": 503,
    "timeout": 504,
    "internal_error": 500,
    "killed_worker": 500,
    "not_found": 404,
    "method_not_allowed": 405,
    "wrong_topic": 400,
    "response_too_large": 413,
    "not_json": 400,
    "no_id": 400,
    "destination_not_allowed": 400,
    "destination_unknown": 400,
    "destination_refused": 400,
}
WITH_RETRY_AFTER = {"rate_limit_exceeded", "overloaded", "unavailable", "model_not_ready"}


def test_every_code_has_a_row() -> None:
    assert set(ERRORS) == set(ErrorCode)


def test_statuses_are_those_of_the_http_contract() -> None:
    assert {code.value: kind.status for code, kind in ERRORS.items()} == STATUSES


def test_retry_after_is_given_exactly_where_the_contract_asks_for_it() -> None:
    assert {code.value for code, kind in ERRORS.items() if kind.retry_after_seconds is not None} == WITH_RETRY_AFTER
    assert all((kind.retry_after_seconds or 1) >= 1 for kind in ERRORS.values())


@pytest.mark.parametrize("code", ErrorCode)
def test_a_fault_is_ours_exactly_when_its_status_is_5xx(code: ErrorCode) -> None:
    assert ERRORS[code].ours == (ERRORS[code].status >= 500)


def test_a_schema_violation_has_the_type_clients_know() -> None:
    assert ERRORS[ErrorCode.INVALID_REQUEST].type == "request_validation_error"
    assert ERRORS[ErrorCode.CONTEXT_LENGTH_EXCEEDED].type == "invalid_request_error"


def test_the_messages_page_lists_every_code_with_its_status_and_type() -> None:
    listed = {row[0]: (int(row[1]), row[2]) for row in table("Error codes")}
    assert listed == {code.value: (kind.status, kind.type) for code, kind in ERRORS.items()}


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_a_recorded_payload_that_decodes_to_it(code: ErrorCode) -> None:
    payload = files("errors")[f"{code.value}.json"]
    with pytest.raises(RequestError) as read:
        codec.decode_response(payload)
    recorded = orjson.loads(payload)["error"]
    assert read.value.code is code
    assert read.value.body().model_dump(exclude_none=True) == recorded


def test_the_body_of_an_error_round_trips() -> None:
    error = RequestError(ErrorCode.CONTEXT_LENGTH_EXCEEDED, "too long", param="input", index=3)
    assert RequestError.from_body(error.body()).body() == error.body()
    assert error.body() == ErrorBody(
        message="too long", type="invalid_request_error", param="input", code="context_length_exceeded", index=3
    )


def test_a_code_of_a_later_release_counts_as_internal_error_and_keeps_its_message() -> None:
    with pytest.raises(RequestError) as read:
        codec.decode_response(files("errors")["a-code-of-a-later-release.json"])
    assert read.value.code is ErrorCode.INTERNAL_ERROR
    assert read.value.message == "out of credit"


def test_both_errors_have_the_one_base_and_their_message_as_text() -> None:
    answered = RequestError(ErrorCode.TIMEOUT, "late")
    dead_letter = UnanswerableError(ErrorCode.NO_ID, "no id")
    assert isinstance(answered, SchemaError)
    assert isinstance(dead_letter, SchemaError)
    assert (str(answered), str(dead_letter)) == ("late", "no id")
    assert (answered.kind, dead_letter.code) == (ERRORS[ErrorCode.TIMEOUT], ErrorCode.NO_ID)
