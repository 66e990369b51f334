"""`api/openapi.py`: the document is valid, is the one that is served, and tells what the API does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.app import create_app
from api.metadata import release
from api.openapi import openapi_document
from api.openapi_errors import codes_of
from api.settings import ApiSettings
from schemas.errors import ERRORS, ErrorCode
from schemas.requests import EmbeddingBody
from tests.schemas.messages_page import table
from tests.schemas.recorded import INVALID, VALID, Recorded, files

from .stand_in import StandInClient

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = openapi_document(release())
OPERATIONS = {
    (method, path): operation for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
}
POST = OPERATIONS["post", "/v1/embeddings"]


def validator(schema: str) -> Draft202012Validator:
    """Of one of the document's schemas."""
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": DOCUMENT["components"]["schemas"]}}
    )


def referenced(part: Any) -> Iterator[str]:
    """Every `$ref` in a part of the document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from referenced(item)


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """The component a reference leads to, or the part itself."""
    if "$ref" not in part:
        return part
    _, kind, name = part["$ref"].removeprefix("#/").split("/", 2)
    found: dict[str, Any] = DOCUMENT["components"][kind][name]
    return found


# --- the document -------------------------------------------------------------------------------------------


def test_openapis_own_validator_accepts_the_document() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_openapis_own_validator_refuses_what_is_wrong() -> None:
    broken = json.loads(json.dumps(DOCUMENT))
    broken["paths"]["/v1/models"]["get"]["responses"]["200"].pop("description")

    assert list(OpenAPIV31SpecValidator(broken).iter_errors())


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_every_schema_is_a_json_schema_that_says_what_it_is_and_forbids_no_field(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]

    Draft202012Validator.check_schema(schema)
    assert schema["description"]
    assert schema.get("additionalProperties", True) is True


def test_every_component_is_referred_to_and_every_reference_leads_to_one() -> None:
    components = {
        f"#/components/{kind}/{name}"
        for kind, named in DOCUMENT["components"].items()
        for name in named
        if kind != "securitySchemes"
    }

    assert set(referenced(DOCUMENT)) == components


def test_operations_have_ids_of_their_own_and_tags_that_are_explained() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]

    assert len(ids) == len(set(ids))
    tags = [tag["name"] for tag in DOCUMENT["tags"]]
    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == set(tags)
    assert all(operation["summary"] for operation in OPERATIONS.values())


# --- against the application --------------------------------------------------------------------------------


def test_the_application_serves_exactly_this_document() -> None:
    assert create_app(StandInClient(), ApiSettings()).openapi() == DOCUMENT


def test_every_route_is_an_operation_and_every_operation_a_route() -> None:
    app = create_app(StandInClient(), ApiSettings())
    routes = {(method, path) for path, item in FastAPI.openapi(app)["paths"].items() for method in item}

    assert routes == set(OPERATIONS)


def test_only_embeddings_may_ask_for_a_key() -> None:
    assert POST["security"] == [{"BearerAuth": []}, {}]
    assert all(operation["security"] == [] for operation in OPERATIONS.values() if operation is not POST)


# --- errors -------------------------------------------------------------------------------------------------

_DEAD_LETTERS_ONLY = {row[0] for row in table("Error codes") if row[3].startswith("dead letters only")}


@pytest.mark.parametrize("code", [code for code in ErrorCode if code.value not in _DEAD_LETTERS_ONLY])
def test_embeddings_name_every_code_under_its_status_with_an_example_of_the_one_body(code: ErrorCode) -> None:
    kind = ERRORS[code]

    response = resolved(POST["responses"][str(kind.status)])

    assert f"`{code}`: " in response["description"]
    content = response["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Error"}
    example = content["examples"][code]["value"]
    validator("Error").validate(example)
    assert (example["type"], example["error"]["code"]) == (kind.type, code)
    if kind.retry_after_seconds is not None:
        assert "retry-after" in response["headers"]


def test_what_only_becomes_a_dead_letter_is_answered_by_no_operation() -> None:
    assert {code.value for code in ErrorCode} - _DEAD_LETTERS_ONLY == {
        code.value for status in {kind.status for kind in ERRORS.values()} for code in codes_of(status)
    }


def test_every_response_names_the_request_id_and_embeddings_the_limits() -> None:
    for operation in OPERATIONS.values():
        for response in operation["responses"].values():
            assert "x-request-id" in resolved(response)["headers"]
    for status in ("200", "429"):
        limits = [name for name in resolved(POST["responses"][status])["headers"] if name.startswith("x-ratelimit-")]
        assert sorted(limits) == sorted(
            f"x-ratelimit-{part}-{unit}"
            for part in ("limit", "remaining", "reset")
            for unit in ("requests", "tokens")
        )


# --- bodies -------------------------------------------------------------------------------------------------

BODY = validator("EmbeddingRequest")


def test_the_body_has_every_field_with_a_description() -> None:
    schema = DOCUMENT["components"]["schemas"]["EmbeddingRequest"]

    assert POST["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/EmbeddingRequest"
    }
    assert schema["properties"].keys() == EmbeddingBody.model_fields.keys()
    assert schema["required"] == ["model", "input"]
    assert all("description" in field for field in schema["properties"].values())


@pytest.mark.parametrize("recorded", VALID, ids=lambda recorded: recorded.name)
def test_a_recorded_request_meets_the_body(recorded: Recorded) -> None:
    BODY.validate(json.loads(recorded.value))


@pytest.mark.parametrize(
    "recorded",
    [
        one
        for one in INVALID
        if one.expected["schema"] == "refuses" and one.expected.get("param") in EmbeddingBody.model_fields
    ],
    ids=lambda recorded: recorded.name,
)
def test_a_recorded_request_with_a_field_at_fault_does_not_meet_the_body(recorded: Recorded) -> None:
    assert not BODY.is_valid(json.loads(recorded.value))


@pytest.mark.parametrize("name", [name for name in files("responses") if name.startswith("embedding-list")])
def test_a_recorded_response_meets_its_schema(name: str) -> None:
    validator("EmbeddingResponse").validate(json.loads(files("responses")[name]))


def test_every_example_meets_the_schema_beside_it() -> None:
    checked = 0
    contents = [
        content
        for operation in OPERATIONS.values()
        for part in [operation.get("requestBody", {}), *map(resolved, operation["responses"].values())]
        for content in part.get("content", {}).values()
    ]
    for content in contents:
        for example in content.get("examples", {}).values():
            validator(content["schema"]["$ref"].rpartition("/")[2]).validate(example["value"])
            checked += 1
    assert checked > 20
