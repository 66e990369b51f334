"""`schemas/beats.py`: what a worker says of itself."""

from __future__ import annotations

import orjson
import pytest
from pydantic import ValidationError

from schemas import codec
from schemas.beats import BEAT_EVERY_SECONDS, GONE_AFTER_SECONDS, Beat, WorkerState
from schemas.topics import WORKERS

from .recorded import files


@pytest.mark.parametrize("name", files("beats"))
def test_a_recorded_beat_is_read_with_every_field_it_has(name: str) -> None:
    fields = orjson.loads(files("beats")[name])
    beat = codec.decode_beat(files("beats")[name])
    assert beat is not None
    known = {field: value for field, value in fields.items() if field in Beat.model_fields}
    assert beat.model_dump(mode="json", include=set(known)) == known


@pytest.mark.parametrize("name", files("beats/invalid"))
def test_what_is_no_beat_counts_as_no_worker(name: str) -> None:
    assert codec.decode_beat(files("beats/invalid")[name]) is None


def test_every_state_has_a_recorded_beat() -> None:
    recorded = {orjson.loads(payload)["state"] for payload in files("beats").values()}
    assert recorded == {state.value for state in WorkerState}


def test_a_beat_needs_worker_model_and_state_only() -> None:
    beat = Beat(worker_id="w", model="m", state=WorkerState.LOADING)
    assert (beat.slug, beat.revision, beat.dim, beat.max_tokens, beat.queued_tokens) == ("", "", 0, 0, 0)
    assert (beat.aliases, beat.dimensions, beat.asymmetric) == ([], [], False)
    assert {name for name, field in Beat.model_fields.items() if field.is_required()} == {
        "worker_id",
        "model",
        "state",
    }


def test_a_beat_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Beat(worker_id="w", model="m", state=WorkerState.READY).state = WorkerState.DRAINING


def test_a_worker_may_miss_some_beats_before_it_counts_as_gone() -> None:
    assert BEAT_EVERY_SECONDS == 1.0
    assert GONE_AFTER_SECONDS == 5.0


def test_the_largest_beat_fits_its_topic() -> None:
    beat = Beat(
        worker_id="w" * 512,
        model="m" * 256,
        aliases=["a" * 256] * 100,
        dimensions=[65536] * 1000,
        state=WorkerState.READY,
    )
    assert len(codec.encode_beat(beat)) < WORKERS.max_message_bytes
