"""What the API counts, one closed table, and `GET /metrics` and `/v1/metrics` that tell it.

Labels are route templates, served names and codes of the table of errors: nothing a caller can make up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request  # noqa: TC002 - FastAPI reads it at run time
from starlette.responses import Response

from schemas.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from client.request_reply import EmbeddingClient

    from .admission import Admission

_PREFIX: Final = "kafka_embeddings_api_"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PAGES: Final = frozenset({"/openapi.json"})
"""The framework's own, which have no template."""
_UNMATCHED: Final = "unmatched"
_CALLER_GONE: Final = "499"
"""nginx's number for it; the caller has seen no status."""


class Metrics:
    """The counters of one application, in a registry of their own.

    Args:
        admission: What is under way.
        client: What awaits replies.
    """

    def __init__(self, admission: Admission, client: EmbeddingClient) -> None:
        registry = self.registry = CollectorRegistry()
        self._requests = Counter(
            f"{_PREFIX}requests_total",
            "Requests by route and status; 499: the caller left.",
            ["path", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            f"{_PREFIX}request_duration_seconds",
            "From a request's head to the end of its response.",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            f"{_PREFIX}prompt_tokens_total",
            "Tokens that were answered for, as told in `usage`.",
            ["model"],
            registry=registry,
        )
        self._inputs = Counter(f"{_PREFIX}inputs_total", "Inputs that were answered.", ["model"], registry=registry)
        self._rejected = Counter(
            f"{_PREFIX}rejected_total",
            "Requests that were answered with an error, by its code.",
            ["code"],
            registry=registry,
        )
        for code in ErrorCode:  # from zero, so that the first one of each is a rise
            self._rejected.labels(code.value)
        registry.register(_State(admission, client))

    def answered(self, model: str, inputs: int, prompt_tokens: int) -> None:
        """Count a request that got its vectors.

        Args:
            model: Name the model is served under, never as the caller wrote it.
            inputs: How many it had.
            prompt_tokens: Tokens of all of them.
        """
        self._inputs.labels(model).inc(inputs)
        self._tokens.labels(model).inc(prompt_tokens)

    def ended(self, path: str, status: str, seconds: float, code: str | None) -> None:
        """Count a request that is over.

        Args:
            path: Its route's template.
            status: Of its response.
            seconds: How long it took.
            code: Of the error it was answered with, if it was.
        """
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)
        if code is not None:
            self._rejected.labels(code).inc()


class _State(Collector):
    """What is not counted here, but known elsewhere when somebody asks."""

    def __init__(self, admission: Admission, client: EmbeddingClient) -> None:
        self._admission = admission
        self._client = client

    def collect(self) -> Iterator[Metric]:
        under_way = self._admission
        yield GaugeMetricFamily(f"{_PREFIX}in_flight_requests", "Requests under way.", under_way.requests)
        yield GaugeMetricFamily(
            f"{_PREFIX}in_flight_tokens", "Estimated tokens of the requests under way.", under_way.used_tokens
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}in_flight_bytes", "Bodies and answers of the requests under way.", under_way.used_bytes
        )
        yield GaugeMetricFamily(f"{_PREFIX}pending_replies", "Messages whose reply is awaited.", self._client.pending)
        yield CounterMetricFamily(
            f"{_PREFIX}unawaited_replies_total",
            "Replies nobody awaited any more: late, repeated, or another replica's.",
            self._client.strangers,
        )


class Measured:
    """ASGI around everything else: counts each request once it is over."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.monotonic()
        status = _CALLER_GONE

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        finally:
            code = scope.get("state", {}).get("error_code")
            self._metrics.ended(_template(scope), status, time.monotonic() - started_at, code)


def metrics_router(metrics: Metrics) -> APIRouter:
    """The routes that tell them."""
    router = APIRouter()

    @router.get("/metrics")
    @router.get("/v1/metrics")
    async def told(request: Request) -> Response:
        """Text, or OpenMetrics for those who accept it."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.registry), headers={"content-type": content_type})

    return router


def _template(scope: Scope) -> str:
    path: str | None = getattr(scope.get("route"), "path", None)
    if path is not None:
        return path
    return scope["path"] if scope["path"] in _PAGES else _UNMATCHED
