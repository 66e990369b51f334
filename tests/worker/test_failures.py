"""`worker/failures.py`: what each failure calls for, row by row."""

from __future__ import annotations

import pytest

from transport.errors import FatalTransportError, TopicSetupError, TransportError
from worker.errors import (
    DeviceLostError,
    DeviceMemoryError,
    DrainError,
    EncoderBrokenError,
    ModelError,
    PublishError,
    WorkerError,
)
from worker.failures import Remedy, is_held_against_requests, remedy_for


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (DeviceMemoryError("no room"), Remedy.SMALLER),
        (DeviceLostError("CUDA error"), Remedy.STOP),
        (RuntimeError("shapes do not match"), Remedy.APART),
        (ValueError("no"), Remedy.APART),
        (WorkerError("no"), Remedy.APART),
    ],
)
def test_every_failure_of_the_encoder_has_one_remedy(error: Exception, remedy: Remedy) -> None:
    assert remedy_for(error) is remedy


@pytest.mark.parametrize("error", [DeviceLostError("x"), RuntimeError("x"), IndexError("x"), SystemExit(1)])
def test_a_lost_device_and_what_nobody_foresaw_may_be_a_requests_doing(error: BaseException) -> None:
    assert is_held_against_requests(error)


@pytest.mark.parametrize(
    "error",
    [
        PublishError("x"),
        EncoderBrokenError("x"),
        DrainError("x"),
        ModelError("x"),
        TransportError("x"),
        FatalTransportError("x"),
        TopicSetupError("x"),
    ],
)
def test_trouble_with_brokers_topics_and_the_whole_model_is_no_requests_doing(error: BaseException) -> None:
    assert not is_held_against_requests(error)
