"""HTTP clients of the shared API, and of one with small limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stack.stack import Api, http_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.stack.stack import Stack

MAX_BODY_BYTES = 4096
MAX_IN_FLIGHT_BYTES = 1024


@pytest.fixture
def http(null_stack: Stack) -> Iterator[httpx.Client]:
    """A client of the shared API."""
    with http_client(null_stack.apis[0].url) as client:
        yield client


@pytest.fixture(scope="session")
def small_api(null_stack: Stack) -> Iterator[Api]:
    """A second API over the shared broker, with small limits."""
    address = ("--bootstrap", null_stack.bootstrap, "--port", "0")
    environment = {
        "KAFKA_EMBEDDINGS_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "KAFKA_EMBEDDINGS_MAX_IN_FLIGHT_BYTES": str(MAX_IN_FLIGHT_BYTES),
    }
    with Api("api", *address, environment=environment) as api:
        api.wait_until_ready()
        yield api
