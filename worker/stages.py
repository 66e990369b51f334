"""Threads that never die quietly: the first failure of any stage is kept and wakes whoever watches."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from schemas.causes import causes_of

from .errors import StageDiedError

if TYPE_CHECKING:
    from collections.abc import Callable

_HOLD_TEXTS: Final = ("intake", "tokenization", "publisher")
_OURS: Final = frozenset({"client", "schemas", "transport", "worker"})


class StageFailure:
    """The first failure among the stages, and the event that says there is one (or that a stop was asked for)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.wake = threading.Event()
        self.stage: str | None = None
        self.error: BaseException | None = None

    def report(self, stage: str, error: BaseException) -> None:
        """Keep the first failure; later ones are its consequences."""
        with self._lock:
            if self.error is None:
                self.stage, self.error = stage, error
        self.wake.set()


def start_stage(name: str, run: Callable[[], None], failure: StageFailure) -> threading.Thread:
    """Run one stage in a thread of its own; whatever it raises is reported."""

    def guarded() -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - reported, and the process ends with it
            failure.report(name, error)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


def tellable(stage: str | None, error: BaseException) -> BaseException:
    """What may be shown of a stage's death: the error, or its kind and place where its words may quote an input.

    Our own errors quote none, and a stage that holds no texts cannot.
    """
    if type(error).__module__.partition(".")[0] in _OURS or not (stage or "").startswith(_HOLD_TEXTS):
        return error
    causes = "; caused by ".join(causes_of(error))
    return StageDiedError(f"stage {stage} died of {causes} (its words may quote an input)")
