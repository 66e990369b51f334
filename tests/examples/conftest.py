"""Where the examples run: a worker that computes nothing and an API, over either broker."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.stack.command import Command, run_command
from tests.stack.stack import Api, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Service:
    """What an example is told."""

    bootstrap: str
    prefix: str
    api_url: str


@pytest.fixture(scope="package", params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service that answers, with topics of its own."""
    if request.param == "kafka":
        yield from _on_kafka(request.getfixturevalue("kafka_bootstrap"))
        return
    with Stack() as stack:
        stack.start("--encoder", "null")
        yield Service(stack.bootstrap, "embedding", stack.api_url)


def _on_kafka(bootstrap: str) -> Iterator[Service]:
    prefix = f"examples-{uuid.uuid4().hex[:8]}"
    place = ("--bootstrap", bootstrap, "--prefix", prefix)
    status, created = run_command("topics", "create", *place)
    assert status == 0, created.quote()
    with Command("worker", "--encoder", "null", *place) as worker, Api("api", "--port", "0", *place) as api:
        worker.wait_for('"ready"')
        api.wait_until_ready()
        yield Service(bootstrap, prefix, api.url)
