"""Whatever is published, the worker lives, and every message ends where somebody finds it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from schemas import headers as names
from schemas.topics import Lane

from .odd_messages import REPLIES, AskedModel, odd_messages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import WorkerProcess
    from .odd_messages import OddMessage
    from .place import Place, Read

NULL = AskedModel(("all-MiniLM-L6-v2",), (1, 383, 384, 385, 65536, 65537))
SMALL = AskedModel(
    ("org/small-query", "org/small-passage", "org/small"), (1, 8, 16, 31, 32, 33, 65537), token_ids=True
)
_CATALOGUE = """
[models."org/small"]
source = "{source}"
asymmetric = true
query_prefix = "query: "
passage_prefix = "passage: "
dimensions = [8, 16]
embedding_ranges = [-0.5, 0.5]
accept_token_ids = true
"""
_PLAIN = {lane: f"plain-{lane.value}".encode() for lane in Lane}
_PLAIN_KEYS = set(_PLAIN.values())
_FAULTS_OF_OURS = {b"internal_error", b"unavailable", b"overloaded", b"model_not_ready"}
_EXPECTED_ENDS = (
    "ok",
    "invalid_request",
    "model_not_found",
    "context_length_exceeded",
    "timeout",
    "not_json",
    "no_id",
    "destination_unknown",
    "destination_not_allowed",
)
_ENDS_OF_A_MODEL = ("ok", "invalid_request", "input_type_required", "context_length_exceeded")


@pytest.mark.slow
def test_every_odd_message_ends_as_a_response_an_error_or_a_dead_letter_and_the_worker_lives(
    place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    ends = _ends_of_all(place, start_worker(place, "--encoder", "null"), NULL, 5000)

    # The messages do reach every kind of end, or the rest would prove little.
    assert min(ends[code] for code in _EXPECTED_ENDS) >= 10, ends


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_a_real_tokenizer_and_encoder_meet_odd_messages_likewise(
    place: Place, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    from tests.worker.encoder.tiny_models import save_tiny_model

    catalogue = tmp_path / "models.toml"
    catalogue.write_text(_CATALOGUE.format(source=save_tiny_model("bert", tmp_path)))

    ends = _ends_of_all(place, start_worker(place, "--models", str(catalogue)), SMALL, 1000)

    assert min(ends[code] for code in _ENDS_OF_A_MODEL) >= 5, ends
    assert ends["ok"] >= 100, ends


def _ends_of_all(place: Place, worker: WorkerProcess, model: AskedModel, count: int) -> Counter[str]:
    """Publish so many odd messages, and check that each has ended, and how; how often which end came."""
    answers = place.reader(place.topics.responses, place.topics.replies, place.topics.errors)
    letters = place.reader(place.topics.dead_letters)
    for message in odd_messages(count, model):
        _publish(place, message)
    place.flush()
    requests = place.reader(place.topics.requests, place.topics.requests_interactive).until_count(count)
    published = {(request.topic, request.partition, request.offset): request for request in requests}
    assert len(published) == count

    def everything_has_ended(_: list[Read]) -> bool:
        letters.poll(0)
        ended = {_source(answer) for answer in answers.messages} | {_origin(letter) for letter in letters.messages}
        return len(ended) >= count

    answers.until(everything_has_ended, f"an end of all {count}", seconds=30)
    for lane, key in _PLAIN.items():
        place.send({"id": key.decode(), "model": model.names[0], "input": "fine"}, lane=lane)
    place.flush()
    answers.until(lambda read: {answer.key for answer in read} >= _PLAIN_KEYS, "the responses to plain requests")
    assert worker.terminate() == 0

    # Each ended once: a second response or dead letter would be one too many.
    plain = [answer for answer in answers.up_to_now() if answer.key in _PLAIN_KEYS]
    assert [answer.headers[names.STATUS] for answer in plain] == [b"ok"] * len(_PLAIN)
    ended = [answer for answer in answers.messages if answer.key not in _PLAIN_KEYS]
    answered = {_source(answer): answer for answer in ended}
    kept = {_origin(letter): letter for letter in letters.up_to_now()}
    assert len(answered) == len(ended)
    assert len(kept) == len(letters.messages)
    assert answered.keys() | kept.keys() == published.keys()
    for source, answer in answered.items():
        _check_answer(answer, published[source], is_kept=source in kept)
    for origin, letter in kept.items():
        _check_letter(letter, published[origin])

    ends = Counter(answer.headers[names.STATUS].decode() for answer in ended)
    ends += Counter(letter.headers[names.DLQ_CODE].decode() for letter in letters.messages)
    answers.close()
    letters.close()
    return ends


def _publish(place: Place, message: OddMessage) -> None:
    replies = place.topics.replies.encode()
    headers = [(name, value and value.replace(REPLIES.encode(), replies)) for name, value in message.headers]
    place.send(message.value, key=message.key, lane=message.lane, headers=headers)


def _check_answer(answer: Read, request: Read, *, is_kept: bool) -> None:
    status = answer.headers[names.STATUS]
    if request.value is None:
        assert (answer.value, answer.key, status) == (None, request.key, b"ok")
        return
    body = answer.body
    assert body["id"].encode() == answer.key
    if status == b"ok":
        assert body["data"], request
        for entry in body["data"]:
            # What is not finite would be null in JSON.
            assert isinstance(entry["embedding"], str) or None not in entry["embedding"], request
        assert not is_kept
        return
    assert body["error"]["code"].encode() == status
    assert body["error"]["message"]
    assert status not in _FAULTS_OF_OURS, (request, answer)
    assert is_kept is (status != b"timeout" and request.topic.endswith(".requests")), (request, answer)


def _check_letter(letter: Read, request: Read) -> None:
    assert (letter.key, letter.value) == (request.key, request.value)
    assert letter.headers[names.DLQ_CODE] not in _FAULTS_OF_OURS, (request, letter)
    assert letter.headers[names.DLQ_MESSAGE]


def _source(answer: Read) -> tuple[str, int, int]:
    """Where the request of an answer lies."""
    headers = answer.headers
    topic = headers[names.SOURCE_TOPIC].decode()
    return topic, int(headers[names.SOURCE_PARTITION]), int(headers[names.SOURCE_OFFSET])


def _origin(letter: Read) -> tuple[str, int, int]:
    """Where a dead letter comes from."""
    headers = letter.headers
    return headers[names.DLQ_TOPIC].decode(), int(headers[names.DLQ_PARTITION]), int(headers[names.DLQ_OFFSET])
