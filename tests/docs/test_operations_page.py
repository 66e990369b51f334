"""`docs/operations.md` against the code it describes: log events, exit codes, probes, groups."""

from __future__ import annotations

import re

import pytest

from api.admission import Admission
from api.metrics import Metrics
from cli.failures import one_line
from schemas.topics import Lane, TopicNames
from tests.api.stand_in import StandInClient
from transport.errors import FatalTransportError, SettingsError, TopicSetupError
from worker.errors import (
    EncoderBrokenError,
    MixedRevisionError,
    ModelError,
    OwnFailuresError,
    PublishError,
    StageDiedError,
    StuckError,
)
from worker.watch.table import METRICS

from .pages import DOCS, ROOT

_PAGE = (DOCS / "operations.md").read_text()
_EVENTS = re.findall(r"^\| `([^`]+)` \| (error|warning) \|", _PAGE, re.MULTILINE)
_SOURCES = "\n".join(
    path.read_text() for folder in ("api", "client", "transport", "worker") for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize(("event", "level"), _EVENTS)
def test_a_log_event_of_the_page_is_one_that_is_logged_at_that_level(event: str, level: str) -> None:
    assert re.search(rf'log\.{level}\(\s*"{re.escape(event)}', _SOURCES)


def test_every_error_of_the_worker_is_on_the_page() -> None:
    worker = "\n".join(path.read_text() for path in (ROOT / "worker").rglob("*.py"))
    logged = set(re.findall(r'log\.error\(\s*"([^":]+)', worker))
    # Two rare ones follow from others that the page has: an input at fault, and its dead letter.
    covered = {"response cannot be encoded", "dead letter without the original bytes"}

    assert {event for event in logged - covered if not any(event.startswith(known) for known, _ in _EVENTS)} == set()


@pytest.mark.parametrize("error", [SettingsError, TopicSetupError, ModelError, MixedRevisionError])
def test_settings_that_cannot_work_end_with_2(error: type[Exception]) -> None:
    assert one_line(error("why"))[0] == 2


@pytest.mark.parametrize(
    "error",
    [
        FatalTransportError,
        EncoderBrokenError,
        OwnFailuresError,
        PublishError,
        StuckError,
        StageDiedError,
        RuntimeError,
    ],
)
def test_a_failure_on_the_way_ends_with_1(error: type[Exception]) -> None:
    assert one_line(error("why"))[0] == 1


def test_the_groups_have_the_names_of_the_page() -> None:
    for lane in Lane:
        assert f"`{TopicNames().group(lane)}`" in _PAGE


def test_the_page_lists_every_metric_of_the_api_with_its_labels() -> None:
    listed = dict(re.findall(r"^\| `(kafka_embeddings_api_\w+)` \| (.*?) ?\|", _PAGE, re.MULTILINE))
    metrics = Metrics(Admission(1, 1), StandInClient())
    metrics.answered("a model", 1, 1)
    metrics.ended("/", "200", 0.1, None)
    told = {}
    for family in metrics.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = [label for label in family.samples[0].labels if label != "le"]
        told[name] = ", ".join(f"`{label}`" for label in labels)

    assert listed == told


def test_every_error_of_the_api_is_on_the_page() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "api").rglob("*.py"))

    assert set(re.findall(r'log\.error\(\s*"([^"]+)', sources)) <= {event for event, level in _EVENTS}


def test_the_page_lists_every_metric_of_a_worker_as_the_table_has_it() -> None:
    listed = re.findall(r"^\| `(kafka_embeddings_worker_\w+)` \| (\w+) \| ?(.*?) \| (.*) \|$", _PAGE, re.MULTILINE)
    table = [(m.full_name, m.kind.value, ", ".join(f"`{label}`" for label in m.labels), m.meaning) for m in METRICS]

    assert listed == table


def test_every_metric_a_question_or_an_alert_of_the_page_asks_for_is_in_the_table() -> None:
    told = {metric.full_name for metric in METRICS}
    told |= {f"{name}_{part}" for name in told for part in ("sum", "count", "bucket")}

    assert set(re.findall(r"kafka_embeddings_worker_\w*\w", _PAGE)) - {"kafka_embeddings_worker_"} <= told
