"""Errors as HTTP: one hybrid body that NVIDIA's and OpenAI's clients both read, status and type from one table.

`detail` is always an object and `error.message` always set: clients raise on null or show "no body" otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from starlette.responses import Response

from schemas.errors import ErrorCode, RequestError

from .bodies import Error

if TYPE_CHECKING:
    from starlette.exceptions import HTTPException

_HEADERS: Final = {ErrorCode.INVALID_API_KEY: {"www-authenticate": "Bearer"}}
"""Headers that belong to a code, beside `retry-after`."""

_HTTP_CODES: Final = {404: ErrorCode.NOT_FOUND, 405: ErrorCode.METHOD_NOT_ALLOWED}


def error_response(error: RequestError) -> Response:
    """The response an error becomes."""
    kind = error.kind
    response = Response(
        orjson.dumps(Error.of(error).model_dump()), status_code=kind.status, media_type="application/json"
    )
    if kind.retry_after_seconds is not None:
        response.headers["retry-after"] = str(kind.retry_after_seconds)
    response.headers.update(_HEADERS.get(error.code, {}))
    return response


def http_error(error: HTTPException, method: str, path: str) -> RequestError:
    """What the framework refuses, in our terms."""
    code = _HTTP_CODES.get(error.status_code, ErrorCode.INVALID_REQUEST)
    messages = {
        ErrorCode.NOT_FOUND: f"no {path} here: see /docs for what there is",
        ErrorCode.METHOD_NOT_ALLOWED: f"{path} does not take {method}: see /docs for what it takes",
    }
    return RequestError(code, messages.get(code, str(error.detail)))
