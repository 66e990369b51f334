"""The outermost layer of every HTTP request: its id, and an answer even when we fail.

Plain ASGI: every response carries `x-request-id` and what a route put into `state.headers`, and an exception nobody
expected becomes a 500 without traceback.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

import structlog
from starlette.requests import ClientDisconnect

from schemas.causes import causes_of
from schemas.errors import ErrorCode, RequestError

from .errors import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("api")

REQUEST_ID_HEADER: Final = "x-request-id"
_GIVEN_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestContext:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        own: dict[str, str] = {}
        scope.setdefault("state", {}).update(request_id=request_id, headers=own)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                ours = {**own, REQUEST_ID_HEADER: request_id}
                message["headers"] = [
                    *(header for header in message["headers"] if header[0].decode("latin-1") not in ours),
                    *((name.encode("ascii"), value.encode("ascii")) for name, value in ours.items()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.debug("the caller went away", request_id=request_id)
        except Exception as error:
            log.error("request failed", request_id=request_id, path=scope["path"], causes=causes_of(error))
            if started:
                raise
            scope["state"]["error_code"] = ErrorCode.INTERNAL_ERROR.value
            answer = error_response(
                RequestError(ErrorCode.INTERNAL_ERROR, f"internal error: report it with request id {request_id}")
            )
            await answer(scope, receive, send_with_id)


def _request_id(scope: Scope) -> str:
    """The caller's own id when it is printable and short, else a new one."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID_HEADER.encode() and _GIVEN_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return uuid.uuid4().hex
