"""Everything that can go wrong with a request, as one table: code -> HTTP status, type, whose fault.

The tree of exceptions:

    SchemaError
    ├── RequestError          answered: the caller gets an error response with this code
    └── UnanswerableError     nobody to answer: no id can be read, the message becomes a dead letter
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .json_types import JsonObject


class ErrorCode(StrEnum):
    """The closed set of `error.code` values and dead-letter reasons."""

    INVALID_REQUEST = "invalid_request"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    INPUT_TYPE_REQUIRED = "input_type_required"
    INVALID_API_KEY = "invalid_api_key"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    MODEL_NOT_FOUND = "model_not_found"
    WRONG_TOPIC = "wrong_topic"
    REQUEST_TOO_LARGE = "request_too_large"
    RESPONSE_TOO_LARGE = "response_too_large"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    MODEL_NOT_READY = "model_not_ready"
    TIMEOUT = "timeout"
    INTERNAL_ERROR = "internal_error"
    KILLED_WORKER = "killed_worker"
    NOT_JSON = "not_json"
    NO_ID = "no_id"
    DESTINATION_NOT_ALLOWED = "destination_not_allowed"
    DESTINATION_UNKNOWN = "destination_unknown"
    DESTINATION_REFUSED = "destination_refused"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """What a code means to HTTP callers and to the worker."""

    status: int
    type: str
    ours: bool = False
    retry_after_seconds: int | None = None


_INVALID: Final = "invalid_request_error"
_SERVER: Final = "server_error"

ERRORS: Final[Mapping[ErrorCode, ErrorKind]] = {
    ErrorCode.INVALID_REQUEST: ErrorKind(400, "request_validation_error"),
    ErrorCode.CONTEXT_LENGTH_EXCEEDED: ErrorKind(400, _INVALID),
    ErrorCode.INPUT_TYPE_REQUIRED: ErrorKind(400, _INVALID),
    ErrorCode.INVALID_API_KEY: ErrorKind(401, "authentication_error"),
    ErrorCode.NOT_FOUND: ErrorKind(404, _INVALID),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorKind(405, _INVALID),
    ErrorCode.MODEL_NOT_FOUND: ErrorKind(404, _INVALID),
    ErrorCode.WRONG_TOPIC: ErrorKind(400, _INVALID),
    ErrorCode.REQUEST_TOO_LARGE: ErrorKind(413, _INVALID),
    ErrorCode.RESPONSE_TOO_LARGE: ErrorKind(413, _INVALID),
    ErrorCode.RATE_LIMIT_EXCEEDED: ErrorKind(429, "rate_limit_error", retry_after_seconds=1),
    ErrorCode.OVERLOADED: ErrorKind(503, _SERVER, ours=True, retry_after_seconds=1),
    ErrorCode.UNAVAILABLE: ErrorKind(503, _SERVER, ours=True, retry_after_seconds=2),
    ErrorCode.MODEL_NOT_READY: ErrorKind(503, _SERVER, ours=True, retry_after_seconds=2),
    ErrorCode.TIMEOUT: ErrorKind(504, _SERVER, ours=True),
    ErrorCode.INTERNAL_ERROR: ErrorKind(500, _SERVER, ours=True),
    ErrorCode.KILLED_WORKER: ErrorKind(500, _SERVER, ours=True),
    ErrorCode.NOT_JSON: ErrorKind(400, "request_validation_error"),
    ErrorCode.NO_ID: ErrorKind(400, "request_validation_error"),
    ErrorCode.DESTINATION_NOT_ALLOWED: ErrorKind(400, _INVALID),
    ErrorCode.DESTINATION_UNKNOWN: ErrorKind(400, _INVALID),
    ErrorCode.DESTINATION_REFUSED: ErrorKind(400, _INVALID),
}


class ErrorBody(BaseModel):
    """The `error` object of an error response and of every HTTP error."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    message: str
    """What went wrong and what to do about it."""
    type: str
    """Family of the error, as OpenAI's clients know it."""
    param: str | None = None
    """The request field at fault, when there is one."""
    code: str
    """Stable, machine-readable name of the error."""
    index: int | None = None
    """Position of the input at fault, when there is one."""


class SchemaError(Exception):
    """Base of what this package raises."""


class RequestError(SchemaError):
    """A request that gets an error response.

    Args:
        code: The row of `ERRORS` it belongs to.
        message: For the caller: what is wrong, and the next move.
        param: The request field at fault.
        index: Position of the input at fault.
        request_id: The id to answer under, where it could be read.
        metadata: The request's own metadata, returned untouched, where it could be read.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        param: str | None = None,
        index: int | None = None,
        request_id: str | None = None,
        metadata: JsonObject | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.index = index
        self.request_id = request_id
        self.metadata = metadata

    @property
    def kind(self) -> ErrorKind:
        return ERRORS[self.code]

    def body(self) -> ErrorBody:
        return ErrorBody(
            message=self.message,
            type=self.kind.type,
            param=self.param,
            code=self.code.value,
            index=self.index,
        )

    @classmethod
    def from_body(cls, body: ErrorBody) -> RequestError:
        """The error a worker answered; a code this version does not know counts as `internal_error`."""
        known = body.code in ErrorCode._value2member_map_
        code = ErrorCode(body.code) if known else ErrorCode.INTERNAL_ERROR
        return cls(code, body.message, param=body.param, index=body.index)


class UnanswerableError(SchemaError):
    """A message nobody can be told about: not JSON, or without id and key. It becomes a dead letter."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
