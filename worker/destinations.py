"""Where an answer may go: the allow list, and the shape each destination wants.

A caller names its destination in headers, so a header must never lead anywhere but to a topic somebody allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from schemas.errors import ErrorCode, UnanswerableError

if TYPE_CHECKING:
    from collections.abc import Collection

    from schemas.headers import RequestHeaders
    from schemas.topics import TopicNames


class Profile(Enum):
    """Shape of the messages on a destination."""

    OPENAI = "openai"
    FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Destination:
    """A topic, the partition if the caller chose one, and the shape of its messages."""

    topic: str
    partition: int | None
    profile: Profile
    is_default: bool


class Destinations:
    """Finds the destination a request asks for.

    Args:
        topics: Names of our own topics.
        allowed: Further topics a request may name.
        flat: Those that get the `flat` profile.
    """

    def __init__(self, topics: TopicNames, allowed: Collection[str] = (), flat: Collection[str] = ()) -> None:
        self._default = topics.responses
        self._replies = topics.replies
        self._allowed = frozenset(allowed) | frozenset(flat) | {topics.responses}
        self._flat = frozenset(flat)

    def of(self, headers: RequestHeaders) -> Destination:
        """The destination of one request.

        Raises:
            UnanswerableError: The headers name none that is allowed, or cannot be read.
        """
        malformed = headers.malformed_destination
        if malformed is not None:
            raise UnanswerableError(
                ErrorCode.DESTINATION_UNKNOWN,
                f"header {malformed} cannot be read: the topic is UTF-8, the partition a 4-byte big-endian integer",
            )
        topic = headers.reply_topic or self._default
        if topic not in self._allowed and not self._is_reply_topic(topic):
            raise UnanswerableError(
                ErrorCode.DESTINATION_NOT_ALLOWED,
                f"topic {topic!r} is not an allowed destination: use {self._default}, {self._replies}*, "
                "or have it listed in the worker's reply_topics",
            )
        profile = Profile.FLAT if topic in self._flat else Profile.OPENAI
        return Destination(topic, headers.reply_partition, profile, is_default=topic == self._default)

    def _is_reply_topic(self, topic: str) -> bool:
        return topic.startswith(self._replies)
