"""A worker killed in the middle of its work: nothing is lost, nothing is committed that was not answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas import headers as names
from schemas.topics import Lane
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place, Reader

BURST = 4000
KILLS = 2
_COMMITS_ALL_THE_TIME = {"KAFKA_EMBEDDINGS_COMMIT_EVERY_SECONDS": "0.05"}


class _Books:
    """What was asked and what was answered; each look holds the commits to it.

    Args:
        place: Where.
        reader: Of the responses.
    """

    def __init__(self, place: Place, reader: Reader) -> None:
        self._place = place
        self._reader = reader
        self._sent = 0
        self.looks_in_the_middle = 0
        """Looks at which something was committed and something had no answer."""

    @property
    def sent(self) -> set[bytes]:
        return {f"r{number}".encode() for number in range(self._sent)}

    def send(self, count: int) -> set[bytes]:
        """Publish so many requests; their keys."""
        before = self.sent
        for number in range(self._sent, self._sent + count):
            text = "word " * (number % 100 + 1)
            self._place.send({"id": f"r{number}", "model": "all-MiniLM-L6-v2", "input": text})
        self._place.flush()
        self._sent += count
        return self.sent - before

    def unanswered(self) -> set[bytes]:
        """Requests that have no answer at this moment; fails where a commit is past one of them."""
        # The commits first: an answer that comes between the two is no excuse.
        committed = self._place.committed(Lane.BULK)
        answers = self._reader.up_to_now()
        answered = {
            (int(message.headers[names.SOURCE_PARTITION]), int(message.headers[names.SOURCE_OFFSET]))
            for message in answers
        }
        done = {(partition, offset) for partition, end in committed.items() for offset in range(end)}
        assert sorted(done - answered)[:5] == [], "committed without an answer"
        waiting = self.sent - {message.key for message in answers if message.key is not None}
        self.looks_in_the_middle += bool(done and waiting)
        return waiting

    def wait_for_a_commit(self) -> None:
        """Wait until more is committed than now."""
        before = self._place.committed(Lane.BULK)
        wait_until(lambda: self._place.committed(Lane.BULK) != before, "a commit")

    def until(self, condition: Callable[[set[bytes]], bool], what: str) -> None:
        """Look again and again until the unanswered requests are as they should be."""
        self._reader.until(lambda _: condition(self.unanswered()), what)


def _stop_in_the_middle(worker: WorkerProcess, books: _Books) -> None:
    """Leave the worker paused, right after it committed a part of a burst."""
    worker.command.pause()
    for _ in range(20):
        burst = books.send(BURST)
        worker.command.resume()
        books.wait_for_a_commit()
        worker.command.pause()
        if books.unanswered() & burst:
            return
    raise AssertionError("the worker was never met with a request unanswered")


@pytest.mark.slow
def test_every_request_is_answered_although_the_worker_is_killed_twice_in_the_middle(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place
    worker = start_worker(place, "--encoder", "null", "--budget-tokens", "256", environment=_COMMITS_ALL_THE_TIME)
    reader = place.reader(place.topics.responses)
    books = _Books(place, reader)
    books.send(BURST)
    books.until(lambda waiting: not waiting and bool(place.committed(Lane.BULK)), "the first commit")
    for _ in range(KILLS):
        _stop_in_the_middle(worker, books)
        worker.command.kill()
        assert books.unanswered()
        worker.start()
    books.until(lambda waiting: not waiting, "all answers")
    assert books.looks_in_the_middle >= 2 * KILLS

    # A clean stop commits the rest: the next worker has nothing to do again.
    assert worker.terminate() == 0
    assert sum(place.committed(Lane.BULK).values()) == len(books.sent)
    assert '"level": "error"' not in worker.log
    reader.close()
