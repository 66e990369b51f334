"""The TOML files and exported variables that the pages show are read by the settings."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from api.settings import ApiSettings
from cli.configuration_page import settings_of
from transport.settings import KafkaSettings, ProcessSettings
from worker.catalogue import build_worker_settings, read_catalogue
from worker.settings import WorkerSettings

from .pages import Block, all_blocks

if TYPE_CHECKING:
    from pathlib import Path

_OPTIONS: Final = "librdkafka options"
_CATALOGUE: Final = "a catalogue"
_QUIET: Final = {"bootstrap.servers": "127.0.0.1:1", "log_level": "0"}


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """None of our variables is set."""
    for name in _environment_names():
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def _environment_names() -> set[str]:
    kinds = (ProcessSettings, WorkerSettings, ApiSettings)
    return {row.variable for kind in kinds for rows in settings_of(kind).values() for row in rows}


@pytest.mark.parametrize(
    "block",
    [block for block in all_blocks("toml") if block.note not in (_OPTIONS, _CATALOGUE)],
    ids=lambda block: block.name,
)
def test_a_file_of_settings_serves_worker_and_api(
    block: Block, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(block.text)

    worker, api = WorkerSettings.build({}, file, "worker"), ApiSettings.build({}, file, "api")

    assert worker != WorkerSettings.build({}, None, "worker")
    assert api != ApiSettings.build({}, None, "api")


@pytest.mark.parametrize(
    "block", [block for block in all_blocks("toml") if block.note == _CATALOGUE], ids=lambda block: block.name
)
def test_a_catalogue_is_read_and_its_models_can_be_served(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(block.text)

    for name, model in read_catalogue(file).items():
        served = build_worker_settings({"models": file, "model": {"name": name}}, None).model
        assert (served.name, served.slug) == (name, model.slug)


@pytest.mark.parametrize(
    "block", [block for block in all_blocks("toml") if block.note == _OPTIONS], ids=lambda block: block.name
)
def test_a_file_of_kafka_options_is_understood_by_librdkafka(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text(block.text)

    options = KafkaSettings(options_file=file).librdkafka_options()

    # A certificate that is not on this machine would be refused for that alone.
    known = {name: value for name, value in options.items() if not name.endswith(".location")}
    assert AdminClient({**_QUIET, **known}) is not None
    for name in known:
        with pytest.raises(KafkaException, match="No such configuration property"):
            AdminClient({**_QUIET, f"{name}.misspelt": known[name]})


@pytest.mark.parametrize(
    "block",
    [block for block in all_blocks("sh") if block.text.startswith("export KAFKA_EMBEDDINGS_")],
    ids=lambda block: block.name,
)
def test_an_exported_variable_is_one_that_is_read_and_its_value_fits(
    block: Block, clean_environment: pytest.MonkeyPatch
) -> None:
    for line in block.text.splitlines():
        command, assignment = shlex.split(line)
        name, _, value = assignment.partition("=")
        assert (command, name in _environment_names()) == ("export", True)
        clean_environment.setenv(name, value)

    assert WorkerSettings.build({}, None, "worker") != WorkerSettings.model_construct()
