"""What the commands of `dlq` share: where the dead letters are, which are meant, and how an end is reported."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from schemas.topics import TopicNames
from transport.access import check_access, reading
from transport.cluster import Cluster
from transport.settings import ProcessSettings

from ..log import configure_log
from .decisions import NEXT_MOVES, Outcome
from .errors import FilterError, ReplayError
from .filters import Filters, build_filters
from .rendering import console, place_of, show_table, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .purge import PurgePlan
    from .replay import ReplayReport


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster, and the names of the topics there."""

    cluster: Cluster
    topics: TopicNames

    @classmethod
    def reach(cls, flags: dict[str, Any], config: Path | None) -> Self:
        """Where the command line and the settings say.

        Raises:
            SettingsError: They cannot work.
            BrokerUnavailableError: Nobody answered.
            AccessDeniedError: This user may not read dead letters.
        """
        settings = ProcessSettings.build(flags, config, "dlq")
        # Standard output is for dead letters, and trouble that passes is for the log of a worker.
        configure_log("error" if settings.log_level == "info" else settings.log_level, settings.log_format)
        cluster, topics = Cluster.probe(settings.kafka), TopicNames(settings.topic_prefix)
        check_access(cluster, reading(topics.dead_letters))
        return cls(cluster, topics)

    def filters(
        self,
        codes: Sequence[str] | None,
        topics: Sequence[str] | None,
        slug: str | None,
        partition: int | None,
        offset: int | None,
        key: str | None,
        request_id: str | None,
        since: str | None,
        until: str | None,
        places: Sequence[tuple[int, int]] = (),
    ) -> Filters:
        """Which dead letters the flags mean, in the order that every command has them.

        Raises:
            FilterError: One of them cannot be read.
        """
        return build_filters(
            prefix=self.topics.prefix,
            now_ms=int(time.time() * 1000),
            codes=codes or (),
            topics=topics or (),
            slug=slug,
            partition=partition,
            offset=offset,
            key=key,
            request_id=request_id,
            since=since,
            until=until,
            places=places,
        )


def check_is_meant(filters: Filters, *, everything: bool) -> None:
    """Deleting all there is wants to be said.

    Raises:
        FilterError: Neither a filter nor --all was given, or both.
    """
    if filters.is_empty and not everything:
        raise FilterError("which dead letters? name a filter (--until 7d, --code not_json), or --all")
    if everything and not filters.is_empty:
        raise FilterError("--all and a filter: give one of them")


def report_replay(report: ReplayReport, *, dry_run: bool, json_lines: bool) -> None:
    """Say what became of each, or how many became what.

    Raises:
        ReplayError: Some were not delivered.
    """
    if json_lines:
        for place, outcome in report.outcomes.items():
            write_json({"place": place_of(place), "outcome": outcome.value, "dry_run": dry_run})
    else:
        on, counts = console(), report.counts
        replayed = counts.pop(Outcome.REPLAYED, 0)
        on.print(f"dead letters {'that would be replayed' if dry_run else 'replayed'}: {replayed:,}", markup=False)
        rows = [(f"{count:,}", outcome.value, NEXT_MOVES.get(outcome, "")) for outcome, count in counts.most_common()]
        if rows:
            on.print()
            show_table(on, ("not replayed", "why", "next move"), rows)
    undelivered = report.counts[Outcome.UNDELIVERED]
    if undelivered:
        why = ", ".join(f"{reason} ({count})" for reason, count in report.reasons.most_common(3))
        raise ReplayError(
            f"{undelivered} of {undelivered + report.counts[Outcome.REPLAYED]} were not delivered "
            f"({why or 'no word from the broker'}): run it again, what is on its topic is skipped then"
        )


def report_purge(plan: PurgePlan, *, dry_run: bool, json_lines: bool) -> None:
    """Say what is gone and what stays."""
    if json_lines:
        before = {str(partition): offset for partition, offset in sorted(plan.before.items())}
        write_json(
            {"purged": plan.purged, "kept": plan.kept, "others": plan.others, "before": before, "dry_run": dry_run}
        )
        return
    on = console()
    on.print(f"dead letters {'that would be purged' if dry_run else 'purged'}: {plan.purged:,}", markup=False)
    if plan.kept:
        on.print(
            f"meant as well, but they stay: {plan.kept:,}. Each stands behind one that is not meant, and Kafka "
            "deletes only from the beginning of a partition",
            markup=False,
            soft_wrap=True,
        )
