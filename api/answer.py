"""The vectors as a body, and the sending of it: no long hold of the event loop, and room until the caller has it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from schemas.codec import embedding_list, encode_list

from .http_protocol import HANG_UP

if TYPE_CHECKING:
    from contextlib import ExitStack

    from numpy.typing import NDArray
    from starlette.types import Receive, Scope, Send

    from schemas.requests import EncodingFormat

log = structlog.get_logger("api")

_AT_ONCE_NUMBERS: Final = 65_536
"""More are encoded beside the event loop, so many at a time: orjson lets no other thread run meanwhile, 3 ms."""
_PIECE_BYTES: Final = 65_536
"""Sent at a time. The server takes whatever it is given and waits only before the next."""


async def encode_answer(*, model: str, vectors: NDArray[Any], encoding: EncodingFormat, prompt_tokens: int) -> bytes:
    """What `schemas.codec.encode_list` makes of the same arguments; large ones in a thread."""
    if vectors.size <= _AT_ONCE_NUMBERS:
        return encode_list(model=model, vectors=vectors, encoding=encoding, prompt_tokens=prompt_tokens)
    return await asyncio.to_thread(_encode_in_parts, model, vectors, encoding, prompt_tokens)


def _encode_in_parts(model: str, vectors: NDArray[Any], encoding: EncodingFormat, prompt_tokens: int) -> bytes:
    listed: dict[str, Any] = embedding_list(model, vectors, encoding, prompt_tokens)
    data = listed["data"]
    rows = max(1, _AT_ONCE_NUMBERS // vectors.shape[1])
    parts = (
        orjson.dumps(data[start : start + rows], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        for start in range(0, len(data), rows)
    )
    head, tail = orjson.dumps({**listed, "data": []}).split(b"[]", 1)
    return b"".join((head, b"[", b",".join(parts), b"]", tail))


class Answer(Response):
    """A body that is sent as fast as its caller takes it, and holds its room until then.

    Args:
        content: JSON.
        held: Closed when the caller has it, or is gone.
        within_seconds: Time to take it in; a caller that does not is hung up on.
    """

    media_type = "application/json"

    def __init__(self, content: bytes, held: ExitStack, within_seconds: float) -> None:
        super().__init__(content)
        self._held = held
        self._within_seconds = within_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            try:
                async with asyncio.timeout(self._within_seconds):
                    await self._send(send)
            except TimeoutError:
                log.warning(
                    "a caller did not take its answer, hung up",
                    request_id=scope["state"].get("request_id"),
                    size_bytes=len(self.body),
                )
                await _hang_up(scope, receive)
                raise ClientDisconnect from None

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if len(self.body) <= _PIECE_BYTES:
            await send({"type": "http.response.body", "body": self.body})
            return
        for start in range(0, len(self.body), _PIECE_BYTES):
            piece = bytes(self.body[start : start + _PIECE_BYTES])
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        # Waits until the last piece, too, is on its way.
        await send({"type": "http.response.body", "body": b""})


async def _hang_up(scope: Scope, receive: Receive) -> None:
    """Drop the connection where the server lets us; any other closes it once we return."""
    drop = scope["state"].get(HANG_UP)
    if drop is not None:
        drop()
        while (await receive())["type"] != "http.disconnect":
            pass
