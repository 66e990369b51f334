"""Reads a request's body, within its bounds of size and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from schemas.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from starlette.requests import Request

    from .admission import Place
    from .deadline import Deadline


def declared_bytes(request: Request, max_bytes: int) -> int | None:
    """What `Content-Length` says; None without one.

    Raises:
        RequestError: `request_too_large`: nothing was read.
    """
    declared = request.headers.get("content-length", "")
    if not declared.isdigit():
        return None
    if int(declared) > max_bytes:
        raise _too_large(max_bytes)
    return int(declared)


async def read_body(request: Request, place: Place, *, max_bytes: int, deadline: Deadline) -> bytes:
    """The whole body; stops as soon as it is too large, finds no room, or takes too long.

    Raises:
        RequestError: `request_too_large`, `overloaded` or `timeout`.
        ClientDisconnect: The caller went away in the middle of it.
    """
    chunks = []
    size_bytes = 0
    try:
        async with asyncio.timeout_at(deadline.at):
            async for chunk in request.stream():
                size_bytes += len(chunk)
                if size_bytes > max_bytes:
                    raise _too_large(max_bytes)
                place.grow(size_bytes)
                chunks.append(chunk)
    except TimeoutError:
        raise RequestError(
            ErrorCode.TIMEOUT,
            f"the body did not arrive within {deadline.granted_seconds:g} s: try again, or send less at once",
        ) from None
    return b"".join(chunks)


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(
        ErrorCode.REQUEST_TOO_LARGE, f"the body is larger than {max_bytes} bytes: split the request", param="input"
    )
