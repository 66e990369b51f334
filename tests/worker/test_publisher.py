"""`worker/publisher.py`: what every request ends in, with a producer whose deliveries the test decides."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from structlog.testing import capture_logs

from schemas import headers as names
from schemas.errors import ErrorCode, RequestError, UnanswerableError
from schemas.responses import EmbeddingResponse, ErrorResponse, FlatResponse
from schemas.topics import Lane, TopicNames
from transport.producer import DeliveryFailure, FailureKind
from worker import publisher as publisher_module
from worker.delivery import AtLeastOnce
from worker.destinations import Profile
from worker.errors import OwnFailuresError, PublishError
from worker.ordering import KeyOrder
from worker.own_failures import OwnFailures
from worker.publisher import Publisher
from worker.settings import OwnFailureSettings
from worker.sizes import Sizes

from .fakes import RESPONSES, FakeProducer, FakeTopics, Produced, a_card, an_item, answer, error_of, unit_vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.request import RequestInFlight

REPLIES, DLQ, ERRORS = "embedding.replies", "embedding.requests.dlq", "embedding.errors"
OPAQUE = "embedding.replies.mine"
MAX_BYTES = 100_000
_NO_LIMIT = OwnFailureSettings(share=1)

UNKNOWN = DeliveryFailure(FailureKind.UNKNOWN, "no such partition")
REFUSED = DeliveryFailure(FailureKind.REFUSED, "not authorised")
TOO_LARGE = DeliveryFailure(FailureKind.TOO_LARGE, "over the limit")
TRANSIENT = DeliveryFailure(FailureKind.TRANSIENT, "timed out")
FATAL = DeliveryFailure(FailureKind.FATAL, "fenced")


class Bench:
    """A publisher, and everything at its edges."""

    def __init__(
        self,
        *,
        is_current: Callable[[RequestInFlight], bool] = lambda _: True,
        own_failures: OwnFailureSettings = _NO_LIMIT,
    ) -> None:
        self.producers = {lane: FakeProducer() for lane in Lane}
        self.topics = FakeTopics({RESPONSES: 24, REPLIES: 24, OPAQUE: 2, DLQ: 6, ERRORS: 6})
        self.order = KeyOrder()
        self.closed: list[tuple[RequestInFlight, bool]] = []
        self.kept: list[ErrorCode] = []
        self.is_current = is_current
        self.publisher = Publisher(
            {lane: AtLeastOnce(lane, 1.0, cast("Any", self.producers)) for lane in self.producers},
            TopicNames(),
            cast("Any", self.topics),
            self.order,
            worker_id="w1",
            card=a_card(revision="cafe"),
            sizes=Sizes(MAX_BYTES, {}),
            is_current=lambda item: self.is_current(item),
            on_closed=lambda item, acknowledged: self.closed.append((item, acknowledged)),
            own_failures=OwnFailures(own_failures),
            on_dead_letter=self.kept.append,
        )

    @property
    def bulk(self) -> list[Produced]:
        return self.producers[Lane.BULK].produced

    def register(self, *items: RequestInFlight) -> None:
        for item in items:
            self.order.register(item)

    def publish(self, *items: RequestInFlight) -> list[Produced]:
        """Register, submit and work off; what was produced in the bulk lane."""
        self.register(*items)
        return self.submit(*items)

    def submit(self, *items: RequestInFlight) -> list[Produced]:
        for item in items:
            self.publisher.submit(item)
        return self.work()

    def deliver(self, produced: Produced, failure: DeliveryFailure | None = None) -> list[Produced]:
        """Say what became of one message and let the publisher act on it; what it produced thereupon."""
        before = len(self.bulk)
        produced.on_delivery(failure)
        self.work()
        return self.bulk[before:]

    def work(self) -> list[Produced]:
        self.publisher.stop()
        self.publisher.run()
        return self.bulk


@pytest.fixture
def bench() -> Bench:
    return Bench()


def failed(item: RequestInFlight, code: ErrorCode = ErrorCode.INVALID_REQUEST, **known: Any) -> RequestInFlight:
    item.fail(RequestError(code, "no", request_id=known.pop("request_id", "r1"), **known))
    return item


# --- responses --------------------------------------------------------------------------------------------


def test_a_response_is_keyed_by_the_request_id_and_says_where_it_comes_from(bench: Bench) -> None:
    item = an_item(["a", "b"], key=b"other key", partition=3, offset=42, metadata={"doc": 7})
    [sent] = bench.publish(answer(item))
    assert (sent.topic, sent.partition, sent.key) == (RESPONSES, None, b"r1")
    response = EmbeddingResponse.model_validate(sent.body)
    assert (response.id, response.model, response.metadata) == ("r1", "a-model", {"doc": 7})
    np.testing.assert_allclose([entry.embedding for entry in response.data], unit_vectors(2), rtol=1e-6)
    assert sent.headers == {
        "status": b"ok",
        "model-revision": b"cafe",
        "source-topic": b"embedding.requests",
        "source-partition": b"3",
        "source-offset": b"42",
        "source-timestamp": b"1700000000000",
        "content-type": b"application/json",
    }


def test_the_tokens_counted_are_the_usage(bench: Bench) -> None:
    item = answer(an_item())
    item.prompt_tokens = 11
    [sent] = bench.publish(item)
    assert sent.body["usage"] == {"prompt_tokens": 11, "total_tokens": 11}


def test_correlation_id_and_trace_are_echoed_byte_for_byte(bench: Bench) -> None:
    headers = [(names.CORRELATION_ID, b"\x00\xff"), (names.TRACEPARENT, b"00-a"), (names.TRACESTATE, b"v=1")]
    [sent] = bench.publish(answer(an_item(headers=[*headers, ("mine", b"no")])))
    assert {name: sent.headers[name] for name, _ in headers} == dict(headers)
    assert "mine" not in sent.headers


def test_a_response_goes_to_the_partition_the_caller_chose(bench: Bench) -> None:
    [sent] = bench.publish(answer(an_item(topic=REPLIES, reply_partition=5)))
    assert (sent.topic, sent.partition) == (REPLIES, 5)


@pytest.mark.parametrize("lane", Lane)
def test_each_lane_publishes_with_its_own_producer(bench: Bench, lane: Lane) -> None:
    bench.publish(answer(an_item(lane=lane)))
    assert {lane: len(producer.produced) for lane, producer in bench.producers.items()} == {
        Lane.INTERACTIVE: int(lane is Lane.INTERACTIVE),
        Lane.BULK: int(lane is Lane.BULK),
    }


def test_a_request_is_acknowledged_once_the_broker_has_its_response_and_not_before(bench: Bench) -> None:
    item = answer(an_item())
    [sent] = bench.publish(item)
    assert bench.closed == []
    bench.deliver(sent)
    assert bench.closed == [(item, True)]


@pytest.mark.parametrize("fails", [False, True])
def test_messages_acknowledged_within_produce_close_their_request_once(bench: Bench, fails: bool) -> None:
    bench.producers[Lane.BULK].at_once.extend([None, None])
    item = failed(an_item()) if fails else answer(an_item())
    bench.publish(item)
    assert bench.closed == [(item, True)]


def test_a_failure_within_produce_stops_no_thread(bench: Bench) -> None:
    bench.producers[Lane.BULK].at_once.append(UNKNOWN)
    sent = bench.publish(answer(an_item(topic=OPAQUE)))
    assert [produced.topic for produced in sent] == [OPAQUE]
    assert [produced.topic for produced in bench.work()] == [OPAQUE, DLQ]


def test_a_request_of_a_partition_that_left_is_discarded(bench: Bench) -> None:
    bench.is_current = lambda _: False
    item = answer(an_item())
    assert bench.publish(item) == []
    assert bench.closed == [(item, False)]


# --- tombstones and order ---------------------------------------------------------------------------------


def test_a_tombstone_passes_through_under_its_own_key(bench: Bench) -> None:
    item = an_item(tombstone=True, key=b"doc-1")
    [sent] = bench.publish(item)
    assert (sent.topic, sent.key, sent.value) == (RESPONSES, b"doc-1", None)
    assert names.CONTENT_TYPE not in sent.headers
    bench.deliver(sent)
    assert bench.closed == [(item, True)]


def test_the_answers_of_one_key_are_published_in_offset_order(bench: Bench) -> None:
    long = an_item(request_id="long", key=b"doc", offset=0)
    short = an_item(request_id="short", key=b"doc", offset=1)
    delete = an_item(tombstone=True, key=b"doc", offset=2)
    other = an_item(request_id="other", key=b"else", offset=3)
    bench.register(long, short, delete, other)
    assert bench.submit(delete, answer(short)) == []
    assert [sent.key for sent in bench.submit(answer(other))] == [b"other"]
    assert [sent.key for sent in bench.submit(answer(long))] == [b"other", b"long", b"short", b"doc"]


def test_a_failed_or_discarded_request_holds_up_nobody_behind_it(bench: Bench) -> None:
    first, second = an_item(request_id="1", key=b"doc"), an_item(request_id="2", key=b"doc", offset=1)
    bench.is_current = lambda item: item is not first
    bench.register(first, second)
    assert bench.submit(answer(second)) == []
    assert [sent.key for sent in bench.submit(answer(first))] == [b"2"]
    assert bench.closed == [(first, False)]


# --- errors -----------------------------------------------------------------------------------------------


def test_a_bulk_request_that_breaks_the_contract_is_answered_and_kept(bench: Bench) -> None:
    item = failed(an_item(key=b"k", headers=[("mine", b"1")], offset=9), metadata={"doc": 7})
    response, dead_letter = bench.publish(item)
    assert (response.topic, response.key, response.headers[names.STATUS]) == (RESPONSES, b"r1", b"invalid_request")
    body = ErrorResponse.model_validate(response.body)
    assert (body.id, body.error.code, body.metadata) == ("r1", "invalid_request", {"doc": 7})
    assert (dead_letter.topic, dead_letter.key, dead_letter.value) == (DLQ, b"k", item.message.value)
    assert dead_letter.headers["mine"] == b"1"
    assert (dead_letter.headers[names.DLQ_CODE], dead_letter.headers[names.DLQ_OFFSET]) == (b"invalid_request", b"9")
    assert dead_letter.headers[names.DLQ_WORKER] == b"w1"


@pytest.mark.parametrize("first", [0, 1])
def test_a_request_is_done_when_both_its_error_response_and_its_dead_letter_are(bench: Bench, first: int) -> None:
    item = failed(an_item())
    sent = bench.publish(item)
    bench.deliver(sent[first])
    assert bench.closed == []
    bench.deliver(sent[1 - first])
    assert bench.closed == [(item, True)]


def test_an_interactive_request_that_breaks_the_contract_is_answered_only(bench: Bench) -> None:
    bench.publish(failed(an_item(lane=Lane.INTERACTIVE)))
    assert [sent.topic for sent in bench.producers[Lane.INTERACTIVE].produced] == [RESPONSES]


def test_what_nobody_can_be_told_about_is_a_dead_letter_only(bench: Bench) -> None:
    item = an_item()
    item.request, item.error = None, UnanswerableError(ErrorCode.NOT_JSON, "no JSON")
    assert [sent.topic for sent in bench.publish(item)] == [DLQ]


def test_an_error_without_an_id_to_answer_under_is_a_dead_letter(bench: Bench) -> None:
    item = failed(an_item(lane=Lane.INTERACTIVE), request_id=None)
    bench.publish(item)
    [sent] = bench.producers[Lane.INTERACTIVE].produced
    assert sent.topic == DLQ


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("profile", Profile)
def test_a_vector_that_is_not_finite_is_our_fault_and_never_null(bench: Bench, bad: float, profile: Profile) -> None:
    item = answer(an_item(profile=profile, metadata={"doc": 7}))
    item.vectors[0, 2] = bad
    response, dead_letter = bench.publish(item)
    assert b"null" not in (response.value or b"")
    assert response.body["error"]["code"] == "internal_error"
    assert response.body["metadata"] == {"doc": 7}
    assert (dead_letter.topic, dead_letter.headers[names.DLQ_CODE]) == (DLQ, b"internal_error")


def test_a_response_over_the_limit_becomes_an_error_that_names_size_and_limit(bench: Bench) -> None:
    item = answer(an_item(metadata={"text": "x" * MAX_BYTES}))
    response, _ = bench.publish(item)
    assert response.body["error"]["code"] == "response_too_large"
    assert str(MAX_BYTES) in response.body["error"]["message"]
    assert error_of(item).code is ErrorCode.RESPONSE_TOO_LARGE


def test_the_callers_correlation_id_counts_toward_the_limit(bench: Bench) -> None:
    long = [(names.CORRELATION_ID, b"c" * (MAX_BYTES - 1100))]
    assert bench.publish(answer(an_item(headers=long)))[0].body["error"]["code"] == "response_too_large"


# --- the flat profile -------------------------------------------------------------------------------------


def flat(*texts: str, topic: str = OPAQUE, **fields: Any) -> RequestInFlight:
    return an_item(texts or ("a",), topic=topic, profile=Profile.FLAT, **fields)


def test_a_flat_destination_gets_one_vector_beside_the_fields_of_the_metadata(bench: Bench) -> None:
    [sent] = bench.publish(answer(flat(metadata={"doc": 7})))
    assert (sent.topic, sent.key) == (OPAQUE, b"r1")
    response = FlatResponse.model_validate(sent.body)
    assert (response.id, response.dimensions, sent.body["doc"]) == ("r1", 4, 7)


def test_errors_of_a_flat_destination_go_to_the_errors_topic_and_never_among_documents(bench: Bench) -> None:
    item = failed(flat(lane=Lane.INTERACTIVE, reply_partition=1))
    bench.publish(item)
    [sent] = bench.producers[Lane.INTERACTIVE].produced
    assert (sent.topic, sent.partition, sent.body["error"]["code"]) == (ERRORS, None, "invalid_request")


def test_a_tombstone_passes_through_to_a_flat_destination(bench: Bench) -> None:
    [sent] = bench.publish(an_item(tombstone=True, key=b"doc", topic=OPAQUE, profile=Profile.FLAT))
    assert (sent.topic, sent.key, sent.value) == (OPAQUE, b"doc", None)


# --- destinations that take nothing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "partition", "reason"),
    [
        ("embedding.replies.gone", None, "no topic 'embedding.replies.gone'"),
        (OPAQUE, 2, f"topic '{OPAQUE}' has no partition 2"),
        (RESPONSES, 99, f"topic '{RESPONSES}' has no partition 99"),
    ],
)
def test_a_destination_that_is_not_there_makes_a_dead_letter(
    bench: Bench, topic: str, partition: int | None, reason: str
) -> None:
    item = answer(an_item(topic=topic, reply_partition=partition))
    [sent] = bench.publish(item)
    assert (sent.topic, sent.headers[names.DLQ_CODE]) == (DLQ, b"destination_unknown")
    assert sent.headers[names.DLQ_MESSAGE] == reason.encode()
    bench.deliver(sent)
    assert bench.closed == [(item, True)]


@pytest.mark.parametrize(("failure", "code"), [(UNKNOWN, b"destination_unknown"), (REFUSED, b"destination_refused")])
@pytest.mark.parametrize("tombstone", [False, True])
def test_a_callers_destination_that_takes_nothing_makes_a_dead_letter(
    bench: Bench, failure: DeliveryFailure, code: bytes, tombstone: bool
) -> None:
    item = answer(an_item(topic=OPAQUE, tombstone=tombstone, key=b"k"))
    [sent] = bench.publish(item)
    [dead_letter] = bench.deliver(sent, failure)
    assert (dead_letter.topic, dead_letter.headers[names.DLQ_CODE]) == (DLQ, code)
    assert failure.reason.encode() in (dead_letter.headers[names.DLQ_MESSAGE] or b"")
    assert dead_letter.value == item.message.value
    assert bench.closed == []
    bench.deliver(dead_letter)
    assert bench.closed == [(item, True)]


def test_a_dead_letter_that_has_to_be_sent_again_keeps_its_reason(bench: Bench) -> None:
    [sent] = bench.publish(answer(an_item(topic=OPAQUE)))
    [dead_letter] = bench.deliver(sent, REFUSED)
    [again] = bench.deliver(dead_letter, TRANSIENT)
    assert again.headers == dead_letter.headers


def test_an_error_response_nobody_takes_adds_no_second_dead_letter(bench: Bench) -> None:
    item = failed(an_item(topic=OPAQUE))
    response, dead_letter = bench.publish(item)
    assert bench.deliver(response, REFUSED) == []
    assert bench.closed == []
    bench.deliver(dead_letter)
    assert bench.closed == [(item, True)]


def test_an_interactive_error_response_nobody_takes_becomes_a_dead_letter(bench: Bench) -> None:
    item = failed(an_item(topic=OPAQUE, lane=Lane.INTERACTIVE))
    bench.publish(item)
    produced = bench.producers[Lane.INTERACTIVE].produced
    bench.deliver(produced[0], UNKNOWN)
    assert [sent.topic for sent in produced] == [OPAQUE, DLQ]
    bench.deliver(produced[1])
    assert bench.closed == [(item, True)]


def test_the_default_destination_being_gone_stops_the_worker(bench: Bench) -> None:
    del bench.topics.partitions[RESPONSES]
    with pytest.raises(PublishError, match="kafka-embeddings topics create"):
        bench.publish(answer(an_item()))
    assert bench.closed == []


@pytest.mark.parametrize("failure", [UNKNOWN, REFUSED])
def test_the_default_destination_taking_nothing_stops_the_worker(bench: Bench, failure: DeliveryFailure) -> None:
    [sent] = bench.publish(answer(an_item()))
    with pytest.raises(PublishError, match=RESPONSES):
        bench.deliver(sent, failure)
    assert bench.closed == []


@pytest.mark.parametrize("failure", [UNKNOWN, REFUSED])
def test_the_dead_letter_topic_taking_nothing_stops_the_worker(bench: Bench, failure: DeliveryFailure) -> None:
    item = an_item()
    item.error = UnanswerableError(ErrorCode.NOT_JSON, "no JSON")
    [sent] = bench.publish(item)
    with pytest.raises(PublishError, match=DLQ):
        bench.deliver(sent, failure)


def test_a_chosen_partition_of_the_default_topic_is_the_callers_and_stops_nobody(bench: Bench) -> None:
    [sent] = bench.publish(answer(an_item(reply_partition=3)))
    [dead_letter] = bench.deliver(sent, UNKNOWN)
    assert dead_letter.topic == DLQ


@pytest.mark.parametrize("topic", [RESPONSES, OPAQUE])
def test_librdkafka_giving_up_stops_the_worker_whatever_the_topic(bench: Bench, topic: str) -> None:
    [sent] = bench.publish(answer(an_item(topic=topic)))
    with pytest.raises(PublishError, match="fenced"):
        bench.deliver(sent, FATAL)


# --- trouble that passes ----------------------------------------------------------------------------------


def test_a_response_not_delivered_in_time_is_sent_again_as_it_was(bench: Bench) -> None:
    item = answer(an_item(headers=[(names.CORRELATION_ID, b"c")], topic=OPAQUE, reply_partition=1))
    [sent] = bench.publish(item)
    for _ in range(3):
        [again] = bench.deliver(sent, TRANSIENT)
        assert again[:5] == sent[:5]
        assert again.headers == sent.headers
    assert bench.closed == []
    bench.deliver(again)
    assert bench.closed == [(item, True)]


@pytest.mark.parametrize("which", [0, 1])
def test_an_error_response_or_dead_letter_not_delivered_in_time_is_sent_again(bench: Bench, which: int) -> None:
    item = failed(an_item())
    sent = bench.publish(item)[:]
    [again] = bench.deliver(sent[which], TRANSIENT)
    assert again[:5] == sent[which][:5]
    bench.deliver(again)
    assert bench.closed == []
    bench.deliver(sent[1 - which])
    assert bench.closed == [(item, True)]


def test_a_tombstone_not_delivered_in_time_is_sent_again_as_a_tombstone(bench: Bench) -> None:
    [sent] = bench.publish(an_item(tombstone=True, key=b"doc"))
    [again] = bench.deliver(sent, TRANSIENT)
    assert (again.topic, again.key, again.value) == (RESPONSES, b"doc", None)


def test_nothing_is_sent_again_for_a_partition_that_left_meanwhile(bench: Bench) -> None:
    item = answer(an_item())
    [sent] = bench.publish(item)
    bench.is_current = lambda _: False
    with capture_logs() as logs:
        assert bench.deliver(sent, TRANSIENT) == []
    assert len(bench.closed) == 1
    # A rebalance does this to every request under way: no trouble, and no line for each.
    assert logs == []


def test_nothing_is_sent_again_for_a_partition_that_leaves_during_the_pause(bench: Bench) -> None:
    [sent] = bench.publish(answer(an_item()))
    is_ours = iter([True, False])
    bench.is_current = lambda _: next(is_ours)
    assert bench.deliver(sent, TRANSIENT) == []
    assert len(bench.closed) == 1


# --- too large for the broker -----------------------------------------------------------------------------


def test_a_response_the_broker_finds_too_large_becomes_an_error(bench: Bench) -> None:
    item = answer(an_item())
    [sent] = bench.publish(item)
    response, dead_letter = bench.deliver(sent, TOO_LARGE)
    assert response.body["error"]["code"] == "response_too_large"
    bench.deliver(response)
    bench.deliver(dead_letter)
    assert bench.closed == [(item, True)]


def test_an_error_response_too_large_loses_its_metadata(bench: Bench) -> None:
    item = failed(an_item(), metadata={"text": "x" * 100})
    response, dead_letter = bench.publish(item)
    [shorter] = bench.deliver(response, TOO_LARGE)
    assert "metadata" not in shorter.body
    assert shorter.body["error"] == response.body["error"]
    bench.deliver(shorter)
    bench.deliver(dead_letter)
    assert bench.closed == [(item, True)]


@pytest.mark.parametrize("topic", [RESPONSES, OPAQUE])
def test_an_error_response_too_large_even_so_stops_nobody(bench: Bench, topic: str) -> None:
    item = failed(an_item(topic=topic, lane=Lane.INTERACTIVE))
    bench.publish(item)
    produced = bench.producers[Lane.INTERACTIVE].produced
    bench.deliver(produced[0], TOO_LARGE)
    bench.deliver(produced[1], TOO_LARGE)
    assert [sent.topic for sent in produced] == [topic, topic, DLQ]
    assert produced[2].headers[names.DLQ_CODE] == b"response_too_large"
    bench.deliver(produced[2])
    assert bench.closed == [(item, True)]


def test_a_tombstone_too_large_with_the_headers_it_echoes_becomes_a_dead_letter(bench: Bench) -> None:
    item = an_item(tombstone=True, key=b"doc", headers=[(names.CORRELATION_ID, b"c" * 1000)])
    [sent] = bench.publish(item)
    [dead_letter] = bench.deliver(sent, TOO_LARGE)
    assert (dead_letter.topic, dead_letter.key) == (DLQ, b"doc")
    bench.deliver(dead_letter)
    assert bench.closed == [(item, True)]


def test_a_dead_letter_too_large_loses_first_its_headers_then_its_bytes_and_never_its_origin(bench: Bench) -> None:
    item = an_item(headers=[("mine", b"1")], offset=9)
    item.error = UnanswerableError(ErrorCode.NOT_JSON, "no JSON")
    [whole] = bench.publish(item)
    [without_headers] = bench.deliver(whole, TOO_LARGE)
    assert (without_headers.value, "mine" in without_headers.headers) == (item.message.value, False)
    assert (names.DLQ_LEFT_OUT in whole.headers, without_headers.headers[names.DLQ_LEFT_OUT]) == (False, b"headers")
    [again] = bench.deliver(without_headers, TRANSIENT)
    assert (again.value, again.headers) == (without_headers.value, without_headers.headers)
    [without_bytes] = bench.deliver(again, TOO_LARGE)
    assert without_bytes.value == b""
    assert without_bytes.headers[names.DLQ_OFFSET] == b"9"
    assert without_bytes.headers[names.DLQ_CODE] == b"not_json"
    assert without_bytes.headers[names.DLQ_LEFT_OUT] == b"headers,payload"
    bench.deliver(without_bytes)
    assert bench.closed == [(item, True)]


def test_a_dead_letter_topic_that_takes_not_even_that_stops_the_worker(bench: Bench) -> None:
    item = an_item()
    item.error = UnanswerableError(ErrorCode.NOT_JSON, "no JSON")
    [sent] = bench.publish(item)
    [sent] = bench.deliver(sent, TOO_LARGE)
    [sent] = bench.deliver(sent, TOO_LARGE)
    with pytest.raises(PublishError, match="takes no messages this small"):
        bench.deliver(sent, TOO_LARGE)


def test_attempts_are_counted_on_and_also_where_the_headers_that_say_so_do_not_fit(bench: Bench) -> None:
    item = an_item(headers=[(names.REPLAY_ATTEMPT, b"2")])
    item.error = UnanswerableError(ErrorCode.NOT_JSON, "no JSON")
    [whole] = bench.publish(item)
    [cut] = bench.deliver(whole, TOO_LARGE)
    assert [sent.headers[names.DLQ_ATTEMPT] for sent in (whole, cut)] == [b"3", b"3"]


def test_a_dead_letter_is_told_of_once_and_only_when_the_broker_has_it(bench: Bench) -> None:
    item = failed(an_item(), ErrorCode.MODEL_NOT_FOUND)
    response, dead_letter = bench.publish(item)
    bench.deliver(response)
    [again] = bench.deliver(dead_letter, TRANSIENT)
    assert bench.kept == []
    bench.deliver(again)
    assert bench.kept == [ErrorCode.MODEL_NOT_FOUND]


# --- failures of ours ---------------------------------------------------------------------------------------


def test_too_many_failures_of_ours_stop_the_publisher_before_the_last_of_them_is_published() -> None:
    bench = Bench(own_failures=OwnFailureSettings(share=0.5, at_least=2))
    bench.publish(answer(an_item(request_id="fine")))
    bench.publish(failed(an_item(request_id="first"), ErrorCode.INTERNAL_ERROR))
    before = len(bench.bulk)
    with pytest.raises(OwnFailuresError, match=r"2 of 3 requests .*internal_error 2.*own_failures\.share = 0\.5"):
        bench.publish(failed(an_item(request_id="second"), ErrorCode.INTERNAL_ERROR))
    assert len(bench.bulk) == before


def test_what_callers_do_wrong_stops_nobody() -> None:
    bench = Bench(own_failures=OwnFailureSettings(share=0.01, at_least=1))
    for code in (ErrorCode.INVALID_REQUEST, ErrorCode.NOT_JSON, ErrorCode.TIMEOUT, ErrorCode.MODEL_NOT_FOUND):
        bench.publish(failed(an_item(request_id=code), code))
    assert len(bench.bulk) == 7


# --- threads ----------------------------------------------------------------------------------------------


def test_a_request_whose_two_messages_are_acknowledged_by_two_threads_is_closed_once(bench: Bench) -> None:
    items = [failed(an_item(request_id=str(number))) for number in range(300)]
    sent = bench.publish(*items)[:]
    halves = [[produced for produced in sent if produced.topic == topic] for topic in (RESPONSES, DLQ)]
    threads = [
        threading.Thread(target=lambda half=half: [produced.on_delivery(None) for produced in half])
        for half in halves
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bench.closed) == len(items)
    assert {id(item) for item, acknowledged in bench.closed if acknowledged} == set(map(id, items))


def test_what_is_queued_before_a_stop_is_worked_off(bench: Bench) -> None:
    for number in range(5):
        bench.publisher.submit(answer(an_item(request_id=str(number))))
    assert [sent.key for sent in bench.work()] == [b"0", b"1", b"2", b"3", b"4"]


def test_while_something_waits_to_be_sent_again_nothing_newer_overtakes_it(bench: Bench) -> None:
    first, second = (
        answer(an_item(request_id=name, key=name.encode(), offset=place)) for place, name in enumerate("ab")
    )
    [sent] = bench.publish(first)
    bench.register(second)
    sent.on_delivery(TRANSIENT)
    bench.publisher.submit(second)
    bench.work()
    assert [produced.key for produced in bench.bulk] == [b"a", b"a", b"b"]


def test_each_round_of_trouble_is_waited_out_longer_and_an_acknowledgement_begins_anew(bench: Bench) -> None:
    waits: list[float] = []
    given = publisher_module.backoff_seconds

    def noted(tries: int, **known: Any) -> float:
        waits.append(given(tries, **known | {"random": lambda: 1.0}))
        return 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publisher_module, "backoff_seconds", noted)
        [sent] = bench.publish(answer(an_item()))
        for _ in range(8):
            [sent] = bench.deliver(sent, TRANSIENT)
        bench.deliver(sent)
        [other] = bench.publish(answer(an_item(request_id="r2", offset=1)))[-1:]
        bench.deliver(other, TRANSIENT)
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.1])


def test_what_runs_alone_is_not_held_back_for_company(bench: Bench) -> None:
    item = answer(an_item())
    item.is_alone = True
    bench.publish(item)
    assert bench.bulk == []
    [sent] = bench.producers[Lane.INTERACTIVE].produced
    assert sent.key == b"r1"
