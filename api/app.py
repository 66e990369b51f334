"""Puts the routes together. The composition root is `serving.py`."""

from __future__ import annotations

from http import HTTPMethod
from http.client import METHOD_NOT_ALLOWED
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import Match

from schemas.errors import RequestError

from .admission import Admission
from .authentication import KeyRing
from .docs_page import docs_router
from .embeddings import embeddings_router
from .errors import error_response, http_error
from .health import health_router
from .metadata import metadata_router, release
from .metrics import Measured, Metrics, metrics_router
from .openapi import openapi_document
from .rate_limits import RateLimits, storage_at
from .request_context import RequestContext
from .served_models import models_router
from .tracing import Traced

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope

    from client.request_reply import EmbeddingClient
    from transport.tracing import Tracing

    from .settings import ApiSettings


_METHODS: Final = sorted(HTTPMethod)


class _Application(FastAPI):
    """Serves the document we publish: FastAPI sees neither our errors nor the body that we read ourselves."""

    def openapi(self) -> dict[str, Any]:
        return openapi_document(release())


def create_app(
    client: EmbeddingClient,
    settings: ApiSettings,
    admission: Admission | None = None,
    limits: RateLimits | None = None,
    tracing: Tracing | None = None,
) -> FastAPI:
    """The application over a client somebody else starts and stops.

    Args:
        client: What answers.
        settings: Of this process.
        admission: What counts the requests under way, for those who want to see it; one of its own otherwise.
        limits: What counts the limits of keys, for those who close it; one of its own otherwise.
        tracing: Makes a span of each request; None: there are none.

    Raises:
        SettingsError: The file of keys or the storage of limits cannot be used.
    """
    admission = admission or Admission(settings.max_in_flight_bytes, settings.max_in_flight_tokens)
    limits = limits or RateLimits(storage_at(settings.rate_limit_storage))
    keys = None if settings.auth_file is None else KeyRing(settings.auth_file)
    metrics = Metrics(admission, client)
    app = _Application(
        title="kafka-embeddings",
        redirect_slashes=False,  # a path with one too many is not found, in our words
        docs_url=None,  # its own pages load their scripts from elsewhere
        redoc_url=None,
    )
    app.include_router(embeddings_router(client, settings, admission, metrics, keys, limits))
    app.include_router(models_router(client))
    app.include_router(health_router(client, admission))
    app.include_router(metadata_router(client))
    app.include_router(metrics_router(metrics))
    app.include_router(docs_router(app.openapi()))

    # Inside what the framework puts around everything, which would answer our own failures in its own words.
    app.add_middleware(RequestContext)
    app.add_middleware(Measured, metrics=metrics)
    if tracing is not None:
        app.add_middleware(Traced, tracing=tracing)

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> Response:
        return _answer(request, error)

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        response = _answer(request, http_error(error, request.method, request.url.path))
        response.headers.update(error.headers or {})
        if error.status_code == METHOD_NOT_ALLOWED:
            response.headers["allow"] = ", ".join(_methods(app, request.scope))
        return response

    return app


def _methods(app: FastAPI, scope: Scope) -> list[str]:
    """What a path takes, of all its routes: the framework names only those of the first."""
    return [
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.router.routes)
    ]


def _answer(request: Request, error: RequestError) -> Response:
    request.state.error_code = error.code.value  # for the metrics
    return error_response(error)
