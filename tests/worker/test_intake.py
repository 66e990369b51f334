"""`worker/intake.py`: reads a lane, and stops reading in time; with a consumer that follows a script."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from schemas import headers as names
from schemas.errors import ErrorCode, RequestError, UnanswerableError
from schemas.headers import encode_number, encode_partition
from schemas.topics import Lane, TopicNames
from transport.consumer import Progress
from transport.errors import FatalTransportError
from worker import intake as intake_module
from worker.attempts import Attempt
from worker.bounds import InFlight
from worker.destinations import Destinations
from worker.intake import Intake
from worker.isolation import Isolation
from worker.offsets import LaneOffsets
from worker.ordering import KeyOrder
from worker.planning import Planning
from worker.sizes import Sizes

from .fakes import DIM, FakeConsumer, a_card, a_message, a_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.headers import Header
    from transport.consumer import AssignmentListener
    from transport.messages import Message
    from worker.request import RequestInFlight

    Step = Callable[[FakeConsumer], list[Message] | None]

WAIT_SECONDS = 10.0


class Bench:
    """One lane's intake and everything around it."""

    def __init__(self, *, max_tokens: int = 10**6, max_bytes: int = 10**9, **changes: Any) -> None:
        self.offsets = LaneOffsets(Lane.BULK, 0.0)
        self.in_flight = InFlight(max_tokens, max_bytes)
        self.order = KeyOrder()
        self.isolation = Isolation([self.in_flight])
        self.accepted: list[RequestInFlight] = []
        self.failed: list[RequestInFlight] = []
        self.drain = threading.Event()
        self.consumer: FakeConsumer
        known: dict[str, Any] = {
            "planning": Planning(a_card(), TopicNames()),
            "destinations": Destinations(TopicNames(), flat=["sink.docs"]),
            "offsets": self.offsets,
            "sizes": Sizes(10**6, {}),
            "max_past_watermark": 10_000,
            "gaps_are_losses": False,
            "revoke_timeout_seconds": 0.0,
            "clock_skew_seconds": 1.0,
            "on_accepted": self.accepted.extend,
        }
        self.intake = Intake(
            Lane.BULK,
            in_flight=self.in_flight,
            order=self.order,
            isolation=self.isolation,
            on_failed=self.failed.append,
            **(known | changes),
        )

    def run(self, *steps: Step, drain_timeout_seconds: float = 0.0) -> FakeConsumer:
        """Read through a script, then drain."""

        def connect(listener: AssignmentListener) -> FakeConsumer:
            self.consumer = FakeConsumer(listener, steps, self.drain.set)
            return self.consumer

        self.intake.run(connect, drain=self.drain, drain_timeout_seconds=drain_timeout_seconds)  # type: ignore[arg-type]
        return self.consumer

    def close(self, *items: RequestInFlight) -> None:
        """What the worker does once the broker has the answers."""
        for item in items:
            self.order.finish(item)
            self.in_flight.release(item.reservation)
            self.offsets.acknowledged(item.submitted)

    @property
    def taken(self) -> list[RequestInFlight]:
        return sorted([*self.accepted, *self.failed], key=lambda item: (item.message.partition, item.message.offset))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def assign(*partitions: int) -> Step:
    return lambda consumer: consumer.assign(*partitions)


def give(*messages: Message) -> Step:
    return lambda _: list(messages)


def call(action: Callable[[], object]) -> Step:
    """A poll that finds nothing while something happens elsewhere."""

    def step(_: FakeConsumer) -> None:
        action()

    return step


def requests(*offsets: int, partition: int = 0, **fields: Any) -> list[Message]:
    return [a_message(a_value(f"r{offset}", **fields), partition=partition, offset=offset) for offset in offsets]


def take(bench: Bench, value: bytes | None, *, key: bytes | None = None, headers: list[Header] | None = None) -> None:
    """One message through the intake."""
    bench.run(assign(0), give(a_message(value, key=key, headers=headers or [])))


def refusal(bench: Bench) -> RequestError | UnanswerableError:
    [item] = bench.failed
    assert bench.accepted == []
    assert item.error is not None
    return item.error


# --- one message ------------------------------------------------------------------------------------------


def test_a_request_is_decoded_planned_and_handed_on(bench: Bench) -> None:
    take(bench, a_value("r1", ["a", "b"]), key=b"k", headers=[(names.CORRELATION_ID, b"c")])
    [item] = bench.accepted
    assert item.request is not None
    assert (item.request.id, item.request.inputs) == ("r1", ["a", "b"])
    assert (item.lane, item.dim, item.prefix, item.error) == (Lane.BULK, DIM, "", None)
    assert (item.headers.correlation_id, item.message.key) == (b"c", b"k")
    assert item.destination is not None
    assert item.destination.topic == "embedding.responses"
    assert bench.failed == []
    assert len(bench.order) == 1


def test_the_messages_of_one_poll_are_handed_on_together_in_order() -> None:
    handed: list[list[int]] = []
    bench = Bench(on_accepted=lambda items: handed.append([item.message.offset for item in items]))
    bench.run(assign(0), give(*requests(0, 1, 2)), give(*requests(3)), give())
    assert handed == [[0, 1, 2], [3]]


@pytest.mark.parametrize(
    ("value", "key", "code"),
    [
        (b"\x80not json", b"k", ErrorCode.NOT_JSON),
        (b"", b"k", ErrorCode.NOT_JSON),
        (b"[1]", b"k", ErrorCode.NOT_JSON),
        (a_value(None), None, ErrorCode.NO_ID),
        (a_value(None), b"\xff\xfe", ErrorCode.NO_ID),
    ],
)
def test_what_cannot_be_answered_goes_to_the_publisher_at_once(
    bench: Bench, value: bytes, key: bytes | None, code: ErrorCode
) -> None:
    take(bench, value, key=key)
    error = refusal(bench)
    assert isinstance(error, UnanswerableError)
    assert error.code is code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"texts": []}, ErrorCode.INVALID_REQUEST),
        ({"texts": ""}, ErrorCode.INVALID_REQUEST),
        ({"model": "other"}, ErrorCode.MODEL_NOT_FOUND),
        ({"dimensions": 3}, ErrorCode.INVALID_REQUEST),
        ({"modality": "image"}, ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_breaks_the_contract_keeps_id_and_metadata_for_its_answer(
    bench: Bench, fields: dict[str, Any], code: ErrorCode
) -> None:
    take(bench, a_value("r1", metadata={"doc": 7}, **fields))
    error = refusal(bench)
    assert isinstance(error, RequestError)
    assert (error.code, error.request_id, error.metadata) == (code, "r1", {"doc": 7})


def test_a_tombstone_goes_to_the_publisher_without_error(bench: Bench) -> None:
    take(bench, None, key=b"doc")
    [item] = bench.failed
    assert (item.is_tombstone, item.error, bench.accepted) == (True, None, [])
    assert len(bench.order) == 1


def test_a_destination_that_is_not_allowed_is_refused_before_anything_is_decoded(bench: Bench) -> None:
    take(bench, a_value(), headers=[(names.REPLY_TOPIC, b"secrets")])
    assert refusal(bench).code is ErrorCode.DESTINATION_NOT_ALLOWED
    assert (bench.failed[0].request, bench.failed[0].destination) == (None, None)


def test_a_partition_that_cannot_be_read_is_refused(bench: Bench) -> None:
    take(bench, a_value(), headers=[(names.REPLY_PARTITION, b"7")])
    assert refusal(bench).code is ErrorCode.DESTINATION_UNKNOWN


def test_a_partition_is_taken_along(bench: Bench) -> None:
    headers: list[Header] = [(names.REPLY_TOPIC, b"embedding.replies"), (names.REPLY_PARTITION, encode_partition(3))]
    take(bench, a_value(), headers=headers)
    destination = bench.accepted[0].destination
    assert destination is not None
    assert (destination.topic, destination.partition) == ("embedding.replies", 3)


def test_a_flat_destination_takes_one_input_a_request(bench: Bench) -> None:
    bench.run(
        assign(0),
        give(
            a_message(a_value("one", ["a"]), offset=0, headers=[(names.REPLY_TOPIC, b"sink.docs")]),
            a_message(a_value("two", ["a", "b"]), offset=1, headers=[(names.REPLY_TOPIC, b"sink.docs")]),
        ),
    )
    assert [item.message.offset for item in bench.accepted] == [0]
    error = bench.failed[0].error
    assert error is not None
    assert (error.code, "sink.docs" in error.message) == (ErrorCode.INVALID_REQUEST, True)


def test_a_response_that_cannot_fit_its_topic_is_refused_before_it_is_computed() -> None:
    bench = Bench(sizes=Sizes(5000, {}))
    bench.run(
        assign(0),
        give(a_message(a_value("fits", ["a"] * 10)), a_message(a_value("does not", ["a"] * 200), offset=1)),
    )
    assert [item.message.offset for item in bench.accepted] == [0]
    error = bench.failed[0].error
    assert error is not None
    assert (error.code, "5000" in error.message) == (ErrorCode.RESPONSE_TOO_LARGE, True)


def test_a_deadline_that_passed_is_answered_without_computing(bench: Bench) -> None:
    now_ms = int(time.time() * 1000)
    late, soon = encode_number(now_ms - 5000), encode_number(now_ms + 60_000)
    bench.run(
        assign(0),
        give(
            a_message(a_value("late"), offset=0, headers=[(names.DEADLINE, late)]),
            a_message(a_value("in time"), offset=1, headers=[(names.DEADLINE, soon)]),
            a_message(a_value("malformed"), offset=2, headers=[(names.DEADLINE, b"soon")]),
        ),
    )
    assert [item.message.offset for item in bench.accepted] == [1, 2]
    error = bench.failed[0].error
    assert error is not None
    assert error.code is ErrorCode.TIMEOUT


def test_a_bad_message_harms_no_neighbour(bench: Bench) -> None:
    bench.run(assign(0), give(*requests(0), a_message(b"\x00\xff", offset=1), *requests(2)))
    assert [item.message.offset for item in bench.accepted] == [0, 2]
    assert [item.message.offset for item in bench.failed] == [1]


def test_every_message_holds_room_until_it_is_answered_bad_ones_too(bench: Bench) -> None:
    bench.run(assign(0), give(*requests(0), a_message(b"x" * 100, offset=1), a_message(None, key=b"k", offset=2)))
    assert bench.in_flight.requests == 3
    assert bench.in_flight.bytes > 100
    bench.close(*bench.taken)
    assert (bench.in_flight.tokens, bench.in_flight.bytes, bench.in_flight.requests) == (0, 0, 0)


def test_room_is_reserved_for_the_vectors_to_come(bench: Bench) -> None:
    one, many = a_value("one", ["a"]), a_value("many", ["a"] * 100)
    bench.run(assign(0), give(a_message(one)))
    held_by_one = bench.in_flight.bytes
    other = Bench()
    other.run(assign(0), give(a_message(many)))
    assert other.in_flight.bytes - held_by_one > 99 * DIM * 4 + len(many) - len(one)


# --- gaps -------------------------------------------------------------------------------------------------


def gap_reports(bench: Bench) -> list[dict[str, Any]]:
    with capture_logs() as logs:
        bench.run(assign(0), give(*requests(5, 6)), give(*requests(17)))
    assert [item.message.offset for item in bench.accepted] == [5, 6, 17]
    return [dict(entry) for entry in logs if entry["log_level"] == "error"]


def test_messages_a_broker_dropped_are_reported_with_their_number_where_gaps_are_losses() -> None:
    bench = Bench(gaps_are_losses=True)
    [report] = gap_reports(bench)
    assert (report["partition"], report["messages"], report["topic"]) == (0, 10, "embedding.requests")
    assert bench.offsets.lost_messages == 10


def test_a_gap_is_no_loss_where_transactions_leave_them() -> None:
    assert gap_reports(Bench(gaps_are_losses=False)) == []


def test_messages_deleted_before_they_were_read_are_reported_on_assignment(bench: Bench) -> None:
    def step(consumer: FakeConsumer) -> None:
        consumer.retention_losses[1] = 77
        consumer.assign(0, 1)

    with capture_logs() as logs:
        bench.run(step)
    [report] = [entry for entry in logs if entry["log_level"] == "error"]
    assert (report["partition"], report["messages"]) == (1, 77)
    assert bench.offsets.lost_messages == 77


# --- pausing ----------------------------------------------------------------------------------------------


def test_reading_pauses_at_the_bound_and_goes_on_at_half_of_it() -> None:
    bench = Bench(max_bytes=10_000)
    events: list[list[str]] = []

    def close_one() -> None:
        events.append(list(bench.consumer.events))
        bench.close(bench.accepted.pop(0))

    one = Bench()
    one.run(assign(0), give(*requests(0)))
    enough = 10_000 // one.in_flight.bytes + 1
    bench.run(assign(0, 1), give(*requests(*range(enough))), *[call(close_one)] * enough)
    answered_while_paused = events.count(["pause [0, 1]"])
    assert bench.consumer.events == ["pause [0, 1]", "resume [0, 1]"]
    assert abs(answered_while_paused - enough / 2) <= 1


def test_one_request_larger_than_the_whole_bound_is_read_and_then_runs_alone() -> None:
    bench = Bench(max_bytes=10_000)
    large = a_message(a_value("large", "x" * 50_000))
    bench.run(
        assign(0),
        give(large),
        call(lambda: None),
        call(lambda: bench.close(*bench.accepted)),
        give(a_message(a_value("small", "x"), offset=1)),
    )
    assert bench.consumer.events == ["pause [0]", "resume [0]"]
    assert [item.message.offset for item in bench.accepted] == [0, 1]


def test_a_partition_pauses_a_poll_before_ten_thousand_messages_past_its_watermark_and_the_others_go_on() -> None:
    bench = Bench()
    count = 10_000 - 512 + 1
    blocked = requests(*range(count))
    bench.run(
        assign(0, 1),
        give(*blocked[:-1]),
        call(lambda: None),
        call(lambda: bench.consumer.events.append("room for a poll")),
        give(blocked[-1]),
        give(*requests(0, partition=1)),
        # All but the first are answered: the watermark stays, so does the pause.
        call(lambda: bench.close(*bench.accepted[1:count])),
        call(lambda: bench.consumer.events.append("answered but the first")),
        call(lambda: bench.close(bench.accepted[0])),
        give(),
    )
    assert bench.consumer.events == ["room for a poll", "pause [0]", "answered but the first", "resume [0]"]
    assert bench.offsets.tracker.pending(0) == 0


@pytest.mark.parametrize(
    ("bound", "read"),
    [
        (10_000, [512 * polls for polls in range(20)] + [512 * 19] * 2),
        (700, [0, 350, 700, 700]),
        (3, [0, 1, 2, 3, 3]),
        (1, [0, 1, 1]),
    ],
)
def test_whatever_a_poll_gives_no_more_is_read_past_a_watermark_than_the_bound(bound: int, read: list[int]) -> None:
    bench = Bench(max_past_watermark=bound)
    waiting = deque(requests(*range(bound + 1000)))
    pending: list[int] = []

    def give_all_that_may_come(consumer: FakeConsumer) -> list[Message]:
        pending.append(bench.offsets.tracker.pending(0))
        if 0 in consumer.paused:
            return []
        return [waiting.popleft() for _ in range(min(consumer.asked_for, len(waiting)))]

    bench.run(assign(0), *[give_all_that_may_come] * len(read))
    assert pending == read


@pytest.mark.parametrize("bound", [1, 2, 3, 10])
def test_a_paused_partition_goes_on_at_half_the_bound_however_small(bound: int) -> None:
    bench = Bench(max_past_watermark=bound)
    seen: list[tuple[int, int]] = []

    def close_first() -> None:
        seen.append((len(bench.consumer.events), bench.offsets.tracker.pending(0)))
        if bench.accepted:
            bench.close(bench.accepted.pop(0))

    bench.run(assign(0), give(*requests(*range(bound))), *[call(close_first)] * (bound + 2))
    assert bench.consumer.events == ["pause [0]", "resume [0]"]
    assert next(pending for events, pending in seen if events == 2) == max(1, bound // 2) - 1


def test_partitions_that_come_while_reading_is_paused_are_paused_too() -> None:
    bench = Bench(max_bytes=100)
    bench.run(assign(0), give(*requests(0)), assign(1), give())
    assert bench.consumer.events == ["pause [0]", "pause [1]"]


def test_a_partition_that_left_while_paused_is_not_resumed_and_comes_back_unpaused() -> None:
    bench = Bench(max_bytes=100)
    bench.run(
        assign(0, 1),
        give(*requests(0)),
        lambda consumer: consumer.revoke(0),
        call(lambda: bench.close(*bench.accepted)),
        give(),
        assign(0),
        give(*requests(0)),
        give(),
    )
    assert bench.consumer.events == ["pause [0, 1]", "resume [1]", "pause [0, 1]"]


def test_a_paused_partition_that_leaves_and_comes_back_at_once_is_paused_again() -> None:
    def rebalance(consumer: FakeConsumer) -> None:
        consumer.revoke(0)
        consumer.assign(0)

    bench = Bench(max_bytes=100)
    bench.run(assign(0), give(*requests(0)), give(), rebalance, give())
    assert bench.consumer.events == ["pause [0]", "pause [0]"]


# --- partitions that go -----------------------------------------------------------------------------------


def test_a_departing_partition_commits_what_is_acknowledged_and_no_more(bench: Bench) -> None:
    bench.offsets._every_seconds = 3600
    bench.run(
        assign(0, 1),
        give(*requests(0, 1, 2), *requests(0, partition=1)),
        call(lambda: bench.close(bench.taken[0], bench.taken[2], bench.taken[3])),
        lambda consumer: consumer.revoke(0),
        call(lambda: bench.consumer.commits.append({})),
    )
    assert bench.consumer.commits == [{0: 1}, {}, {1: 1}]
    stale, current = bench.taken[1], bench.offsets.tracker.is_current
    assert not current(stale.submitted)


def test_a_departing_partition_is_waited_for_while_its_answers_come() -> None:
    bench = Bench(revoke_timeout_seconds=WAIT_SECONDS)
    bench.offsets._every_seconds = 3600

    def revoke(consumer: FakeConsumer) -> None:
        answers = threading.Thread(target=lambda: bench.close(*bench.accepted))
        answers.start()
        consumer.revoke(0)
        answers.join()

    bench.run(assign(0), give(*requests(0, 1)), revoke)
    assert bench.consumer.commits == [{0: 2}]


def test_of_a_lost_partition_nothing_is_committed(bench: Bench) -> None:
    bench.offsets._every_seconds = 3600
    bench.run(
        assign(0, 1),
        give(*requests(0), *requests(0, partition=1)),
        call(lambda: bench.close(*bench.accepted)),
        lambda consumer: consumer.lose(0),
    )
    assert bench.consumer.commits == [{1: 1}]


def test_that_a_partition_was_lost_is_said_and_that_one_was_revoked_is_no_loss(bench: Bench) -> None:
    with capture_logs() as lines:
        bench.run(assign(0, 1), lambda consumer: consumer.lose(0), lambda consumer: consumer.revoke(1))

    [lost] = [line for line in lines if line["event"].startswith("partitions lost")]
    assert (lost["log_level"], lost["partitions"]) == ("warning", 1)


def test_what_was_read_before_a_partition_left_and_came_back_is_not_committed_later(bench: Bench) -> None:
    bench.run(
        assign(0),
        give(*requests(0)),
        lambda consumer: consumer.lose(0),
        assign(0),
        call(lambda: bench.close(*bench.accepted)),
        give(),
    )
    assert bench.consumer.commits == []
    assert not bench.offsets.tracker.is_current(bench.accepted[0].submitted)


# --- drain ------------------------------------------------------------------------------------------------


def test_a_drain_reads_nothing_more_waits_for_the_answers_commits_and_leaves(bench: Bench) -> None:
    def drain_and_answer() -> None:
        bench.drain.set()
        threading.Thread(target=lambda: bench.close(*bench.accepted)).start()

    consumer = bench.run(assign(0), give(*requests(0, 1)), call(drain_and_answer), drain_timeout_seconds=WAIT_SECONDS)
    assert consumer.closed
    assert [item.message.offset for item in bench.accepted] == [0, 1]
    assert consumer.commits[-1] == {0: 2}


def test_a_message_that_slips_through_while_draining_is_left_to_the_next_worker(bench: Bench) -> None:
    def slip_through(consumer: FakeConsumer) -> list[Message]:
        assert consumer.paused == {0}
        bench.close(*bench.accepted)
        return requests(1)

    bench.run(
        assign(0),
        give(*requests(0)),
        call(bench.drain.set),
        slip_through,
        drain_timeout_seconds=WAIT_SECONDS,
    )
    assert [item.message.offset for item in bench.taken] == [0]
    assert bench.consumer.commits[-1] == {0: 1}


def test_partitions_that_come_while_draining_are_paused(bench: Bench) -> None:
    bench.run(
        assign(0),
        give(*requests(0)),
        call(bench.drain.set),
        assign(1),
        call(lambda: None),
        call(lambda: bench.close(*bench.accepted)),
        drain_timeout_seconds=WAIT_SECONDS,
    )
    assert bench.consumer.events == ["pause [0]", "pause [1]"]


def test_a_drain_that_takes_too_long_commits_what_is_done_and_says_what_is_left(bench: Bench) -> None:
    with capture_logs() as logs:
        consumer = bench.run(
            assign(0),
            give(*requests(0, 1, 2)),
            call(lambda: bench.close(bench.accepted[0])),
            drain_timeout_seconds=0.05,
        )
    assert consumer.closed
    assert consumer.commits == [{0: 1}]
    [warning] = [entry for entry in logs if entry["log_level"] == "warning"]
    assert (warning["pending"], warning["lane"]) == (2, "bulk")


def test_a_commit_that_fails_is_made_up_for_before_leaving(bench: Bench) -> None:
    def refuse_once(consumer: FakeConsumer) -> None:
        consumer.refuse_commits = 1
        bench.close(*bench.accepted)

    bench.offsets._every_seconds = 3600
    assert bench.run(assign(0), give(*requests(0)), refuse_once).commits == [{0: 1}]


def test_fatal_trouble_ends_the_intake_without_a_commit(bench: Bench) -> None:
    def die(_: FakeConsumer) -> None:
        bench.close(*bench.accepted)
        raise FatalTransportError("fenced")

    bench.offsets._every_seconds = 3600
    with pytest.raises(FatalTransportError):
        bench.run(assign(0), give(*requests(0)), die)
    assert bench.consumer.commits == []
    assert not bench.consumer.closed


def test_messages_deleted_by_retention_while_running_are_reported_with_their_number() -> None:
    bench = Bench(gaps_are_losses=False)

    def deleted(consumer: FakeConsumer) -> None:
        consumer.first_offsets[0] = 15

    with capture_logs() as logs:
        bench.run(assign(0), give(*requests(5, 6)), deleted, give(*requests(17)))
    [report] = [entry for entry in logs if entry["log_level"] == "error"]
    # 7 to 14 are gone; 15 and 16 are a transaction's.
    assert (report["partition"], report["messages"]) == (0, 8)


def test_a_partition_that_starts_again_from_an_earlier_offset_stops_the_worker_with_the_reason() -> None:
    bench = Bench()
    with pytest.raises(FatalTransportError, match="truncated or made anew; start the worker again"):
        bench.run(assign(0), give(*requests(5)), give(*requests(2)))


# --- what the group remembers -----------------------------------------------------------------------------


def suspected(consumer: FakeConsumer) -> None:
    consumer.stored[0] = Progress(5, Attempt(2, 2).encode())
    consumer.assign(0)


def test_what_the_broker_does_not_tell_when_a_partition_comes_is_asked_before_its_first_message_is_let_in(
    bench: Bench,
) -> None:
    def untold(consumer: FakeConsumer) -> None:
        consumer.untold = 1
        suspected(consumer)

    bench.run(untold, give(*requests(5, 6)))
    assert [(item.message.offset, item.is_alone) for item in bench.accepted] == [(5, True)]


def test_what_the_broker_does_not_tell_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "_ASK_AGAIN_SECONDS", 0.001)
    let_in: list[int] = []
    ask = FakeConsumer.progress

    def asked(consumer: FakeConsumer, partitions: list[int]) -> dict[int, Progress] | None:
        let_in.append(len(bench.accepted))
        return ask(consumer, partitions)

    def untold(consumer: FakeConsumer) -> None:
        consumer.untold = 5
        suspected(consumer)

    monkeypatch.setattr(FakeConsumer, "progress", asked)
    bench.run(untold, give(*requests(5, 6)), call(lambda: None))
    assert let_in == [0] * 6
    assert [(item.message.offset, item.is_alone) for item in bench.accepted] == [(5, True)]


def test_reading_begins_where_the_group_stands_although_librdkafka_begins_before(bench: Bench) -> None:
    def stored(consumer: FakeConsumer) -> None:
        consumer.stored[0] = Progress(5, "")
        consumer.assign(0, 1)

    with capture_logs() as logs:
        consumer = bench.run(stored, give(*requests(0, 1), *requests(7, partition=1)), give(*requests(5, 6)))

    assert [(item.message.partition, item.message.offset) for item in bench.accepted] == [(1, 7), (0, 5), (0, 6)]
    assert [event for event in consumer.events if event.startswith("seek")] == ["seek 0 5"]
    assert [entry["offset"] for entry in logs if "reading began before" in entry["event"]] == [5]


def test_what_is_done_is_dropped_also_out_of_one_poll_with_what_is_not(bench: Bench) -> None:
    def stored(consumer: FakeConsumer) -> None:
        consumer.stored[0] = Progress(5, "")
        consumer.assign(0)

    consumer = bench.run(stored, give(*requests(3, 4, 5, 6)))
    assert [item.message.offset for item in bench.accepted] == [5, 6]
    assert not [event for event in consumer.events if event.startswith("seek")]
