"""Finds the request that kills the process, by what each commit remembers of the starts before it.

Beside a committed offset the group keeps how many workers set out from there and died, and how many messages they
had read. The second such start writes down what it reads before it is computed; the third computes what the second
had read in turns of one request, or of a few where there are thousands, each turn marked first. Whoever then finds a
mark of one knows the request at fault; a mark of several is gone through one by one. An orderly end counts for
nothing. Pure: no clock, no Kafka; belongs to the thread that owns the lane's consumer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from transport.consumer import Progress
    from transport.messages import Message

STARTS: Final = 2
"""Starts that end without progress before requests are computed in turns."""
TURNS: Final = 1000
"""Suspects are gone through in about as many turns, so in seconds, however many there are."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What stands beside a committed offset."""

    attempt: int = 0
    """Workers that set out from this offset, the present one counted, of which none has moved it in life."""
    span: int = 0
    """Messages read from the offset on, as far as it was written down."""
    alone: int = 0
    """Messages from the offset on that were being computed, and nothing else; 0: it was not so."""

    def encode(self) -> str:
        """The commit's metadata, under 100 bytes (a broker takes 4,096); empty when there is nothing to remember."""
        if self == _NONE:
            return ""
        fields = {"attempt": self.attempt, "span": self.span} | ({"alone": self.alone} if self.alone else {})
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def decode(cls, metadata: str) -> Self:
        """What a commit remembers; nothing, when the metadata are not ours."""
        try:
            fields = json.loads(metadata) if metadata else {}
            return cls(_count(fields["attempt"]), _count(fields["span"]), _count(fields.get("alone", 0)))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()


_NONE: Final = Attempt()


def _count(given: object) -> int:
    if type(given) is not int or given < 0:
        raise ValueError("not a count")
    return given


class Mark(NamedTuple):
    """An offset and what is to stand beside it."""

    offset: int
    attempt: Attempt


@dataclass(slots=True)
class _Partition:
    found: Attempt
    """As it was when the partition came."""
    offset: int | None
    """Committed; None while nothing is."""
    written: Attempt = field(init=False)
    found_at: int | None = field(init=False)
    suspects_end: int = field(init=False, default=0)
    """Messages below this are suspects."""
    singly_end: int = field(init=False, default=0)
    """Those below this are computed one at a time: the process died while it computed them and nothing else."""
    turn_end: int = field(init=False, default=0)
    """One beyond the last message of the turn that was marked last."""
    next_to_take: int = field(init=False, default=0)
    read_end: int = field(init=False, default=0)
    """One beyond the last message read."""

    def __post_init__(self) -> None:
        self.written, self.found_at = self.found, self.offset

    @property
    def suspects(self) -> int:
        return max(0, self.suspects_end - self.next_to_take)

    def set_out(self, offset: int) -> Attempt:
        """What to remember while this process is at work from an offset on."""
        if offset < self.turn_end:
            span = max(self.turn_end, self.suspects_end) - offset
            return Attempt(max(1, self.found.attempt), span, self.turn_end - offset)
        if offset < self.suspects_end:
            return self._suspect(offset)
        attempt = self.found.attempt + 1 if offset == self.found_at else 1
        return Attempt(attempt, max(0, self.read_end - offset))

    def given_back(self, offset: int) -> Attempt:
        """What to remember after an orderly end."""
        if offset < self.suspects_end:
            return self._suspect(offset)
        return self.found if offset == self.found_at else _NONE

    def _suspect(self, offset: int) -> Attempt:
        # Condemned it stays until the broker has its dead letter. The last of several has not been alone yet.
        left = self.singly_end - offset
        alone = self.found.alone if offset == self.found_at else left if left > 1 else 0
        return Attempt(self.found.attempt, self.suspects_end - offset, alone)


class Attempts:
    """What is remembered of one lane's partitions."""

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}
        self.at_once = 1
        """Messages of one turn, at most, while there are suspects."""

    def assigned(self, partitions: Iterable[int], progress: Mapping[int, Progress], lost: Mapping[int, int]) -> None:
        """Partitions are ours from now on.

        Args:
            partitions: Which.
            progress: What the group has stored of them.
            lost: Messages behind a committed offset that are no longer there.
        """
        for partition in partitions:
            stored = progress.get(partition)
            if stored is None:
                self._partitions[partition] = _Partition(_NONE, None)
                continue
            found, offset = Attempt.decode(stored.metadata), stored.next_offset
            state = self._partitions[partition] = _Partition(found, offset)
            state.next_to_take = state.read_end = offset + lost.get(partition, 0)
            if found.attempt >= STARTS or found.alone:
                state.suspects_end = offset + max(found.span, found.alone)
                state.singly_end = offset + found.alone
        self.at_once = max(1, -(-sum(state.suspects for state in self._partitions.values()) // TURNS))

    def gone(self, partitions: Iterable[int]) -> None:
        """Partitions are ours no longer."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    @property
    def has_suspects(self) -> bool:
        """Whether some message must be computed in a turn, and was not taken yet."""
        return any(state.suspects for state in self._partitions.values())

    @property
    def suspected(self) -> set[int]:
        """Partitions with such messages."""
        return {partition for partition, state in self._partitions.items() if state.suspects}

    def is_suspect(self, message: Message) -> bool:
        """Whether a message was being computed, among others, when processes died."""
        state = self._partitions.get(message.partition)
        return state is not None and message.offset < state.suspects_end

    def is_guilty(self, message: Message) -> bool:
        """Whether a process died while it computed this message and nothing else."""
        state = self._partitions.get(message.partition)
        return state is not None and state.found.alone == 1 and message.offset == state.found_at

    def condemned(self, message: Message) -> int:
        """A guilty message is about to become a dead letter.

        Returns:
            Processes that died at it, as far as is known.
        """
        state = self._partitions[message.partition]
        state.read_end = state.next_to_take = message.offset + 1
        return state.found.attempt + 1

    def read(self, messages: Sequence[Message]) -> dict[int, Mark]:
        """Messages are about to be computed together.

        Returns:
            What must be stored first, by partition: once an assignment, and where a start died before, every time.
        """
        due: dict[int, Mark] = {}
        first_ones = {message.partition: message.offset for message in reversed(messages)}
        for message in {message.partition: message for message in messages}.values():
            state = self._partitions[message.partition]
            state.read_end = state.next_to_take = message.offset + 1
            if state.offset is None:
                state.offset = state.found_at = first_ones[message.partition]
            elif state.offset != state.found_at:
                continue
            wanted = state.set_out(state.offset)
            if wanted.attempt > state.written.attempt or (state.found.attempt and wanted != state.written):
                due[message.partition] = Mark(state.offset, wanted)
        return due

    def turn(self, held: Sequence[Message]) -> list[Message]:
        """Which of the messages held are computed next, and nothing else: of one partition, and suspects first."""
        first = next(filter(self.is_suspect, held), held[0])
        is_single = first.offset < self._partitions[first.partition].singly_end
        same = (message for message in held if message.partition == first.partition)
        return list(islice(same, 1 if is_single else self.at_once))

    def alone(self, turn: Sequence[Message]) -> dict[int, Mark]:
        """A turn is about to be computed.

        Returns:
            What must be stored first.
        """
        first, last = turn[0], turn[-1]
        state = self._partitions[first.partition]
        state.read_end = state.next_to_take = state.turn_end = last.offset + 1
        return {first.partition: Mark(first.offset, state.set_out(first.offset))}

    def beside(self, offsets: Mapping[int, int]) -> dict[int, Mark]:
        """What is to stand beside offsets that are committed while this process goes on."""
        return {partition: Mark(offset, self._set_out(partition, offset)) for partition, offset in offsets.items()}

    def _set_out(self, partition: int, offset: int) -> Attempt:
        state = self._partitions.get(partition)
        return _NONE if state is None else state.set_out(offset)

    def given_back(self, ahead: Mapping[int, int], partitions: Iterable[int] | None) -> dict[int, Mark]:
        """What is to be stored at an orderly end, so that it does not count: partition -> mark.

        Args:
            ahead: Next offsets to commit.
            partitions: Only these; None: all that are held.
        """
        marks: dict[int, Mark] = {}
        for partition in self._partitions if partitions is None else partitions:
            state = self._partitions.get(partition)
            offset = ahead.get(partition, state.offset if state else None)
            if offset is None:
                continue
            attempt = state.given_back(offset) if state else _NONE
            if partition in ahead or (state is not None and attempt != state.written):
                marks[partition] = Mark(offset, attempt)
        return marks

    def stored(self, marks: Mapping[int, Mark]) -> None:
        """The group has stored these."""
        for partition, mark in marks.items():
            state = self._partitions.get(partition)
            if state is not None:
                state.offset, state.written = mark
