"""Answers of one key come in the order of its requests, whatever they are batched with."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place

DOCUMENTS = 100
LONG = "a long text about many things " * 30


@pytest.mark.slow
def test_upsert_upsert_delete_of_a_document_are_answered_in_that_order(
    place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    # A small budget: many batches, sorted by length, so that the short text is computed long before the long one.
    start_worker(place, "--encoder", "null", "--budget-tokens", "512")
    for number in range(DOCUMENTS):
        key = f"doc-{number}".encode()
        for version, text in enumerate((LONG, "short", LONG, "short again")):
            body = {"model": "all-MiniLM-L6-v2", "input": text, "truncate": "END", "metadata": {"version": version}}
            place.send(body, key=key)
        place.send(None, key=key)
    place.flush()

    reader = place.reader(place.topics.responses)
    messages = reader.until_count(5 * DOCUMENTS)
    versions = defaultdict(list)
    for message in messages:
        versions[message.key].append(message.body["metadata"]["version"] if message.value else "deleted")
    assert len(versions) == DOCUMENTS
    assert {tuple(seen) for seen in versions.values()} == {(0, 1, 2, 3, "deleted")}
    reader.close()
