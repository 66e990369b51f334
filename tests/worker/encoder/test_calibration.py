"""`worker/encoder/calibration.py`: the smallest budget that is nearly as fast as any, found once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from worker.encoder.calibration import CANDIDATES, calibrated_budget, default_folder
from worker.encoder.interface import Limits, LoadedModel
from worker.encoder.null import NullTokenizer
from worker.errors import DeviceMemoryError

from ..fakes import a_card

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


class FakeDevice:
    """Takes a time for a batch that its speed decides; its clock goes only while it computes."""

    limits = Limits()

    def __init__(self, tokens_per_second: dict[int, float]) -> None:
        self._speeds = tokens_per_second
        self.now = 0.0
        self.room_tokens = 1_000_000
        self.batches: list[int] = []

    def encode(
        self, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        tokens = sum(map(len, batch))
        if tokens > self.room_tokens:
            raise DeviceMemoryError("no room")
        self.batches.append(tokens)
        self.now += tokens / self._speeds[min(self._speeds, key=lambda budget: abs(budget - tokens))]
        return np.zeros((len(batch), dims[0]), dtype=np.float32)

    def recompute(self, ids: Sequence[int], dim: int, unpooled: int = 0) -> NDArray[np.float32]:
        raise AssertionError

    def clock(self) -> float:
        return self.now


def a_model(device: FakeDevice, kind: str = "cpu", **changes: object) -> LoadedModel:
    return LoadedModel(a_card(device=kind, max_tokens=32, **changes), NullTokenizer(32), device)


def budget_of(device: FakeDevice, folder: Path | None = None, **changes: object) -> int:
    return calibrated_budget(a_model(device, **changes), folder, device.clock)


@pytest.mark.parametrize(
    ("speeds", "budget"),
    [
        ({512: 9e3, 1024: 1e4, 2048: 1e4, 4096: 8e3}, 1024),
        ({512: 9.6e3, 1024: 1e4, 2048: 1e4, 4096: 1e4}, 512),
        ({512: 5e3, 1024: 6e3, 2048: 8e3, 4096: 1.2e4}, 4096),
    ],
)
def test_the_smallest_budget_within_a_twentieth_of_the_fastest_is_taken(
    speeds: dict[int, float], budget: int
) -> None:
    assert budget_of(FakeDevice(speeds)) == budget


def test_a_slow_device_is_not_tried_for_long() -> None:
    device = FakeDevice({512: 100.0, 1024: 100.0})
    assert budget_of(device) == 512
    assert max(device.batches) <= 512


@pytest.mark.parametrize(("room_tokens", "budget"), [(1500, 1024), (600, 512), (100, 256)])
def test_a_device_without_room_gets_what_it_has_room_for(room_tokens: int, budget: int) -> None:
    device = FakeDevice({512: 1e4, 1024: 2e4, 2048: 4e4, 4096: 8e4})
    device.room_tokens = room_tokens
    assert budget_of(device) == budget


def test_of_two_passes_the_faster_one_counts() -> None:
    device = FakeDevice({512: 1e4, 4096: 1e4})
    times = iter([0.0, 0.0, 9.0, 9.0, 9.05, 9.05])  # the first pass was held up
    assert calibrated_budget(a_model(device), None, lambda: next(times)) == 512


def test_what_was_found_is_remembered_for_this_model_on_this_device(tmp_path: Path) -> None:
    speeds = {512: 1e4, 4096: 1e4}
    assert budget_of(FakeDevice(speeds), tmp_path) == 512
    again = FakeDevice(speeds)
    assert budget_of(again, tmp_path) == 512
    assert again.batches == []
    other = FakeDevice(speeds)
    budget_of(other, tmp_path, dtype="bfloat16")
    assert other.batches != []
    assert [file.name for file in tmp_path.iterdir()] == ["budgets.json"]


@pytest.mark.parametrize("content", [b"{", b'{"a": "b"}', b'"x"'])
def test_a_file_that_cannot_be_read_is_written_anew(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "budgets.json").write_bytes(content)
    assert budget_of(FakeDevice({512: 1e4, 4096: 1e4}), tmp_path) == 512
    again = FakeDevice({512: 1e4})
    assert budget_of(again, tmp_path) == 512
    assert again.batches == []


def test_a_folder_that_cannot_be_written_to_is_said_and_does_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with capture_logs() as logs:
        assert budget_of(FakeDevice({512: 1e4, 4096: 1e4}), tmp_path / "file" / "folder") == 512
    assert "cannot remember the budget" in [entry["event"] for entry in logs]


def test_an_encoder_without_a_device_keeps_its_own() -> None:
    device = FakeDevice({512: 1e4})
    assert budget_of(device, kind="none") == a_card().budget_tokens
    assert device.batches == []


def test_a_gpu_is_tried_with_larger_ones() -> None:
    first, *larger = CANDIDATES["cuda"]
    device = FakeDevice({first: 1e6} | dict.fromkeys(larger, 1e7))
    assert calibrated_budget(a_model(device, "cuda:1"), None, device.clock) == larger[0]


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "kafka-embeddings"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert default_folder() == tmp_path / "me" / ".cache" / "kafka-embeddings"
