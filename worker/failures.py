"""What a failure calls for, as two closed tables: of the encoder at a batch, and of the whole worker. Pure."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from transport.errors import TransportError

from .errors import DeviceLostError, DeviceMemoryError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Remedy(Enum):
    """What is done about a batch that failed; unless the device is lost, it is halved until what fails is alone."""

    SMALLER = "the device has no room now: smaller batches from then on, one input is tried again a little later"
    APART = "something in the batch: the request at fault fails, its neighbours are answered"
    STOP = "the device answers to nothing any more: the process ends, and a new one begins afresh"


_REMEDIES: Final[Mapping[type[Exception], Remedy]] = {DeviceMemoryError: Remedy.SMALLER, DeviceLostError: Remedy.STOP}


def remedy_for(error: Exception) -> Remedy:
    """The row of the table; whatever has none is taken for a fault of the batch."""
    return _REMEDIES.get(type(error), Remedy.APART)


def is_held_against_requests(error: BaseException) -> bool:
    """Whether what stopped the worker may be the doing of a request under way.

    Trouble with brokers, topics and the model as a whole is not: it would be there without the request. What a
    request does to the device, and what nobody has foreseen, may be.
    """
    return isinstance(error, DeviceLostError) or not isinstance(error, WorkerError | TransportError)
