"""The one error body that NVIDIA's and OpenAI's clients both read, checked wherever an error comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.errors import ERRORS, ErrorCode

if TYPE_CHECKING:
    import httpx


def check_error(
    response: httpx.Response, code: ErrorCode, *, retry_after_seconds: int | None = None
) -> dict[str, Any]:
    """Hold a response against the hybrid body and the table of errors; its `error` object.

    Args:
        response: What came back.
        code: What it should be.
        retry_after_seconds: Where it is not the table's.
    """
    kind = ERRORS[code]
    body = response.json()
    assert response.status_code == kind.status, body
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert body.keys() == {"object", "message", "detail", "type", "error"}
    assert body["object"] == "error"
    assert isinstance(body["message"], str)
    assert body["message"]
    assert isinstance(body["detail"], dict)
    assert body["type"] == kind.type
    error: dict[str, Any] = body["error"]
    assert error["code"] == code.value, body
    assert error["type"] == kind.type
    assert isinstance(error["message"], str)
    assert error["message"]
    after = retry_after_seconds or kind.retry_after_seconds
    assert response.headers.get("retry-after") == (None if after is None else str(after))
    return error
