"""Two workers of a group on Kafka, under both of its protocols: one joins, falls silent, comes back and leaves.

Requests are published all the while. Whatever happens to its partitions, each is answered, and nothing is committed
that is not.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from schemas import headers as names
from schemas.topics import Lane
from tests.groups import shorten_sessions
from tests.stack.stack import MODEL
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place, Reader

# A given cluster refuses less than 6 s.
_SESSION_SECONDS: Final = 6 if "KAFKA_BOOTSTRAP" in os.environ else 2
_PAUSE_SECONDS: Final = 0.005
_ENOUGH: Final = 100
_BURST: Final = 2000


class _Flow:
    """Publishes requests from a thread of its own until it is stopped."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self.published = 0

    def _publish(self) -> None:
        while not self._stop.is_set():
            self._send(f"r{self.published}")
            self.published += 1
            time.sleep(_PAUSE_SECONDS)

    def _send(self, request_id: str) -> None:
        self._place.send({"id": request_id, "model": MODEL, "input": "a text", "encoding_format": "base64"})

    def burst(self) -> None:
        """Publish many more at once."""
        for number in range(_BURST):
            self._send(f"b{number}")
        self._place.flush()

    def stop(self) -> set[bytes]:
        """Keys of all that was published."""
        self._stop.set()
        self._thread.join(30)
        self._place.flush()
        steady = {f"r{number}".encode() for number in range(self.published)}
        return steady | {f"b{number}".encode() for number in range(_BURST)}

    def __enter__(self) -> _Flow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()


def _held(worker: WorkerProcess) -> int:
    """Partitions of both lanes that a worker holds, as it has logged them."""
    held = 0
    for line in worker.log.splitlines():
        told = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
        if told.get("event") == "partitions assigned":
            held += told["partitions"]
        elif str(told.get("event")).startswith(("partitions revoked", "partitions lost")):
            held -= told["partitions"]
    return held


def _check_commits(place: Place, reader: Reader) -> None:
    """Nothing is committed at this moment that has no answer."""
    committed = place.committed(Lane.BULK)  # the commits first: an answer that comes between the two is no excuse
    answered = {
        (int(message.headers[names.SOURCE_PARTITION]), int(message.headers[names.SOURCE_OFFSET]))
        for message in reader.up_to_now()
    }
    done = {(partition, offset) for partition, end in committed.items() for offset in range(end)}
    assert sorted(done - answered)[:5] == [], "committed without an answer"


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_one_of_two_workers_joins_falls_silent_comes_back_and_leaves_and_every_request_is_answered(
    protocol: str, kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    partitions = 2 * 24
    settings = {
        "KAFKA_EMBEDDINGS_KAFKA__GROUP_PROTOCOL": protocol,
        "KAFKA_EMBEDDINGS_KAFKA__SESSION_TIMEOUT_SECONDS": str(_SESSION_SECONDS),
        "KAFKA_EMBEDDINGS_COMMIT_EVERY_SECONDS": "0.1",
    }
    if protocol == "consumer":
        shorten_sessions(kafka_place.bootstrap, kafka_place.topics, _SESSION_SECONDS)
    one = start_worker(kafka_place, "--encoder", "null", environment=settings)
    with closing(kafka_place.reader(kafka_place.topics.responses)) as reader, _Flow(kafka_place) as flow:
        reader.until_count(_ENOUGH)
        two = start_worker(kafka_place, "--encoder", "null", environment=settings)
        wait_until(
            lambda: 0 < _held(two) < partitions == _held(one) + _held(two), "both at work", explain=lambda: one.log
        )
        assert '"event": "partitions revoked"' in one.log
        _check_commits(kafka_place, reader)

        # Stopped in the middle of its work, for longer than its session: what it has under way is another one's.
        flow.burst()
        two.command.pause()
        wait_until(lambda: _held(one) == partitions, "the other one alone", explain=lambda: one.log)
        _check_commits(kafka_place, reader)
        two.command.resume()
        two.command.wait_for("partitions lost: the group took this worker for dead")
        wait_until(lambda: 0 < _held(two) < partitions == _held(one) + _held(two), "both at work again")
        _check_commits(kafka_place, reader)

        assert two.terminate() == 0
        wait_until(lambda: _held(one) == partitions, "the other one alone again", explain=lambda: one.log)
        before = len(reader.messages)
        reader.until_count(before + _ENOUGH)
        asked = flow.stop()
        reader.until(lambda read: asked <= {message.key for message in read}, "an answer for each")
    assert {message.headers["status"] for message in reader.messages} == {b"ok"}
    assert one.terminate() == 0
    ends = sum(kafka_place.committed(Lane.BULK).values())
    assert ends == len(asked)


@pytest.mark.slow
def test_a_static_worker_that_is_started_again_has_its_partitions_back_and_the_other_one_keeps_its_own(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    partitions = 2 * 24
    # The session outlasts the restart.
    settings = {"KAFKA_EMBEDDINGS_KAFKA__SESSION_TIMEOUT_SECONDS": "60"}
    one, two = (
        start_worker(kafka_place, "--encoder", "null", "--kafka", f"group.instance.id={name}", environment=settings)
        for name in ("one", "two")
    )
    with closing(kafka_place.reader(kafka_place.topics.responses)) as reader, _Flow(kafka_place) as flow:
        half = partitions // 2
        wait_until(lambda: _held(one) == _held(two) == half, "half for each", explain=lambda: one.log)
        rebalances = two.log.count('"event": "partitions')

        assert one.terminate() == 0
        flow.burst()
        one.start()

        wait_until(lambda: _held(one) == half, "its partitions", explain=lambda: one.log)
        asked = flow.stop()
        reader.until(lambda read: asked <= {message.key for message in read}, "an answer for each")
        assert two.log.count('"event": "partitions') == rebalances
    assert {message.headers["status"] for message in reader.messages} == {b"ok"}
