"""`schemas/requests.py`: what a request may hold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.requests import (
    MAX_ID_BYTES,
    MAX_INPUTS,
    MAX_METADATA_DEPTH,
    EmbeddingBody,
    EmbeddingRequest,
    EmbeddingType,
    EncodingFormat,
    InputType,
    Truncate,
    is_writable,
    json_kind,
)


def body(**fields: Any) -> EmbeddingBody:
    return EmbeddingBody.model_validate({"model": "m", "input": "text"} | fields)


def request(**fields: Any) -> EmbeddingRequest:
    return EmbeddingRequest.model_validate({"id": "a", "model": "m", "input": "text"} | fields)


def message(**fields: Any) -> str:
    """What is said about the first fault."""
    with pytest.raises(ValidationError) as refused:
        request(**fields)
    return refused.value.errors()[0]["msg"]


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_a_bare_string_is_a_list_of_one_input() -> None:
    assert body(input="text").inputs == ["text"]
    assert body(input=["text"]).inputs == ["text"]


def test_inputs_keep_their_order_and_their_bytes() -> None:
    texts = ["b", " a ", "\0", "🦜", "b"]
    assert body(input=texts).inputs == texts


def test_a_body_without_options_has_the_documented_defaults() -> None:
    plain = body()
    assert plain.encoding_format is EncodingFormat.FLOAT
    assert plain.truncate is Truncate.NONE
    assert (plain.input_type, plain.dimensions, plain.user, plain.modality) == (None,) * 4
    assert plain.embedding_type is EmbeddingType.FLOAT


def test_null_is_the_default() -> None:
    given = body(encoding_format=None, embedding_type=None, truncate=None, input_type=None, dimensions=None)
    assert given == body()


@pytest.mark.parametrize("role", InputType)
def test_a_role_is_read_from_its_text(role: InputType) -> None:
    assert body(input_type=str(role)).input_type is role


def test_unknown_fields_are_ignored() -> None:
    assert request(priority=3, future={"a": 1}) == request()


def test_a_request_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        request().model = "other"


@pytest.mark.parametrize("count", [1, MAX_INPUTS])
def test_up_to_the_limit_every_number_of_inputs_is_accepted(count: int) -> None:
    assert len(body(input=["a"] * count).inputs) == count


def test_one_input_over_the_limit_is_refused_with_both_numbers() -> None:
    said = message(input=["a"] * (MAX_INPUTS + 1))
    assert "2049" in said
    assert "2048" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "input is null"),
        (5, "not a number"),
        (1.5, "not a number"),
        (True, "not a boolean"),
        ({}, "not an object"),
        ([], "empty list"),
        ("", "input[0] is empty"),
        (["a", "b", ""], "input[2] is empty"),
        ([None], "input[0] must be a string, not null"),
        (["a", 1], "input[1] must be a string, not a number"),
        (["a", True], "input[1] must be a string, not a boolean"),
        (["a", ["b"]], "input[1] must be a string, not a list"),
        ([{}], "input[0] must be a string, not an object"),
        ([[]], "input[0] is empty"),
        ([[None]], "input[0] must be a string, not a list"),
        ([1, -2], "input[1] holds -2, which is no token id"),
        ([1, "a"], "input[1] is a string among token ids"),
        ([[1], 2], "input[1] is a number, input[0] is a list"),
    ],
)
def test_a_wrong_input_is_named_with_its_index(given: object, said: str) -> None:
    assert said in message(input=given)


@pytest.mark.parametrize(("given", "text"), [("a", "a"), (7, "7"), (0, "0"), (-1, "-1"), ("x" * 512, "x" * 512)])
def test_an_id_is_a_text_or_an_integer_and_becomes_text(given: object, text: str) -> None:
    assert request(id=given).id == text


@pytest.mark.parametrize("given", [True, 1.5, None, [], {}])
def test_an_id_of_another_kind_is_refused(given: object) -> None:
    assert "id must be a string or an integer" in message(id=given)


@pytest.mark.parametrize("given", ["", "x" * (MAX_ID_BYTES + 1), "🦜" * 129])
def test_an_id_is_measured_in_utf_8_bytes(given: str) -> None:
    assert f"not {len(given.encode())}" in message(id=given)


@pytest.mark.parametrize("given", [0, -1, 1.5, 0.0, float("inf"), "512", True, 65537])
def test_dimensions_are_integers_from_1_to_65536(given: object) -> None:
    with pytest.raises(ValidationError):
        body(dimensions=given)


@pytest.mark.parametrize(("name", "given"), [("model", 5), ("user", 5), ("truncate", True), ("encoding_format", 1)])
def test_nothing_is_converted_to_fit(name: str, given: object) -> None:
    with pytest.raises(ValidationError):
        body(**{name: given})


def test_metadata_at_the_depth_limit_can_be_sent_back_and_one_deeper_not() -> None:
    assert is_writable(nested(MAX_METADATA_DEPTH))
    assert not is_writable(nested(MAX_METADATA_DEPTH + 1))
    assert request(metadata=nested(MAX_METADATA_DEPTH)).metadata == nested(MAX_METADATA_DEPTH)
    assert "at most 250" in message(metadata=nested(MAX_METADATA_DEPTH + 1))


@pytest.mark.parametrize(
    ("value", "kind"),
    [({}, "an object"), ([], "a list"), (1, "a number"), (True, "a boolean"), (None, "null"), ("", "a string")],
)
def test_every_kind_of_json_value_has_its_name(value: object, kind: str) -> None:
    assert json_kind(value) == kind
