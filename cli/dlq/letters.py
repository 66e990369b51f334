"""A dead letter as it is read from its topic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from schemas.codec import decode_request, key_as_id
from schemas.dead_letters import Origin, read_origin
from schemas.errors import RequestError, UnanswerableError
from transport.bounded_reader import BoundedReader
from transport.errors import TopicSetupError

from .errors import FilterError, NoSuchLetterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schemas.topics import TopicNames
    from transport.cluster import Cluster
    from transport.messages import Message

NO_ORIGIN: Final = "unknown"
"""Shown as the code of what is on the topic and is no dead letter of a worker."""


@dataclass(frozen=True)
class DeadLetter:
    """One message on the dead-letter topic."""

    message: Message

    @cached_property
    def origin(self) -> Origin | None:
        """What its headers say; None where no worker wrote them."""
        return read_origin(self.message.headers)

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset on the dead-letter topic."""
        return self.message.partition, self.message.offset

    @property
    def code(self) -> str:
        return self.origin.code if self.origin else NO_ORIGIN

    @cached_property
    def request_id(self) -> str | None:
        """The id of the request, where it can be read."""
        value, key = self.message.value, self.message.key
        if value is None:
            return key_as_id(key)
        try:
            return decode_request(value, key).id
        except RequestError as error:
            return error.request_id
        except UnanswerableError:
            return None


def read_place(text: str) -> tuple[int, int]:
    """Partition and offset from `PARTITION:OFFSET`.

    Raises:
        FilterError: It is something else.
    """
    partition, _, offset = text.partition(":")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise FilterError(f"no place {text!r}: name a dead letter by PARTITION:OFFSET, as `dlq list` shows it")
    return int(partition), int(offset)


def read_letters(
    cluster: Cluster,
    topics: TopicNames,
    *,
    partitions: Sequence[int] | None = None,
    starts: Mapping[int, int] | None = None,
) -> BoundedReader:
    """A reader of what is on the dead-letter topic now, of all its partitions or of some.

    Raises:
        BrokerUnavailableError: Nobody answered.
        TopicSetupError: There is no such topic.
        NoSuchLetterError: There is no such partition of it.
    """
    topic = topics.dead_letters
    count = cluster.topics().get(topic, 0)
    if not count:
        raise TopicSetupError(
            f"no topic {topic} on {cluster.settings.bootstrap}: name the right --prefix, or create the topics with "
            f"`kafka-embeddings topics create --bootstrap {cluster.settings.bootstrap}`"
        )
    wanted = range(count) if partitions is None else partitions
    if any(partition >= count for partition in wanted):
        raise NoSuchLetterError(f"topic {topic} has {count} partitions, from 0: see `dlq list`")
    return BoundedReader(cluster, topic, wanted, starts=starts)
