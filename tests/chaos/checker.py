"""Holds what was answered and committed against what was asked and acknowledged. Pure: no clock, no Kafka.

A request is answered when every message is there that its kind leads to: a response, a dead letter, or both.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import orjson

from schemas import headers as names
from schemas.errors import ERRORS, ErrorCode
from schemas.topics import Lane

from .traffic import DOCUMENT_KEY, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .reference import Reference
    from .traffic import Asked, Traffic

Place: TypeAlias = tuple[Lane, int]
"""A lane's request topic, and a partition of it."""

_EXAMPLES: Final = 5
_LANES: Final = tuple(Lane)


class Answer(NamedTuple):
    """A response or a dead letter, as a reader sees it."""

    number: int | None
    """Of the request, by the header that was handed back."""
    part: Part
    code: str
    """`ok`, or the error's."""
    lane: Lane
    partition: int
    offset: int
    """Where its request was read."""
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class _Partition:
    """Which messages of a request topic's partition are answered."""

    done: bytearray = field(default_factory=bytearray)
    first_open: int = 0
    """Every message below is answered."""
    committed: int = 0
    """The last next offset that was seen."""

    def answered(self, offset: int) -> None:
        if offset >= len(self.done):
            self.done.extend(bytes(offset + 1 - len(self.done)))
        self.done[offset] = 1
        while self.first_open < len(self.done) and self.done[self.first_open]:
            self.first_open += 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run."""

    acknowledged: int
    answered: int
    duplicates: int
    """Responses and dead letters beyond the first of their request."""
    given_up: int
    """Requests that ended as `our fault`: answered, but not with what was asked for."""
    ends: dict[str, int]
    """First messages by what they were: `ok`, `dead letter not_json`, …"""
    samples: int
    samples_in_the_middle: int
    """Looks at the commits; those at which something was committed and something unanswered."""
    sent_twice: int
    """Requests that the topic has a second time, of which each must be answered: their producer met a dead broker."""
    violations: dict[str, int]
    examples: list[str]

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations


class Checker:
    """Takes in a history as it happens.

    Args:
        traffic: What was asked.
        requests: How many of its numbers may be sent.
        reference: The right vectors.
        exactly_once: Whether a second answer breaks a promise, or is only counted.
    """

    def __init__(self, traffic: Traffic, requests: int, reference: Reference, *, exactly_once: bool = False) -> None:
        self._traffic = traffic
        self._reference = reference
        self._exactly_once = exactly_once
        self._acknowledged = bytearray(requests)
        self._have = [bytearray(requests), bytearray(requests)]
        self._settled = bytearray(requests)
        self._given_up = bytearray(requests)
        self._places = array("q", [-1]) * requests
        self._second: dict[tuple[int, int], set[Part]] = {}
        """Number and place of a request that has another place as well -> what has come for it there."""
        self._partitions: dict[Place, _Partition] = defaultdict(_Partition)
        self._newest: dict[tuple[int, bytes], int] = {}
        self._ends: Counter[str] = Counter()
        self._violations: Counter[str] = Counter()
        self._examples: list[str] = []
        self._duplicates = self._samples = self._in_the_middle = 0
        self.acknowledged_count = self.answered_count = 0

    # --- the history -------------------------------------------------------------------------------------

    def acknowledged(self, number: int, lane: Lane, partition: int, offset: int) -> None:
        """The broker has a request, there."""
        self._acknowledged[number] = 1
        self.acknowledged_count += 1
        self._second_at(number, lane, partition, offset)

    def answer(self, answer: Answer) -> None:
        """A response or a dead letter is on its topic."""
        number = answer.number
        if number is None or not 0 <= number < len(self._settled):
            self._violated("stray", f"{answer.part.name} {answer.code} about no request of ours, key {answer.key!r}")
            return
        asked = self._traffic.request(number)
        second = self._second_at(number, answer.lane, answer.partition, answer.offset)
        if second is None:
            have = self._have[answer.part is Part.DEAD_LETTER]
            is_first = not have[number]
            have[number] = 1
        else:
            is_first = answer.part not in second
            second.add(answer.part)
        if not is_first:
            self._duplicates += 1
            if self._exactly_once:
                self._violated("duplicate", f"request {number} has a second {answer.part.name}")
        else:
            self._ends[answer.code if answer.part is Part.RESPONSE else f"dead letter {answer.code}"] += 1
            self._in_order(answer)
        if _is_our_fault(asked, answer.code):
            self._given_up[number] = 1
        elif why := self._why_wrong(asked, answer):
            self._violated("wrong", f"request {number} ({asked.kind}): {why}")
        if second is not None:
            if self._given_up[number] or second >= set(asked.needs):
                self._partitions[answer.lane, answer.partition].answered(answer.offset)
        elif not self._settled[number] and self._is_whole(number, asked):
            self._settled[number] = 1
            self.answered_count += 1
            self._partitions[answer.lane, answer.partition].answered(answer.offset)

    def committed(self, progress: Mapping[Place, int]) -> None:
        """The group's progress, seen before the last of the answers so far was read.

        Args:
            progress: By lane and partition the next offset.
        """
        self._samples += 1
        self._in_the_middle += bool(progress) and self.answered_count < self.acknowledged_count
        for place, next_offset in progress.items():
            state = self._partitions[place]
            lane, partition = place
            if next_offset > state.first_open:
                where = f"{lane.value} {partition}"
                self._violated("ahead", f"{where}: {next_offset} committed, {state.first_open} not answered")
            if next_offset < state.committed:
                self._violated("back", f"{lane.value} {partition}: {next_offset} committed after {state.committed}")
            state.committed = next_offset

    @property
    def violations(self) -> Mapping[str, int]:
        """Promises broken so far, by kind; what is lost is known at the end."""
        return self._violations

    # --- the end -----------------------------------------------------------------------------------------

    def unanswered(self) -> list[int]:
        """Numbers of requests that were acknowledged and are not answered."""
        return [number for number in self._numbers(self._acknowledged) if not self._settled[number]]

    def uncommitted(self) -> int:
        """Answered messages that the last progress seen does not cover."""
        return sum(max(0, state.first_open - state.committed) for state in self._partitions.values())

    def verdict(self, is_there: Callable[[int, Lane, int, int], bool] = lambda *_: False) -> Verdict:
        """What came of it; what is unanswered by now is lost.

        Args:
            is_there: Whether a request, by its number, is at a place. Asked of those that were seen at several.
        """
        lost = self.unanswered()
        violations = dict(self._violations)
        examples = list(self._examples)
        places = {*self._second, *((number, self._places[number]) for number, _ in self._second)}
        misplaced = [one for one in sorted(places) if not is_there(one[0], *_place(one[1]))]
        if misplaced:
            violations["misplaced"] = len(misplaced)
            examples += [
                f"misplaced: request {number} is not at {_place_in_words(place)}"
                for number, place in misplaced[:_EXAMPLES]
            ]
        if lost:
            violations["lost"] = len(lost)
            examples += [f"lost: request {number} {self._told(number)}" for number in lost[:_EXAMPLES]]
        return Verdict(
            acknowledged=self.acknowledged_count,
            answered=self.answered_count,
            duplicates=self._duplicates,
            given_up=sum(self._given_up),
            ends=dict(self._ends.most_common()),
            samples=self._samples,
            samples_in_the_middle=self._in_the_middle,
            sent_twice=len(self._second),
            violations=violations,
            examples=examples,
        )

    # --- what is right -----------------------------------------------------------------------------------

    def _why_wrong(self, asked: Asked, answer: Answer) -> str | None:
        if answer.part is Part.DEAD_LETTER:
            return _why_wrong_dead_letter(asked, answer)
        if answer.code == ErrorCode.TIMEOUT and asked.may_expire:
            return None
        expected = names.STATUS_OK if asked.code is None else asked.code.value
        if answer.code != expected:
            return f"{answer.code} where {expected} is right"
        if answer.key != (asked.request_id.encode() or None):
            return f"key {answer.key!r}"
        if asked.value is None:
            return None if answer.value is None else "a tombstone answered with bytes"
        body: dict[str, Any] = orjson.loads(answer.value or b"null") or {}
        if body.get("id") != asked.request_id:
            return f"id {body.get('id')!r}"
        if asked.code is not None:
            code = body.get("error", {}).get("code")
            return None if code == expected else f"error {code} under status {expected}"
        return self._why_wrong_vectors(asked, body.get("data", []))

    def _why_wrong_vectors(self, asked: Asked, data: list[dict[str, Any]]) -> str | None:
        if [entry["index"] for entry in data] != list(range(len(asked.texts))):
            return f"{len(data)} embeddings of {len(asked.texts)} inputs"
        for text, entry in zip(asked.texts, data, strict=True):
            if not self._reference.is_right(text, entry["embedding"]):
                return f"input {entry['index']} has another text's vector"
        return None

    def _is_whole(self, number: int, asked: Asked) -> bool:
        if self._given_up[number]:
            return True
        needs = (Part.RESPONSE, Part.DEAD_LETTER)
        return all(have[number] for have, part in zip(self._have, needs, strict=True) if part in asked.needs)

    def _second_at(self, number: int, lane: Lane, partition: int, offset: int) -> set[Part] | None:
        """What has come for a request's second message, if this is one; None: it is its first."""
        place = _LANES.index(lane) << 62 | partition << 48 | offset
        if self._places[number] < 0:
            self._places[number] = place
        return None if self._places[number] == place else self._second.setdefault((number, place), set())

    def _in_order(self, answer: Answer) -> None:
        if answer.key is None or not answer.key.startswith(DOCUMENT_KEY) or answer.part is Part.DEAD_LETTER:
            return
        document = (answer.partition, answer.key)
        if answer.offset < self._newest.get(document, -1):
            self._violated("order", f"{answer.key.decode()}: {answer.offset} first answered after a later one")
        self._newest[document] = max(answer.offset, self._newest.get(document, -1))

    def _violated(self, kind: str, example: str) -> None:
        self._violations[kind] += 1
        if self._violations[kind] <= _EXAMPLES:
            self._examples.append(f"{kind}: {example}")

    def _told(self, number: int) -> str:
        where = f"at {_place_in_words(self._places[number])}"
        have = [part for have, part in zip(self._have, ("response", "dead letter"), strict=True) if have[number]]
        return f"({self._traffic.request(number).kind}) {where}, has {' and '.join(have) or 'nothing'}"

    @staticmethod
    def _numbers(flags: bytearray) -> Iterable[int]:
        return (number for number, flag in enumerate(flags) if flag)


def _place(place: int) -> tuple[Lane, int, int]:
    return _LANES[place >> 62], place >> 48 & 0x3FFF, place & 0xFFFFFFFFFFFF


def _place_in_words(place: int) -> str:
    lane, partition, offset = _place(place)
    return f"{lane.value} {partition} {offset}"


def _why_wrong_dead_letter(asked: Asked, answer: Answer) -> str | None:
    if Part.DEAD_LETTER not in asked.needs or asked.code is None or answer.code != asked.code.value:
        return f"dead letter {answer.code}"
    if answer.value != asked.value or answer.key != asked.key:
        return "dead letter without the original bytes"
    return None


def _is_our_fault(asked: Asked, code: str) -> bool:
    """Whether it ended as the worker's fault; a code that is not known here is the worker's own."""
    if code in (names.STATUS_OK, ErrorCode.TIMEOUT) or code == asked.code:
        return False
    return code not in ErrorCode._value2member_map_ or ERRORS[ErrorCode(code)].ours
