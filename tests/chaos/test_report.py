"""`report.py` and the run's own word on whether it holds."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from .checker import Verdict
from .report import as_fields, as_text
from .run import EXACTLY_ONCE, Outcome, Plan
from .schedule import FaultKind

GOOD = Outcome(
    plan=Plan(seed=11, requests=1000, faults={FaultKind.KILL_WORKER: 2}),
    verdict=Verdict(
        acknowledged=1000,
        answered=1000,
        duplicates=17,
        given_up=0,
        ends={"ok": 990, "timeout": 10},
        samples=40,
        samples_in_the_middle=30,
        sent_twice=0,
        violations={},
        examples=[],
    ),
    sent=1000,
    done={"worker killed": 2},
    failed_publishes=210,
    slow_publishes=190,
    uncommitted=0,
    ended_by_themselves=[],
    longest_silence_seconds=6.2,
    looks_missed=1,
    seconds=20.0,
)


def _with_verdict(**changes: object) -> Outcome:
    return replace(GOOD, verdict=replace(GOOD.verdict, **changes))


def test_a_report_names_seed_versions_faults_and_figures() -> None:
    text = as_text(GOOD)

    for told in (
        "11, at-least-once",
        "Kafka 4.3.1",
        "librdkafka",
        "2 x worker killed",
        "210 made to fail, 190 made to take long",
        "17 (allowed",
        "50 requests/s",
    ):
        assert told in text
    assert "violations       none" in text


def test_a_report_shows_examples_of_what_was_broken() -> None:
    text = as_text(_with_verdict(violations={"lost": 3}, examples=["lost: request 5 (plain)"]))

    assert "lost             3" in text
    assert text.endswith("lost: request 5 (plain)")


def test_all_of_a_run_is_written_as_json() -> None:
    fields = json.loads(json.dumps(as_fields(GOOD), allow_nan=False))

    assert (fields["plan"]["seed"], fields["verdict"]["duplicates"], fields["holds"]) == (11, 17, True)
    assert fields["on"]["kafka"] == "4.3.1"


def test_under_exactly_once_a_report_says_that_no_second_answer_is_allowed() -> None:
    assert "0 allowed" in as_text(replace(GOOD, plan=replace(GOOD.plan, delivery=EXACTLY_ONCE)))


@pytest.mark.parametrize(
    "bad",
    [
        _with_verdict(violations={"wrong": 1}),
        _with_verdict(acknowledged=999),
        _with_verdict(samples_in_the_middle=0),
        replace(GOOD, uncommitted=1),
        replace(GOOD, done={"worker killed": 1}),
        replace(GOOD, failed_publishes=0),
        replace(GOOD, slow_publishes=0),
    ],
)
def test_a_run_that_broke_a_promise_or_was_not_what_it_was_to_be_does_not_hold(bad: Outcome) -> None:
    assert GOOD.holds
    assert not bad.holds


def test_what_was_to_go_wrong_and_did_not_is_named() -> None:
    text = as_text(replace(GOOD, done={}, failed_publishes=0))

    assert "left out         worker killed, publishes fail" in text


def test_a_run_that_is_cut_short_leaves_nothing_out() -> None:
    assert replace(GOOD, plan=replace(GOOD.plan, most_seconds=5), done={}).holds
