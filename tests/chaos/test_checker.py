"""`checker.py`: a good history passes, and each kind of fault in a history is reported as what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

import orjson
import pytest

from schemas.errors import ErrorCode
from schemas.topics import Lane

from .checker import Answer, Checker, Verdict
from .reference import Reference
from .traffic import Part, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .traffic import Asked

REQUESTS = 2000
PARTITIONS = 4


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


class History:
    """A run in which all went well, until a test changes something.

    Attributes:
        answers: By number, the messages that answer a request.
    """

    def __init__(self, reference: Reference, *, exactly_once: bool = False) -> None:
        self.traffic = Traffic(7, "replies")
        self._reference = reference
        self.checker = Checker(self.traffic, REQUESTS, reference, exactly_once=exactly_once)
        self._next = {(lane, partition): 0 for lane in Lane for partition in range(PARTITIONS)}
        self.places: list[tuple[Lane, int, int]] = []
        self.answers: list[list[Answer]] = []
        for number in range(REQUESTS):
            asked = self.traffic.request(number)
            partition = (number if asked.key is None else crc32(asked.key)) % PARTITIONS
            offset = self._next[asked.lane, partition]
            self._next[asked.lane, partition] += 1
            self.places.append((asked.lane, partition, offset))
            self.answers.append([self._answer(number, part) for part in Part if part in asked.needs])

    def number_of(self, kind: str, nth: int = 0) -> int:
        """A request of some kind."""
        return [number for number in range(REQUESTS) if self.traffic.request(number).kind == kind][nth]

    def _answer(self, number: int, part: Part) -> Answer:
        asked = self.traffic.request(number)
        code = "ok" if asked.code is None else asked.code.value
        if part is Part.DEAD_LETTER:
            return Answer(number, part, code, *self.places[number], asked.key, asked.value)
        return Answer(number, part, code, *self.places[number], asked.request_id.encode(), self._body(asked))

    def _body(self, asked: Asked) -> bytes | None:
        if asked.value is None:
            return None
        if asked.code is not None:
            return orjson.dumps({"id": asked.request_id, "error": {"code": asked.code.value}})
        vectors = [self._reference.vectors[text].tolist() for text in asked.texts]
        data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
        return orjson.dumps({"id": asked.request_id, "data": data})

    def play(self) -> Checker:
        """Tell the checker all of it, the last commit included."""
        for number, place in enumerate(self.places):
            self.checker.acknowledged(number, *place)
        for answers in self.answers:
            for answer in answers:
                self.checker.answer(answer)
        self.checker.committed(self._next)
        return self.checker

    def violations(self) -> dict[str, int]:
        return self.play().verdict().violations


@pytest.fixture
def history(reference: Reference) -> Iterator[History]:
    return History(reference)


def test_a_history_in_which_all_went_well_passes(history: History) -> None:
    verdict = history.play().verdict()

    assert verdict.holds
    assert (verdict.acknowledged, verdict.answered, verdict.duplicates, verdict.given_up) == (
        REQUESTS,
        REQUESTS,
        0,
        0,
    )
    assert {"ok", "timeout", "dead letter not_json", "dead letter no_id", "model_not_found"} <= verdict.ends.keys()
    assert history.checker.uncommitted() == 0


def test_a_request_without_an_answer_is_lost_and_was_committed_ahead(history: History) -> None:
    history.answers[history.number_of("plain")] = []

    assert history.violations() == {"lost": 1, "ahead": 1}


def test_a_refused_request_needs_its_response_and_its_dead_letter(history: History) -> None:
    number = next(number for number in range(REQUESTS) if len(history.answers[number]) == 2)
    del history.answers[number][1]

    assert history.violations() == {"lost": 1, "ahead": 1}
    assert "has response" in history.checker.verdict().examples[-1]


def test_a_request_that_was_never_acknowledged_may_stay_unanswered(history: History) -> None:
    number = history.number_of("plain", -1)
    history.answers[number] = []
    del history.places[number:]

    assert "lost" not in history.violations()


def test_a_second_answer_is_counted(history: History) -> None:
    history.answers[5] *= 2

    verdict = history.play().verdict()

    assert verdict.holds
    assert verdict.duplicates == len(history.answers[5]) / 2


def test_under_exactly_once_a_second_answer_breaks_the_promise(reference: Reference) -> None:
    history = History(reference, exactly_once=True)
    history.answers[history.number_of("plain")] *= 2

    assert history.violations() == {"duplicate": 1}


def _with_other_vector(history: History, answer: Answer) -> Answer:
    other = next(a for a in history.answers[history.number_of("plain", 9)] if a.part is Part.RESPONSE)
    body = orjson.loads(answer.value or b"") | {"data": orjson.loads(other.value or b"")["data"]}
    return answer._replace(value=orjson.dumps(body))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("plain", _with_other_vector),
        ("several inputs", _with_other_vector),
        ("plain", lambda _, answer: answer._replace(code=ErrorCode.INVALID_REQUEST.value)),
        ("plain", lambda _, answer: answer._replace(code=ErrorCode.TIMEOUT.value)),
        ("plain", lambda _, answer: answer._replace(key=b"another")),
        ("plain", lambda _, answer: answer._replace(value=None)),
        ("plain", lambda _, answer: answer._replace(part=Part.DEAD_LETTER, code="not_json")),
        ("expired", lambda _, answer: answer._replace(code="ok")),
        ("tombstone", lambda _, answer: answer._replace(value=b"{}")),
        (
            "poison",
            lambda _, answer: answer._replace(value=b"other bytes"),
        ),
    ],
)
def test_a_wrong_answer_is_reported(kind: str, change: Callable[[History, Answer], Answer], history: History) -> None:
    number = history.number_of(kind)
    history.answers[number][-1] = change(history, history.answers[number][-1])

    assert history.violations()["wrong"] == 1


def test_a_commit_ahead_of_the_answers_is_reported_also_when_they_come_later(history: History) -> None:
    lane, partition, offset = history.places[0]
    history.checker.committed({(lane, partition): offset + 1})

    assert history.violations() == {"ahead": 1}


def test_a_commit_that_goes_back_is_reported(history: History) -> None:
    checker = history.play()
    checker.committed({(Lane.BULK, 0): 1})

    assert checker.verdict().violations == {"back": 1}


def test_answers_of_a_document_out_of_order_are_reported_once_and_repeats_are_not(history: History) -> None:
    by_key: dict[Any, list[int]] = {}
    for number in range(REQUESTS):
        asked = history.traffic.request(number)
        if asked.kind == "document":
            by_key.setdefault(asked.key, []).append(number)
    first, second = next(numbers for numbers in by_key.values() if len(numbers) > 1)[:2]
    repeat = list(history.answers[first])
    history.answers[second] += repeat
    assert "order" not in history.violations()

    again = History(history._reference)
    again.answers[first], again.answers[second] = [], again.answers[second] + again.answers[first]
    assert again.violations() == {"order": 1}


def test_an_answer_to_nobody_and_one_from_another_place_are_reported(history: History) -> None:
    (answer,) = history.answers[history.number_of("plain")]
    history.checker.answer(answer._replace(number=None))
    history.checker.answer(answer._replace(number=REQUESTS))
    history.checker.answer(answer._replace(offset=answer.offset + 10_000))

    violations = history.violations()

    assert (violations["stray"], violations["misplaced"]) == (2, 2)


@pytest.mark.parametrize("exactly_once", [False, True])
@pytest.mark.parametrize("kind", ["plain", "poison"])
def test_of_a_request_that_its_producer_sent_twice_each_message_must_be_answered(
    kind: str, exactly_once: bool, reference: Reference
) -> None:
    def told(*, answers_both: bool, is_there: bool) -> Verdict:
        history = History(reference, exactly_once=exactly_once)
        number = history.number_of(kind)
        lane, partition, _ = history.places[number]
        offset = history._next[lane, partition]
        history._next[lane, partition] += 1
        if answers_both:
            history.answers[number] += [answer._replace(offset=offset) for answer in history.answers[number]]
        else:
            history.checker.acknowledged(number, lane, partition, offset)
        return history.play().verdict(lambda *_: is_there)

    both = told(answers_both=True, is_there=True)
    assert both.holds
    assert (both.sent_twice, both.duplicates, both.answered) == (1, 0, REQUESTS)
    assert told(answers_both=False, is_there=True).violations.keys() >= {"lost", "ahead"}
    assert told(answers_both=True, is_there=False).violations == {"misplaced": 2}


def test_what_ends_as_our_fault_is_answered_and_counted(history: History) -> None:
    number = history.number_of("plain")
    (answer,) = history.answers[number]
    history.answers[number] = [answer._replace(part=Part.DEAD_LETTER, code=ErrorCode.INTERNAL_ERROR.value)]

    verdict = history.play().verdict()

    assert verdict.holds
    assert verdict.given_up == 1


def test_what_is_answered_and_not_committed_is_counted(history: History) -> None:
    checker = history.checker
    checker.answer(history.answers[history.number_of("plain")][0]._replace(partition=9, offset=0))

    assert checker.uncommitted() == 1
