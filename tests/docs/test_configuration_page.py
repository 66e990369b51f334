"""`docs/configuration.md` and the module that generates its reference."""

from __future__ import annotations

import subprocess
import sys

import pydantic_settings
import pytest

from api.settings import ApiSettings
from cli.configuration_page import MARK, PAGE, Setting, render, settings_of
from transport.errors import SettingsError
from transport.settings import KafkaSettings, ProcessSettings
from worker.settings import WorkerSettings

from .pages import ROOT, prose

_KINDS: dict[type[ProcessSettings], str] = {WorkerSettings: "worker", ApiSettings: "api"}
_SETTINGS = [(kind, row) for kind in _KINDS for rows in settings_of(kind).values() for row in rows]
_NO_VALUE_OF_ANY_SETTING = "?!"


def _built_or_refused(kind: type[ProcessSettings]) -> ProcessSettings | str:
    """The settings, or the setting whose value is refused."""
    try:
        return kind.build({}, None, _KINDS[kind])
    except SettingsError as refused:
        return str(refused)
    except pydantic_settings.SettingsError as unreadable:
        return str(unreadable)


def _ids(part: object) -> str:
    return part.name if isinstance(part, Setting) else getattr(part, "__name__", "")


def test_the_reference_says_what_the_settings_are() -> None:
    page = PAGE.read_text()

    assert render(page) == page, "run: python -m cli.configuration_page"


def test_what_is_above_the_mark_is_kept_and_what_is_below_it_replaced() -> None:
    page = render(f"# By hand\n\n{MARK}\n\nout of date")

    assert page.startswith(f"# By hand\n\n{MARK}\n\n## Every process")
    assert "out of date" not in page


def test_a_page_without_the_mark_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks the line"):
        render("# By hand")


def test_generating_the_page_needs_neither_torch_nor_fastapi_nor_a_kafka_client() -> None:
    heavy = ("torch", "transformers", "fastapi", "confluent_kafka")
    script = f"import sys, cli.configuration_page; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("kind", "row"), _SETTINGS, ids=_ids)
def test_a_settings_variable_reaches_that_setting(
    kind: type[ProcessSettings], row: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _, other in _SETTINGS:
        monkeypatch.delenv(other.variable, raising=False)
    untouched = kind.build({}, None, _KINDS[kind])

    monkeypatch.setenv(row.variable, _NO_VALUE_OF_ANY_SETTING)

    outcome = _built_or_refused(kind)
    assert outcome != untouched
    assert not isinstance(outcome, str) or row.name.partition(".")[0] in outcome


def test_the_page_lists_the_kafka_options_that_are_refused() -> None:
    listed = next(line for line in prose(PAGE).splitlines() if line.startswith("These are ours to set"))
    refused = []
    for name in listed.split("`")[1::2]:
        if name == "kafka.bootstrap":
            continue
        with pytest.raises(SettingsError, match=name):
            KafkaSettings(options={name: "x"}).librdkafka_options()
        refused.append(name)

    assert len(refused) == 7


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path_factory.mktemp("settings") / "settings.toml"
    file.write_text('topic_prefix = "file"\nlog_level = "debug"\nlog_format = "json"\n')
    monkeypatch.setenv("KAFKA_EMBEDDINGS_TOPIC_PREFIX", "environment")
    monkeypatch.setenv("KAFKA_EMBEDDINGS_LOG_LEVEL", "error")

    built = WorkerSettings.build({"topic_prefix": "flag"}, file, "worker")

    assert (built.topic_prefix, built.log_level, built.log_format) == ("flag", "error", "json")


def test_a_table_of_a_process_wins_entry_by_entry(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("settings") / "settings.toml"
    file.write_text('[kafka]\nbootstrap = "k:9092"\nreplication = 3\n[worker.kafka]\nbootstrap = "w:9092"\n')

    assert WorkerSettings.build({}, file, "worker").kafka == KafkaSettings(bootstrap="w:9092", replication=3)
    assert ApiSettings.build({}, file, "api").kafka == KafkaSettings(bootstrap="k:9092", replication=3)
