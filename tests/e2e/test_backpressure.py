"""More than a worker can hold: it stops reading, keeps its memory, and goes on when there is room again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from schemas.topics import MEBIBYTE, Lane
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place

BATCH_SECONDS, BATCH_INPUTS = 0.5, 8
BACKLOG_SECONDS = 600
BACKLOG = int(BACKLOG_SECONDS / BATCH_SECONDS) * BATCH_INPUTS
"""What the worker needs ten minutes for."""
REQUEST_BYTES = 10_000
BOUND_BYTES, FETCH_BYTES = 2 * MEBIBYTE, 2 * MEBIBYTE
ROOM_BYTES = BOUND_BYTES + FETCH_BYTES + 26 * MEBIBYTE
"""Bounds, what Kafka's client fetches at once, and objects, buffers and responses beside them."""

_BOUNDS: Final = {
    "KAFKA_EMBEDDINGS_BOUNDS__BYTES": str(BOUND_BYTES),
    "KAFKA_EMBEDDINGS_BOUNDS__PREFETCH_BYTES": str(MEBIBYTE),
    "KAFKA_EMBEDDINGS_BATCH__MAX_INPUTS": str(BATCH_INPUTS),
}
_FETCH: Final = ("--kafka", f"fetch.max.bytes={FETCH_BYTES}")

_WHILE_A_FILE_IS_THERE: Final = f"""
import os, sys, time
from transport.consumer import GroupConsumer
from transport.producer import DeliveringProducer
from worker.encoder.null import NullEncoder

slow, blocked = (os.path.join(os.environ["FLAGS"], name) for name in ("slow", "blocked"))
encode, try_produce, poll = NullEncoder.encode, DeliveringProducer.try_produce, GroupConsumer.poll
read = 0

def encodes_slowly(self, *batch):
    if os.path.exists(slow):
        time.sleep({BATCH_SECONDS})
    return encode(self, *batch)

def has_no_room(self, topic, **others):
    return not (os.path.exists(blocked) and topic.endswith(".responses")) and try_produce(self, topic, **others)

def counts(self, *how):
    global read
    messages = poll(self, *how)
    read += len(messages)
    return messages

def told(what, act):
    def tell(self, partitions):
        sys.stderr.write(f"{{what}} {{len(partitions)}} after {{read}}\\n")
        act(self, partitions)
    return tell

NullEncoder.encode, DeliveringProducer.try_produce, GroupConsumer.poll = encodes_slowly, has_no_room, counts
GroupConsumer.pause = told("paused", GroupConsumer.pause)
GroupConsumer.resume = told("resumed", GroupConsumer.resume)

from cli.main import run

run()
"""


def _send(place: Place, count: int) -> None:
    """Requests of which no two are alike."""
    padding = "x" * REQUEST_BYTES
    for number in range(count):
        value = {
            "id": f"r{number}",
            "model": "all-MiniLM-L6-v2",
            "input": f"text {number}",
            "encoding_format": "base64",
        }
        place.send(value | {"metadata": {"padding": padding}})
    place.flush()


def _bytes_of(worker: WorkerProcess, field: str) -> int:
    """Memory of the process, as Linux counts it."""
    status = Path(f"/proc/{worker.command.pid}/status").read_text()
    (kibibytes,) = re.findall(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kibibytes) * 1024


@pytest.mark.slow
def test_a_worker_with_ten_minutes_of_backlog_keeps_its_memory_slow_or_fast(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    place = kafka_place
    (tmp_path / "slow").touch()
    environment = {"FLAGS": str(tmp_path)} | _BOUNDS
    flags = ("--encoder", "null", *_FETCH)
    worker = start_worker(place, *flags, script=_WHILE_A_FILE_IS_THERE, environment=environment)
    before = _bytes_of(worker, "VmRSS")
    assert BACKLOG * REQUEST_BYTES > 3 * ROOM_BYTES

    _send(place, BACKLOG)
    reader = place.reader(place.topics.responses)
    reader.until_count(8 * BATCH_INPUTS)
    grown = _bytes_of(worker, "VmHWM") - before
    assert grown < ROOM_BYTES, f"{grown / MEBIBYTE:.0f} MiB"
    assert len(reader.up_to_now()) < BACKLOG / 10

    (tmp_path / "slow").unlink()
    reader.until_count(BACKLOG // 6)
    grown = _bytes_of(worker, "VmHWM") - before
    assert grown < ROOM_BYTES, f"{grown / MEBIBYTE:.0f} MiB"
    reader.close()


@pytest.mark.slow
def test_a_worker_that_cannot_publish_stops_reading_and_goes_on_when_it_can(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    place, count = kafka_place, 2000
    (tmp_path / "blocked").touch()
    environment = {"FLAGS": str(tmp_path)} | _BOUNDS
    worker = start_worker(place, "--encoder", "null", script=_WHILE_A_FILE_IS_THERE, environment=environment)

    _send(place, count)
    paused = worker.command.wait_for(r"paused (\d+) after (\d+)")
    assert int(paused[1]) == 24
    assert int(paused[2]) < count / 2
    reader = place.reader(place.topics.responses)
    assert reader.up_to_now() == []
    assert set(place.committed(Lane.BULK).values()) <= {0}

    (tmp_path / "blocked").unlink()
    worker.command.wait_for("resumed 24 after")
    messages = reader.until_count(count)
    assert len({message.key for message in messages}) == len(messages) == count
    first = re.search(r"resumed 24 after (\d+)", worker.log)
    assert first is not None
    assert first[1] == paused[2], "read on while it could not publish"
    wait_until(lambda: sum(place.committed(Lane.BULK).values()) == count, "the last commit")
    reader.close()
