"""Many requests one after the other leave nothing behind: no reply awaited, none for nobody, no memory."""

from __future__ import annotations

import asyncio
import json
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.http_callers import post_all
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from tests.stack.stack import Stack

CALLERS = 64
HALF = 10_000
_MODEL = "all-MiniLM-L6-v2"
_GROWTH = 1.05


@pytest.mark.slow
def test_twenty_thousand_requests_leave_no_reply_awaited_and_the_second_half_no_memory(new_stack: Stack) -> None:
    stack = new_stack.start("--encoder", "null")
    _ask(stack.api_url, HALF)
    _wait_until_idle(stack)
    before = _resident_bytes(stack)
    _ask(stack.api_url, HALF)
    _wait_until_idle(stack)
    after = _resident_bytes(stack)

    told = _metrics(stack)
    assert told['requests_total{path="/v1/embeddings",status="200"}'] == 2 * HALF
    assert told["unawaited_replies_total"] == 0
    grown = {name: after[name] / before[name] for name in before}
    assert max(grown.values()) < _GROWTH, (before, after)


def _ask(url: str, requests: int) -> None:
    bodies = (
        json.dumps({"model": _MODEL, "input": f"text {number}", "encoding_format": "base64"}).encode()
        for number in range(requests)
    )
    asyncio.run(post_all(url, bodies, CALLERS))


def _wait_until_idle(stack: Stack) -> None:
    gauges = ("in_flight_requests", "in_flight_tokens", "in_flight_bytes")
    wait_until(lambda: not any(_metrics(stack)[gauge] for gauge in gauges), "nothing under way in the API")


def _metrics(stack: Stack) -> dict[str, float]:
    """What the API tells of itself, without the prefix all of it has."""
    lines = stack.api.http.get("/metrics").text.splitlines()
    told = (line.removeprefix("kafka_embeddings_api_").rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(number) for name, _, number in told}


def _resident_bytes(stack: Stack) -> dict[str, int]:
    """Memory of both processes; pages of 4 KiB or whatever they are here."""
    page_bytes = resource.getpagesize()
    processes = {"api": stack.api.pid, "worker": stack.worker.pid}
    return {
        name: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page_bytes for name, pid in processes.items()
    }
