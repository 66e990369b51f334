"""`POST /v1/embeddings`: admit, read, validate, ask, answer."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it at run time

from schemas.codec import Vectors, decode_body
from schemas.errors import ErrorCode, RequestError
from schemas.response_sizes import response_bytes
from schemas.served_model import plan

from .answer import Answer, encode_answer
from .authentication import KeyRing, bearer_key
from .deadline import Deadline
from .request_body import declared_bytes, read_body
from .token_estimate import tokens_of_inputs
from .trace_context import handed_on

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from client.request_reply import EmbeddingClient
    from schemas.beats import Beat
    from schemas.requests import EmbeddingBody

    from .admission import Admission
    from .metrics import Metrics
    from .rate_limits import RateLimits
    from .settings import ApiSettings

_AT_ONCE_BYTES: Final = 262_144
"""A longer body is decoded beside the event loop, which 8 MiB of token ids would hold for a quarter of a second."""


def embeddings_router(
    client: EmbeddingClient,
    settings: ApiSettings,
    admission: Admission,
    metrics: Metrics,
    keys: KeyRing | None,
    limits: RateLimits,
) -> APIRouter:
    """The route, over one client; without keys everybody may ask."""
    router = APIRouter(route_class=_Unread)

    @router.post("/v1/embeddings")
    async def create_embedding(request: Request) -> Response:
        """Vectors of one text or a list of texts, in input order."""
        deadline = Deadline.after(_timeout_seconds(request, settings.timeout_seconds), _now())
        key = None if keys is None else bearer_key(keys, request.headers.get("authorization"))
        charge = limits.charge(key, request.state.headers)
        with ExitStack() as held:
            place = held.enter_context(admission.admit(declared_bytes(request, settings.max_body_bytes)))
            await charge.take_request()
            raw = await read_body(request, place, max_bytes=settings.max_body_bytes, deadline=deadline)
            body = await _decode(raw, strict=settings.strict_fields)
            worker = client.worker_of(body.model)
            tokens = tokens_of_inputs(body.inputs)
            place.settle(len(raw), tokens)
            await charge.take_tokens(tokens)
            try:
                place.expect(_answer_bytes(body, worker))
                asked = client.embed(
                    body,
                    request_id=uuid.uuid4().hex,
                    worker=worker,
                    timeout_seconds=deadline.rest_seconds(_now()),
                    headers=handed_on(request),
                )
                vectors = await _unless_disconnected(request, asked)
            except RequestError as error:
                if error.kind.ours:
                    await charge.settle(0)
                if error.code is ErrorCode.TIMEOUT:
                    raise _late(deadline) from error
                raise
            await charge.settle(vectors.prompt_tokens)
            metrics.answered(worker.model, len(body.inputs), vectors.prompt_tokens)
            content = await encode_answer(
                model=body.model,
                vectors=vectors.vectors,
                encoding=body.encoding_format,
                prompt_tokens=vectors.prompt_tokens,
            )
            place.answered(len(content))
            return Answer(content, held.pop_all(), settings.timeout_seconds)

    return router


class _Unread(APIRoute):
    """Gives the endpoint the request as it is: there is nothing for FastAPI to read and inject, which takes 50 us."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _decode(raw: bytes, *, strict: bool) -> EmbeddingBody:
    if len(raw) <= _AT_ONCE_BYTES:
        return decode_body(raw, strict=strict)
    return await asyncio.to_thread(decode_body, raw, strict=strict)


def _answer_bytes(body: EmbeddingBody, worker: Beat) -> int:
    """Most that the answer can have.

    Raises:
        RequestError: The model does not do what is asked.
    """
    chosen = plan(body, worker)
    return response_bytes(len(body.inputs), chosen.dim, body.encoding_format, chosen.embedding_type)


def _late(deadline: Deadline) -> RequestError:
    return RequestError(
        ErrorCode.TIMEOUT, f"no reply within {deadline.granted_seconds:g} s: try again, or send less at once"
    )


async def _unless_disconnected(request: Request, asked: Coroutine[Any, Any, Vectors]) -> Vectors:
    """Await the reply, but give the place free when the caller goes away.

    Raises:
        ClientDisconnect: It did; there is nobody to answer.
    """
    awaiting: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # never none in a coroutine
    has_left = False

    async def watch() -> None:
        nonlocal has_left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        has_left = True
        awaiting.cancel()

    watching = asyncio.ensure_future(watch())
    try:
        return await asked
    except asyncio.CancelledError:
        if not has_left or awaiting.uncancel():  # somebody else's, or somebody else's as well
            raise
        raise ClientDisconnect from None
    finally:
        watching.cancel()


def _timeout_seconds(request: Request, most_seconds: float) -> float:
    """The caller's `x-request-timeout` in seconds where it is lower than ours; a malformed one is none."""
    try:
        wanted = float(request.headers.get("x-request-timeout", most_seconds))
    except ValueError:
        return most_seconds
    return min(wanted, most_seconds) if wanted > 0 else most_seconds
