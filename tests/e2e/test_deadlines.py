"""A deadline that passes while a request waits for the device: answered, not computed."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

import pytest

from schemas import headers as names
from schemas.headers import encode_number
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import WorkerProcess
    from .place import Place

MODEL = "all-MiniLM-L6-v2"

_HELD_BACK: Final = """
import sys
import time
from pathlib import Path

from worker.encoder.null import NullEncoder
from worker.encoder.stage import EncoderStage

encode, submit = NullEncoder.encode, EncoderStage.submit

def tell(line):
    # In one piece: two threads tell, and `print` writes word by word.
    sys.stderr.write(line + "\\n")
    sys.stderr.flush()

def waits(self, batch, dims, unpooled=()):
    tell(f"computing {{sorted(len(ids) for ids in batch)}}")
    while not Path({gate!r}).exists():
        time.sleep(0.01)
    return encode(self, batch, dims, unpooled)

def told(self, inputs):
    submit(self, inputs)
    tell(f"queued {{len(inputs[0].ids)}}")

NullEncoder.encode, EncoderStage.submit = waits, told

from cli.main import run

run()
"""


@pytest.mark.slow
def test_requests_that_expire_while_the_device_is_busy_are_answered_and_never_reach_it(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    place, gate = kafka_place, tmp_path / "gate"
    worker = start_worker(
        place,
        "--encoder",
        "null",
        script=_HELD_BACK.format(gate=str(gate)),
        environment={"KAFKA_EMBEDDINGS_CLOCK_SKEW_SECONDS": "0"},
    )

    def send(request_id: str, tokens: int, headers: list[tuple[str, bytes | None]]) -> None:
        text = "x" * (4 * (tokens - 3))
        place.send({"id": request_id, "model": MODEL, "input": text}, partition=0, headers=headers)
        place.flush()

    send("busy", 10, [])
    worker.command.wait_for(re.escape("computing [10]"))
    deadline_ms = int(time.time() * 1000) + 1500
    for tokens in (21, 22, 23):
        send(f"late-{tokens}", tokens, [(names.DEADLINE, encode_number(deadline_ms))])
    for tokens in (31, 32):
        send(f"in-time-{tokens}", tokens, [(names.DEADLINE, encode_number(deadline_ms + 3_600_000))])
    send("patient", 41, [])
    worker.command.wait_for("queued 41")
    assert {int(tokens) for tokens in re.findall(r"queued (\d+)", worker.log)} == {10, 21, 22, 23, 31, 32, 41}
    wait_until(lambda: time.time() * 1000 > deadline_ms, "the deadline to pass")
    gate.touch()

    answers = place.reader(place.topics.responses).until_count(7)
    assert {(message.key or b"").decode(): message.headers[names.STATUS].decode() for message in answers} == {
        "busy": "ok",
        "late-21": "timeout",
        "late-22": "timeout",
        "late-23": "timeout",
        "in-time-31": "ok",
        "in-time-32": "ok",
        "patient": "ok",
    }
    batches = re.findall(r"computing \[(.*)\]", worker.log)
    assert batches == ["10", "31, 32, 41"]
