"""`worker/devices.py`: which devices a command serves on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from transport.errors import SettingsError
from worker import devices as devices_module
from worker.devices import count_cuda_devices, on_device, resolve_devices, threads_of_each
from worker.settings import ModelSettings, WorkerSettings


def _not_asked() -> int:
    raise AssertionError("nobody has to be asked")


@pytest.mark.parametrize("given", [[], ["cpu"], ["cpu", "cpu"], ["cuda:0", "cuda:3"], ["cuda"], ["mps"], ["xpu:1"]])
def test_devices_named_one_by_one_are_taken_as_they_are_without_asking(given: list[str]) -> None:
    assert resolve_devices(given, _not_asked) == given


def test_auto_is_every_cuda_device() -> None:
    assert resolve_devices(["auto"], lambda: 3) == ["cuda:0", "cuda:1", "cuda:2"]


def test_auto_without_a_cuda_device_is_one_worker_that_chooses_by_itself() -> None:
    assert resolve_devices(["auto"], lambda: 0) == ["auto"]


@pytest.mark.parametrize("wrong", ["gpu", "cuda:", "cuda:-1", "cpu:0", "CPU", "", "auto", "cuda:0 "])
def test_a_name_that_is_no_devices_is_refused_by_that_name(wrong: str) -> None:
    with pytest.raises(SettingsError, match=f"no device '{wrong}'"):
        resolve_devices(["cpu", wrong], _not_asked)


def test_a_worker_on_a_device_has_all_other_settings_of_the_command() -> None:
    settings = WorkerSettings(model=ModelSettings(name="mine", device="cuda:9"), devices=["cpu", "cuda:1"])

    moved = on_device(settings, "cuda:1")

    assert moved.model == settings.model.model_copy(update={"device": "cuda:1"})
    assert moved.model_copy(update={"model": settings.model}) == settings


@pytest.mark.parametrize(
    ("processes", "cores", "threads"), [(1, 8, 8), (2, 8, 4), (3, 8, 2), (8, 2, 1), (2, 1, 1), (2, 2, 1)]
)
def test_the_cores_are_shared_out_and_nobody_has_none(
    processes: int, cores: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads_of_each(processes, cores) == threads


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("0", 4), ("4,2", 4), ("", 4)])
def test_what_the_environment_says_of_threads_holds_for_each_process(
    said: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads_of_each(2, 8) == threads


def test_without_a_number_the_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads_of_each(1) >= 1
    assert threads_of_each(1_000_000) == 1


# --- asking torch -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_torch_is_asked_in_a_process_of_its_own() -> None:
    script = (
        "import sys; from worker.devices import count_cuda_devices; "
        "print(count_cuda_devices() >= 0, 'torch' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("raise ImportError('no such library')", "ImportError: no such library"),
        ("pass", "list index out of range"),
        ("print('many')", "invalid literal"),
        ("import signal; signal.pause()", "timed out"),
    ],
)
def test_where_torch_does_not_tell_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, says: str, why: str) -> None:
    monkeypatch.setattr(devices_module, "_COUNT_CUDA", says)
    monkeypatch.setattr(devices_module, "_COUNT_SECONDS", 1.0 if "pause" in says else 60.0)

    with pytest.raises(SettingsError, match=f"which devices there are .*{why}.*name them with --devices"):
        count_cuda_devices()


def test_what_torch_says_beside_the_number_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "_COUNT_CUDA", "print('a warning about 7 things'); print(2)")

    assert resolve_devices(["auto"]) == ["cuda:0", "cuda:1"]
