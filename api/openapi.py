"""The OpenAPI 3.1 document of the API, from the tables below and the models; `/openapi.json` serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.json_schemas import parts
from schemas.requests import EmbeddingBody
from schemas.responses import EmbeddingList

from .bodies import Error, Health, License, Manifest, Metadata, Model, ModelList, Version
from .openapi_errors import STATUSES, headers, responses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

_NIMS_NAMES: Final[Mapping[str, str]] = {"EmbeddingBody": "EmbeddingRequest", "EmbeddingList": "EmbeddingResponse"}
"""NVIDIA's document calls the bodies so; among our messages these names have an id as well."""

_TAGS: Final[Mapping[str, str]] = {
    "Embeddings": "Vectors of texts.",
    "Models": "What is served.",
    "Health": "For probes.",
    "Metadata": "Release, license and revisions, as NVIDIA NIM tells them.",
    "Metrics": "For Prometheus.",
}
_ALWAYS: Final = (405, 500)
"""What every operation may answer."""

_REQUEST_ID: Final = {
    "name": "x-request-id",
    "in": "header",
    "description": "Comes back with the response when it has 1 to 128 printable ASCII characters, without spaces; "
    "otherwise a new one does.",
    "schema": {"type": "string"},
}
_PARAMETERS: Final[Mapping[str, dict[str, Any]]] = {
    "RequestId": _REQUEST_ID,
    "RequestTimeout": {
        "name": "x-request-timeout",
        "in": "header",
        "description": "Seconds to wait for the reply; can only lower the API's own limit. Malformed, it is ignored.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
    "Traceparent": {
        "name": "traceparent",
        "in": "header",
        "description": "W3C Trace Context; goes on to the worker.",
        "schema": {"type": "string"},
    },
    "Tracestate": {
        "name": "tracestate",
        "in": "header",
        "description": "W3C Trace Context; goes on to the worker.",
        "schema": {"type": "string"},
    },
    "ModelName": {
        "name": "model",
        "in": "path",
        "required": True,
        "description": "Name or alias of a model; slashes in it may stand as they are.",
        "schema": {"type": "string"},
    },
}
_REQUESTS: Final[Mapping[str, dict[str, Any]]] = {
    "one text": {"model": "all-MiniLM-L6-v2", "input": "Kafka in, vectors out."},
    "a list, as OpenAI's clients send it": {
        "model": "all-MiniLM-L6-v2",
        "input": ["How do I read a file?", "How do I write one?"],
        "encoding_format": "base64",
    },
    "a query, as NVIDIA's clients send it": {
        "model": "nvidia/llama-3.2-nv-embedqa-1b-v2",
        "input": ["How do I read a file?"],
        "input_type": "query",
        "truncate": "END",
        "dimensions": 1024,
    },
}
_RESPONSE: Final = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.0, -0.8]}],
    "model": "all-MiniLM-L6-v2",
    "usage": {"prompt_tokens": 9, "total_tokens": 9},
}


def openapi_document(version: str) -> dict[str, Any]:
    """The whole document.

    Args:
        version: Of this software.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kafka-embeddings",
            "summary": "Embeddings over HTTP, as OpenAI's and NVIDIA's clients ask for them.",
            "description": "Every response carries `x-request-id`, every error the one body `Error`.",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [
            {"url": "http://127.0.0.1:8000", "description": "Where `kafka-embeddings api` listens by default."},
            {"url": "/", "description": "Where this document was served."},
        ],
        "tags": [{"name": name, "description": meaning} for name, meaning in _TAGS.items()],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "responses": responses(),
            "headers": headers(),
            "parameters": dict(_PARAMETERS),
            "securitySchemes": {
                "BearerAuth": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `kafka-embeddings keys new`, asked for where there is a file of keys; "
                    "otherwise any value is accepted.",
                }
            },
        },
    }


def _paths() -> dict[str, Any]:
    metrics = {"text/plain": {"schema": {"type": "string"}}}
    metrics["application/openmetrics-text"] = metrics["text/plain"]
    not_ready = {
        "description": "No: the model is loading, no worker or no broker is there, or the process is stopping.",
        "headers": _headers(),
        "content": _json("Health"),
    }
    return {
        "/v1/embeddings": {"post": _create_embedding()},
        "/v1/models": _get(
            "Models", "listModels", "List the served models", "Every model with a live worker.", _json("ModelList")
        ),
        "/v1/models/{model}": _get(
            "Models",
            "getModel",
            "One served model",
            "By its name or an alias.",
            _json("Model"),
            404,
            path="ModelName",
        ),
        "/v1/health/live": _get(
            "Health", "isLive", "Is the process alive?", "It is as long as it answers.", _json("Health")
        ),
        "/v1/health/ready": _get(
            "Health",
            "isReady",
            "Can a request be answered now?",
            "It can while a worker is ready, by its beats, and this process is not stopping.",
            _json("Health"),
            others={"503": not_ready},
        ),
        "/v1/metadata": _get(
            "Metadata",
            "getMetadata",
            "Release, models and license",
            "What is served, from the workers' beats, and which release serves it.",
            _json("Metadata"),
        ),
        "/v1/license": _get(
            "Metadata",
            "getLicense",
            "The license of this software",
            "Its whole text, with its SHA-256 and its size.",
            _json("License"),
        ),
        "/v1/manifest": _get(
            "Metadata",
            "getManifest",
            "Each model and its revision",
            "Models with the same revision give vectors that can be compared.",
            _json("Manifest"),
        ),
        "/v1/version": _get(
            "Metadata",
            "getVersion",
            "Release of this software and of its API",
            "Both are those of the package: one release, one API.",
            _json("Version"),
        ),
        "/v1/metrics": _get(
            "Metrics",
            "getMetrics",
            "What this replica has counted",
            "Prometheus' text format, or OpenMetrics for those who accept it.",
            metrics,
        ),
        "/metrics": _get("Metrics", "getMetricsAtRoot", "The same", "Where Prometheus looks by itself.", metrics),
    }


def _create_embedding() -> dict[str, Any]:
    content = _json("EmbeddingRequest")
    content["application/json"]["examples"] = {
        f"example{number}": {"summary": summary, "value": value}
        for number, (summary, value) in enumerate(_REQUESTS.items(), 1)
    }
    answer = _json("EmbeddingResponse")
    answer["application/json"]["examples"] = {"example": {"value": _RESPONSE}}
    return {
        "tags": ["Embeddings"],
        "operationId": "createEmbedding",
        "summary": "Create an embedding",
        "description": "Vectors of one text or a list of texts, in input order. A request is answered whole: "
        "if one input is at fault, the answer is an error that names it. "
        "Whatever media type is declared, the body is read as JSON.",
        "security": [{"BearerAuth": []}, {}],
        "parameters": _parameters("RequestId", "RequestTimeout", "Traceparent", "Tracestate"),
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {
                "description": "The vectors.",
                "headers": _headers(limits=True),
                "content": answer,
            },
            **_errors(*STATUSES),
        },
    }


def _get(
    tag: str,
    operation: str,
    summary: str,
    description: str,
    content: dict[str, Any],
    *statuses: int,
    path: str | None = None,
    others: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "get": {
            "tags": [tag],
            "operationId": operation,
            "summary": summary,
            "description": description,
            "security": [],
            "parameters": _parameters(*([path] if path else []), "RequestId"),
            "responses": {
                "200": {"description": "It is answered.", "headers": _headers(), "content": content},
                **_errors(*statuses, *_ALWAYS),
                **(others or {}),
            },
        }
    }


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _parameters(*names: str) -> list[dict[str, str]]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _headers(*, limits: bool = False) -> dict[str, dict[str, str]]:
    names = [name for name in headers() if name == "x-request-id" or (limits and name.startswith("x-ratelimit-"))]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _errors(*statuses: int) -> dict[str, dict[str, str]]:
    return {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in statuses}


def _schemas() -> dict[str, Any]:
    answers: list[type[BaseModel]] = [EmbeddingList, Error, Model, ModelList, Health]
    answers += [Metadata, License, Manifest, Version]
    of_requests = parts([EmbeddingBody], [])
    found = _renamed(parts([EmbeddingBody], answers))
    for name, schema in found.items():
        if name not in of_requests and name != "EmbeddingRequest" and "properties" in schema:
            schema["required"] = list(schema["properties"])  # we leave out none
    return dict(sorted(found.items()))


def _renamed(schemas: dict[str, Any]) -> dict[str, Any]:
    """The schemas under the names of NVIDIA's document. No other schema refers to the two."""
    found = {_NIMS_NAMES.get(name, name): schema for name, schema in schemas.items()}
    for name in _NIMS_NAMES.values():
        found[name]["title"] = name
    return found
