"""A trace from an HTTP caller through the API and Kafka to the worker and its response."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest

from schemas.topics import TopicNames
from tests.stack.stack import MODEL

from .place import Reader

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


@pytest.mark.parametrize("worker_is_traced", [True, False])
def test_one_trace_goes_from_the_caller_through_api_and_worker_to_the_response(
    new_stack: Stack, worker_is_traced: bool
) -> None:
    stack = new_stack
    worker = stack.start_worker("--encoder", "null", environment=_SPANS if worker_is_traced else {})
    api = stack.start_api(environment=_SPANS)
    worker.wait_for('"ready"')
    api.wait_until_ready()

    body = {"model": MODEL, "input": ["a secret text", "b"]}
    headers = {"traceparent": f"00-{_TRACE}-{_CALLER}-01", "tracestate": "vendor=1"}
    assert api.http.post("/v1/embeddings", json=body, headers=headers).status_code == 200

    with closing(Reader(stack.bootstrap, [TopicNames().replies])) as reader:
        [reply] = reader.until_count(1)
    of_worker, of_api = _spans(worker), _spans(api)
    [asked] = [span for span in of_api if span["name"] == "POST /v1/embeddings"]
    assert _ids(asked)[::2] == (_TRACE, _CALLER)
    api_span = _ids(asked)[1]
    if worker_is_traced:
        [processed] = of_worker
        trace, last, parent = _ids(processed)
        assert processed["name"] == "process embedding.requests.interactive"
        assert (trace, parent) == (_TRACE, api_span)
        assert processed["resource"]["attributes"]["service.name"] == "kafka-embeddings-worker"
    else:
        assert of_worker == []
        last = api_span
    assert reply.headers["traceparent"] == f"00-{_TRACE}-{last}-01".encode()
    assert reply.headers["tracestate"] == b"vendor=1"
    assert "a secret text" not in worker.stdout + api.stdout
