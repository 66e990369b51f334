"""Our OpenAPI document has whatever NVIDIA's has. More fields and values are fine, fewer are not.

Source: OpenAPI of the NVIDIA NIM Embeddings API; `nim_document.py` took from it what is held here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from .nim_document import FACTS, facts
from .test_openapi import DOCUMENT, POST, resolved

if TYPE_CHECKING:
    from collections.abc import Iterator

_NIM: Final = json.loads(FACTS.read_text())
_REQUEST: Final = _NIM["bodies"]["EmbeddingRequest"]
_RESPONSE: Final = _NIM["bodies"]["EmbeddingResponse"]


def _alternatives(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a schema allows, references and `anyOf` resolved."""
    schema = resolved(schema)
    if "anyOf" not in schema:
        yield schema
    for one in schema.get("anyOf", ()):
        yield from _alternatives(one)


def _types(schema: dict[str, Any]) -> set[str]:
    found = set()
    for one in _alternatives(schema):
        if one["type"] == "array":
            found |= {f"{inner}[]" for inner in _types(one["items"])}
        else:
            found.add(one["type"])
    return found


def _values(schema: dict[str, Any]) -> set[str]:
    return {
        value for one in _alternatives(schema) for value in one.get("enum", [one["const"]] if "const" in one else [])
    }


def _fields(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Every field below a schema: path, schema, whether it is required."""
    for one in _alternatives(schema):
        if one.get("type") == "array":
            yield from _fields(one["items"], f"{prefix}[]")
        for name, field in one.get("properties", {}).items():
            path = f"{prefix}.{name}" if prefix else name
            yield path, field, name in one.get("required", ())
            yield from _fields(field, path)


def _body(schema: str) -> dict[str, tuple[dict[str, Any], bool]]:
    return {path: (field, required) for path, field, required in _fields(DOCUMENT["components"]["schemas"][schema])}


def test_what_was_taken_from_nims_document_is_the_whole_of_it() -> None:
    assert _NIM["version"] == "2026-05-25"
    assert list(_REQUEST) == [
        "model",
        "input",
        "input_type",
        "encoding_format",
        "truncate",
        "dimensions",
        "user",
    ]
    assert [name for name, field in _REQUEST.items() if field["required"]] == ["model", "input"]
    assert len(_RESPONSE) == 9


def test_facts_are_taken_through_references_alternatives_and_lists() -> None:
    inner = {"type": "object", "required": ["b"], "properties": {"b": {"type": "integer", "enum": [1, 2]}}}
    choice = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "default": "x"}
    outer = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}}, "c": choice},
    }
    operation = {"operationId": "o", "tags": ["t"], "requestBody": {"required": True}, "responses": {"200": {}}}
    document = {
        "info": {"version": "1"},
        "paths": {"/v1/embeddings": {"post": operation}},
        "components": {
            "securitySchemes": {"Key": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Inner": inner, "Outer": outer},
        },
    }

    taken = facts(document)

    assert (taken["statuses"], taken["security"]) == (["200"], {"Key": ["http", "bearer"]})
    assert taken["bodies"]["Outer"] == {
        "a": {"types": ["object[]"], "required": False},
        "a[].b": {"types": ["integer"], "required": True, "enum": [1, 2]},
        "c": {"types": ["string", "string[]"], "required": False, "default": "x"},
    }


@pytest.mark.parametrize("name", _REQUEST)
def test_a_field_of_a_request_takes_what_nims_takes(name: str) -> None:
    nims = _REQUEST[name]
    ours, required = _body("EmbeddingRequest")[name]

    assert _types(ours) >= set(nims["types"])
    assert _values(ours) >= set(nims.get("enum", ()))
    assert bool(_values(ours)) == ("enum" in nims), "values are listed that NIM leaves open"
    assert ours.get("default") == nims.get("default")
    assert required == nims["required"]


def test_a_request_requires_nothing_that_nims_does_not() -> None:
    required = {name for name, (_, required) in _body("EmbeddingRequest").items() if required}

    assert required == {name for name, field in _REQUEST.items() if field["required"]}


@pytest.mark.parametrize("name", _RESPONSE)
def test_a_field_of_a_response_is_there_in_nims_type(name: str) -> None:
    nims = _RESPONSE[name]
    ours, required = _body("EmbeddingResponse")[name]

    assert _types(ours) >= set(nims["types"])
    assert required
    assert _values(ours) == ({nims["example"]} if "example" in nims else set())


@pytest.mark.parametrize("status", _NIM["statuses"])
def test_every_status_of_nims_is_answered(status: str) -> None:
    assert resolved(POST["responses"][status])["description"]


def test_path_names_and_security_are_nims() -> None:
    assert DOCUMENT["paths"][_NIM["path"]]["post"] == POST
    assert POST["operationId"] == _NIM["operation_id"]
    assert POST["tags"] == _NIM["tags"]
    assert POST["requestBody"]["required"] is _NIM["body_is_required"]
    for name, kind in _NIM["security"].items():
        assert {name: []} in POST["security"]
        scheme = DOCUMENT["components"]["securitySchemes"][name]
        assert [scheme["type"], scheme["scheme"]] == kind
    body, answer = POST["requestBody"], POST["responses"]["200"]
    for part, schema in ((body, "EmbeddingRequest"), (answer, "EmbeddingResponse")):
        assert part["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{schema}"}
