"""`worker/settings.py`: what a worker can be told, and that a misspelling is not taken for silence."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from schemas.topics import TOPICS, Lane, TopicNames
from worker.settings import BatchSettings, BoundSettings, ModelSettings, OwnFailureSettings, WorkerSettings

GROUPS: list[type[BaseModel]] = [ModelSettings, BatchSettings, BoundSettings, OwnFailureSettings]


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment the tests run in counts."""
    for name in [name for name in os.environ if name.upper().startswith("KAFKA_EMBEDDINGS_")]:
        monkeypatch.delenv(name)


def test_without_any_setting_the_packaged_model_is_served_under_the_default_prefix() -> None:
    settings = WorkerSettings()
    assert (settings.topic_prefix, settings.model.name, settings.model.source) == (
        "embedding",
        "all-MiniLM-L6-v2",
        "",
    )
    assert len(TopicNames(settings.topic_prefix, settings.model.slug).all()) == len(TOPICS)
    assert settings.bounds.messages_past_watermark == 10_000


@pytest.mark.parametrize(
    ("given", "served"),
    [
        ({}, [Lane.INTERACTIVE, Lane.BULK]),
        ({"lanes": ["bulk", "interactive"]}, [Lane.INTERACTIVE, Lane.BULK]),
        ({"lanes": ["interactive"]}, [Lane.INTERACTIVE]),
        ({"delivery": "exactly-once"}, [Lane.BULK]),
        ({"delivery": "exactly-once", "lanes": ["bulk"]}, [Lane.BULK]),
    ],
    ids=str,
)
def test_lanes_are_served_as_said_and_under_exactly_once_bulk_alone(
    given: dict[str, Any], served: list[Lane]
) -> None:
    assert WorkerSettings(**given).served_lanes == served


@pytest.mark.parametrize("group", [WorkerSettings, *GROUPS])
def test_settings_cannot_be_changed_once_built(group: type[BaseModel]) -> None:
    settings = group()
    for name in group.model_fields:
        with pytest.raises(ValidationError):
            setattr(settings, name, getattr(settings, name))


@pytest.mark.parametrize("group", [WorkerSettings, *GROUPS])
def test_an_unknown_name_is_refused(group: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match="no_such_setting"):
        group(no_such_setting=1)


@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("KAFKA_EMBEDDINGS_TOPIC_PREFIX", "staging", "topic_prefix", "staging"),
        ("KAFKA_EMBEDDINGS_KAFKA__BOOTSTRAP", "broker:1", "kafka.bootstrap", "broker:1"),
        ("KAFKA_EMBEDDINGS_MODEL__NAME", "mine", "model.name", "mine"),
        ("KAFKA_EMBEDDINGS_MODEL__ALIASES", '["a", "b"]', "model.aliases", ["a", "b"]),
        ("KAFKA_EMBEDDINGS_MODEL__MAX_TOKENS", "77", "model.max_tokens", 77),
        ("KAFKA_EMBEDDINGS_MODEL__ENCODER", "null", "model.encoder", "null"),
        ("KAFKA_EMBEDDINGS_BATCH__BUDGET_TOKENS", "4096", "batch.budget_tokens", 4096),
        ("KAFKA_EMBEDDINGS_BOUNDS__BYTES", "1000000", "bounds.bytes", 1_000_000),
        ("KAFKA_EMBEDDINGS_DEVICES", '["cuda:0", "cuda:1"]', "devices", ["cuda:0", "cuda:1"]),
        ("KAFKA_EMBEDDINGS_ALLOW_MIXED", "true", "allow_mixed", True),
        ("KAFKA_EMBEDDINGS_REPLY_TOPICS", '["team.vectors"]', "reply_topics", ["team.vectors"]),
        ("kafka_embeddings_batch__max_inputs", "3", "batch.max_inputs", 3),
    ],
)
def test_a_setting_comes_from_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, path: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    found: object = WorkerSettings()
    for part in path.split("."):
        found = getattr(found, part)
    assert found == expected


@pytest.mark.parametrize(
    "name",
    [
        "KAFKA_EMBEDDINGS_MODEL__NMAE",
        "KAFKA_EMBEDDINGS_BATCH__BUDGET",
        "KAFKA_EMBEDDINGS_BOUNDS__TOKEN",
        "KAFKA_EMBEDDINGS_KAFKA__BOOTSTRAPS",
    ],
)
def test_a_misspelt_variable_of_a_group_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ValidationError, match="Extra inputs"):
        WorkerSettings()


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_EMBEDDINGS_TOPIC_PREFIX", "from-environment")
    assert WorkerSettings(topic_prefix="argument").topic_prefix == "argument"


@pytest.mark.parametrize(
    ("group", "wrong"),
    [
        (BatchSettings, {"budget_tokens": 0}),
        (BatchSettings, {"max_inputs": 0}),
        (BatchSettings, {"bulk_share": 1.0}),
        (BatchSettings, {"bulk_share": -0.1}),
        (BatchSettings, {"interactive_bulk_seconds": 0}),
        (BoundSettings, {"tokens": 0}),
        (BoundSettings, {"bytes": 0}),
        (BoundSettings, {"messages_past_watermark": 0}),
        (BoundSettings, {"prefetch_bytes": 1}),
        (ModelSettings, {"max_tokens": 0}),
        (ModelSettings, {"threads": 0}),
        (ModelSettings, {"dtype": "int8"}),
        (ModelSettings, {"encoder": "none"}),
        (WorkerSettings, {"commit_every_seconds": 0}),
        (WorkerSettings, {"drain_timeout_seconds": -1}),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(group: type[BaseModel], wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        group(**wrong)


@pytest.mark.parametrize("group", GROUPS)
def test_every_setting_of_a_group_is_explained(group: type[BaseModel]) -> None:
    unexplained = [name for name, field in group.model_fields.items() if not field.description]
    assert unexplained == []
