"""One request in a hundred at fault: exactly those are dead letters, and every neighbour is answered."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from benchmarks.poison import check, make_stream
from schemas import headers as names
from schemas.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place

REQUESTS = 2_000


@pytest.mark.slow
def test_of_two_thousand_requests_the_twenty_at_fault_are_kept_and_all_others_answered(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place
    stream = make_stream("run", REQUESTS, poisoned=True)
    worker = start_worker(place, "--encoder", "null")
    for key, value in stream.messages:
        place.send(value, key=key.encode())
    place.flush()
    answers = place.reader(place.topics.responses).until_count(len(stream.answered))
    letters = place.reader(place.topics.dead_letters).until_count(stream.dead.total())
    assert worker.terminate() == 0

    assert (len(answers), len(letters)) == (REQUESTS - 8, 20)
    assert all(message.key == message.body["id"].encode() for message in answers)
    check(
        stream,
        {message.body["id"]: message.headers[names.STATUS].decode() for message in answers},
        Counter(message.value or b"" for message in letters),
    )
    assert sum(place.committed(Lane.BULK).values()) == REQUESTS
    # Nothing comes twice, nor later.
    assert len(place.reader(place.topics.responses).up_to_now()) == len(answers)
    assert len(place.reader(place.topics.dead_letters).up_to_now()) == len(letters)
