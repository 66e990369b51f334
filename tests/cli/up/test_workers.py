from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.up.workers import worker_commands
from transport.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

NO_FLAGS = {"--model": None, "--name": None, "--encoder": None, "--device": None, "--dtype": None}


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "models.toml"
    path.write_text('[models.second]\nslug = "two"\nsource = "/2"\n[models.first]\nsource = "/1"\n')
    return path


def test_without_a_catalogue_it_is_the_model_of_the_flags() -> None:
    [worker] = worker_commands({**NO_FLAGS, "--name": "mine", "--encoder": "null"}, None, None)
    assert (worker.name, worker.slug, worker.flags) == ("mine", "", ["--name", "mine", "--encoder", "null"])
    [default] = worker_commands(NO_FLAGS, None, None)
    assert (default.name, default.flags) == ("all-MiniLM-L6-v2", [])


def test_the_settings_file_names_the_model_and_its_topics(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('[worker.model]\nname = "filed"\nslug = "f"\nsource = "/m"\n')
    [worker] = worker_commands(NO_FLAGS, None, config)
    assert (worker.name, worker.slug) == ("filed", "f")


def test_of_a_catalogue_every_model_gets_a_worker_the_default_one_first(catalogue: Path) -> None:
    first, second = worker_commands({**NO_FLAGS, "--encoder": "null"}, catalogue, None)
    shared = ["--models", str(catalogue), "--name"]
    assert (first.name, first.slug, first.flags) == ("first", "", [*shared, "first", "--encoder", "null"])
    assert (second.name, second.slug, second.flags) == ("second", "two", [*shared, "second", "--encoder", "null"])


def test_a_name_chooses_one_of_the_catalogue(catalogue: Path) -> None:
    [worker] = worker_commands({**NO_FLAGS, "--name": "second"}, catalogue, None)
    assert (worker.slug, worker.flags) == ("two", ["--models", str(catalogue), "--name", "second"])


def test_devices_are_handed_on_to_each_model(catalogue: Path) -> None:
    workers = worker_commands({**NO_FLAGS, "--devices": "cpu,cpu"}, catalogue, None)
    assert [worker.flags[-2:] for worker in workers] == [["--devices", "cpu,cpu"]] * 2


def test_one_source_for_several_models_is_refused(catalogue: Path) -> None:
    with pytest.raises(SettingsError, match="leave --model out"):
        worker_commands({**NO_FLAGS, "--model": "./a"}, catalogue, None)


@pytest.mark.parametrize(
    ("devices", "second_port"),
    [(None, 9465), ("cpu,cpu", 9466), ("auto", 9480)],
    ids=["one process", "two processes", "as many as there are"],
)
def test_each_worker_of_a_catalogue_gets_a_metrics_port_of_its_own_with_room_for_its_devices(
    catalogue: Path, monkeypatch: pytest.MonkeyPatch, devices: str | None, second_port: int
) -> None:
    monkeypatch.setenv("KAFKA_EMBEDDINGS_METRICS_PORT", "9464")
    first, second = worker_commands({**NO_FLAGS, "--devices": devices}, catalogue, None)
    assert first.flags[-2:] == ["--metrics-port", "9464"]
    assert second.flags[-2:] == ["--metrics-port", str(second_port)]


def test_without_a_metrics_port_or_with_any_free_one_nothing_is_said_of_it(
    catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in (None, "0"):
        if given is not None:
            monkeypatch.setenv("KAFKA_EMBEDDINGS_METRICS_PORT", given)
        assert not any("--metrics-port" in worker.flags for worker in worker_commands(NO_FLAGS, catalogue, None))
