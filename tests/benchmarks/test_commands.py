"""Every command, as small as can be: it runs, and what it writes holds finite figures."""

from __future__ import annotations

import json
import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmarks.figures import FIGURES

if TYPE_CHECKING:
    from pathlib import Path

_WITHOUT_MODEL = {
    "path": ["--requests", "500"],
    "poison": ["--requests", "500"],
    "lanes": ["--encoder", "null", "--calls", "4", "--backlog", "20", "--seconds", "0.2"],
    "scaling": ["--encoder", "null", "--texts", "20"],
}
_WITH_MODEL = {
    "engine": ["--texts", "8"],
    "pipeline": ["--texts", "8", "--dtype", "float32"],
    "http": ["--calls", "4"],
    "duplicates": ["--texts", "10"],
    "loop": ["--texts", "4"],
    "startup": [],
    "gpu": ["--texts", "6", "--device", "cpu", "--shapes", "tiny"],
}


_NOT_MEASURED_HERE = {"gpu": {"large", "llama", "minilm", "busy"}}
"""What a tiny model on a CPU has no figure for."""


def _run(benchmark: str, arguments: list[str], folder: Path) -> dict[str, Any]:
    """Its details."""
    file = folder / f"{benchmark}.json"
    import_module(f"benchmarks.{benchmark}").main([*arguments, "--rounds", "1", "--json", str(file)])
    result = json.loads(file.read_text())

    measured = {figure["key"] for figure in result["figures"]}
    assert measured == set(FIGURES[benchmark]) - _NOT_MEASURED_HERE.get(benchmark, set())
    for figure in result["figures"]:
        assert math.isfinite(figure["median"])
        # In a fraction of a second, on a busy machine, bulk may not have had its turn.
        assert figure["median"] > 0 or figure["key"] == "share", figure
    assert result["machine"]["packages"]
    details: dict[str, Any] = result["details"]
    return details


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", _WITHOUT_MODEL)
def test_a_benchmark_of_the_path_writes_finite_figures(benchmark: str, tmp_path: Path) -> None:
    _run(benchmark, _WITHOUT_MODEL[benchmark], tmp_path)


@pytest.mark.slow
def test_the_benchmark_of_delivery_writes_finite_figures_on_a_real_kafka(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    _run("delivery", ["--requests", "200", "--bootstrap", kafka_bootstrap], tmp_path)


def test_without_a_kafka_the_benchmark_of_delivery_says_so_and_exits_with_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        import_module("benchmarks.delivery").main([])

    assert ended.value.code == 2
    assert capsys.readouterr().out == "no Apache Kafka given (--bootstrap): nothing is measured\n"


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("benchmark", _WITH_MODEL)
def test_a_benchmark_with_a_model_writes_finite_figures(benchmark: str, tmp_path: Path) -> None:
    _run(benchmark, _WITH_MODEL[benchmark], tmp_path)


@pytest.mark.slow
def test_one_of_three_brokers_is_killed_and_a_worker_and_no_bulk_caller_hears_an_error(
    kafka_runs_here: None, tmp_path: Path
) -> None:
    shortly = ["--kills", "1", "--away", "0.5", "--broker-session", "3", "--rate", "50"]

    details = _run("outage", shortly, tmp_path)

    outcomes = details["bulk requests"]
    again = outcomes.pop("answered again", 0)
    assert outcomes == {"published": outcomes["published"], "answered": outcomes["published"], "unanswered": 0}
    assert again <= outcomes["published"]
    # The API answers again by itself, or its calls would not have come to an end.
    assert details["HTTP calls by status"]["200"] > 0


@pytest.mark.slow
def test_without_a_gpu_the_benchmark_of_gpus_says_so_and_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(SystemExit) as ended:
        import_module("benchmarks.gpu").main([])

    assert ended.value.code == 2
    assert capsys.readouterr().out == "no CUDA device here: nothing is measured\n"
