"""`POST /v1/embeddings`: read, validate, admit, ask, answer."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from schemas.codec import Vectors, decode_body, encode_list
from schemas.errors import ErrorCode, RequestError
from schemas.headers import TRACEPARENT, TRACESTATE
from schemas.requests import EmbeddingBody
from schemas.responses import EmbeddingList

from .admission import Admission
from .authentication import KeyRing, bearer_key
from .rate_limits import RateLimits, storage_at
from .token_estimate import tokens_of_inputs

if TYPE_CHECKING:
    from client.request_reply import EmbeddingClient
    from schemas.headers import Header

    from .settings import ApiSettings


def embeddings_router(client: EmbeddingClient, settings: ApiSettings) -> APIRouter:
    """The route, over one client."""
    router = APIRouter()
    admission = Admission(settings.max_in_flight_bytes)
    keys = None if settings.auth_file is None else KeyRing(settings.auth_file)
    limits = RateLimits(storage_at(settings.rate_limit_storage))

    @router.post(
        "/v1/embeddings",
        operation_id="createEmbedding",
        summary="Create an embedding",
        tags=["Embeddings"],
        response_model=EmbeddingList,
        openapi_extra=_body_of_the_docs(),
    )
    async def create_embedding(request: Request) -> Response:
        """Vectors of one text or a list of texts, in input order."""
        key = None if keys is None else bearer_key(keys, request.headers.get("authorization"))
        charge = limits.charge(key, request.state.headers)
        await charge.take_request()
        raw = await _read_body(request, settings.max_body_bytes)
        body = decode_body(raw)
        worker = client.worker_of(body.model)
        await charge.take_tokens(tokens_of_inputs(body.inputs))
        with admission.admit(len(raw)):
            asked = client.embed(
                body,
                request_id=uuid.uuid4().hex,
                worker=worker,
                timeout_seconds=_timeout_seconds(request, settings.timeout_seconds),
                headers=_trace_headers(request),
            )
            try:
                vectors = await _unless_disconnected(request, asked)
            except RequestError as error:
                if error.kind.ours:
                    await charge.settle(0)
                raise
        await charge.settle(vectors.prompt_tokens)
        content = encode_list(
            model=body.model,
            vectors=vectors.vectors,
            encoding=body.encoding_format,
            prompt_tokens=vectors.prompt_tokens,
        )
        return Response(content, media_type="application/json")

    return router


async def _read_body(request: Request, max_bytes: int) -> bytes:
    """Read the body, stopping as soon as it is too large.

    Raises:
        RequestError: `request_too_large`.
    """
    too_large = RequestError(
        ErrorCode.REQUEST_TOO_LARGE, f"the body is larger than {max_bytes} bytes: split the request", param="input"
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    chunks = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


async def _unless_disconnected(request: Request, asked: Any) -> Vectors:
    """Await the reply, but give the place free when the caller goes away."""
    answer: asyncio.Task[Vectors] = asyncio.ensure_future(asked)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise RequestError(ErrorCode.UNAVAILABLE, "the caller went away")
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


def _body_of_the_docs() -> dict[str, Any]:
    """The body for OpenAPI; the route reads it itself, so that every violation ends in our own error body."""
    schema = EmbeddingBody.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    inlined = _inline(schema, definitions)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined}}}}


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref", "")
    named = definitions.get(reference.rpartition("/")[2], {}) if reference else {}
    rest = {name: _inline(value, definitions) for name, value in schema.items() if name != "$ref"}
    return {**named, **rest}
