"""`kafka-embeddings dlq replay`: dead letters back to where they came from, each once.

Three reads: the dead letters that are meant, without payloads; what stands behind them in their topics; then the dead
letters again, to be sent. A replay says in a header which message it repeats, so the second read finds what was
replayed before, whoever did it and however far it came.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemas.dead_letters import replay_headers
from transport.access import check_access, reading, writing
from transport.bounded_reader import BoundedReader
from transport.producer import DeliveringProducer

from .decisions import Behind, Candidate, Outcome, ReplayRules, decide, is_request_topic
from .letters import DeadLetter, read_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from schemas.topics import TopicNames
    from transport.cluster import Cluster
    from transport.producer import DeliveryFailure

    from .filters import Filters

_DELIVERY_SECONDS: Final = 30.0
_LINGER_MS: Final = 5


@dataclass(slots=True)
class ReplayReport:
    """What became of every dead letter that was meant; complete once the broker has what was sent."""

    outcomes: dict[tuple[int, int], Outcome]
    """Place on the dead-letter topic -> what became of it."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why messages were not delivered."""

    @property
    def counts(self) -> Counter[Outcome]:
        return Counter(self.outcomes.values())


def replay(
    cluster: Cluster,
    topics: TopicNames,
    filters: Filters,
    rules: ReplayRules,
    *,
    limit: int | None = None,
    dry_run: bool = False,
) -> ReplayReport:
    """Replay what is meant and allowed. Blocks until the broker has it, or a message could not be delivered in time.

    Args:
        cluster: Where the topics are.
        topics: Their names.
        filters: Which dead letters are meant.
        rules: What is allowed.
        limit: Most dead letters to replay.
        dry_run: Decide and send nothing.

    Raises:
        AccessDeniedError: This user may not read the topics they came from, or not write there.
        TransportError: The topics cannot be read. What was sent by then is skipped by the next replay.
    """
    candidates = _candidates(cluster, topics, filters)
    starts = _starts_behind(candidates, rules.prefix)
    check_access(cluster, reading(*starts))
    behind = _look_behind(cluster, candidates, starts)
    report = ReplayReport(_decide_all(candidates, behind, rules, limit))
    if not dry_run:
        check_access(cluster, writing(*_destinations(candidates, report)))
        _send(cluster, topics, report)
    return report


def _candidates(cluster: Cluster, topics: TopicNames, filters: Filters) -> list[Candidate]:
    """Those that are meant, in the order of their origins."""
    with read_letters(cluster, topics) as reader:
        letters = (DeadLetter(message) for message in reader)
        found = [
            Candidate(letter.place, letter.message.key, letter.origin) for letter in letters if filters.match(letter)
        ]
    return sorted(found, key=_by_origin)


def _by_origin(candidate: Candidate) -> tuple[str, int, int, tuple[int, int]]:
    origin = candidate.origin
    return (*_partition_of(candidate), -1 if origin is None else origin.offset, candidate.place)


def _partition_of(candidate: Candidate) -> tuple[str, int]:
    origin = candidate.origin
    return ("", -1) if origin is None else (origin.topic, origin.partition)


def _starts_behind(candidates: Sequence[Candidate], prefix: str) -> dict[str, dict[int, int]]:
    """Where to look for what stands behind the candidates: the first offset of each partition, by topic."""
    starts: dict[str, dict[int, int]] = {}
    for candidate in candidates:
        origin = candidate.origin
        if origin is not None and is_request_topic(origin.topic, prefix):
            # The first candidate of a partition is the one furthest back.
            starts.setdefault(origin.topic, {}).setdefault(origin.partition, origin.offset + 1)
    return starts


def _look_behind(
    cluster: Cluster, candidates: Sequence[Candidate], starts: Mapping[str, Mapping[int, int]]
) -> Mapping[tuple[str, int], Behind]:
    """What stands behind the candidates, for each partition that there is."""
    keys = frozenset(candidate.key for candidate in candidates if candidate.key is not None)
    behind: dict[tuple[str, int], Behind] = {}
    existing = cluster.topics() if starts else {}
    for topic, of_topic in starts.items():
        partitions = [partition for partition in of_topic if partition < existing.get(topic, 0)]
        if not partitions:
            continue
        with BoundedReader(cluster, topic, partitions, starts=of_topic) as reader:
            behind |= {(topic, partition): Behind(reader.firsts[partition], keys) for partition in partitions}
            for message in reader:
                behind[topic, message.partition].see(message)
    return behind


def _decide_all(
    candidates: Sequence[Candidate],
    behind: Mapping[tuple[str, int], Behind],
    rules: ReplayRules,
    limit: int | None,
) -> dict[tuple[int, int], Outcome]:
    outcomes: dict[tuple[int, int], Outcome] = {}
    replayed: set[tuple[str, int, int]] = set()
    for candidate in candidates:
        partition = _partition_of(candidate)
        outcome = decide(candidate, behind.get(partition), rules)
        if outcome is Outcome.REPLAYED and candidate.origin is not None:
            message = (*partition, candidate.origin.offset)
            if message in replayed:
                # It became a dead letter twice, as at-least-once allows; its replay is one.
                outcome = Outcome.ALREADY
            elif limit is not None and len(replayed) >= limit:
                outcome = Outcome.LIMIT
            else:
                replayed.add(message)
        outcomes[candidate.place] = outcome
    return outcomes


def _destinations(candidates: Sequence[Candidate], report: ReplayReport) -> set[str]:
    """Topics that something is sent to."""
    return {
        candidate.origin.topic
        for candidate in candidates
        if candidate.origin is not None and report.outcomes[candidate.place] is Outcome.REPLAYED
    }


def _send(cluster: Cluster, topics: TopicNames, report: ReplayReport) -> None:
    """Send what was decided; an outcome that turns out otherwise is corrected."""
    chosen = {place for place, outcome in report.outcomes.items() if outcome is Outcome.REPLAYED}
    if not chosen:
        return
    starts = {
        partition: min(offset for of, offset in chosen if of == partition) for partition in {of for of, _ in chosen}
    }
    unsent, undelivered = set(chosen), set(chosen)

    def told(place: tuple[int, int]) -> Callable[[DeliveryFailure | None], None]:
        def delivered(failure: DeliveryFailure | None) -> None:
            if failure is None:
                undelivered.discard(place)
            else:
                report.reasons[failure.reason] += 1

        return delivered

    producer = DeliveringProducer(
        cluster, "replay", linger_ms=_LINGER_MS, compression="zstd", delivery_timeout_seconds=_DELIVERY_SECONDS
    )
    try:
        with read_letters(cluster, topics, partitions=sorted(starts), starts=starts) as reader:
            for message in reader:
                letter = DeadLetter(message)
                if letter.place not in unsent or letter.origin is None:
                    continue
                unsent.discard(letter.place)
                producer.produce(
                    letter.origin.topic,
                    key=message.key,
                    value=message.value,
                    headers=replay_headers(message.headers, letter.origin),
                    partition=letter.origin.partition,
                    on_delivery=told(letter.place),
                )
                if not unsent:
                    break
    finally:
        producer.close(_DELIVERY_SECONDS + 5.0)
        for place in undelivered:
            report.outcomes[place] = Outcome.UNDELIVERED
