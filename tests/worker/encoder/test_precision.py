"""`worker/encoder/precision.py`: the number format by what the device can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from worker.encoder.precision import choose_device, choose_dtype, read_cpu_flags

if TYPE_CHECKING:
    from pathlib import Path

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        (set(), torch.float32),
        ({"avx2", "avx512f", "avx512_vnni", "amx_int8"}, torch.float32),
        ({"avx512f", "avx512_bf16"}, torch.bfloat16),
        ({"amx_tile", "amx_bf16"}, torch.bfloat16),
    ],
)
def test_a_cpu_computes_in_bfloat16_only_where_its_flags_say_so(flags: set[str], dtype: torch.dtype) -> None:
    assert choose_dtype("auto", CPU, frozenset(flags)) is dtype


def test_without_flags_given_this_machines_count() -> None:
    assert choose_dtype("auto", CPU) is choose_dtype("auto", CPU, read_cpu_flags())


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_a_gpu_computes_in_bfloat16_where_it_can(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    second = torch.device("cuda:1")
    capabilities = {CUDA: (7, 0), second: capability}
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
    assert choose_dtype("auto", second) is dtype


def test_any_other_device_computes_in_float32() -> None:
    assert choose_dtype("auto", MPS) is torch.float32


@pytest.mark.parametrize("device", [CPU, CUDA, MPS])
@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_dtype_asked_for_is_taken_whatever_the_device(name: str, device: torch.device) -> None:
    assert choose_dtype(name, device, frozenset({"amx_bf16"})) is getattr(torch, name)


def test_the_flags_are_read_from_the_first_processor(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu amx_bf16 sse2\nbugs\t: x\n\nflags\t\t: none\n")
    assert read_cpu_flags(cpuinfo) == {"fpu", "amx_bf16", "sse2"}


@pytest.mark.parametrize("content", ["", "processor : 0\nFeatures : fp asimd bf16\n"])
def test_where_there_are_no_flags_there_are_none(tmp_path: Path, content: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(content)
    assert read_cpu_flags(cpuinfo) == frozenset()


def test_where_the_system_does_not_tell_there_are_no_flags(tmp_path: Path) -> None:
    assert read_cpu_flags(tmp_path / "missing") == frozenset()


@pytest.mark.parametrize("name", ["cpu", "cuda:1", "mps"])
def test_a_device_asked_for_is_taken(name: str) -> None:
    assert choose_device(name) == torch.device(name)


def test_without_an_accelerator_the_device_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert choose_device("auto") == CPU


def test_the_first_accelerator_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: CUDA)
    assert choose_device("auto") == CUDA
