"""Messages at every limit and one beyond it, and headers nobody would write: on a real Kafka, through one worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from schemas import codec
from schemas import headers as names
from schemas.headers import encode_partition
from schemas.requests import MAX_INPUTS, EncodingFormat, Truncate
from schemas.topics import REQUESTS, REQUESTS_INTERACTIVE, Lane
from tests.stack.command import run_command
from worker.encoder.null import DIM, MAX_TOKENS, NullEncoder, NullTokenizer

from .place import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .conftest import WorkerProcess
    from .place import Place

MODEL = "all-MiniLM-L6-v2"
SMALL_BYTES: Final = 20_000
"""Limit of a destination of the test's own."""
OUR_HEADERS_BYTES: Final = 1024
RECORD_BYTES: Final = 74
"""What Kafka puts around the value of the only message of a batch, uncompressed and without key and headers."""

FUTURE, PAST = b"4102444800000", b"1000"


def _body(request_id: str, **fields: object) -> bytes:
    return json.dumps({"id": request_id, "model": MODEL, "input": "x", **fields}).encode()


# --- the start --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("option", ["message.max.bytes", "receive.message.max.bytes"])
@pytest.mark.parametrize("command", [["worker", "--encoder", "null"], ["api", "--port", "0"]], ids=["worker", "api"])
def test_who_could_not_send_or_read_the_largest_message_does_not_start_and_names_the_option(
    command: list[str], option: str, kafka_place: Place
) -> None:
    status, ended = run_command(*command, *kafka_place.flags, "--kafka", f"{option}=100000")

    assert status == 2
    [line] = ended.own_lines
    assert line.startswith(f"kafka-embeddings: librdkafka option {option}=100000 is too small")


@pytest.mark.slow
def test_a_worker_one_of_whose_topics_takes_too_little_does_not_start_and_names_the_topics_setting(
    kafka_place: Place,
) -> None:
    topic = kafka_place.topics.dead_letters
    entry = ConfigEntry("max.message.bytes", "1000000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka_place.bootstrap, "log_level": 0})
    admin.incremental_alter_configs([resource])[resource].result(timeout=10)

    status, ended = run_command("worker", *kafka_place.flags, "--encoder", "null")

    assert status == 2
    [line] = ended.own_lines
    assert line.startswith(f"kafka-embeddings: topic {topic} takes messages of 1000000 bytes")
    assert "raise its max.message.bytes" in line


# --- the largest request ----------------------------------------------------------------------------------


def _request_of(size_bytes: int, request_id: str) -> bytes:
    empty = len(_body(request_id, metadata={"filler": ""}))
    return _body(request_id, metadata={"filler": "f" * (size_bytes - empty)})


@pytest.mark.slow
def test_the_largest_request_each_lane_takes_is_answered_and_one_byte_more_is_refused_by_the_broker(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place
    told: dict[tuple[Lane, int], KafkaError | None] = {}
    producer = Producer(
        {"bootstrap.servers": place.bootstrap, "message.max.bytes": MAX_MESSAGE_BYTES, "linger.ms": 0}
    )
    for lane, spec in (Lane.BULK, REQUESTS), (Lane.INTERACTIVE, REQUESTS_INTERACTIVE):
        largest = spec.max_message_bytes - RECORD_BYTES
        for more in (0, 1):
            value = _request_of(largest + more, f"{lane}-{more}")

            def note(error: KafkaError | None, _: object, key: tuple[Lane, int] = (lane, more)) -> None:
                told[key] = error

            producer.produce(place.topics.requests_of(lane), value=value, on_delivery=note)
            assert producer.flush(30) == 0
    assert {key: error and error.code() for key, error in told.items()} == {
        (Lane.BULK, 0): None,
        (Lane.BULK, 1): KafkaError.MSG_SIZE_TOO_LARGE,
        (Lane.INTERACTIVE, 0): None,
        (Lane.INTERACTIVE, 1): KafkaError.MSG_SIZE_TOO_LARGE,
    }

    worker = start_worker(place, "--encoder", "null")
    answers = place.reader(place.topics.responses).until_count(2)
    assert {message.key: message.headers[names.STATUS] for message in answers} == {
        b"bulk-0": b"ok",
        b"interactive-0": b"ok",
    }
    assert max(len(message.value or b"") for message in answers) > REQUESTS.max_message_bytes
    assert "not delivered" not in worker.log


# --- everything else --------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A message, and what becomes of it: the status of its answer, the reason of its dead letter."""

    value: bytes
    status: str | None = "ok"
    dead_letter: str | None = None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    answer_bytes: int | None = None


def _filled(request_id: str, encoding: EncodingFormat, inputs: int, over: int) -> Case:
    """A request whose response takes all the room of the small destination, and so many bytes more."""
    room = SMALL_BYTES - OUR_HEADERS_BYTES - len(request_id)
    [tokens] = NullTokenizer(MAX_TOKENS).tokenize(["x"], [Truncate.NONE])
    vectors = np.repeat(NullEncoder().encode([tokens.ids], [DIM]), inputs, axis=0)

    def response_bytes(filler: str) -> int:
        metadata = {"filler": filler}
        return len(
            codec.encode_response(
                request_id=request_id,
                model=MODEL,
                vectors=vectors,
                encoding=encoding,
                prompt_tokens=len(tokens.ids) * inputs,
                metadata=metadata,
            )
        )

    filler = "f" * (room + over - response_bytes(""))
    value = _body(request_id, input=["x"] * inputs, encoding_format=encoding, metadata={"filler": filler})
    headers = [(names.REPLY_TOPIC, b"<small>")]
    if over > 0:
        return Case(value, "response_too_large", "response_too_large", headers=headers)
    return Case(value, headers=headers, answer_bytes=room)


def _cases() -> dict[str, Case]:
    doubled, topic, correlation = names.DEADLINE, names.REPLY_TOPIC, names.CORRELATION_ID
    wrong, too_much = "invalid_request", "response_too_large"
    texts = ["x"] * MAX_INPUTS
    cases = [
        # sizes
        _filled("base64-fits", EncodingFormat.BASE64, 8, 0),
        _filled("base64-over", EncodingFormat.BASE64, 8, 1),
        _filled("numbers-fit", EncodingFormat.FLOAT, 4, 0),
        _filled("numbers-over", EncodingFormat.FLOAT, 4, 1),
        Case(_body("hopeless", input=texts), too_much, too_much, headers=[(topic, b"<small>")]),
        Case(_body("most-inputs", input=texts)),
        Case(_body("one-input-more", input=[*texts, "x"]), wrong, wrong),
        Case(_body("i" * 512)),
        Case(_body("i" * 513), None, "no_id"),
        Case(_body("i" * 513), wrong, wrong, key=b"key-of-the-long-id"),
        Case(_body("model-of-256", model="m" * 256), "model_not_found", "model_not_found"),
        Case(_body("model-of-257", model="m" * 257), wrong, wrong),
        # keys
        Case(_body("empty-key"), key=b""),
        Case(b'{"model": "%s", "input": "empty key, no id"}' % MODEL.encode(), None, "no_id", key=b""),
        Case(b'{"model": "%s", "input": "x"}' % MODEL.encode(), key=b"k" * 512),
        Case(b'{"model": "%s", "input": "long key, no id"}' % MODEL.encode(), None, "no_id", key=b"k" * 513),
        # headers
        Case(_body("deadline-to-come"), headers=[(doubled, FUTURE)]),
        Case(_body("deadline-past"), "timeout", headers=[(doubled, PAST)]),
        Case(_body("deadline-doubled-last-is-past"), "timeout", headers=[(doubled, FUTURE), (doubled, PAST)]),
        Case(_body("deadline-doubled-last-is-to-come"), headers=[(doubled, PAST), (doubled, FUTURE)]),
        Case(_body("deadline-null"), headers=[(doubled, None)]),
        Case(_body("deadline-empty"), headers=[(doubled, b"")]),
        Case(_body("deadline-negative"), headers=[(doubled, b"-5")]),
        Case(_body("deadline-with-fraction"), headers=[(doubled, b"1000.0")]),
        Case(_body("deadline-0"), "timeout", headers=[(doubled, b"0")]),
        Case(_body("deadline-of-18-digits"), headers=[(doubled, b"9" * 18)]),
        Case(_body("deadline-of-19-digits"), headers=[(doubled, b"1" * 19)]),
        Case(_body("deadline-misspelt"), headers=[("Deadline", PAST)]),
        Case(_body("correlation-empty"), headers=[(correlation, b"")]),
        Case(_body("correlation-null"), headers=[(correlation, None)]),
        Case(_body("correlation-doubled"), headers=[(correlation, b"first"), (correlation, b"last")]),
        Case(_body("correlation-long"), headers=[(correlation, b"\x00\xff" * 5000)]),
        Case(_body("topic-null"), headers=[(topic, None)]),
        Case(_body("topic-empty"), headers=[(topic, b"")]),
        Case(_body("topic-not-utf-8"), None, "destination_unknown", headers=[(topic, b"\xff")]),
        Case(_body("topic-doubled-last-is-right"), headers=[(topic, b"nobody's"), (topic, b"<replies>")]),
        Case(_body("topic-doubled-last-is-wrong"), None, "destination_not_allowed",
             headers=[(topic, b"<replies>"), (topic, b"nobody's")]),
        *(
            Case(_body(f"partition-{number}"), status, reason, headers=[(names.REPLY_PARTITION, raw)])
            for number, (raw, status, reason) in enumerate(
                [
                    (encode_partition(0), "ok", None),
                    (encode_partition(23), "ok", None),
                    (encode_partition(24), None, "destination_unknown"),
                    (encode_partition(2**31 - 1), None, "destination_unknown"),
                    (b"\xff\xff\xff\xff", None, "destination_unknown"),
                    (b"", None, "destination_unknown"),
                    (b"\x00\x00\x01", None, "destination_unknown"),
                    (b"\x00\x00\x00\x00\x01", None, "destination_unknown"),
                    (None, "ok", None),
                ]
            )
        ),
        Case(_body("trace-malformed"), headers=[(names.TRACEPARENT, b"\xff"), (names.TRACESTATE, b"")]),
        Case(_body("parts-malformed"), headers=[(names.PART, b"x"), (names.PARTS, None), (names.FIRST_INDEX, b"-1")]),
        Case(_body("header-of-100-kB"), headers=[("theirs", b"h" * 100_000)]),
        Case(_body("a-thousand-headers"), headers=[(f"theirs-{number}", b"h") for number in range(1000)]),
    ]  # fmt: skip
    return {_id_of(case): case for case in cases}


def _id_of(case: Case) -> str:
    """What tells it from the others: the key of its answer, or its own bytes."""
    body: dict[str, Any] = json.loads(case.value)
    given = str(body.get("id", ""))
    if case.status is None:
        return case.value.decode()
    return given if 0 < len(given) <= 512 else (case.key or b"").decode()


@pytest.mark.slow
def test_messages_at_and_around_every_limit_end_as_the_tables_say(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place
    small = f"{place.topics.prefix}.small"
    config = {"max.message.bytes": str(SMALL_BYTES)}
    # A client that nobody holds is destroyed, and its requests with it.
    admin = AdminClient({"bootstrap.servers": place.bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(small, 1, 1, config=config)])[small].result(timeout=30)
    allowed = {"KAFKA_EMBEDDINGS_REPLY_TOPICS": json.dumps([small])}
    worker = start_worker(place, "--encoder", "null", environment=allowed)
    cases = _cases()
    stands_for = {b"<small>": small.encode(), b"<replies>": place.topics.replies.encode()}
    for case in cases.values():
        headers = [(name, stands_for.get(raw, raw) if raw else raw) for name, raw in case.headers]
        place.send(case.value, key=case.key, headers=headers)
    place.flush()

    answers = place.reader(place.topics.responses, place.topics.replies, small)
    letters = place.reader(place.topics.dead_letters)
    answers.until_count(sum(case.status is not None for case in cases.values()))
    letters.until_count(sum(case.dead_letter is not None for case in cases.values()))
    by_key = {(message.key or b"").decode(): message for message in answers.messages}
    assert {key: message.headers[names.STATUS].decode() for key, message in by_key.items()} == {
        key: case.status for key, case in cases.items() if case.status is not None
    }
    assert len(by_key) == len(answers.messages)
    assert {
        (message.key, message.value): message.headers[names.DLQ_CODE].decode() for message in letters.messages
    } == {(case.key, case.value): case.dead_letter for case in cases.values() if case.dead_letter is not None}

    for key, case in cases.items():
        if case.answer_bytes is not None:
            assert (by_key[key].topic, len(by_key[key].value or b"")) == (small, case.answer_bytes)
    for key in ("base64-over", "hopeless"):
        assert small in by_key[key].body["error"]["message"]
        assert str(SMALL_BYTES) in by_key[key].body["error"]["message"]
    echoed = {key: by_key[key].headers.get(names.CORRELATION_ID) for key in by_key if key.startswith("correlation-")}
    assert echoed == {
        "correlation-empty": b"",
        "correlation-null": None,
        "correlation-doubled": b"last",
        "correlation-long": b"\x00\xff" * 5000,
    }
    assert len(by_key["most-inputs"].body["data"]) == MAX_INPUTS
    assert by_key["topic-doubled-last-is-right"].topic == place.topics.replies
    assert [by_key[f"partition-{number}"].partition for number in (0, 1)] == [0, 23]
    # Nothing was found too large by the broker: sizes are known before.
    assert "not delivered" not in worker.log
    assert worker.terminate() == 0
    assert sum(place.committed(Lane.BULK).values()) == len(cases)
    answers.close()
    letters.close()


# --- many -------------------------------------------------------------------------------------------------


@pytest.mark.chaos
@pytest.mark.slow
def test_a_hundred_thousand_tiny_requests_are_each_answered_once(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place, count = kafka_place, 100_000
    worker = start_worker(place, "--encoder", "null")
    for number in range(count):
        place.send(b'{"id":%d,"model":"%s","input":"x"}' % (number, MODEL.encode()))
        if number % 10_000 == 0:
            place.flush()
    place.flush()
    answers = place.reader(place.topics.responses).until_count(count, seconds=250)
    assert {int(message.key or b"-1") for message in answers} == set(range(count))
    assert len(answers) == count
    assert worker.terminate() == 0
    assert sum(place.committed(Lane.BULK).values()) == count
