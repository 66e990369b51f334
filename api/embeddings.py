"""`POST /v1/embeddings`: read, validate, admit, ask, answer."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from schemas.codec import Vectors, decode_body, encode_list
from schemas.errors import RequestError
from schemas.headers import TRACEPARENT, TRACESTATE

from .authentication import KeyRing, bearer_key
from .rate_limits import RateLimits, storage_at
from .request_body import declared_bytes, read_body
from .token_estimate import tokens_of_inputs

if TYPE_CHECKING:
    from client.request_reply import EmbeddingClient
    from schemas.headers import Header

    from .admission import Admission
    from .metrics import Metrics
    from .settings import ApiSettings


def embeddings_router(
    client: EmbeddingClient, settings: ApiSettings, admission: Admission, metrics: Metrics
) -> APIRouter:
    """The route, over one client."""
    router = APIRouter()
    keys = None if settings.auth_file is None else KeyRing(settings.auth_file)
    limits = RateLimits(storage_at(settings.rate_limit_storage))

    @router.post("/v1/embeddings")
    async def create_embedding(request: Request) -> Response:
        """Vectors of one text or a list of texts, in input order."""
        key = None if keys is None else bearer_key(keys, request.headers.get("authorization"))
        charge = limits.charge(key, request.state.headers)
        timeout_seconds = _timeout_seconds(request, settings.timeout_seconds)
        with admission.admit(declared_bytes(request, settings.max_body_bytes)) as place:
            await charge.take_request()
            raw = await read_body(request, place, max_bytes=settings.max_body_bytes, timeout_seconds=timeout_seconds)
            body = decode_body(raw, strict=settings.strict_fields)
            worker = client.worker_of(body.model)
            tokens = tokens_of_inputs(body.inputs)
            place.settle(len(raw), tokens)
            await charge.take_tokens(tokens)
            asked = client.embed(
                body,
                request_id=uuid.uuid4().hex,
                worker=worker,
                timeout_seconds=timeout_seconds,
                headers=_trace_headers(request),
            )
            try:
                vectors = await _unless_disconnected(request, asked)
            except RequestError as error:
                if error.kind.ours:
                    await charge.settle(0)
                raise
        await charge.settle(vectors.prompt_tokens)
        metrics.answered(worker.model, len(body.inputs), vectors.prompt_tokens)
        content = encode_list(
            model=body.model,
            vectors=vectors.vectors,
            encoding=body.encoding_format,
            prompt_tokens=vectors.prompt_tokens,
        )
        return Response(content, media_type="application/json")

    return router


async def _unless_disconnected(request: Request, asked: Any) -> Vectors:
    """Await the reply, but give the place free when the caller goes away.

    Raises:
        ClientDisconnect: It did; there is nobody to answer.
    """
    answer: asyncio.Task[Vectors] = asyncio.ensure_future(asked)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return answer.result()
    finally:
        for task in (answer, gone):
            task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _timeout_seconds(request: Request, most_seconds: float) -> float:
    """The caller's `x-request-timeout` in seconds where it is lower than ours; a malformed one is none."""
    try:
        wanted = float(request.headers.get("x-request-timeout", most_seconds))
    except ValueError:
        return most_seconds
    return min(wanted, most_seconds) if wanted > 0 else most_seconds


def _trace_headers(request: Request) -> list[Header]:
    found = ((name, request.headers.get(name)) for name in (TRACEPARENT, TRACESTATE))
    return [(name, value.encode("latin-1")) for name, value in found if value is not None]
