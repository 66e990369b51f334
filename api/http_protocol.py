"""HTTP on a connection, as uvicorn speaks it, but for two things: what cannot be read is refused in our words, and
an application can hang up on a caller."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from schemas.errors import ErrorCode, RequestError

from .errors import error_response
from .request_context import REQUEST_ID_HEADER

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

HANG_UP: Final = "hang_up"
"""Where a scope's state has a call that drops its connection at once, with what was not sent yet."""


class HttpProtocol(H11Protocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, HANG_UP: self._hang_up}, _loop)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the body of every other error."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = error_response(RequestError(ErrorCode.INVALID_REQUEST, msg))
            headers = [
                *response.raw_headers,
                (REQUEST_ID_HEADER.encode("ascii"), uuid.uuid4().hex.encode("ascii")),
                (b"connection", b"close"),
            ]
            status = response.status_code
            events = (
                h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            )
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def _hang_up(self) -> None:
        self.transport.abort()
