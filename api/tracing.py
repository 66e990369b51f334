"""A span for each HTTP request that asks for something, where the environment asks for spans.

It hangs below the caller's `traceparent`, and its own goes on to the worker. Probes and metrics get none.
Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

from transport.tracing import SpanKind, TraceHeaders

from .trace_context import hand_on, trace_headers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from transport.tracing import Tracing

_UNTRACED: Final = ("/metrics", "/v1/metrics", "/v1/health/")
_OUR_FAULT: Final = 500


class Traced:
    """ASGI around the application.

    Args:
        app: What it wraps.
        tracing: Makes the spans.
    """

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_UNTRACED):
            await self._app(scope, receive, send)
            return
        given = dict(trace_headers(Headers(scope=scope)))
        span = self._tracing.start(
            scope["method"],
            SpanKind.SERVER,
            TraceHeaders(given.get("traceparent"), given.get("tracestate")),
            {"http.request.method": scope["method"], "url.path": scope["path"], "url.scheme": scope["scheme"]},
        )
        hand_on(scope, span.headers)
        status: int | None = None

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        finally:
            route = getattr(scope.get("route"), "path", None)
            if route is not None:
                span.rename(f"{scope['method']} {route}")
            known = {"http.route": route, "http.response.status_code": status}
            failed = "cancelled" if status is None else str(status) if status >= _OUR_FAULT else None
            span.end(failed, {name: value for name, value in known.items() if value is not None})
