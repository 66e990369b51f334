"""What a replay does with each dead letter: pure, from its headers and from what stands behind it in its topic."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from schemas import headers as names
from schemas.topics import REQUESTS, REQUESTS_INTERACTIVE

if TYPE_CHECKING:
    from schemas.dead_letters import Origin
    from transport.messages import Message


class Outcome(StrEnum):
    """What becomes of a dead letter in a replay, and why."""

    REPLAYED = "replayed"
    ALREADY = "already replayed"
    ATTEMPTS = "failed too often"
    NEWER = "a newer message has its key"
    UNKNOWN = "messages behind it are deleted"
    LEFT_OUT = "its bytes or headers were left out"
    GONE = "its topic or partition is gone"
    NO_ORIGIN = "not from a request topic"
    LIMIT = "over the limit"
    UNDELIVERED = "not delivered"


NEXT_MOVES = {
    Outcome.ATTEMPTS: "correct what is wrong, then raise --max-attempts",
    Outcome.NEWER: "replaying it would overwrite the newer answer; --force does so",
    Outcome.UNKNOWN: "one of its key, or its replay, may have been among them; --force replays it all the same",
    Outcome.LEFT_OUT: "they were too large; publish the request again from where it is",
    Outcome.GONE: "publish the request again on another topic",
    Outcome.NO_ORIGIN: "no worker of this prefix put it there; see `dlq show`",
    Outcome.LIMIT: "run it again for the rest",
    Outcome.UNDELIVERED: "run it again: what is on its topic is skipped then",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dead letter that is meant, without its payload."""

    place: tuple[int, int]
    key: bytes | None
    origin: Origin | None


@dataclass(slots=True)
class Behind:
    """What stands in one partition of a request topic behind the first candidate that came from it."""

    first: int
    """First offset that is still kept."""
    keys: frozenset[bytes] = frozenset()
    """Of the candidates; no other one is taken note of."""
    newest: dict[bytes, int] = field(default_factory=dict)
    """Last offset of each of them."""
    replays: dict[int, int] = field(default_factory=dict)
    """Offset that a message had when it failed -> offset of its replay."""

    def see(self, message: Message) -> None:
        """Take note of one message of the partition."""
        if message.key in self.keys:
            self.newest[message.key] = message.offset
        mark = dict(message.headers).get(names.REPLAY_OF)
        if mark is not None:
            partition, _, offset = mark.partition(b":")
            if names.decode_number(partition) == message.partition and offset.isdigit():
                self.replays[int(offset)] = message.offset


@dataclass(frozen=True, slots=True)
class ReplayRules:
    """What a person allows."""

    prefix: str
    max_attempts: int
    force: bool = False
    """Also where a newer message has the key, or may have had it."""


def decide(candidate: Candidate, behind: Behind | None, rules: ReplayRules) -> Outcome:
    """What becomes of one dead letter.

    Args:
        candidate: The dead letter.
        behind: Of the partition it came from; None: there is no such partition.
        rules: What is allowed.
    """
    origin = candidate.origin
    if origin is None or not is_request_topic(origin.topic, rules.prefix):
        return Outcome.NO_ORIGIN
    if behind is None:
        return Outcome.GONE
    if origin.left_out:
        return Outcome.LEFT_OUT
    if origin.offset in behind.replays:
        return Outcome.ALREADY
    if origin.attempt >= rules.max_attempts:
        return Outcome.ATTEMPTS
    if rules.force:
        return Outcome.REPLAYED
    if candidate.key is not None and behind.newest.get(candidate.key, -1) > origin.offset:
        return Outcome.NEWER
    if behind.first > origin.offset + 1:
        return Outcome.UNKNOWN
    return Outcome.REPLAYED


def is_request_topic(topic: str, prefix: str) -> bool:
    """Whether it is a topic of requests under this prefix; nothing is ever replayed to another."""
    suffixes = "|".join(re.escape(spec.suffix) for spec in (REQUESTS, REQUESTS_INTERACTIVE))
    return re.fullmatch(rf"{re.escape(prefix)}\.([a-z0-9-]+\.)?({suffixes})", topic) is not None
