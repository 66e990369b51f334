"""A worker killed in the middle of its work: nothing is lost, nothing is committed that was not answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas import headers as names
from schemas.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place, Reader

REQUESTS = 5000


def _committed_ahead(place: Place, reader: Reader) -> list[tuple[int, int]]:
    """Messages below the committed offsets that have no answer, at this moment: partition and offset."""
    committed = place.committed(Lane.BULK)
    answered = {
        (int(message.headers[names.SOURCE_PARTITION]), int(message.headers[names.SOURCE_OFFSET]))
        for message in reader.up_to_now()
    }
    return [
        (partition, offset)
        for partition, end in committed.items()
        for offset in range(end)
        if (partition, offset) not in answered
    ]


@pytest.mark.slow
def test_every_request_is_answered_although_the_worker_is_killed_twice_on_the_way(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place
    worker = start_worker(place, "--encoder", "null")
    reader = place.reader(place.topics.responses)
    for number in range(REQUESTS):
        place.send({"id": f"r{number}", "model": "all-MiniLM-L6-v2", "input": "word " * (number % 100 + 1)})
        if number in (REQUESTS // 3, 2 * REQUESTS // 3):
            place.flush()
            reader.until_count(number // 2)
            worker.command.kill()
            assert _committed_ahead(place, reader) == []
            worker.start()
    place.flush()

    def all_answered(_: object) -> bool:
        return len({message.key for message in reader.messages}) == REQUESTS

    reader.until(all_answered, "all answers")
    assert {message.key for message in reader.messages} == {f"r{number}".encode() for number in range(REQUESTS)}
    assert _committed_ahead(place, reader) == []

    # A clean stop commits the rest: the next worker has nothing to do again.
    assert worker.terminate() == 0
    assert sum(place.committed(Lane.BULK).values()) == REQUESTS
    assert '"level": "error"' not in worker.log
    reader.close()
