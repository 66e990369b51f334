"""Clients that are installed, an API that counts their calls, and a worker on a real Kafka."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.lacking import skip_for_want_of
from tests.stack.command import Command, run_command

from .counting_proxy import CountingProxy
from .environments import JavaClients, NodeClients, PythonClients
from .vectors import TEXTS, by_plain_http

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from tests.stack.stack import Stack


@pytest.fixture(scope="session")
def expected(model_stack: Stack) -> NDArray[np.float32]:
    """The vectors of `TEXTS` as plain HTTP gives them, shape `(101, 384)`."""
    return by_plain_http(model_stack.api_url, TEXTS)


@pytest.fixture(scope="module")
def proxy(model_stack: Stack) -> Iterator[CountingProxy]:
    """The API of the real model, with its calls kept."""
    with CountingProxy(model_stack.api_url) as proxy:
        yield proxy


# --- installed clients --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def python_clients() -> PythonClients:
    """The Python clients, in an environment of their own."""
    clients = PythonClients()
    clients.install()
    return clients


@pytest.fixture(scope="session")
def node_clients() -> NodeClients:
    """The clients from npm; skips where there is no Node."""
    clients = NodeClients()
    reason = clients.why_missing()
    if reason is not None:
        skip_for_want_of(reason)
    clients.install()
    return clients


@pytest.fixture(scope="session")
def java_clients() -> JavaClients:
    """The clients from Maven; skips where there is no JDK or no Maven."""
    clients = JavaClients()
    reason = clients.why_missing()
    if reason is not None:
        skip_for_want_of(reason)
    clients.install()
    return clients


# --- a real Kafka -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kafka_worker(kafka_bootstrap: str) -> Iterator[tuple[str, str]]:
    """A worker with the real model on a real Kafka: its address, and the prefix of topics of its own."""
    prefix = f"clients-{uuid.uuid4().hex[:8]}"
    place = ("--bootstrap", kafka_bootstrap, "--prefix", prefix)
    status, created = run_command("topics", "create", *place)
    assert status == 0, created.quote()
    with Command("worker", *place) as worker:
        worker.wait_for('"ready"', within_seconds=120)
        yield kafka_bootstrap, prefix
