from __future__ import annotations

import importlib

import pytest

from cli.dlq.errors import FilterError
from cli.embed.errors import InputError, OutputError, ResumeError
from cli.errors import ChildKeepsDyingError, ChildSettingsError, ChildStopError
from cli.failures import _EXTRAS, _WRONG_SETTINGS, one_line
from schemas.errors import ErrorCode, RequestError
from tests.stack.command import run_command
from transport.errors import (
    AccessDeniedError,
    BrokerUnavailableError,
    EmbeddedBrokerError,
    FatalTransportError,
    SettingsError,
    TopicSetupError,
)
from worker.errors import MixedRevisionError, ModelError


@pytest.mark.parametrize(
    "kind",
    [
        ChildSettingsError,
        FilterError,
        InputError,
        MixedRevisionError,
        ModelError,
        OutputError,
        ResumeError,
        SettingsError,
        TopicSetupError,
    ],
)
def test_what_other_settings_would_mend_has_status_2(kind: type[Exception]) -> None:
    assert one_line(kind("say why")) == (2, "say why")


def test_every_name_of_a_wrong_setting_is_an_error_there_is() -> None:
    homes = ["cli.dlq.errors", "cli.embed.errors", "cli.errors", "transport.errors", "worker.errors"]
    known = {name for home in homes for name in vars(importlib.import_module(home))}

    assert known >= _WRONG_SETTINGS


@pytest.mark.parametrize(
    "error",
    [
        AccessDeniedError("say why"),
        BrokerUnavailableError("say why"),
        ChildKeepsDyingError("say why"),
        ChildStopError("say why"),
        EmbeddedBrokerError("say why"),
        FatalTransportError("say why"),
        RequestError(ErrorCode.UNAVAILABLE, "say why"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_we_raise_otherwise_has_status_1_and_its_own_words(error: Exception) -> None:
    assert one_line(error) == (1, "say why")


def test_what_nobody_expected_is_named_and_asked_to_be_reported() -> None:
    assert one_line(ZeroDivisionError("by zero")) == (
        1,
        "ZeroDivisionError: by zero (not expected: please report it)",
    )


def test_a_text_of_many_lines_becomes_one() -> None:
    assert one_line(SettingsError("first\n  second\n\nthird")) == (2, "first second third")


def test_an_error_without_a_text_is_named() -> None:
    assert one_line(SettingsError()) == (2, "SettingsError")


@pytest.mark.parametrize(("package", "extra"), _EXTRAS.items())
def test_a_missing_package_is_told_as_the_extra_that_brings_it(package: str, extra: str) -> None:
    for name in (package, f"{package}.part"):
        status, line = one_line(ModuleNotFoundError(f"No module named {name!r}", name=name))
        assert (status, f"'kafka-embeddings[{extra}]'" in line) == (2, True)


def test_any_other_missing_module_is_our_failure() -> None:
    assert one_line(ModuleNotFoundError("No module named 'api.nothing'", name="api.nothing"))[0] == 1


_FAILS = """
import worker.pipeline
def run_stages(self):
    raise KeyError("what nobody expected")
worker.pipeline.Worker.run = run_stages
from cli.main import run
run()
"""


def test_a_failure_of_ours_is_one_line_and_its_traceback_is_there_for_who_asks() -> None:
    status, quiet = run_command("worker", script=_FAILS)
    _, talkative = run_command("worker", "--log-level", "debug", script=_FAILS)

    assert status == 1
    [line] = quiet.stderr.splitlines()
    assert line == talkative.stderr.splitlines()[-1]
    assert "KeyError: 'what nobody expected'" in line
    assert "in run_stages" in talkative.stderr
