"""Spans by OpenTelemetry, where the environment asks for them; only home of `opentelemetry`.

Off, and nothing of it imported, unless the standard variables say otherwise: `OTEL_TRACES_EXPORTER`, or an
`OTEL_EXPORTER_OTLP_…ENDPOINT`; `OTEL_SDK_DISABLED=true` turns it off again. Everything else that OpenTelemetry reads
from the environment (sampler, service name, attributes, headers, batching) counts as it says.
Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import logging
import os
import threading
from enum import StrEnum
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from schemas.headers import TRACEPARENT, TRACESTATE

from .errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan

log = structlog.get_logger("transport")

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_CLOSE_SECONDS: Final = 3.0
_REPEAT_AFTER_SECONDS: Final = 30.0


class SpanKind(StrEnum):
    """What a span stands for, in OpenTelemetry's words."""

    SERVER = "SERVER"
    CONSUMER = "CONSUMER"


class TraceHeaders(NamedTuple):
    """A place in a trace, as headers carry it."""

    traceparent: bytes | None
    tracestate: bytes | None


class Span:
    """One span under way.

    Args:
        span: OpenTelemetry's.
    """

    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    @property
    def is_recording(self) -> bool:
        """Whether it will be exported; otherwise it only carries that decision on."""
        return self._span.is_recording()

    @property
    def headers(self) -> TraceHeaders:
        """What carries it on to whoever comes next."""
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, set_span_in_context(self._span))
        parent, state = carrier.get(TRACEPARENT), carrier.get(TRACESTATE)
        return TraceHeaders(
            None if parent is None else parent.encode("ascii"), None if state is None else state.encode("ascii")
        )

    def rename(self, name: str) -> None:
        """Call it otherwise than it was started."""
        self._span.update_name(name)

    def end(self, error_type: str | None = None, attributes: Mapping[str, Any] | None = None) -> None:
        """It is over; where it failed, with what."""
        from opentelemetry.trace import Status, StatusCode

        if attributes:
            self._span.set_attributes(attributes)
        if error_type is not None:
            self._span.set_attribute("error.type", error_type)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Tracing:
    """Makes spans and sees them exported.

    Args:
        provider: OpenTelemetry's, with its exporters.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace import SpanKind as OtelKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("kafka-embeddings")
        self._kinds = {kind: OtelKind[kind.value] for kind in SpanKind}
        self._propagator = TraceContextTextMapPropagator()

    def start(self, name: str, kind: SpanKind, parent: TraceHeaders, attributes: Mapping[str, Any]) -> Span:
        """Begin a span.

        Args:
            name: What it is called.
            kind: What it stands for.
            parent: Where it hangs; malformed or absent: it begins a trace.
            attributes: What is known of it now; None values are left out.
        """
        from opentelemetry.context import Context

        # An empty context, not the current one: only the headers say where a span hangs.
        context = self._propagator.extract(_carrier(parent), Context())
        known = {key: value for key, value in attributes.items() if value is not None}
        return Span(self._tracer.start_span(name, context, self._kinds[kind], known))

    def close(self) -> None:
        """Export what is left, for 3 s at the most."""
        closing = threading.Thread(target=self._provider.shutdown, name="tracing-close", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def tracing_from_environment(service: str) -> Tracing | None:
    """Tracing as the `OTEL_…` variables ask for it; None: they do not.

    Args:
        service: What this process is called unless `OTEL_SERVICE_NAME` says otherwise.

    Raises:
        SettingsError: An exporter is named that is not installed, or a variable does not fit.
    """
    names = _exporter_names(os.environ)
    if not names:
        return None
    try:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise SettingsError(
            "the OTEL_… variables ask for spans, which need more than is installed: "
            "pip install 'kafka-embeddings[otel]', or set OTEL_SDK_DISABLED=true"
        ) from error
    _take_log()
    exporters = [_exporter(name) for name in names]
    try:
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        # Closed by us, within a bound; at exit it would wait as long as its exporters do.
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        for exporter in exporters:
            provider.add_span_processor(BatchSpanProcessor(exporter))
    except ValueError as error:
        raise SettingsError(f"the OTEL_… variables cannot work as given: {error}") from error
    log.info("spans are exported", exporters=names)
    return Tracing(provider)


def _exporter_names(environment: Mapping[str, str]) -> list[str]:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    named = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if not named:
        named = "otlp" if any(environment.get(name) for name in _ENDPOINTS) else ""
    names = [name.strip() for name in named.split(",") if name.strip() not in ("", "none")]
    protocol = (
        environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
        or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    return [_PROTOCOLS.get(protocol, f"otlp ({protocol})") if name == "otlp" else name for name in names]


def _exporter(name: str) -> Any:
    found = next(iter(entry_points(group="opentelemetry_traces_exporter", name=name)), None)
    if found is None:
        raise SettingsError(
            f"no exporter {name!r} for spans is installed: install its package, or set OTEL_TRACES_EXPORTER to "
            "otlp, console or none"
        )
    try:
        return found.load()()
    except Exception as error:  # whatever an exporter's package raises over its settings
        raise SettingsError(f"the exporter {name!r} for spans cannot work as given: {error}") from error


def _carrier(headers: TraceHeaders) -> dict[str, str]:
    named = ((TRACEPARENT, headers.traceparent), (TRACESTATE, headers.tracestate))
    return {name: value.decode("latin-1") for name, value in named if value is not None}


class _OtelLog(logging.Handler):
    """OpenTelemetry's own complaints as ours, at most one in 30 s: a collector that is away concerns every batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said_at = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        if record.created - self._said_at >= _REPEAT_AFTER_SECONDS:
            self._said_at = record.created
            log.warning("trouble with spans", detail=record.getMessage())


def _take_log() -> None:
    logger = logging.getLogger("opentelemetry")
    if not logger.handlers:
        logger.addHandler(_OtelLog())
        logger.propagate = False
