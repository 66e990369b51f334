"""The messages of the AsyncAPI document: headers, keys, payloads, and an example of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from . import headers as h
from .beats import Beat
from .json_schemas import PART, parts
from .requests import MAX_ID_BYTES, EmbeddingRequest
from .responses import EmbeddingResponse, ErrorResponse, FlatResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

CORRELATION: Final = "correlationId"
"""Name of the correlation id among the components."""

_JSON: Final = "application/json"


def _number(meaning: str) -> dict[str, Any]:
    return {"type": "string", "pattern": "^[0-9]{1,18}$", "description": f"{meaning}, ASCII decimal."}


def _text(meaning: str) -> dict[str, Any]:
    return {"type": "string", "description": meaning}


_ECHOED: Final[Mapping[str, dict[str, Any]]] = {
    h.CORRELATION_ID: _text("Any bytes; on a response, those of its request."),
    h.TRACEPARENT: _text("W3C Trace Context: the trace the request belongs to."),
    h.TRACESTATE: _text("W3C Trace Context."),
}
REQUEST_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    **_ECHOED,
    h.REPLY_TOPIC: _text("UTF-8: the topic the response goes to; without it, the topic of responses."),
    h.REPLY_PARTITION: _text("The partition of that topic, 4 bytes, big-endian; without it, chosen by key."),
    h.DEADLINE: _number("Past it, in epoch milliseconds, the request is not computed"),
    h.PART: _number("Which part of a split request this is"),
    h.PARTS: _number("How many parts there are"),
    h.FIRST_INDEX: _number("Index, in the whole request, of this part's first input"),
    h.REPLAY_ATTEMPT: _number("On a replayed dead letter: how often it has failed before"),
    h.REPLAY_OF: _text("On a replayed dead letter: the partition and offset it had on this topic, `3:4711`."),
}
TOMBSTONE_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    **_ECHOED,
    h.STATUS: _text("`ok`, or the code of the error."),
    h.MODEL_REVISION: _text("Hash of weights, tokenizer, pooling and prompts."),
    h.SOURCE_TOPIC: _text("Topic of the request."),
    h.SOURCE_PARTITION: _number("Partition of the request"),
    h.SOURCE_OFFSET: _number("Offset of the request"),
    h.SOURCE_TIMESTAMP: _text("Timestamp of the request, epoch milliseconds, ASCII decimal; -1: it had none."),
}
RESPONSE_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    **TOMBSTONE_HEADERS,
    h.CONTENT_TYPE: {"type": "string", "const": h.CONTENT_TYPE_JSON.decode()},
}
DEAD_LETTER_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    **REQUEST_HEADERS,
    h.DLQ_CODE: _text("Why, one of the error codes."),
    h.DLQ_MESSAGE: _text("The same in words."),
    h.DLQ_TOPIC: _text("Topic it came from."),
    h.DLQ_PARTITION: _number("Partition it came from"),
    h.DLQ_OFFSET: _number("Its offset there"),
    h.DLQ_TIMESTAMP: _text("Its timestamp, epoch milliseconds, ASCII decimal; -1: it had none."),
    h.DLQ_WORKER: _text("Id of the worker that gave it up."),
    h.DLQ_ATTEMPT: _number("How often it has failed, this time included"),
    h.DLQ_LEFT_OUT: _text("What did not fit and is missing: `headers`, or `headers,payload`."),
}
_NOT_ALWAYS: Final = frozenset({h.DLQ_LEFT_OUT})

_ANY_KEY: Final = {"type": "string", "description": "Anything. Messages with the same key are answered in order."}
_ID_KEY: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_BYTES,
    "description": "The request's id, as UTF-8.",
}
_WORKER_KEY: Final = {"type": "string", "description": "The worker's id."}

_REQUEST: Final = {
    "id": "doc-1",
    "model": "all-MiniLM-L6-v2",
    "input": ["How do I read a file?"],
    "truncate": "END",
    "metadata": {"tenant": "acme"},
}
_RESPONSE: Final = {
    "id": "doc-1",
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.0, -0.8]}],
    "model": "all-MiniLM-L6-v2",
    "usage": {"prompt_tokens": 9, "total_tokens": 9},
    "metadata": {"tenant": "acme"},
}
_ERROR: Final = {
    "id": "doc-1",
    "error": {
        "message": "input[0] is empty: send a text",
        "type": "request_validation_error",
        "param": "input",
        "code": "invalid_request",
        "index": 0,
    },
}
_FLAT: Final = {
    "tenant": "acme",
    "id": "doc-1",
    "embedding": [0.6, 0.0, -0.8],
    "model": "all-MiniLM-L6-v2",
    "dimensions": 3,
}
_BEAT: Final = {
    "worker_id": "host-1.4711",
    "model": "all-MiniLM-L6-v2",
    "revision": "5f2c91d0e7a34b16",
    "dim": 384,
    "dimensions": [384],
    "max_tokens": 256,
    "state": "ready",
    "started_at_ms": 1767225600000,
}


def messages() -> dict[str, dict[str, Any]]:
    """Every message: name -> message object, its payload a reference into `schemas()`."""
    made = [
        _message("EmbeddingRequest", "What is to be embedded.", REQUEST_HEADERS, _ANY_KEY, _REQUEST),
        _message("EmbeddingResponse", "The vectors of a request.", RESPONSE_HEADERS, _ID_KEY, _RESPONSE),
        _message("ErrorResponse", "Why a request has no vectors.", RESPONSE_HEADERS, _ID_KEY, _ERROR),
        _message(
            "FlatResponse",
            "The vector of a request of one input, on a destination with the `flat` profile.",
            RESPONSE_HEADERS,
            _ID_KEY,
            _FLAT,
        ),
        _message("Beat", "A worker's sign of life, once a second.", {}, _WORKER_KEY, _BEAT),
        _bare("RequestTombstone", "A delete: passes through under its key.", REQUEST_HEADERS, _ANY_KEY),
        _bare("ResponseTombstone", "A delete that has passed through.", TOMBSTONE_HEADERS, _ANY_KEY),
        _bare("WorkerTombstone", "The worker has left.", {}, _WORKER_KEY),
        {
            "name": "DeadLetter",
            "summary": "What nobody could be told about, or failed on every attempt: the original bytes.",
            "contentType": "application/octet-stream",
            "headers": _headers(DEAD_LETTER_HEADERS),
            "payload": {"description": "The original bytes, or none where they did not fit."},
            "bindings": _key(_ANY_KEY),
        },
    ]
    return {message["name"]: message for message in made}


def schemas() -> dict[str, Any]:
    """The payloads and what they are made of: name -> JSON Schema that draft-07 reads as well."""
    found = parts([EmbeddingRequest], [EmbeddingResponse, ErrorResponse, FlatResponse, Beat])
    return {name: with_references_alone(schema) for name, schema in found.items()}


def _message(
    name: str, summary: str, headers: Mapping[str, Any], key: dict[str, Any], example: dict[str, Any]
) -> dict[str, Any]:
    message = {
        "name": name,
        "summary": summary,
        "contentType": _JSON,
        "payload": {"$ref": PART.format(model=name)},
        "bindings": _key(key),
        "examples": [{"name": name, "payload": example}],
    }
    return message | _headed(headers)


def _bare(name: str, summary: str, headers: Mapping[str, Any], key: dict[str, Any]) -> dict[str, Any]:
    payload = {"type": "null", "description": "No value at all: a tombstone."}
    return {"name": name, "summary": summary, "payload": payload, "bindings": _key(key)} | _headed(headers)


def _headed(headers: Mapping[str, Any]) -> dict[str, Any]:
    if not headers:
        return {}
    return {"headers": _headers(headers), "correlationId": {"$ref": f"#/components/correlationIds/{CORRELATION}"}}


def _headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    ours = [name for name in headers if name not in REQUEST_HEADERS and name not in _NOT_ALWAYS]
    return {"type": "object", "properties": dict(headers)} | ({"required": ours} if ours else {})


def _key(schema: dict[str, Any]) -> dict[str, Any]:
    return {"kafka": {"key": schema, "bindingVersion": "0.5.0"}}


def with_references_alone(schema: Any) -> Any:
    """AsyncAPI's schemas are of draft-07, where whatever stands beside a `$ref` is not read."""
    if isinstance(schema, list):
        return [with_references_alone(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {name: with_references_alone(value) for name, value in schema.items() if name != "$ref"}
    if "$ref" not in schema:
        return rest
    reference = {"$ref": schema["$ref"]}
    return {"allOf": [reference], **rest} if rest else reference
