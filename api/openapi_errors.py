"""The errors of the OpenAPI document: a response for each status, with an example of every code, and its headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.errors import ERRORS, ErrorCode, RequestError

from .bodies import Error

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXAMPLES: Final[Mapping[ErrorCode, tuple[str, RequestError]]] = {
    error.code: (when, error)
    for when, error in (
        (
            "the body is no JSON, or a field breaks its rule",
            RequestError(ErrorCode.INVALID_REQUEST, "input[1] is empty: send a text", param="input", index=1),
        ),
        (
            "an input is over the token limit and `truncate` is `NONE`",
            RequestError(
                ErrorCode.CONTEXT_LENGTH_EXCEEDED,
                "This model's maximum context length is 512 tokens, however you requested 513 tokens in input[0]. "
                "Input length 513 exceeds maximum allowed token size 512",
                param="input",
                index=0,
            ),
        ),
        (
            "the model is asymmetric and knows no role",
            RequestError(
                ErrorCode.INPUT_TYPE_REQUIRED,
                "'input_type' parameter is required for asymmetric models",
                param="input_type",
            ),
        ),
        (
            "the model has moved to another topic while it was asked",
            RequestError(ErrorCode.WRONG_TOPIC, "the model 'small' reads another topic", param="model"),
        ),
        (
            "no key, or one that is unknown or revoked",
            RequestError(
                ErrorCode.INVALID_API_KEY, "Unauthorized: send your key in the header 'Authorization: Bearer KEY'"
            ),
        ),
        ("no such path", RequestError(ErrorCode.NOT_FOUND, "no /v2 here: see /docs for what there is")),
        (
            "no such model",
            RequestError(ErrorCode.MODEL_NOT_FOUND, "The model 'other' does not exist", param="model"),
        ),
        (
            "the path has another method",
            RequestError(
                ErrorCode.METHOD_NOT_ALLOWED, "/v1/embeddings does not take GET: see /docs for what it takes"
            ),
        ),
        (
            "the body is over its limit, or over the tokens a key has in a minute",
            RequestError(
                ErrorCode.REQUEST_TOO_LARGE, "the body is larger than 8388608 bytes: split the request", param="input"
            ),
        ),
        (
            "the vectors would not fit into one message",
            RequestError(ErrorCode.RESPONSE_TOO_LARGE, "the response would be too large: send fewer inputs"),
        ),
        (
            "more than the key has in a minute",
            RequestError(
                ErrorCode.RATE_LIMIT_EXCEEDED,
                "this key has 60 requests a minute, 60 are used, 1 were asked for: try again in 37 s",
            ),
        ),
        ("too much is waiting", RequestError(ErrorCode.OVERLOADED, "too much is waiting: try again soon")),
        ("no worker, or no broker", RequestError(ErrorCode.UNAVAILABLE, "no worker is running: try again soon")),
        ("the model is loading", RequestError(ErrorCode.MODEL_NOT_READY, "the model is loading: try again soon")),
        (
            "no reply in time, or the body took too long",
            RequestError(ErrorCode.TIMEOUT, "no reply within 30 s: try again, or send less at once"),
        ),
        (
            "the fault is ours",
            RequestError(ErrorCode.INTERNAL_ERROR, "internal error: report it with the request id"),
        ),
    )
}
"""Code -> when it is answered, and an error of it. What is not here becomes a dead letter only."""

STATUSES: Final = tuple(sorted({error.kind.status for _, error in _EXAMPLES.values()}))

_HEADERS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "x-request-id": ("Names this request; the caller's own where it sent one.", {"type": "string"}),
    "retry-after": ("Seconds to wait before trying again.", {"type": "integer", "minimum": 1}),
    "www-authenticate": ("How to authenticate.", {"type": "string", "const": "Bearer"}),
    "allow": ("The methods this path takes.", {"type": "string"}),
    **{
        f"x-ratelimit-{part}-{unit}": (f"{meaning} Only for keys with such a limit.", schema)
        for unit in ("requests", "tokens")
        for part, meaning, schema in (
            ("limit", f"{unit.capitalize()} the key has in a minute.", {"type": "integer", "minimum": 1}),
            ("remaining", f"{unit.capitalize()} that are left of them.", {"type": "integer", "minimum": 0}),
            ("reset", "Time until the minute is over: `37s`, `1m0s`.", {"type": "string"}),
        )
    },
}


def codes_of(status: int) -> dict[ErrorCode, str]:
    """The codes a status is answered with, and when."""
    return {code: when for code, (when, _) in _EXAMPLES.items() if ERRORS[code].status == status}


def headers() -> dict[str, dict[str, Any]]:
    """Every response header: name -> header object."""
    always = {"x-request-id": {"required": True}}
    return {
        name: {"description": meaning, **always.get(name, {}), "schema": schema}
        for name, (meaning, schema) in _HEADERS.items()
    }


def responses() -> dict[str, dict[str, Any]]:
    """A response for each status: `Error<status>` -> response object, with an example of each of its codes."""
    return {f"Error{status}": _response(status) for status in STATUSES}


def _response(status: int) -> dict[str, Any]:
    codes = codes_of(status)
    listed = "; ".join(f"`{code}`: {when}" for code, when in codes.items())
    examples = {code.value: {"summary": when, "value": _body(code)} for code, when in codes.items()}
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        "description": f"{listed}.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _headers_of(status, list(codes))},
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


def _body(code: ErrorCode) -> dict[str, Any]:
    return Error.of(_EXAMPLES[code][1]).model_dump(mode="json")


def _headers_of(status: int, codes: list[ErrorCode]) -> list[str]:
    names = ["x-request-id"]
    if any(ERRORS[code].retry_after_seconds is not None for code in codes):
        names.append("retry-after")
    if status == 401:
        names.append("www-authenticate")
    elif status == 405:
        names.append("allow")
    else:
        names += [name for name in _HEADERS if name.startswith("x-ratelimit-")]
    return names
