"""A request that kills its worker: it alone becomes a dead letter, all others are answered, and no person helps."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest

from schemas import headers as names
from schemas.topics import Lane
from tests.exactly_once import problems, read_committed
from tests.stack.command import ROOT
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import WorkerProcess
    from .place import Place

MODEL = "all-MiniLM-L6-v2"
REQUESTS = 1000
KILLER = 500
_KILLING_LETTERS = 800
"""Of a text that kills; no other is as long."""

_KILLS: Final = f"""
import os
import signal

from worker.encoder.null import NullEncoder, NullTokenizer
from schemas.requests import Truncate

(deadly,) = NullTokenizer(256).tokenize(["x" * {_KILLING_LETTERS}], [Truncate.NONE])
encode = NullEncoder.encode

def kills(self, batch, dims, unpooled=()):
    if any(len(ids) == len(deadly.ids) for ids in batch):
        {{deed}}
    return encode(self, batch, dims, unpooled)

NullEncoder.encode = kills
"""
_DEEDS: Final = {
    "killed by the kernel": "os.kill(os.getpid(), signal.SIGKILL)",
    "a crash": "signal.raise_signal(signal.SIGSEGV)",
    "an exit": "os._exit(3)",
}


def _environment(folder: Path, deed: str, **more: str) -> dict[str, str]:
    """Settings under which every process of ours dies by the deed; supervised ones too, which no script reaches."""
    folder.joinpath("sitecustomize.py").write_text(_KILLS.format(deed=_DEEDS[deed]))
    return {
        "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))),
        "KAFKA_EMBEDDINGS_KAFKA__SESSION_TIMEOUT_SECONDS": "1.5",
        **more,
    }


def _request(number: int) -> dict[str, Any]:
    text = "x" * (_KILLING_LETTERS if number == KILLER else number % 60 + 1)
    return {"id": f"r{number}", "model": MODEL, "input": text}


def _send(place: Place, lane: Lane, first: int, last: int) -> None:
    for number in range(first, last):
        place.send(_request(number), lane=lane)
    place.flush()


def _until_all_are_done(place: Place, look: Callable[[], object]) -> None:
    """Wait until every request has its answer or its dead letter, and hold them to it."""
    answers, letters = place.reader(place.topics.responses), place.reader(place.topics.dead_letters)
    expected = {f"r{number}".encode() for number in range(REQUESTS)} - {f"r{KILLER}".encode()}

    def done(_: object) -> bool:
        look()
        letters.poll(0)
        return bool(letters.messages) and expected <= {message.key for message in answers.messages}

    answers.until(done, "all answers and the dead letter", seconds=120)
    answers.close()
    letters.close()
    assert {message.key for message in answers.messages} == expected
    assert {message.headers[names.STATUS] for message in answers.messages} == {b"ok"}
    kept = read_committed(place.bootstrap, [place.topics.dead_letters], time.monotonic() + 60)
    assert kept
    for letter in kept:
        assert orjson.loads(letter.value or b"") == _request(KILLER)
        headers = dict(letter.headers)
        assert headers[names.DLQ_CODE] == b"killed_worker"
        assert b"worker processes died" in (headers[names.DLQ_MESSAGE] or b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lane", "deed", "delivery"),
    [
        (Lane.BULK, "killed by the kernel", "at-least-once"),
        (Lane.INTERACTIVE, "a crash", "at-least-once"),
        (Lane.BULK, "killed by the kernel", "exactly-once"),
    ],
    ids=["bulk", "interactive", "exactly once"],
)
def test_of_a_thousand_requests_the_one_that_kills_the_worker_is_a_dead_letter_and_the_others_are_answered(
    lane: Lane,
    deed: str,
    delivery: str,
    kafka_place: Place,
    start_worker: Callable[..., WorkerProcess],
    tmp_path: Path,
) -> None:
    place = kafka_place
    _send(place, lane, 0, REQUESTS)
    environment = _environment(tmp_path, deed)
    worker = start_worker(place, "--encoder", "null", "--delivery", delivery, environment=environment)
    deaths = 0

    def restart() -> None:
        nonlocal deaths
        if not worker.command.is_running:
            deaths += 1
            worker.start()

    _until_all_are_done(place, restart)

    assert deaths == 3
    assert worker.terminate() == 0
    assert sum(place.committed(lane).values()) == REQUESTS
    assert "a request kills the worker, kept as a dead letter" in worker.log
    if delivery == "exactly-once":
        assert problems(place.bootstrap, place.topics) == []


@pytest.mark.slow
def test_two_supervised_workers_find_the_request_that_kills_them_although_partitions_move_between_them(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    place = kafka_place
    environment = _environment(
        tmp_path, "an exit", KAFKA_EMBEDDINGS_KAFKA__GROUP_PROTOCOL="consumer", KAFKA_EMBEDDINGS_THREADS="1"
    )
    _send(place, Lane.BULK, 0, REQUESTS)
    workers = start_worker(place, "--encoder", "null", "--devices", "cpu,cpu", environment=environment)

    _until_all_are_done(place, lambda: wait_until(lambda: workers.command.is_running, "a supervisor"))

    assert workers.terminate() == 0
    assert sum(place.committed(Lane.BULK).values()) == REQUESTS
    assert 3 <= workers.log.count("exited with status 3") <= 4
