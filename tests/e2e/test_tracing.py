"""A trace from an HTTP caller through the API and Kafka to the worker and its response."""

from __future__ import annotations

import json
import signal
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from schemas.topics import TopicNames
from tests.stack.stack import MODEL

from .place import Read, Reader

if TYPE_CHECKING:
    from tests.stack.command import Command
    from tests.stack.stack import Stack

_TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
_CALLER: Final = "b7ad6b7169203331"
_SPANS: Final = {"OTEL_TRACES_EXPORTER": "console"}


def _spans(command: Command) -> list[dict[str, Any]]:
    """What it exported to its standard output, by the end of its life."""
    command.signal(signal.SIGTERM)
    assert command.wait() == 0, command.quote()
    decoder, text, found = json.JSONDecoder(), command.stdout.strip(), []
    while text:
        span, end = decoder.raw_decode(text)
        found.append(span)
        text = text[end:].strip()
    return found


def _ids(span: dict[str, Any]) -> tuple[str, str, str]:
    """Trace, own id, parent."""
    context = span["context"]
    return context["trace_id"][2:], context["span_id"][2:], (span["parent_id"] or "0x")[2:]


def _reply(stack: Stack, trace: str) -> Read:
    """The one reply that carries this trace."""
    with closing(Reader(stack.bootstrap, [TopicNames().replies])) as reader:

        def of_trace(messages: list[Read]) -> list[Read]:
            return [message for message in messages if trace.encode() in message.headers.get("traceparent", b"")]

        [reply] = of_trace(reader.until(lambda messages: bool(of_trace(messages)), "the reply of the trace"))
    return reply


def test_without_opentelemetry_a_callers_trace_comes_back_on_the_response_as_it_was(new_stack: Stack) -> None:
    trace = uuid.uuid4().hex
    new_stack.start_worker("--encoder", "null").wait_for('"ready"')
    api = new_stack.start_api()
    api.wait_until_ready()
    headers = {"traceparent": f"00-{trace}-{_CALLER}-01", "tracestate": "vendor=1"}
    body = {"model": MODEL, "input": "a"}
    assert api.http.post("/v1/embeddings", json=body, headers=headers).status_code == 200

    reply = _reply(new_stack, trace)

    assert reply.headers["traceparent"] == headers["traceparent"].encode()
    assert reply.headers["tracestate"] == b"vendor=1"


def test_one_trace_goes_from_the_caller_through_api_and_worker_to_the_response(new_stack: Stack) -> None:
    stack = new_stack
    worker = stack.start_worker("--encoder", "null", environment=_SPANS)
    api = stack.start_api(environment=_SPANS)
    worker.wait_for('"ready"')
    api.wait_until_ready()

    body = {"model": MODEL, "input": ["a secret text", "b"]}
    headers = {"traceparent": f"00-{_TRACE}-{_CALLER}-01", "tracestate": "vendor=1"}
    assert api.http.post("/v1/embeddings", json=body, headers=headers).status_code == 200

    reply = _reply(stack, _TRACE)
    [processed] = _spans(worker)
    [asked] = [span for span in _spans(api) if span["name"] == "POST /v1/embeddings"]
    assert _ids(asked)[::2] == (_TRACE, _CALLER)
    trace, last, parent = _ids(processed)
    assert processed["name"] == "process embedding.requests.interactive"
    assert (trace, parent) == (_TRACE, _ids(asked)[1])
    assert processed["resource"]["attributes"]["service.name"] == "kafka-embeddings-worker"
    assert reply.headers["traceparent"] == f"00-{_TRACE}-{last}-01".encode()
    assert reply.headers["tracestate"] == b"vendor=1"
    assert "a secret text" not in worker.stdout + api.stdout
