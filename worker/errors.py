"""What can stop a worker.

WorkerError
├── ModelError          the model cannot be loaded as asked; exit 2
├── MixedRevisionError  other workers of this model serve another revision; exit 2
├── DeviceMemoryError   the device has no room for a batch; it is halved
├── DeviceLostError     the device computes nothing any more; exit 1 without committing
├── EncoderBrokenError  the encoder fails whatever it is given; exit 1 without committing
├── StuckError          nothing gets done of a request; exit 1 without committing it
├── StageDiedError      a stage died of what must not be shown, since it quotes an input; exit 1
├── OwnFailuresError    too large a share of requests fails through our fault; exit 1 without committing
├── PublishError        the default destination or the dead-letter topic takes nothing; exit 1
└── DrainError          stopping took too long; exit 1, what is not committed is answered again
"""

from __future__ import annotations


class WorkerError(Exception):
    """Base of what this package raises."""


class ModelError(WorkerError):
    """The model cannot be loaded as asked."""


class MixedRevisionError(WorkerError):
    """Live workers of the same model show another revision."""


class DeviceMemoryError(WorkerError):
    """The device has no room for a batch."""


class DeviceLostError(WorkerError):
    """The device is in a state that only a new process gets out of."""


class EncoderBrokenError(WorkerError):
    """Request after request fails in the encoder: the fault is ours, not theirs."""


class StuckError(WorkerError):
    """Nothing gets done of a request, and nothing says why."""


class StageDiedError(WorkerError):
    """A stage died of an error whose words quote an input."""


class OwnFailuresError(WorkerError):
    """Too many requests fail through our fault; the last of them is neither answered nor committed."""


class DrainError(WorkerError):
    """The broker did not take the last commits in time."""


class PublishError(WorkerError):
    """Responses cannot go where they must."""
