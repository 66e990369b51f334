"""The life of a dead letter on a real Kafka: kept byte for byte, replayed, failed again, mended, never in a loop."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from cli.dlq.decisions import ReplayRules
from cli.dlq.filters import Filters
from cli.dlq.replay import replay
from schemas import headers as names
from schemas.topics import Lane
from transport.cluster import Cluster
from transport.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place

MODEL = "all-MiniLM-L6-v2"

_FAILS_ON_POISON: Final = """
from worker.encoder.null import MAX_TOKENS, NullEncoder, NullTokenizer

encode = NullEncoder.encode

def failing(self, batch, dims, unpooled=()):
    if any(len(ids) >= MAX_TOKENS - 20 for ids in batch):
        raise RuntimeError("injected")
    return encode(self, batch, dims, unpooled)

NullEncoder.encode = failing

from cli.main import run

run()
"""
"""A worker whose encoder fails on long texts."""

_LONG: Final = "x" * (4 * 250)


def _replay(place: Place, max_attempts: int = 3) -> list[str]:
    """What becomes of all there are, oldest origin first."""
    cluster = Cluster.probe(KafkaSettings(bootstrap=place.bootstrap))
    report = replay(cluster, place.topics, Filters(), ReplayRules(place.topics.prefix, max_attempts))
    return list(report.outcomes.values())


def _request(request_id: str, text: str = "fine") -> dict[str, Any]:
    return {"id": request_id, "model": MODEL, "input": text}


@pytest.mark.slow
def test_a_dead_letter_is_replayed_counted_and_answered_once_what_was_wrong_is_mended(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place
    failing = start_worker(place, "--encoder", "null", script=_FAILS_ON_POISON)
    body = json.dumps(_request("doc-1", _LONG), indent=1).encode()
    headers = [("mine", b"\xff\x00"), ("none", None), (names.CORRELATION_ID, b"c"), (names.DEADLINE, b"9" * 15)]
    place.send(body, key=b"doc-1", headers=headers)
    place.flush()
    answers, letters = place.reader(place.topics.responses), place.reader(place.topics.dead_letters)
    answers.until_count(1)
    [first] = letters.until_count(1)

    assert (first.key, first.value) == (b"doc-1", body)
    assert first.headers | {"mine": b"\xff\x00", "none": b"", names.CORRELATION_ID: b"c"} == first.headers
    assert (first.headers[names.DLQ_CODE], first.headers[names.DLQ_ATTEMPT]) == (b"internal_error", b"1")

    # It fails again: another dead letter, counted on; of the two only the newer one can be replayed.
    assert _replay(place) == ["replayed"]
    second = letters.until_count(2)[1]
    assert (second.key, second.value, second.headers[names.DLQ_ATTEMPT]) == (b"doc-1", body, b"2")
    assert names.DEADLINE not in second.headers
    assert names.CORRELATION_ID not in second.headers
    assert (second.headers["mine"], second.headers["none"]) == (b"\xff\x00", b"")
    assert _replay(place, max_attempts=2) == ["already replayed", "failed too often"]

    # Mended.
    assert failing.terminate() == 0
    start_worker(place, "--encoder", "null")
    assert _replay(place) == ["already replayed", "replayed"]
    answers.until(lambda all_of_them: all_of_them[-1].headers[names.STATUS] == b"ok", "an answer")

    assert [(one.key, one.headers[names.STATUS]) for one in answers.messages] == [
        (b"doc-1", b"internal_error"),
        (b"doc-1", b"internal_error"),
        (b"doc-1", b"ok"),
    ]
    assert _replay(place) == ["already replayed"] * 2
    assert len(letters.up_to_now()) == 2


@pytest.mark.slow
def test_a_worker_that_fails_too_many_requests_itself_stops_and_names_the_setting(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place
    worker = start_worker(place, "--encoder", "null", "--max-own-failures", "0.2", script=_FAILS_ON_POISON)
    # Callers' poison, however much, is theirs.
    for number in range(200):
        place.send(b"not JSON", partition=number % 4)
    place.flush()
    letters = place.reader(place.topics.dead_letters)
    letters.until_count(200)
    # The same text again and again counts as one failure in a row, of which many would be the encoder's own limit.
    for number in range(600):
        place.send(_request(str(number), _LONG if number % 3 == 0 else "fine"), partition=number % 4)
    place.flush()

    assert worker.command.wait(60) == 1
    [line] = worker.command.own_lines
    assert "requests of the last 60 s failed through our fault (internal_error" in line
    assert "own_failures.share = 0.2" in line
    # What is committed is answered, or a dead letter.
    answered = len({message.key for message in place.reader(place.topics.responses).up_to_now()})
    committed = sum(place.committed(Lane.BULK).values())
    assert committed <= 200 + answered < 800
