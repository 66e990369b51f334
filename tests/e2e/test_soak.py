"""Many requests one after the other leave nothing behind: no reply awaited, no room taken, no memory."""

from __future__ import annotations

import asyncio
import json
import resource
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.http_callers import post_all
from tests.stack.waiting import wait_until

from .odd_callers import LEAVES, ask_oddly

if TYPE_CHECKING:
    from tests.stack.stack import Stack

PLAIN_CALLERS, ODD_CALLERS = 56, 8
HALF_PLAIN, HALF_ODD = 9_000, 1_000
_MODEL = "all-MiniLM-L6-v2"
_GROWTH = 1.05
_GAUGES = ("in_flight_requests", "in_flight_tokens", "in_flight_bytes", "pending_replies")
_ENDED = 'requests_total{{path="/v1/embeddings",status="{}"}}'
_ODD_ENDS = (200, 400, 404, 504, LEAVES)


@pytest.mark.slow
def test_twenty_thousand_requests_leave_no_reply_awaited_and_the_second_half_no_memory(new_stack: Stack) -> None:
    stack = new_stack.start("--encoder", "null")
    seen = asyncio.run(_ask(stack.api_url))
    _wait_until_idle(stack)
    before = _resident_bytes(stack)
    seen += asyncio.run(_ask(stack.api_url))
    _wait_until_idle(stack)
    after = _resident_bytes(stack)

    ended = _ended(stack)
    assert ended.total() == seen.total() == 2 * (HALF_PLAIN + HALF_ODD)
    # Who leaves is now and then answered before that is known.
    assert all(ended[status] >= seen[status] for status in _ODD_ENDS if status != LEAVES), (ended, seen)
    # The odd ones do reach every kind of end, or the rest would prove little.
    assert min(ended[status] for status in _ODD_ENDS) >= 50, ended
    grown = {name: after[name] / before[name] for name in before}
    assert max(grown.values()) < _GROWTH, (before, after)


async def _ask(url: str) -> Counter[int]:
    """Half of all requests; how often which status came back."""
    bodies = (
        json.dumps({"model": _MODEL, "input": f"text {number}", "encoding_format": "base64"}).encode()
        for number in range(HALF_PLAIN)
    )
    plain = post_all(url, bodies, PLAIN_CALLERS)  # raises unless every one is answered with 200
    _, odd = await asyncio.gather(plain, ask_oddly(url, _MODEL, HALF_ODD, ODD_CALLERS))
    return odd + Counter({200: HALF_PLAIN})


def _ended(stack: Stack) -> Counter[int]:
    """What the API counted, by status."""
    told = stack.api.metrics()
    return Counter({status: int(told[_ENDED.format(status)]) for status in _ODD_ENDS})


def _wait_until_idle(stack: Stack) -> None:
    def is_idle() -> bool:
        told = stack.api.metrics()
        return not any(told[gauge] for gauge in _GAUGES)

    wait_until(is_idle, "nothing under way or awaited in the API")


def _resident_bytes(stack: Stack) -> dict[str, int]:
    """Memory of both processes; pages of 4 KiB or whatever they are here."""
    page_bytes = resource.getpagesize()
    processes = {"api": stack.api.pid, "worker": stack.worker.pid}
    return {
        name: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page_bytes for name, pid in processes.items()
    }
