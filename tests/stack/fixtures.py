"""Stacks for any test to ask for; the shared ones are not to be harmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def null_stack() -> Iterator[Stack]:
    """Broker, API and a worker that computes nothing, shared by the whole run."""
    with Stack() as stack:
        yield stack.start("--encoder", "null")


@pytest.fixture(scope="session")
def model_stack() -> Iterator[Stack]:
    """Broker, API and a worker with the real default model, shared by the whole run. Mark the test `model`."""
    with Stack() as stack:
        yield stack.start()


@pytest.fixture
def new_stack() -> Iterator[Stack]:
    """A broker of the test's own, with nothing started over it."""
    with Stack() as stack:
        yield stack
