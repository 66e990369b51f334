"""`benchmarks/figures.py`: the table of figures and targets."""

from __future__ import annotations

import importlib.util

import pytest

from benchmarks.everything import command
from benchmarks.figures import FIGURES, Target


@pytest.mark.parametrize(
    ("features", "bound"), [(["avx512_bf16", "amx_bf16"], 4.2), (["avx512_bf16"], 2.4), ([], 1.5)]
)
def test_the_target_is_the_one_for_what_the_processor_can_do(features: list[str], bound: float) -> None:
    target = FIGURES["engine"]["auto"].target(features)

    assert target is not None
    assert target.lowest == bound


def test_a_target_of_two_bounds_is_missed_on_either_side() -> None:
    target = Target(0.9, 1.1)

    assert [target.met(figure) for figure in (0.89, 0.9, 1.1, 1.11)] == [False, True, True, False]
    assert [str(one) for one in (target, Target(lowest=4), Target(highest=50))] == ["0.9 to 1.1", ">= 4", "<= 50"]


@pytest.mark.parametrize("benchmark", FIGURES)
def test_every_benchmark_of_the_table_is_a_command(benchmark: str) -> None:
    assert importlib.util.find_spec(f"benchmarks.{benchmark}") is not None


def test_a_broker_is_given_to_those_that_use_one() -> None:
    assert command("pipeline", "k:9092")[-2:] == ["--bootstrap", "k:9092"]
    assert "--bootstrap" not in command("pipeline", "")
    assert "--bootstrap" not in command("engine", "k:9092")
