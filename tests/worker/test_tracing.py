"""`worker/tracing.py`: a span for each request, and what the response carries on."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from schemas.errors import ErrorCode, RequestError
from schemas.topics import TopicNames
from transport.tracing import Tracing
from worker.tracing import RequestSpans

from .fakes import an_item, answer

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> RequestSpans:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return RequestSpans(Tracing(provider), TopicNames())


def test_a_request_has_a_span_from_reading_it_to_its_end_named_and_described_as_is_usual(
    spans: RequestSpans, exporter: InMemorySpanExporter
) -> None:
    item = an_item(
        ["a", "b"],
        key=b"doc-9",
        partition=3,
        offset=7,
        headers=[("traceparent", f"00-{TRACE}-{PARENT}-01".encode()), ("kafka_correlationId", b"\x01\x02")],
    )
    answer(item).prompt_tokens = 5

    spans.started([item])
    assert exporter.get_finished_spans() == ()
    spans.ended(item, True)

    [span] = exporter.get_finished_spans()
    assert (span.name, span.kind.name) == ("process embedding.requests", "CONSUMER")
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "embedding.requests",
        "messaging.destination.partition.id": "3",
        "messaging.consumer.group.name": "embedding.bulk",
        "messaging.kafka.offset": 7,
        "messaging.kafka.message.key": "doc-9",
        "messaging.message.id": "r1",
        "messaging.message.body.size": len(item.message.value or b""),
        "messaging.message.conversation_id": "0102",
        "kafka_embeddings.inputs": 2,
        "kafka_embeddings.tokens": 5,
    }
    assert item.headers.traceparent == f"00-{TRACE}-{span.context.span_id:016x}-01".encode()
    assert item.headers.correlation_id == b"\x01\x02"


@pytest.mark.parametrize(
    ("acknowledged", "error", "told"),
    [
        (True, None, None),
        (True, RequestError(ErrorCode.TIMEOUT, "secret"), "timeout"),
        (False, None, "discarded"),
    ],
)
def test_how_it_ended_is_told_by_a_code_and_never_by_words(
    spans: RequestSpans,
    exporter: InMemorySpanExporter,
    acknowledged: bool,
    error: RequestError | None,
    told: str | None,
) -> None:
    item = an_item()
    spans.started([item])
    item.error = error
    spans.ended(item, acknowledged)

    [span] = exporter.get_finished_spans()
    assert (span.attributes or {}).get("error.type") == told
    assert "secret" not in span.to_json()


def test_what_is_not_sampled_is_not_kept_and_says_so_to_whoever_comes_next() -> None:
    spans = RequestSpans(Tracing(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)), TopicNames())
    item = an_item()
    spans.started([item])
    assert spans._spans == {}
    assert int((item.headers.traceparent or b"ff").rpartition(b"-")[2], 16) & 1 == 0
    spans.ended(item, True)


def test_a_tombstone_and_a_request_without_id_have_spans_too(
    spans: RequestSpans, exporter: InMemorySpanExporter
) -> None:
    tombstone = an_item(tombstone=True, key=b"\xff")
    spans.started([tombstone])
    spans.ended(tombstone, True)

    [span] = exporter.get_finished_spans()
    assert (span.attributes or {})["messaging.kafka.message.tombstone"] is True
    assert "messaging.message.id" not in (span.attributes or {})
