"""`api/tracing.py`: a span for each request that asks for something, handed on to the worker."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.app import create_app
from api.settings import ApiSettings
from schemas.errors import ErrorCode, RequestError
from tests.stack.waiting import wait_until
from transport.tracing import Tracing

from .stand_in import StandInClient, ask, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from opentelemetry.sdk.trace import ReadableSpan

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@contextmanager
def traced(client: StandInClient, exporter: InMemorySpanExporter) -> Iterator[httpx.Client]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with serving(create_app(client, ApiSettings(), tracing=Tracing(provider))) as http:
        yield http


def only_span(exporter: InMemorySpanExporter) -> ReadableSpan:
    """It ends after its response is read."""
    wait_until(lambda: bool(exporter.get_finished_spans()), "a span")
    [span] = exporter.get_finished_spans()
    return span


def test_a_request_has_a_span_below_its_callers_and_the_worker_gets_it_as_its_parent(
    exporter: InMemorySpanExporter,
) -> None:
    client = StandInClient()
    with traced(client, exporter) as http:
        http.headers.update(GIVEN)
        assert ask(http).status_code == 200
        span = only_span(exporter)

    assert (span.name, span.kind.name) == ("POST /v1/embeddings", "SERVER")
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "url.path": "/v1/embeddings",
        "url.scheme": "http",
        "http.route": "/v1/embeddings",
        "http.response.status_code": 200,
    }
    assert client.headers == [
        ("traceparent", f"00-{TRACE}-{span.context.span_id:016x}-01".encode()),
        ("tracestate", b"vendor=1"),
    ]


@pytest.mark.parametrize(
    ("code", "told", "status"),
    [(ErrorCode.UNAVAILABLE, "503", "ERROR"), (ErrorCode.CONTEXT_LENGTH_EXCEEDED, None, "UNSET")],
)
def test_a_failure_of_ours_is_one_of_the_span_and_a_callers_is_not(
    exporter: InMemorySpanExporter, code: ErrorCode, told: str | None, status: str
) -> None:
    client = StandInClient()
    client.failure = RequestError(code, "a secret")
    with traced(client, exporter) as http:
        assert ask(http).is_error
        span = only_span(exporter)

    assert (span.attributes or {}).get("error.type") == told
    assert span.status.status_code.name == status
    assert "a secret" not in span.to_json()


def test_probes_and_metrics_have_none(exporter: InMemorySpanExporter) -> None:
    with traced(StandInClient(), exporter) as http:
        for path in ("/metrics", "/v1/metrics", "/v1/health/live", "/v1/health/ready"):
            assert http.get(path).status_code == 200
        assert http.get("/v1/models").status_code == 200
        assert only_span(exporter).name == "GET /v1/models"
