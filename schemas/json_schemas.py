"""The JSON Schemas of every message, each in a file of its own, and the same as parts of a larger document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from .beats import Beat
from .requests import EmbeddingBody, EmbeddingRequest
from .responses import EmbeddingList, EmbeddingResponse, ErrorResponse, FlatResponse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
PART: Final = "#/components/schemas/{model}"
"""Where OpenAPI and AsyncAPI documents keep their schemas."""

_REQUESTS: Final[Mapping[str, type[BaseModel]]] = {
    "embedding-body": EmbeddingBody,
    "embedding-request": EmbeddingRequest,
}
_RESPONSES: Final[Mapping[str, type[BaseModel]]] = {
    "embedding-list": EmbeddingList,
    "embedding-response": EmbeddingResponse,
    "error-response": ErrorResponse,
    "flat-response": FlatResponse,
    "beat": Beat,
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """Every schema as it should stand: file name -> document."""
    documents = {name: model.model_json_schema(mode="validation") for name, model in _REQUESTS.items()}
    documents |= {name: model.model_json_schema(mode="serialization") for name, model in _RESPONSES.items()}
    return {f"{name}.schema.json": {"$schema": DIALECT, **document} for name, document in documents.items()}


def parts(requests: Sequence[type[BaseModel]], responses: Sequence[type[BaseModel]]) -> dict[str, dict[str, Any]]:
    """The schemas of models and of whatever they are made of: name -> schema, referring to each other by `PART`.

    Args:
        requests: What callers write, which may leave out what has a default.
        responses: What we write.
    """
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in requests]
    models += [(model, "serialization") for model in responses]
    _, document = models_json_schema(models, ref_template=PART)
    found: dict[str, dict[str, Any]] = document["$defs"]
    return found
