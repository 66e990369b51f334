"""Our OpenAPI document has whatever NVIDIA's has. More fields and values are fine, fewer are not.

Source: OpenAPI of the NVIDIA NIM Embeddings API, version 2026-05-25, as a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from .test_openapi import DOCUMENT, POST, resolved

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class _Field:
    """A field as NVIDIA's document has it.

    Args:
        types: JSON types it takes; `string[]` is an array of strings.
        enum: Its values, where they are listed.
        default: What a missing one means.
        required: Whether it must be there.
    """

    types: tuple[str, ...]
    enum: tuple[str, ...] = ()
    default: str | None = None
    required: bool = False


_REQUEST = {
    "model": _Field(("string",), required=True),
    "input": _Field(("string", "string[]"), required=True),
    "input_type": _Field(("string",), enum=("query", "passage")),
    "encoding_format": _Field(("string",), enum=("float", "base64"), default="float"),
    "truncate": _Field(("string",), enum=("NONE", "START", "END"), default="NONE"),
    "dimensions": _Field(("integer",)),
    "user": _Field(("string",)),
}
_RESPONSE = {
    "object": _Field(("string",)),
    "data": _Field(("object[]",)),
    "data[].object": _Field(("string",)),
    "data[].index": _Field(("integer",)),
    "data[].embedding": _Field(("number[]",)),
    "model": _Field(("string",)),
    "usage": _Field(("object",)),
    "usage.prompt_tokens": _Field(("integer",)),
    "usage.total_tokens": _Field(("integer",)),
}
_RESPONSE_VALUES = {"object": "list", "data[].object": "embedding"}
_STATUSES = ("200", "400", "401", "429")


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


@pytest.mark.parametrize("name", _REQUEST)
def test_a_field_of_a_request_takes_what_nims_takes(name: str) -> None:
    nims = _REQUEST[name]
    ours, required = _body("EmbeddingRequest")[name]

    assert _types(ours) >= set(nims.types)
    assert _values(ours) >= set(nims.enum)
    assert bool(_values(ours)) == bool(nims.enum), "values are listed that NIM leaves open"
    assert ours.get("default") == nims.default
    assert required == nims.required


def test_a_request_requires_nothing_that_nims_does_not() -> None:
    required = {name for name, (_, required) in _body("EmbeddingRequest").items() if required}

    assert required == {name for name, field in _REQUEST.items() if field.required}


@pytest.mark.parametrize("name", _RESPONSE)
def test_a_field_of_a_response_is_there_in_nims_type(name: str) -> None:
    ours, required = _body("EmbeddingResponse")[name]

    assert _types(ours) >= set(_RESPONSE[name].types)
    assert required
    assert _values(ours) == ({_RESPONSE_VALUES[name]} if name in _RESPONSE_VALUES else set())


@pytest.mark.parametrize("status", _STATUSES)
def test_every_status_of_nims_is_answered(status: str) -> None:
    assert resolved(POST["responses"][status])["description"]


def test_path_names_and_security_are_nims() -> None:
    assert POST["operationId"] == "createEmbedding"
    assert POST["tags"] == ["Embeddings"]
    assert POST["requestBody"]["required"] is True
    assert {"BearerAuth": []} in POST["security"]
    scheme = DOCUMENT["components"]["securitySchemes"]["BearerAuth"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    body, answer = POST["requestBody"], POST["responses"]["200"]
    for part, schema in ((body, "EmbeddingRequest"), (answer, "EmbeddingResponse")):
        assert part["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{schema}"}
