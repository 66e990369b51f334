"""`schemas/json_schemas.py`: the JSON Schemas are honest, and met by page and payloads."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas import codec
from schemas.errors import RequestError, UnanswerableError
from schemas.json_schemas import DIALECT, json_schemas, parts
from schemas.requests import EmbeddingBody
from schemas.responses import EmbeddingList

from .messages_page import examples
from .recorded import INVALID, VALID, Recorded, files

SCHEMAS = json_schemas()
NAMES = [name.removesuffix(".schema.json") for name in SCHEMAS]


def validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[f"{schema}.schema.json"])


REQUEST = validator("embedding-request")
BODY = validator("embedding-body")


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_draft_2020_12_and_has_a_description(name: str) -> None:
    document = SCHEMAS[f"{name}.schema.json"]
    Draft202012Validator.check_schema(document)
    assert document["$schema"] == DIALECT
    assert document["description"]


@pytest.mark.parametrize("name", NAMES)
def test_no_schema_forbids_fields_it_does_not_know(name: str) -> None:
    document = SCHEMAS[f"{name}.schema.json"]
    objects = [document, *document.get("$defs", {}).values()]
    assert all(part.get("additionalProperties", True) is True for part in objects)


@pytest.mark.parametrize("recorded", VALID, ids=lambda recorded: recorded.name)
def test_a_valid_request_meets_its_schema(recorded: Recorded) -> None:
    fields = orjson.loads(recorded.value)
    REQUEST.validate(fields)
    BODY.validate(fields)
    REQUEST.validate(fields | {"a_field_of_a_later_release": {"x": 1}})


@pytest.mark.parametrize("recorded", INVALID, ids=lambda recorded: recorded.name)
def test_a_schema_finds_every_fault_it_can_express(recorded: Recorded) -> None:
    verdict = recorded.expected["schema"]
    if verdict == "not JSON":
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(recorded.value)
    else:
        refuses = not REQUEST.is_valid(orjson.loads(recorded.value))
        assert refuses == (verdict == "refuses")


TOKENS = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (
            "input",
            [
                {"type": "string", "minLength": 1},
                {"type": "array", "minItems": 1, "maxItems": 2048, "items": {"type": "string", "minLength": 1}},
                TOKENS,
                {"type": "array", "minItems": 1, "maxItems": 2048, "items": TOKENS},
            ],
        ),
        (
            "id",
            [
                {"type": "string", "minLength": 1, "maxLength": 512},
                {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
                {"type": "null"},
            ],
        ),
        ("dimensions", [{"type": "integer", "minimum": 1, "maximum": 65536}, {"type": "null"}]),
        ("encoding_format", [{"$ref": "#/$defs/EncodingFormat"}, {"type": "null"}]),
        ("truncate", [{"$ref": "#/$defs/Truncate"}, {"type": "null"}]),
    ],
)
def test_the_request_schema_states_the_limits_of_a_field(field: str, expected: list[dict[str, Any]]) -> None:
    document: Any = REQUEST.schema
    assert document["properties"][field]["anyOf"] == expected


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    fields=st.fixed_dictionaries(
        {"model": st.just("m"), "input": st.sampled_from(["a", "", ["a"], ["a", ""], [], None, [1]])},
        optional={
            "id": st.sampled_from([None, "a", "", 0, -(2**63), 2**64 - 1, 2**64, 1.0, True, "x" * 512, "x" * 513]),
            "input_type": st.sampled_from([None, "query", "QUERY", 1]),
            "encoding_format": st.sampled_from([None, "float", "base64", "hex"]),
            "embedding_type": st.sampled_from([None, "int8", "int4"]),
            "truncate": st.sampled_from([None, "NONE", "START", "END", "end"]),
            "dimensions": st.sampled_from([None, 1, 65536, 0, 65537, 1.0, True, "1"]),
            "user": st.sampled_from([None, "", "u", 1]),
            "modality": st.sampled_from([None, "text", "image", "audio"]),
            "metadata": st.sampled_from([None, {}, {"a": [1]}, [], "a"]),
            "unknown": st.just({}),
        },
    )
)
def test_the_request_schema_refuses_nothing_that_the_codec_accepts(fields: dict[str, Any]) -> None:
    value = json.dumps(fields).encode()
    try:
        codec.decode_request(value, b"key")
        accepted = True
    except (RequestError, UnanswerableError):
        accepted = False
    assert REQUEST.is_valid(json.loads(value)) or not accepted


def test_a_request_may_leave_its_id_to_the_key() -> None:
    document: Any = REQUEST.schema
    assert document["required"] == ["model", "input"]


@pytest.mark.parametrize("name", files("responses"))
def test_a_recorded_response_meets_its_schema(name: str) -> None:
    schema = name.split(".", 1)[0]
    fields = json.loads(files("responses")[name])
    validator(schema).validate(fields)
    validator(schema).validate(fields | {"a_field_of_a_later_release": {"x": 1}})


@pytest.mark.parametrize("name", files("errors"))
def test_a_recorded_error_meets_its_schema(name: str) -> None:
    fields = json.loads(files("errors")[name])
    validator("error-response").validate(fields)
    assert not validator("embedding-response").is_valid(fields)


@pytest.mark.parametrize("name", files("beats"))
def test_a_recorded_beat_meets_its_schema(name: str) -> None:
    validator("beat").validate(json.loads(files("beats")[name]))


@pytest.mark.parametrize("name", [name for name in files("beats/invalid") if name.endswith(".json")])
def test_a_schema_refuses_what_is_no_beat(name: str) -> None:
    assert not validator("beat").is_valid(json.loads(files("beats/invalid")[name]))


def test_a_response_without_entries_does_not_meet_its_schema() -> None:
    fields = json.loads(files("responses/invalid")["data-empty.json"])
    assert not validator("embedding-response").is_valid(fields)


def test_the_messages_page_has_an_example_of_every_message() -> None:
    assert {schema for schema, _ in examples()} >= set(NAMES) - {"embedding-body", "embedding-list"}


@pytest.mark.parametrize(("schema", "text"), examples())
def test_an_example_of_the_messages_page_meets_the_schema_it_names(schema: str, text: str) -> None:
    assert schema in NAMES, f"write `<!-- schema: … -->` above this block:\n{text}"
    validator(schema).validate(json.loads(text))


def test_as_parts_of_a_document_schemas_share_what_they_are_made_of_and_refer_to_it_there() -> None:
    found = parts([EmbeddingBody], [EmbeddingList])

    assert found.keys() == {
        *("EmbeddingBody", "InputType", "EncodingFormat", "EmbeddingType", "Truncate"),
        *("EmbeddingList", "Embedding", "Usage"),
    }
    assert found["EmbeddingList"]["properties"]["usage"] == {"$ref": "#/components/schemas/Usage"}
