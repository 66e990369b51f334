from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from api.trace_context import trace_headers
from tests.stack.stack import MODEL

from .stand_in import StandInClient, api_over

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def passed_on(*given: tuple[str, str]) -> dict[str, bytes]:
    headers = Headers(raw=[(name.encode(), value.encode("latin-1")) for name, value in given])
    return dict(trace_headers(headers))


def test_what_has_w3c_s_form_goes_on_as_it_came() -> None:
    assert passed_on(("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")) == {
        "traceparent": PARENT.encode(),
        "tracestate": b"a=1,b=2",
    }
    assert passed_on(("traceparent", PARENT)) == {"traceparent": PARENT.encode()}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "x" * 60_000,
        PARENT.upper(),
        PARENT + "-more",
        PARENT + "\n",
        "ff" + PARENT[2:],
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
    ],
    ids=lambda parent: repr(parent[:60]),
)
def test_a_traceparent_of_another_form_is_dropped_and_its_tracestate_too(parent: str) -> None:
    assert passed_on(("traceparent", parent), ("tracestate", "a=1")) == {}


def test_two_traceparents_are_none() -> None:
    assert passed_on(("traceparent", PARENT), ("traceparent", PARENT)) == {}


@pytest.mark.parametrize("state", ["", "a=" + "x" * 511, "a=\xe9", "a=\t1"], ids=lambda state: repr(state[:10]))
def test_a_tracestate_that_is_too_long_or_not_printable_is_dropped_alone(state: str) -> None:
    assert passed_on(("traceparent", PARENT), ("tracestate", state)) == {"traceparent": PARENT.encode()}


def test_a_tracestate_of_512_bytes_goes_on() -> None:
    assert len(passed_on(("traceparent", PARENT), ("tracestate", "a=" + "x" * 510))["tracestate"]) == 512


def test_the_worker_gets_no_more_than_that() -> None:
    client = StandInClient()
    with api_over(client) as http:
        headers = {"traceparent": PARENT, "tracestate": "x" * 20_000}
        response = http.post("/v1/embeddings", json={"model": MODEL, "input": "a text"}, headers=headers)

    assert response.status_code == 200
    assert client.headers == [("traceparent", PARENT.encode())]
