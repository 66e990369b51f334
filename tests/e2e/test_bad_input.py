"""What is wrong with one message harms no other: a clear error for its sender, or a dead letter that says why."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from confluent_kafka import KafkaError, Producer

from schemas import headers as names
from schemas.headers import encode_partition
from schemas.topics import REQUESTS, Lane

from .place import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place, Read

MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Bad:
    """A message, the error it is answered with, and the reason of its dead letter; None: there is none."""

    value: bytes
    error: str | None
    dead_letter: str | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = field(default=())
    says: str = ""


def _body(**changes: object) -> bytes:
    return json.dumps({"model": MODEL, "input": "text", **changes}).encode()


BULK = {
    "bytes that are not JSON": Bad(b"\xff\xfe\x00 nonsense", None, "not_json", key=b"k1"),
    "JSON that is no object": Bad(b"[1, 2]", None, "not_json"),
    "no id and no key": Bad(_body(), None, "no_id", says="set the field 'id'"),
    "a key that is not UTF-8 and no id": Bad(_body(input="other"), None, "no_id", key=b"\xff\xfe"),
    "an unknown model": Bad(_body(id="b1", model="nope"), "model_not_found", "model_not_found", says=MODEL),
    "no input": Bad(b'{"id": "b2", "model": "m"}', "invalid_request", "invalid_request", says="'input' is required"),
    "an empty input": Bad(_body(id="b3", input=["a", ""]), "invalid_request", "invalid_request", says="input[1]"),
    "token ids": Bad(
        _body(id="b4", input=[[1, 2]]), "invalid_request", "invalid_request", says="check_embedding_ctx_length=False"
    ),
    "too long under NONE": Bad(
        _body(id="b5", input="word " * 2000),
        "context_length_exceeded",
        "context_length_exceeded",
        says="maximum allowed token size 256",
    ),
    "a lone surrogate": Bad(
        b'{"id": "b6", "model": "m", "input": "\\ud800"}', "invalid_request", "invalid_request", says="surrogate"
    ),
    "a Schema Registry prefix": Bad(
        b"\x00\x00\x00\x00\x07" + _body(id="b7"), "invalid_request", "invalid_request", says="Schema Registry"
    ),
    "a deadline that is past": Bad(_body(id="b8"), "timeout", None, headers=((names.DEADLINE, b"1000"),)),
    "dimensions the model has not": Bad(_body(id="b9", dimensions=7), "invalid_request", "invalid_request"),
    "a reply partition that does not exist": Bad(
        _body(id="b10"),
        None,
        "destination_unknown",
        headers=((names.REPLY_PARTITION, encode_partition(9999)),),
        says="9999",
    ),
    "a reply partition that cannot be read": Bad(
        _body(id="b11"), None, "destination_unknown", headers=((names.REPLY_PARTITION, b"7"),), says="4-byte"
    ),
    "a reply topic nobody allowed": Bad(
        _body(id="b12"), None, "destination_not_allowed", headers=((names.REPLY_TOPIC, b"__consumer_offsets"),)
    ),
}

GOOD = {
    "NUL in a text": (_body(id="g1", input="a\x00b"), None, ()),
    "a key that is not UTF-8, with an id": (_body(id="g2"), b"\xff\xfe", ()),
    "no key, with an id": (_body(id="g3"), None, ()),
    "an integer id": (_body(id=4711), None, ()),
    "a deadline that cannot be read": (_body(id="g5"), None, ((names.DEADLINE, b"tomorrow"),)),
    "unknown fields and emoji": (_body(id="g6", input="😀 שלום", later="unknown"), None, (("x", b"\xff"),)),
}


@pytest.mark.slow
def test_each_bad_message_ends_as_the_table_says_and_its_neighbours_are_answered(
    place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker(place, "--encoder", "null")
    neighbours = 0
    for number, bad in enumerate(BULK.values()):
        place.send({"id": f"before-{number}", "model": MODEL, "input": "fine"}, partition=0)
        place.send(bad.value, key=bad.key, headers=bad.headers, partition=0)
        place.send({"id": f"after-{number}", "model": MODEL, "input": "fine"}, partition=0)
        neighbours += 2
    for value, key, headers in GOOD.values():
        place.send(value, key=key, headers=headers, partition=0)
    place.flush()

    answers = place.reader(place.topics.responses)
    letters = place.reader(place.topics.dead_letters)
    expected_errors = {name: bad for name, bad in BULK.items() if bad.error is not None}
    expected_letters = {name: bad for name, bad in BULK.items() if bad.dead_letter is not None}
    answers.until_count(neighbours + len(GOOD) + len(expected_errors))
    letters.until_count(len(expected_letters))

    by_key = {message.key: message for message in answers.messages}
    assert len(by_key) == len(answers.messages) == neighbours + len(GOOD) + len(expected_errors)
    for name, bad in expected_errors.items():
        answer = by_key[_id_of(bad)]
        assert answer.body["error"]["code"] == bad.error == answer.headers[names.STATUS].decode(), name
        assert bad.says in answer.body["error"]["message"], name
    for message in answers.messages:
        if message.key not in {_id_of(bad) for bad in expected_errors.values()}:
            assert message.headers[names.STATUS] == b"ok"
            assert len(message.body["data"][0]["embedding"]) == 384

    by_value = {message.value: message for message in letters.messages}
    assert len(letters.messages) == len(expected_letters)
    assert set(by_value) == {bad.value for bad in expected_letters.values()}
    for name, bad in expected_letters.items():
        letter = by_value[bad.value]
        assert letter.headers[names.DLQ_CODE].decode() == bad.dead_letter, name
        assert bad.says in letter.headers[names.DLQ_MESSAGE].decode(), name
        _check_origin(letter, bad, place)

    # Everything is done with: nothing is left to read again.
    assert worker.terminate() == 0


def _check_origin(letter: Read, bad: Bad, place: Place) -> None:
    assert letter.key == bad.key
    assert all(letter.headers[name] == value for name, value in bad.headers)
    assert letter.headers[names.DLQ_TOPIC].decode() == place.topics.requests
    assert letter.headers[names.DLQ_PARTITION] == b"0"
    assert int(letter.headers[names.DLQ_OFFSET]) % 3 == 1


def _id_of(bad: Bad) -> bytes:
    start = bad.value.index(b"{")
    request_id: str = json.loads(bad.value[start:])["id"]
    return request_id.encode()


@pytest.mark.slow
def test_on_the_interactive_lane_a_callers_mistake_is_answered_and_not_kept(
    place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker(place, "--encoder", "null")
    place.send({"id": "bad", "model": "nope", "input": "x"}, lane=Lane.INTERACTIVE)
    place.send(b"not json", lane=Lane.INTERACTIVE)
    place.send({"id": "good", "model": MODEL, "input": "x"}, lane=Lane.INTERACTIVE)
    place.flush()

    answers = place.reader(place.topics.responses).until_count(2)
    assert {message.key: message.headers[names.STATUS] for message in answers} == {
        b"bad": b"model_not_found",
        b"good": b"ok",
    }
    letters = place.reader(place.topics.dead_letters).until_count(1)
    assert [message.value for message in letters] == [b"not json"]


# --- large messages, on a broker with limits ----------------------------------------------------------------

_ROOM_BYTES = 1024
"""Of a message's limit, for what is in it beside the text."""


@pytest.mark.slow
@pytest.mark.model
def test_a_text_near_the_topics_limit_is_cut_or_refused_as_it_asks_and_its_neighbours_are_answered(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place
    text = "word " * ((REQUESTS.max_message_bytes - _ROOM_BYTES) // 5)
    worker = start_worker(place, "--dtype", "float32")
    beginning = "word " * 1000
    place.send({"id": "beginning", "model": MODEL, "input": beginning, "truncate": "END"}, partition=0)
    for truncate in ("END", "NONE"):
        for request_id, sent in (("before", "fine"), ("large", text), ("after", "fine")):
            body = {"id": f"{request_id}-{truncate}", "model": MODEL, "input": sent, "truncate": truncate}
            place.send(body, partition=0)
    place.flush()

    answers = {
        message.body["id"]: message for message in place.reader(place.topics.responses).until_count(7, seconds=120)
    }
    statuses = {request_id: message.headers[names.STATUS].decode() for request_id, message in answers.items()}
    neighbours = {f"{which}-{truncate}" for which in ("before", "after") for truncate in ("END", "NONE")}
    assert statuses == {
        **dict.fromkeys({*neighbours, "beginning", "large-END"}, "ok"),
        "large-NONE": "context_length_exceeded",
    }
    assert _vector(answers["large-END"]) == pytest.approx(_vector(answers["beginning"]), abs=1e-5)
    assert len({tuple(np.round(_vector(answers[one]), 4)) for one in neighbours}) == 1
    assert "maximum" in answers["large-NONE"].body["error"]["message"]
    (letter,) = place.reader(place.topics.dead_letters).until_count(1)
    assert letter.body == {"id": "large-NONE", "model": MODEL, "input": text, "truncate": "NONE"}
    assert letter.headers[names.DLQ_CODE] == b"context_length_exceeded"
    assert worker.terminate() == 0
    assert sum(place.committed(Lane.BULK).values()) == 7


@pytest.mark.slow
def test_a_message_of_ten_megabytes_is_refused_by_the_broker_and_the_next_one_is_answered(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place
    start_worker(place, "--encoder", "null")
    told: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": place.bootstrap, "message.max.bytes": MAX_MESSAGE_BYTES})
    for value in (_body(id="large", input="x" * 10_000_000), _body(id="next")):
        producer.produce(place.topics.requests, value=value, on_delivery=lambda error, _: told.append(error))
    assert producer.flush(30) == 0

    (refused,) = (error for error in told if error is not None)
    assert refused.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert "Message size too large" in refused.str()
    (answer,) = place.reader(place.topics.responses).until_count(1)
    assert (answer.key, answer.headers[names.STATUS]) == (b"next", b"ok")


def _vector(message: Read) -> list[float]:
    vector: list[float] = message.body["data"][0]["embedding"]
    return vector
