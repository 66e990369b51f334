"""`transport/tracing.py`: off unless the environment asks for it, and then as it says."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from transport.errors import SettingsError
from transport.tracing import SpanKind, TraceHeaders, Tracing, _exporter_names, tracing_from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = TraceHeaders(f"00-{TRACE}-{PARENT}-01".encode(), b"vendor=1")
NONE = TraceHeaders(None, None)


@pytest.fixture(autouse=True)
def _no_otel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import os

    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    yield
    logging.getLogger("opentelemetry").handlers.clear()


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider)


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, []),
        ({"OTEL_SERVICE_NAME": "x"}, []),
        ({"OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_TRACES_EXPORTER": "console"}, ["console"]),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ["otlp_proto_http", "console"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "TRUE"}, []),
    ],
)
def test_spans_are_exported_where_the_standard_variables_say_so(
    environment: dict[str, str], names: list[str]
) -> None:
    assert _exporter_names(environment) == names


def test_where_nobody_asks_nothing_is_imported() -> None:
    script = (
        "import sys, transport.tracing, worker.tracing; "
        "assert transport.tracing.tracing_from_environment('x') is None; "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    root = Path(__file__).parents[2]

    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("exporter", "words"), [("no-such", "OTEL_TRACES_EXPORTER"), ("otlp:", "OTEL_TRACES_EXPORTER")]
)
def test_an_exporter_that_is_not_there_stops_the_start_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, exporter: str, words: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", exporter)
    with pytest.raises(SettingsError, match=words):
        tracing_from_environment("x")


def test_without_the_package_the_start_stops_and_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(SettingsError, match=r"kafka-embeddings\[otel\]"):
        tracing_from_environment("x")


@pytest.mark.parametrize(
    ("environment", "service"),
    [
        ({}, "kafka-embeddings-worker"),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=ours"}, "ours"),
    ],
)
def test_the_service_is_called_as_the_environment_says_else_by_our_name(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], service: str
) -> None:
    for name, value in {"OTEL_TRACES_EXPORTER": "console", **environment}.items():
        monkeypatch.setenv(name, value)
    tracing = tracing_from_environment("kafka-embeddings-worker")
    assert tracing is not None
    assert tracing._provider.resource.attributes["service.name"] == service
    tracing.close()


def test_a_span_hangs_below_the_headers_given_and_carries_the_trace_on(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    span = tracing.start("process t", SpanKind.CONSUMER, GIVEN, {"a": 1, "left.out": None})
    own = span.headers
    span.end("timeout", {"b": 2})

    [told] = exporter.get_finished_spans()
    assert told.parent is not None
    assert (f"{told.context.trace_id:032x}", f"{told.parent.span_id:016x}") == (TRACE, PARENT)
    assert own == (f"00-{TRACE}-{told.context.span_id:016x}-01".encode(), b"vendor=1")
    assert dict(told.attributes or {}) == {"a": 1, "b": 2, "error.type": "timeout"}
    assert (told.kind.name, told.status.status_code.name) == ("CONSUMER", "ERROR")


@pytest.mark.parametrize("given", [NONE, TraceHeaders(b"nonsense", None), TraceHeaders(b"\xff\xfe", b"\x00")])
def test_without_a_readable_parent_a_span_begins_a_trace(
    tracing: Tracing, exporter: InMemorySpanExporter, given: TraceHeaders
) -> None:
    span = tracing.start("x", SpanKind.SERVER, given, {})
    span.rename("POST /v1/embeddings")
    span.end()

    [told] = exporter.get_finished_spans()
    assert told.parent is None
    assert told.name == "POST /v1/embeddings"
    assert told.status.status_code.name == "UNSET"


def test_a_span_the_sampler_leaves_out_carries_that_decision_on() -> None:
    span = Tracing(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)).start("x", SpanKind.SERVER, GIVEN, {})
    assert not span.is_recording
    assert int((span.headers.traceparent or b"ff").rpartition(b"-")[2], 16) & 1 == 0


def test_closing_waits_for_a_hanging_exporter_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.tracing._CLOSE_SECONDS", 0.05)
    leave, ended = threading.Event(), threading.Event()

    class Hangs:
        def get_tracer(self, name: str) -> None: ...

        def shutdown(self) -> None:
            leave.wait(20)
            ended.set()

    Tracing(Hangs()).close()  # type: ignore[arg-type]
    assert not ended.is_set()
    leave.set()
